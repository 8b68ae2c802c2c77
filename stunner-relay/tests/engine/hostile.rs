//! What a hostile client can try: it gets a clear answer or none, and it costs nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::Rng;
use stunner_proto::{
    Class, Method, TransactionId,
    attribute::{RequestedTransport, XorPeerAddress},
};
use stunner_relay::StaticUser;

use crate::world::{
    Everyone, LISTENER, User, World, allocated, allocated_in, client, config, config_of_many, message, peer,
};

/// What must be the same before and after something that has no effect.
fn state(world: &World) -> (u64, usize, usize, Option<Instant>) {
    (world.server.counters().allocations, world.sockets(), world.events.len(), world.server.poll_timeout())
}

#[test]
fn random_bytes_never_panic_and_leave_no_state() {
    /// Binding, the four requests of TURN, and a Send indication.
    const METHODS: [u8; 6] = [0x01, 0x03, 0x04, 0x08, 0x09, 0x16];
    let (mut world, user, relayed) = allocated();
    let before = state(&world);

    for round in 0_u32..20_000 {
        let mut bytes = vec![0; world.rng.random_range(0..80)];
        world.rng.fill(&mut bytes[..]);
        if bytes.len() >= 20 && round % 2 == 0 {
            let len = u16::try_from(bytes.len() - 20).unwrap() & !3;
            bytes[..2].copy_from_slice(&[0, METHODS[world.rng.random_range(0..METHODS.len())]]);
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            bytes.truncate(20 + usize::from(len));
        }
        user.exchange(&mut world, &bytes);
        world.send(peer(1), relayed, &bytes);
        assert_eq!(user.received(&mut world), []);
    }

    assert_eq!(state(&world), before);
}

/// What is no message, no ChannelData of a bound channel, or nothing that a server is sent.
fn corpus() -> Vec<Vec<u8>> {
    let id = TransactionId([7; 12]);
    let binding = message(Class::Request, Method::BINDING, id, |message| message);
    let changed = |at: usize, byte| {
        let mut bytes = binding.clone();
        bytes[at] = byte;
        bytes
    };
    let with = |attribute: &[u8]| {
        let mut bytes = [&binding[..], attribute].concat();
        bytes[3] = u8::try_from(attribute.len()).expect("a short attribute");
        bytes
    };
    vec![
        vec![],
        vec![0],
        binding[..19].to_vec(),
        changed(3, 4),
        changed(3, 1),
        changed(0, 0x80),
        changed(0, 0x40),
        changed(7, 0x43),
        with(&[0, 6, 0, 4]),
        with(&[0, 6, 0xFF, 0xFF, 0, 0, 0, 0]),
        with(&[0, 6, 0, 5, 0, 0, 0, 0]),
        b"\x40\x00\x00\x10abc".to_vec(),
        b"\x40\x00\xFF\xFF".to_vec(),
        b"\x50\x00\x00\x04abcd".to_vec(),
        message(Class::Indication, Method::DATA, id, |message| message.attribute(&XorPeerAddress(peer(1)))),
        message(Class::SuccessResponse, Method::ALLOCATE, id, |message| message),
        vec![0; 65_507],
    ]
}

#[test]
fn bad_01_to_10_and_12_to_17_what_is_no_message_is_dropped() {
    let (mut world, user, _) = allocated();
    let before = state(&world);

    for bytes in corpus() {
        assert_eq!(user.exchange(&mut world, &bytes), None, "{:02x?}", &bytes[..bytes.len().min(40)]);
    }

    assert_eq!(state(&world), before);
    assert_eq!(world.server.counters().dropped_from_clients, corpus().len() as u64);
}

/// A vector of the codec's tests.
fn vector(name: &str) -> Vec<u8> {
    let vectors = include_str!("../../../stunner-proto/tests/vectors.txt").lines();
    let mut vectors = vectors.map(|line| line.split(' ').collect::<Vec<_>>());
    let vector = vectors.find(|words| words[0] == name).expect("a vector of this name");
    let hex = vector[2];
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn bad_11_and_18_a_wrong_fingerprint_and_the_vector_as_it_was_printed_are_dropped() {
    let (mut world, user, _) = allocated();
    let before = state(&world);
    let mut changed = vector("5769-2.2");
    *changed.last_mut().expect("it is not empty") ^= 1;

    for bytes in [changed, vector("8489-printed")] {
        assert_eq!(user.exchange(&mut world, &bytes), None, "{bytes:02x?}");
    }

    assert_eq!((state(&world), world.server.counters().dropped_from_clients), (before, 2));
}

#[test]
fn bad_19_a_signed_request_that_is_cut_anywhere_is_dropped() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let good = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    for len in 0..good.len() {
        assert_eq!(user.exchange(&mut world, &good[..len]), None, "{len}");
    }
    assert_eq!(user.exchange(&mut world, &good).unwrap().code(), 0);
}

