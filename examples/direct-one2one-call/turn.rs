//! The TURN server of the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stunner_proto::attribute::AddressFamily;
use stunner_relay::{Listener, RelayAddress, RelayOnly, StartError, TurnServer};

use crate::{options::Settings, replicas, users::Users};

/// Starts TURN over UDP and TCP. Clients reach one another, those of the replicas and what `--allow-peer` names, and
/// nothing else.
pub(crate) fn start(settings: &Settings, users: Users) -> Result<TurnServer, String> {
    let relay_addresses = relay_addresses();
    let own: Vec<_> = relay_addresses.iter().map(RelayAddress::advertised).collect();
    let mut policy = settings.allow_peer.iter().fold(RelayOnly::new(), |policy, range| policy.allow(*range));
    if let Some(replicas) = replicas::follow(&settings.cluster.relay_peers, settings.relay_ports, &own) {
        policy = policy.replicas(replicas);
    }
    let (first, last) = settings.relay_ports;
    let mut builder = TurnServer::builder()
        .realm(&settings.auth.realm)
        .policy(policy)
        .authenticator(users)
        .relay_ports(first..=last)
        .wide_channels()
        .io_uring(settings.io_uring);
    builder = if settings.portable { builder.portable() } else { builder };
    let addresses =
        if settings.turn_address.is_empty() { everywhere() } else { settings.turn_address.clone() };
    for ip in addresses {
        let address = std::net::SocketAddr::new(ip, settings.turn_port);
        builder = builder.listen(Listener::udp(address)).listen(Listener::tcp(address));
    }
    builder = relay_addresses.into_iter().fold(builder, |builder, address| builder.relay_address(address));
    builder.start().map_err(|error| match error {
        StartError::Busy(_) => format!("{error} with STUNNER_PORT"),
        _ => error.to_string(),
    })
}

/// Where this machine is reached from others. Without replicas relayed addresses need to be reached by this very server
/// only, so that loopback is as good as any other.
fn relay_addresses() -> Vec<RelayAddress> {
    let v4 = RelayAddress::detect(AddressFamily::V4);
    let v4 = v4.unwrap_or(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()));
    std::iter::once(v4).chain(RelayAddress::detect(AddressFamily::V6)).collect()
}

/// IPv4, and IPv6 where the machine has it.
fn everywhere() -> Vec<IpAddr> {
    let six = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let all = [(true, IpAddr::from(Ipv4Addr::UNSPECIFIED)), (six, IpAddr::from(Ipv6Addr::UNSPECIFIED))];
    all.into_iter().filter(|(there, _)| *there).map(|(_, ip)| ip).collect()
}
