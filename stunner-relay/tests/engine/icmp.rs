//! ICMP errors that come back to a relayed transport address (RFC 8656, section 11.5).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    AttributeType, Class, Method,
    attribute::{Icmp, XorPeerAddress},
};
use stunner_relay::{Client, IcmpError, MAX_REPLY, RelayId, RelayOnly};

use crate::world::{
    Answer, Everyone, LISTENER, User, World, allocated, allocated_in, allocated_v6, client, config,
    other_port, peer, peer_v6,
};

/// Destination unreachable, port unreachable.
const REFUSED: IcmpError = IcmpError { kind: 3, code: 3, mtu: 0 };

/// Tells the engine of an error; what it has for whom.
fn tell(world: &mut World, relay: RelayId, error: IcmpError, peer: SocketAddr) -> Option<(Client, Answer)> {
    let mut reply = [0xEE; MAX_REPLY];
    let (client, len) = world.server.handle_icmp(error, peer, relay, world.now, &mut reply)?;
    Some((client, Answer(reply[..len].to_vec())))
}

/// What the client is told of an error.
fn told(world: &mut World, relayed: SocketAddr, error: IcmpError, peer: SocketAddr) -> Option<Icmp> {
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let (_, answer) = tell(world, relay, error, peer)?;
    assert_eq!(answer.get::<XorPeerAddress>(), XorPeerAddress(peer));
    Some(answer.get())
}

fn permitted() -> (World, User, SocketAddr) {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    (world, user, relayed)
}

fn permitted_v6() -> (World, User, SocketAddr) {
    let (mut world, mut user, relayed) = allocated_v6(Everyone);
    assert_eq!(user.permit(&mut world, &[peer_v6(1)]), 0);
    (world, user, relayed)
}

#[test]
fn icm_01_an_error_comes_as_a_data_indication_without_data() {
    let (mut world, _, relayed) = permitted();
    let relay = world.server.relay_at(relayed).expect("a live relay");

    let (to, answer) = tell(&mut world, relay, REFUSED, peer(1)).expect("something for the client");

    let message = answer.message();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(answer.kinds(), [AttributeType::XOR_PEER_ADDRESS, AttributeType::ICMP]);
    assert_eq!(answer.get::<XorPeerAddress>(), XorPeerAddress(peer(1)));
    assert_eq!(answer.get::<Icmp>(), Icmp { kind: 3, code: 3, data: 0 });
    assert_eq!(to, world.client(client(1), LISTENER));
}

#[test]
fn icm_01_an_error_is_counted_and_is_no_traffic() {
    let (mut world, _, relayed) = permitted();
    let before = world.server.counters();

    assert!(told(&mut world, relayed, REFUSED, peer(1)).is_some());

    let after = world.server.counters();
    assert_eq!((after.icmp_errors, after.traffic), (before.icmp_errors + 1, before.traffic));
}

#[test]
fn icm_01_every_error_has_a_transaction_id_of_its_own() {
    let (mut world, _, relayed) = permitted();
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let mut id = || tell(&mut world, relay, REFUSED, peer(1)).unwrap().1.message().transaction_id();

    assert_ne!(id(), id());
}

#[test]
fn icm_02_too_big_for_ipv4_comes_with_the_next_hops_mtu() {
    let (mut world, _, relayed) = permitted();
    let error = IcmpError { kind: 3, code: 4, mtu: 1_280 };

    assert_eq!(told(&mut world, relayed, error, peer(1)), Some(Icmp { kind: 3, code: 4, data: 1_280 }));
}

#[test]
fn icm_03_too_big_for_ipv6_comes_with_the_next_hops_mtu() {
    let (mut world, _, relayed) = permitted_v6();
    let error = IcmpError { kind: 2, code: 0, mtu: 1_280 };

    assert_eq!(told(&mut world, relayed, error, peer_v6(1)), Some(Icmp { kind: 2, code: 0, data: 1_280 }));
}