#[test]
fn bad_20_every_bit_of_a_signed_request_counts() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let good = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        user.exchange(&mut world, &bytes);
        assert_eq!(world.sockets(), 0, "bit {bit}");
    }
    assert_eq!(user.exchange(&mut world, &good).unwrap().code(), 0);
}

#[test]
fn sec_07_a_flood_of_unauthenticated_requests_from_many_sources_leaves_no_state() {
    let mut world = World::new(config(Everyone));
    let bytes = message(Class::Request, Method::ALLOCATE, TransactionId([7; 12]), |message| {
        message.attribute(&RequestedTransport::UDP)
    });

    for port in 1_u16..=10_000 {
        let [_, host] = port.to_be_bytes();
        world.send(SocketAddr::from(([198, 51, 100, host], port)), LISTENER, &bytes);
    }
    world.settle();

    assert_eq!(world.server.counters().refusals, 10_000);
    assert_eq!(state(&world), (0, 0, 0, None));
}

/// REALM and NONCE are most of it; the nonce needs no memory because it says who it is for, and when it was made.
#[test]
fn bas_22_a_challenge_is_at_most_eight_times_as_long_as_the_shortest_request() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).challenge(&mut world);

    assert!(answer.0.len() <= 8 * 20, "{}", answer.0.len());
}

#[test]
fn bas_22_an_unauthenticated_binding_is_answered_with_less_than_twice_its_length() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).request(&mut world, Method::BINDING, |message| message).unwrap();

    assert!(answer.0.len() <= 2 * 20, "{}", answer.0.len());
}

#[test]
fn bas_22_who_is_not_permitted_gets_nothing_from_a_relayed_transport_address() {
    let (mut world, _, relayed) = allocated();
    let binding = message(Class::Request, Method::BINDING, TransactionId([7; 12]), |message| message);

    assert_eq!(world.exchange(peer(1), relayed, &binding), Vec::<Vec<u8>>::new());
}

#[test]
fn sec_10_nothing_that_is_printed_shows_a_password() {
    let (world, user, _) = allocated();
    let printed = format!("{:?} {:?} {:?}", world.server, config(Everyone), StaticUser::new("user", "pass"));

    assert!(!printed.replace("password:", "").contains("pass"), "{printed}");
    assert!(!printed.contains(&user.nonce), "{printed}");
}

#[test]
fn sec_12_nobody_ends_the_allocation_of_another_user() {
    let (mut world, victim, relayed) = allocated_in(config_of_many());
    let mut attacker = User::named(victim.address, "attacker", "pass");
    attacker.challenge(&mut world);

    assert_eq!(attacker.refresh(&mut world, 0).code(), 441);

    assert!(world.server.relay_at(relayed).is_some());
}

#[test]
fn sec_13_a_request_that_was_overheard_is_stale_after_an_hour() {
    let (mut world, mut user, _) = allocated();
    let overheard =
        user.signed(Method::REFRESH, |message| message.attribute(&stunner_proto::attribute::Lifetime(0)));
    for _ in 0..2 {
        assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
        world.run_for(Duration::from_secs(1_800));
    }
    let before = state(&world);

    assert_eq!(user.exchange(&mut world, &overheard).unwrap().code(), 438);

    assert_eq!(state(&world), before);
}

/// Whoever sees the answer has the nonce, and whoever has the nonce has the address.
#[test]
fn sec_14_a_signed_request_is_of_no_use_from_another_address() {
    let (mut world, user, _) = allocated();
    let overheard = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    let answer = User::new(client(2)).exchange(&mut world, &overheard).unwrap();

    assert_eq!((answer.code(), world.sockets()), (438, 1));
}
