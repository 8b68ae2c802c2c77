//! From a plan to a running server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use stunner_auth::{
    AuthKind,
    config::{Endpoint, Endpoints, Listener as Configured, Protocol},
};
use stunner_proto::attribute::AddressFamily;
use stunner_relay::{
    Cidr, ClusterPolicy, Listener, ListenerId, RelayAddress, SharedSecret, StaticUser, SystemClock,
    TurnServer, TurnServerBuilder,
};

use crate::plan::Plan;

/// Starts what was planned.
pub(crate) fn start(plan: &Plan) -> Result<TurnServer, String> {
    let sockets = sockets(plan, has_ipv6());
    let addresses = relay_addresses(&plan.relay_addresses);
    let mut builder = authenticated(TurnServer::builder(), plan)
        .realm(&plan.config.auth.realm)
        .policy(policy(plan, &sockets, &addresses))
        .wide_channels()
        .io_uring(plan.io_uring);
    for address in &addresses {
        builder = builder.relay_address(*address);
    }
    for (configured, address) in &sockets {
        builder = builder.listen(match configured.protocol {
            Protocol::Udp | Protocol::Dtls => Listener::udp(address),
            Protocol::Tcp | Protocol::Tls => Listener::tcp(address),
        });
    }
    if let Some(ports) = plan.relay_ports {
        builder = builder.relay_ports(ports.first()..=ports.last());
    }
    if let Some(quota) = plan.config.admin.user_quota {
        builder = builder.user_quota(usize::try_from(quota).unwrap_or(usize::MAX));
    }
    if let Some(workers) = plan.workers {
        builder = builder.workers(workers);
    }
    let server = builder.start().map_err(|error| error.to_string())?;
    tell(&sockets, &addresses, &server);
    Ok(server)
}

