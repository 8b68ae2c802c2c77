//! What a hostile client can try: it gets a clear answer or none, and it costs nothing.

use rand::Rng;
use stunner_proto::{Method, TransactionId, attribute::RequestedTransport};

use crate::old_world::{Everyone, User, World, client, config, message};

#[test]
fn random_bytes_never_panic_and_leave_no_state() {
    let mut world = World::new(config(Everyone));
    for round in 0_u32..20_000 {
        let mut bytes = vec![0; world.rng.random_range(0..80)];
        world.rng.fill(&mut bytes[..]);
        if bytes.len() >= 8 && round % 2 == 0 {
            bytes[..2].copy_from_slice(&[0, 3]);
            let len = u16::try_from(bytes.len().saturating_sub(20)).unwrap() & !3;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            bytes.truncate(20 + usize::from(len));
        }
        let listener = world.listener();
        world.send(client(1), listener, &bytes);
        world.settle();
    }
    assert_eq!((world.server.counters().allocations, world.sockets()), (0, 0));
}

#[test]
fn a_flood_of_unauthenticated_requests_from_many_sources_leaves_no_state() {
    let mut world = World::new(config(Everyone));
    for n in 0..=255 {
        let id = TransactionId([n; 12]);
        let bytes = message(stunner_proto::Class::Request, Method::ALLOCATE, id, |message| {
            message.attribute(&RequestedTransport::UDP)
        });
        let listener = world.listener();
        world.send(client(n), listener, &bytes);
    }
    world.settle();

    assert_eq!(world.server.counters().refusals, 256);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn every_bit_of_a_signed_request_counts() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let key = user.key();
    let id = TransactionId([5; 12]);
    let good = message(stunner_proto::Class::Request, Method::ALLOCATE, id, |message| {
        user.sign(message.attribute(&RequestedTransport::UDP), &key)
    });

    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let listener = world.listener();
        world.send(client(1), listener, &bytes);
        world.settle();
        assert_eq!(world.sockets(), 0, "bit {bit}");
    }
}
