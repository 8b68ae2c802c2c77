//! The ICE configuration of each client: fresh credentials, and an address of TURN that this client can reach.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use stunner_relay::{SystemClock, TimeSource, Transport, TurnServer};

use crate::{options::Settings, signaling::IceSource};

/// Makes the ICE configurations of a running program. Without an address of TURN's there is no point in starting.
pub(crate) fn source(settings: &Settings, turn: Option<&TurnServer>) -> Result<IceSource, String> {
    let environment = settings.environment.clone();
    let mut options = settings.ice.clone();
    let fixed = environment.get("STUNNER_PUBLIC_ADDR").is_some()
        || environment.get("STUNNER_CONFIG_FILENAME").is_some();
    if turn.is_none() && !fixed {
        return Err("--no-turn: set STUNNER_PUBLIC_ADDR to the address of the TURN server".to_owned());
    }
    if let Some(turn) = turn
        && environment.get("STUNNER_PUBLIC_PORT").is_none()
    {
        let udp = turn.listeners().iter().find(|listener| listener.transport() == Transport::Udp);
        options.port = udp.and_then(|udp| udp.address().rsplit(':').next()?.parse().ok());
    }
    Ok(std::sync::Arc::new(move |host| {
        let mut options = options.clone();
        if !fixed {
            options.address = host.and_then(|host| reachable(host, &own_addresses()));
        }
        let config = stunner_auth::get_ice_config(&options, &environment, SystemClock.unix_seconds());
        config.inspect_err(|error| tracing::warn!(%error, host, "a client gets no ICE configuration")).ok()
    }))
}

/// Where a client that reached the page by this `Host` reaches TURN: an address is what it is; `localhost` is 127.0.0.1,
/// since browsers gather nothing on `::1`; a name of this machine gives its address; another name is handed on.
fn reachable(host: &str, own: &[IpAddr]) -> Option<String> {
    let name = host_name(host)?;
    if let Ok(ip) = name.parse::<IpAddr>() {
        let ip = if ip.is_loopback() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        return Some(ip.to_string());
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(letters) {
        return None;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.to_string());
    }
    let found = (name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip());
    let mine = found.filter(|ip| own.contains(ip) && !ip.is_loopback()).min_by_key(IpAddr::is_ipv6);
    Some(mine.map_or_else(|| name.to_owned(), |ip| ip.to_string()))
}

/// A `Host` header without its port and without brackets.
fn host_name(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(ip, _)| ip),
        None => host.split(':').next(),
    }
}

/// The addresses of this machine.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ice_host(host: &str) -> Option<String> {
        reachable(host, &[IpAddr::from([192, 0, 2, 7])])
    }

    #[test]
    fn an_address_is_given_as_it_is() {
        assert_eq!(ice_host("192.0.2.7:8443").as_deref(), Some("192.0.2.7"));
        assert_eq!(ice_host("[2001:db8::7]:8443").as_deref(), Some("2001:db8::7"));
        assert_eq!(ice_host("198.51.100.1").as_deref(), Some("198.51.100.1"));
    }

    #[test]
    fn loopback_is_always_ipv4() {
        for host in ["localhost:8443", "LOCALHOST", "[::1]:8443", "127.0.0.1:8443"] {
            assert_eq!(ice_host(host).as_deref(), Some("127.0.0.1"), "{host}");
        }
    }

    #[test]
    fn the_name_of_another_machine_is_handed_on() {
        assert_eq!(ice_host("call.invalid:443").as_deref(), Some("call.invalid"));
    }

    #[test]
    fn what_is_no_host_name_gives_nothing() {
        for host in ["", "[::1", "a b", "x?transport=tcp", "<script>", "ex%41mple", &"a".repeat(254)] {
            assert_eq!(ice_host(host), None, "{host}");
        }
    }
}
