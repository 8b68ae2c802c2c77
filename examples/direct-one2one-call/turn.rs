//! The TURN server of the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stunner_auth::AuthKind;
use stunner_proto::attribute::AddressFamily;
use stunner_relay::{
    Listener, RelayAddress, RelayOnly, SharedSecret, StartError, StaticUser, SystemClock, TurnServer,
};

use crate::options::Settings;

/// Starts TURN over UDP and TCP. Clients reach one another and what `--allow-peer` names, and nothing else.
pub(crate) fn start(settings: &Settings) -> Result<TurnServer, String> {
    let policy = settings.allow_peer.iter().fold(RelayOnly::new(), |policy, range| policy.allow(*range));
    let (first, last) = settings.relay_ports;
    let mut builder = TurnServer::builder()
        .realm(&settings.auth.realm)
        .policy(policy)
        .relay_ports(first..=last)
        .wide_channels();
    if let AuthKind::Static { username, password } = &settings.auth.kind {
        builder = builder.authenticator(StaticUser::new(username, password.expose()));
    }
    if let Some(secrets) = settings.auth.shared_secrets() {
        builder = builder.authenticator(SharedSecret::with(secrets, SystemClock));
    }
    let addresses =
        if settings.turn_address.is_empty() { everywhere() } else { settings.turn_address.clone() };
    for ip in addresses {
        let address = std::net::SocketAddr::new(ip, settings.turn_port);
        builder = builder.listen(Listener::udp(address)).listen(Listener::tcp(address));
    }
    // Relayed addresses need to be reached by this very server only, so that loopback is as good as any other.
    let loopback = |family| match family {
        AddressFamily::V4 => RelayAddress::bind(Ipv4Addr::LOCALHOST.into()),
        AddressFamily::V6 => RelayAddress::bind(Ipv6Addr::LOCALHOST.into()),
    };
    builder =
        builder.relay_address(RelayAddress::detect(AddressFamily::V4).unwrap_or(loopback(AddressFamily::V4)));
    if let Some(address) = RelayAddress::detect(AddressFamily::V6) {
        builder = builder.relay_address(address);
    }
    builder.start().map_err(|error| match error {
        StartError::Busy(_) => format!("{error} with STUNNER_PORT"),
        _ => error.to_string(),
    })
}

/// IPv4, and IPv6 where the machine has it.
fn everywhere() -> Vec<IpAddr> {
    let six = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let all = [(true, IpAddr::from(Ipv4Addr::UNSPECIFIED)), (six, IpAddr::from(Ipv6Addr::UNSPECIFIED))];
    all.into_iter().filter(|(there, _)| *there).map(|(_, ip)| ip).collect()
}
