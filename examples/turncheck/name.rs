//! Where the server is: its A and AAAA records.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::{net::lookup_host, time::timeout};

use crate::{advice, options::Plan, report::Finding};

/// One address of each family, IPv4 first.
pub(crate) async fn resolve(plan: &Plan) -> Result<(Vec<SocketAddr>, Finding), Finding> {
    let host = &plan.host;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return match plan.families[usize::from(ip.is_ipv6())] {
            true => {
                Ok((vec![(ip, plan.port).into()], Finding::ok(format!("{ip} is an address, not a name"))))
            }
            false => Err(Finding::failed(format!("{ip} is of the other family"), advice::FAMILY)),
        };
    }
    let found = match timeout(plan.timeout, lookup_host((host.as_str(), plan.port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return Err(Finding::failed(format!("{host} has no address: {error}"), advice::NAME));
        }
        Err(_) => return Err(Finding::failed(format!("no answer about {host}"), advice::RESOLVER)),
    };
    let of = |six: bool| found.iter().filter(move |address| address.is_ipv6() == six);
    let list = |six| of(six).map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    let or_none = |list: String| if list.is_empty() { "none".to_owned() } else { list };
    let text = format!("{host}: A {}, AAAA {}", or_none(list(false)), or_none(list(true)));
    let wanted = [false, true].into_iter().filter(|six| plan.families[usize::from(*six)]);
    let servers: Vec<_> = wanted.filter_map(|six| of(six).next().copied()).collect();
    if servers.is_empty() {
        return Err(Finding::failed(text, advice::FAMILY));
    }
    Ok((servers, Finding::ok(text)))
}

/// Whether this machine has a route to an address. Nothing is sent.
pub(crate) fn has_route(server: SocketAddr) -> bool {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(server)).is_ok()
}
