//! What holds for every message of TURN, and for allocations as a whole (RFC 8656, sections 5 and 6).

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use stunner_proto::{
    Class, Key, Method, TransactionId,
    attribute::{Data, Lifetime, RequestedTransport, XorPeerAddress},
};
use stunner_relay::{Closed, Config, Event, MAX_REPLY, Output};

use crate::world::{
    Everyone, LISTENER, User, World, allocated, allocated_in, client, config, config_of_many, message, peer,
};

#[test]
fn gen_01_without_an_allocation_there_is_nothing_to_refresh_permit_or_bind() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));

    assert_eq!(user.refresh(&mut world, 600).code(), 437);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 437);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 437);
}

#[test]
fn gen_02_without_an_allocation_data_are_dropped() {
    let mut world = World::new(config(Everyone));
    let user = User::new(client(1));

    assert!(!user.reaches(&mut world, peer(1)));
    assert!(!user.reaches_over(&mut world, 0x4000, peer(1)));
    assert_eq!(world.server.counters().dropped_from_clients, 2);
}

#[test]
fn gen_03_another_user_on_the_five_tuple_has_the_wrong_credentials() {
    let (mut world, first, _) = allocated_in(config_of_many());
    let mut other = User { name: "other", ..first };

    assert_eq!(other.refresh(&mut world, 600).code(), 441);
    assert_eq!(other.permit(&mut world, &[peer(1)]), 441);
    assert_eq!(other.bind(&mut world, 0x4000, peer(1)), 441);
}

#[test]
fn gen_04_another_user_with_a_wrong_password_is_a_401() {
    let (mut world, first, _) = allocated_in(config_of_many());
    let mut other = User { name: "other", password: "wrong", ..first };

    assert_eq!(other.refresh(&mut world, 600).code(), 401);
}

#[test]
fn gen_05_two_ports_of_the_server_are_two_allocations() {
    let (mut world, mut first, relayed) = allocated();
    let mut second = User { server: "192.0.2.1:5349".parse().unwrap(), ..User::new(client(1)) };
    let second_relayed = second.allocate(&mut world);
    assert_eq!(first.permit(&mut world, &[peer(1)]), 0);

    assert_ne!(relayed, second_relayed);
    assert!(!second.reaches(&mut world, peer(1)));
    assert_eq!(first.refresh(&mut world, 0).code(), 0);
    assert_eq!(second.refresh(&mut world, 600).code(), 0);
}

#[test]
fn gen_06_udp_and_tcp_are_two_allocations() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    world.connect(client(1));
    let second = user.allocate(&mut world);
    assert_ne!(relayed, second);
    assert_eq!((world.sockets(), user.reaches(&mut world, peer(1))), (2, false));

    world.disconnect(client(1));

    assert!(user.reaches(&mut world, peer(1)));
    assert!(user.hears(&mut world, peer(1), relayed));
    assert!(!user.hears(&mut world, peer(1), second));
}

#[test]
fn gen_09_a_request_of_rfc_3489_is_dropped() {
    let mut world = World::new(config(Everyone));
    let mut bytes = message(Class::Request, Method::BINDING, TransactionId([1; 12]), |message| message);
    bytes[4..8].copy_from_slice(&[0x12; 4]);

    assert_eq!(User::new(client(1)).exchange(&mut world, &bytes), None);
    assert_eq!(world.server.counters().dropped_from_clients, 1);
}

/// A server that many clients behind one address ask at the same moment.
fn unhurried() -> Config {
    let mut config = config(Everyone);
    config.max_challenges = u32::MAX;
    config
}

#[test]
fn gen_10_ten_thousand_relayed_transport_addresses_are_all_different_and_lead_to_their_clients() {
    let mut world = World::new(unhurried());
    let mut relayed = BTreeSet::new();

    for port in 10_000..20_000 {
        let mut user = User::new(SocketAddr::from(([198, 51, 100, 1], port)));
        let own = user.allocate(&mut world);
        assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
        assert!(relayed.insert(own), "{own}");
        assert!(user.hears(&mut world, peer(1), own), "{own}");
    }

    assert_eq!(world.server.counters().allocations, 10_000);
}

#[test]
fn gen_11_data_do_not_keep_an_allocation_alive() {
    let (mut world, mut user, relayed) = allocated();

    for _ in 0..599 {
        assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
        assert!(user.reaches(&mut world, peer(1)) && user.reaches_over(&mut world, 0x4000, peer(1)));
        assert!(user.hears(&mut world, peer(1), relayed));
        world.run_for(Duration::from_secs(1));
    }
    world.run_for(Duration::from_secs(1));

    assert_eq!(world.sockets(), 0);
}

#[test]
fn gen_12_an_allocation_ends_when_its_time_is_over_and_not_before() {
    let (mut world, _, _) = allocated();

    world.run_for(Duration::from_millis(599_999));
    assert_eq!(world.sockets(), 1);
    world.run_for(Duration::from_millis(1));

    assert_eq!((world.sockets(), world.server.counters().allocations), (0, 0));
    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Expired, .. })));
}

#[test]
fn gen_12_and_ref_03_nothing_passes_once_the_allocation_is_gone() {
    for deleted in [true, false] {
        let (mut world, mut user, relayed) = allocated();
        world.run_for(Duration::from_secs(500));
        assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

        if deleted {
            assert_eq!(user.refresh(&mut world, 0).code(), 0);
        } else {
            world.run_for(Duration::from_secs(100));
        }

        assert!(!user.reaches(&mut world, peer(1)));
        assert!(!user.reaches_over(&mut world, 0x4000, peer(1)));
        assert!(!user.hears(&mut world, peer(1), relayed));
        assert_eq!(world.server.relay_at(relayed), None);
    }
}