#[test]
fn icm_04_of_other_errors_the_mtu_is_not_told() {
    let (mut world, _, relayed) = permitted();
    for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0), (11, 1)] {
        let error = IcmpError { kind, code, mtu: 1_280 };
        assert_eq!(told(&mut world, relayed, error, peer(1)), Some(Icmp { kind, code, data: 0 }));
    }

    let (mut world, _, relayed) = permitted_v6();
    for (kind, code) in [(1, 0), (1, 4), (3, 0), (3, 1)] {
        let error = IcmpError { kind, code, mtu: 1_280 };
        assert_eq!(told(&mut world, relayed, error, peer_v6(1)), Some(Icmp { kind, code, data: 0 }));
    }
}

#[test]
fn icm_05_other_kinds_are_none_of_the_clients_business() {
    let (mut world, _, relayed) = permitted();
    for kind in (0..=255).filter(|kind| ![3, 11].contains(kind)) {
        let error = IcmpError { kind, code: 0, mtu: 0 };
        assert_eq!(told(&mut world, relayed, error, peer(1)), None, "ICMP {kind}");
    }

    let (mut world, _, relayed) = permitted_v6();
    for kind in (0..=255).filter(|kind| ![1, 2, 3].contains(kind)) {
        let error = IcmpError { kind, code: 0, mtu: 0 };
        assert_eq!(told(&mut world, relayed, error, peer_v6(1)), None, "ICMPv6 {kind}");
    }
    assert_eq!(world.server.counters().icmp_errors, 0);
}

#[test]
fn icm_08_and_09_whom_the_datagram_was_sent_to_must_be_permitted() {
    let (mut world, _, relayed) = permitted();

    assert_eq!(told(&mut world, relayed, REFUSED, peer(2)), None);
    assert!(told(&mut world, relayed, REFUSED, other_port(peer(1))).is_some());
}

#[test]
fn icm_08_a_permission_that_has_expired_is_none() {
    let (mut world, _, relayed) = permitted();

    world.run_for(Duration::from_millis(299_999));
    assert!(told(&mut world, relayed, REFUSED, peer(1)).is_some());
    world.run_for(Duration::from_millis(1));
    assert_eq!(told(&mut world, relayed, REFUSED, peer(1)), None);
}

#[test]
fn icm_08_a_port_that_policy_denies_is_not_told_of() {
    let (mut world, mut user, relayed) = allocated_in(config(RelayOnly::new()));
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let other = User::new(client(2)).allocate(&mut world);
    assert_eq!(user.permit(&mut world, &[other]), 0);

    assert!(tell(&mut world, relay, REFUSED, other).is_some());
    assert!(tell(&mut world, relay, REFUSED, SocketAddr::new(other.ip(), 80)).is_none());
}

#[test]
fn icm_10_with_a_channel_it_is_a_data_indication_all_the_same() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    assert_eq!(told(&mut world, relayed, REFUSED, peer(1)), Some(Icmp { kind: 3, code: 3, data: 0 }));
}

#[test]
fn icm_11_a_port_that_is_not_known_is_zero() {
    let (mut world, _, relayed) = permitted();
    let unknown = SocketAddr::new(peer(1).ip(), 0);

    assert!(told(&mut world, relayed, REFUSED, unknown).is_some());
}

#[test]
fn icm_07_an_error_for_an_allocation_that_is_gone_is_for_nobody() {
    let (mut world, mut user, relayed) = permitted();
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let expired = world.now + Duration::from_secs(600);
    let mut reply = [0; MAX_REPLY];

    assert_eq!(world.server.handle_icmp(REFUSED, peer(1), relay, expired, &mut reply), None);
    assert_eq!(user.refresh(&mut world, 0).code(), 0);
    user.allocate(&mut world);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    assert!(tell(&mut world, relay, REFUSED, peer(1)).is_none());
}

/// An indication says which peer, and what: no more than 20 + 24 + 12 bytes, whatever the error.
#[test]
fn an_error_is_told_in_56_bytes_at_most() {
    let (mut world, _, relayed) = permitted_v6();
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let error = IcmpError { kind: 2, code: 255, mtu: u32::MAX };

    let (_, answer) = tell(&mut world, relay, error, peer_v6(1)).expect("something for the client");

    assert_eq!((answer.0.len(), answer.get::<Icmp>().data), (56, u32::MAX));
}