/// Every listener on IPv4, and on IPv6 where the machine has it.
fn sockets(plan: &Plan, ipv6: bool) -> Vec<(&Configured, SocketAddr)> {
    let mut addresses = vec![IpAddr::from(Ipv4Addr::UNSPECIFIED)];
    addresses.extend(ipv6.then_some(IpAddr::from(Ipv6Addr::UNSPECIFIED)));
    let mut sockets = Vec::new();
    for listener in &plan.config.listeners {
        sockets.extend(addresses.iter().map(|&ip| (listener, SocketAddr::new(ip, listener.port))));
    }
    sockets
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

fn authenticated(builder: TurnServerBuilder, plan: &Plan) -> TurnServerBuilder {
    match (&plan.config.auth.kind, plan.config.auth.shared_secrets()) {
        (AuthKind::Static { username, password }, _) => {
            builder.authenticator(StaticUser::new(username, password.expose()))
        }
        (_, Some(secrets)) => builder.authenticator(SharedSecret::with(secrets, SystemClock)),
        (_, None) => builder.stun_only(),
    }
}

/// What the clients of each socket may reach: the endpoints that its listener routes to.
fn policy(plan: &Plan, sockets: &[(&Configured, SocketAddr)], relays: &[RelayAddress]) -> ClusterPolicy {
    let count = u16::try_from(sockets.len()).expect("there are at most 1,000 listeners");
    let mut policy = ClusterPolicy::new(count);
    for (id, (listener, _)) in (0..count).map(ListenerId).zip(sockets) {
        for cluster in plan.config.clusters_of(listener) {
            let Endpoints::Static(endpoints) = &cluster.endpoints else { continue };
            for Endpoint { prefix, ports } in endpoints {
                let range = Cidr::new(prefix.ip(), prefix.bits()).expect("both mean ranges of addresses");
                policy = policy.allow(id, range, ports.first()..=ports.last());
            }
        }
    }
    let advertised: Vec<IpAddr> = relays.iter().map(RelayAddress::advertised).collect();
    policy.relays(&advertised)
}

/// Where relayed transport addresses are bound, and what peers are told: the addresses that listeners have, or those by
/// which this machine reaches others.
fn relay_addresses(named: &[IpAddr]) -> Vec<RelayAddress> {
    let of = |family| {
        let found = RelayAddress::detect(family);
        match named.iter().copied().find(|ip| AddressFamily::of(*ip) == family) {
            Some(ip) if UdpSocket::bind((ip, 0)).is_ok() => Some(RelayAddress::bind(ip)),
            Some(ip) => {
                tracing::warn!(address = %ip, "not an address of this machine: taken for that of a NAT before it");
                Some(found.unwrap_or_else(|| loopback(family)).advertise(ip))
            }
            None => found,
        }
    };
    let found: Vec<_> = [AddressFamily::V4, AddressFamily::V6].into_iter().filter_map(of).collect();
    if found.is_empty() { vec![loopback(AddressFamily::V4)] } else { found }
}

fn loopback(family: AddressFamily) -> RelayAddress {
    RelayAddress::bind(match family {
        AddressFamily::V4 => Ipv4Addr::LOCALHOST.into(),
        AddressFamily::V6 => Ipv6Addr::LOCALHOST.into(),
    })
}

/// Logs where clients come in and where they are relayed from.
fn tell(sockets: &[(&Configured, SocketAddr)], addresses: &[RelayAddress], server: &TurnServer) {
    for ((configured, _), listener) in sockets.iter().zip(server.listeners()) {
        let (transport, address) = (listener.transport().name(), listener.address());
        let public = configured.uri().map(tracing::field::display);
        tracing::info!(name = configured.name, transport, address, public, "listening");
    }
    for address in addresses {
        tracing::info!(address = %address.advertised(), "relaying");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use stunner_auth::{Environment, config::Config};
    use stunner_relay::{Client, FiveTuple, PeerPolicy, Transport, Verdict};

    use super::*;
    use crate::{options::Options, source::Source};

    fn plan(text: &str) -> Plan {
        let config = Config::parse(text, &Environment::default()).expect(text).config;
        let options = Options::try_parse_from(["stunnerd", "-c", "file"]).expect("options");
        Plan::new(Source::of(config, Vec::new()), &options).expect("a plan")
    }

    const TWO: &str = "{version: v1, auth: {type: none},
        listeners: [{name: a, port: 1, routes: [media, here]}, {name: b, port: 2, protocol: tcp, routes: [all]}],
        clusters: [{name: media, endpoints: ['10.0.0.0/8:<7-9>']}, {name: here, endpoints: [127.0.0.1]},
                   {name: all, endpoints: [0.0.0.0/0]}]}";

    #[test]
    fn every_listener_is_there_in_each_family() {
        let plan = plan(TWO);

        let of = |ipv6| -> Vec<_> {
            sockets(&plan, ipv6).iter().map(|(listener, at)| format!("{} {at}", listener.name)).collect()
        };
        assert_eq!(of(true), ["a 0.0.0.0:1", "a [::]:1", "b 0.0.0.0:2", "b [::]:2"]);
        assert_eq!(of(false), ["a 0.0.0.0:1", "b 0.0.0.0:2"]);
    }

    #[test]
    fn clients_of_each_socket_reach_what_its_listener_routes_to() {
        let plan = plan(TWO);
        let policy = policy(&plan, &sockets(&plan, true), &[RelayAddress::bind([192, 0, 2, 1].into())]);

        let reached = |peer: [u8; 4], port| {
            [0, 1, 2, 3].map(|id| {
                let address = SocketAddr::from(([192, 0, 2, 1], 3478));
                let tuple = FiveTuple { client: address, server: address, transport: Transport::Udp };
                let client = Client { tuple, listener: ListenerId(id), link: 0 };
                policy.judge(peer.into(), Some(port), &client, "") == Verdict::Allow
            })
        };
        assert_eq!(reached([10, 1, 2, 3], 9), [true; 4]);
        assert_eq!(reached([10, 1, 2, 3], 10), [false, false, true, true]);
        assert_eq!(reached([127, 0, 0, 1], 80), [true, true, false, false]);
        assert_eq!(reached([8, 8, 8, 8], 80), [false, false, true, true]);
        assert!(!policy.relay_to_relay());
    }

    #[test]
    fn an_address_of_this_machine_is_relayed_from_and_another_is_advertised() {
        let own = relay_addresses(&[Ipv4Addr::LOCALHOST.into()]);
        let nat = relay_addresses(&[IpAddr::from([203, 0, 113, 99])]);

        assert_eq!(own[0], RelayAddress::bind(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(nat[0].advertised(), IpAddr::from([203, 0, 113, 99]));
        assert_ne!(nat[0], RelayAddress::bind(IpAddr::from([203, 0, 113, 99])));
    }
}