/// A shell looks for expired allocations only now and then.
#[test]
fn gen_12_what_has_expired_carries_nothing_even_before_it_is_looked_for() {
    let (mut world, mut user, relayed) = allocated();
    world.run_for(Duration::from_secs(500));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    let relay = world.server.relay_at(relayed).unwrap();
    let from = world.client(client(1), LISTENER);
    let send = message(Class::Indication, Method::SEND, TransactionId([1; 12]), |message| {
        message.attribute(&XorPeerAddress(peer(1))).attribute(&Data(b"late"))
    });
    let refresh = user.signed(Method::REFRESH, |message| message);
    let late = world.now + Duration::from_secs(100);
    let mut reply = [0; MAX_REPLY];

    for packet in [&send[..], b"\x40\x00\x00\x00"] {
        assert!(matches!(world.server.handle_client(packet, from, late, &mut reply), Output::Drop));
    }
    assert!(world.server.handle_peer(b"late", peer(1), relay, late).is_none());
    let Output::Reply(len) = world.server.handle_client(&refresh, from, late, &mut reply) else {
        panic!("a request is answered")
    };
    assert_eq!(crate::world::Answer(reply[..len].to_vec()).code(), 437);
}

#[test]
fn gen_12_many_that_expire_at_once_are_ended_256_at_a_time() {
    let mut world = World::new(unhurried());
    for port in 10_000..10_300 {
        User::new(SocketAddr::from(([198, 51, 100, 1], port))).allocate(&mut world);
    }
    let late = world.now + Duration::from_secs(600);

    world.server.handle_timeout(late);
    assert_eq!(world.server.counters().allocations, 44);
    assert_eq!(world.server.poll_timeout(), Some(late));

    world.server.handle_timeout(late);
    assert_eq!((world.server.counters().allocations, world.server.poll_timeout()), (0, None));
}

/// All that comes back to one client in a little life.
fn life(seed: u64) -> Vec<Vec<u8>> {
    let mut world = World::seeded(config(Everyone), seed);
    let mut user = User::new(client(1));
    let challenge = user.challenge(&mut world);
    let allocated = user.ask_to_allocate(&mut world, |message| message);
    let relayed = allocated.relayed();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    world.send(peer(1), relayed, b"hello");
    world.settle();
    let indication = world.take(client(1)).remove(0).1;
    vec![challenge.0, allocated.0, indication, user.refresh(&mut world, 600).0]
}

#[test]
fn gen_14_the_same_packets_at_the_same_time_are_answered_alike() {
    assert_eq!(life(1), life(1));
    assert_ne!(life(1), life(2));
}

#[test]
fn gen_15_the_engine_is_woken_for_the_first_allocation_that_expires() {
    let (mut world, mut first, _) = allocated();
    let start = world.now;
    let at = |seconds| Some(start + Duration::from_secs(seconds));
    assert_eq!(world.server.poll_timeout(), at(600));
    world.run_for(Duration::from_secs(10));
    let mut second = User::new(client(2));
    let answer = second.ask_to_allocate(&mut world, |message| message.attribute(&Lifetime(601)));
    assert_eq!((answer.code(), world.server.poll_timeout()), (0, at(600)));

    assert_eq!(first.refresh(&mut world, 3_600).code(), 0);
    world.run_for(Duration::from_secs(590));
    assert_eq!((world.sockets(), world.server.poll_timeout()), (2, at(611)));
    world.run_for(Duration::from_secs(11));
    assert_eq!((world.sockets(), world.server.poll_timeout()), (1, at(3_610)));
    world.run_for(Duration::from_secs(2_999));

    assert_eq!((world.sockets(), world.server.poll_timeout()), (0, None));
}

#[test]
fn counters_and_events_tell_what_an_allocation_carried() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    user.send(&mut world, peer(1), b"four");
    user.send_channel(&mut world, 0x4000, b"fives");
    assert!(user.hears(&mut world, peer(1), relayed));
    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    let Some(Event::Closed { why: Closed::Deleted, traffic, .. }) = world.events.last() else {
        panic!("{:?}", world.events)
    };
    assert_eq!((traffic.packets_to_peers, traffic.bytes_to_peers), (2, 9));
    assert_eq!((traffic.packets_to_client, traffic.bytes_to_client), (1, 4));
    assert_eq!(world.server.counters().traffic, *traffic);
}

#[test]
fn a_request_that_was_signed_for_another_server_is_not_ours() {
    let (mut world, user, _) = allocated();
    let key = Key::long_term("user", "example.net", "pass");

    let answer = user.request(&mut world, Method::ALLOCATE, |message| {
        user.sign(message.attribute(&RequestedTransport::UDP), &key)
    });

    assert_eq!(answer.unwrap().code(), 401);
}

#[test]
fn gen_12_many_that_were_refreshed_are_looked_at_256_at_a_time() {
    let mut world = World::new(unhurried());
    for port in 10_000..10_300 {
        let mut user = User::new(SocketAddr::from(([198, 51, 100, 1], port)));
        user.allocate(&mut world);
        assert_eq!(user.refresh(&mut world, 1_200).code(), 0);
    }
    let late = world.now + Duration::from_secs(600);

    world.server.handle_timeout(late);
    assert_eq!(world.server.poll_timeout(), Some(late));

    world.server.handle_timeout(late);
    assert_eq!(world.server.poll_timeout(), Some(late + Duration::from_secs(600)));
    assert_eq!(world.server.counters().allocations, 300);
}
