//! Clients on a connection: packets follow one another without borders (RFC 8656, section 12.5).

use std::time::Duration;

use stunner_proto::{
    Class, Method, TransactionId,
    attribute::{Data, MobilityTicket, XorPeerAddress},
};

use crate::world::{Everyone, LISTENER, User, World, client, config, message, peer};

/// An allocation over a connection, and channel 0x4000 bound to peer 1.
fn bound() -> (World, User) {
    let mut world = World::new(config(Everyone));
    world.connect(client(1));
    let mut user = User::new(client(1));
    user.allocate(&mut world);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    (world, user)
}

fn binding(id: u8) -> Vec<u8> {
    message(Class::Request, Method::BINDING, TransactionId([id; 12]), |message| message)
}

/// What peer 1 has received.
fn data(world: &mut World) -> Vec<Vec<u8>> {
    world.take(peer(1)).into_iter().map(|(_, data)| data).collect()
}

#[test]
fn str_01_and_02_packets_that_come_byte_by_byte_are_told_apart() {
    let (mut world, _) = bound();
    let send = message(Class::Indication, Method::SEND, TransactionId([1; 12]), |message| {
        message.attribute(&XorPeerAddress(peer(1))).attribute(&Data(b"first"))
    });

    for byte in [&send[..], b"\x40\x00\x00\x05hello\0\0\0", &binding(2)].concat() {
        world.send(client(1), LISTENER, &[byte]);
        world.settle();
    }

    assert_eq!(data(&mut world), [b"first", b"hello"]);
    assert_eq!(world.take(client(1)).len(), 1);
    assert_eq!(world.server.counters().dropped_from_clients, 0);
}

#[test]
fn str_03_the_longest_channel_data_message_is_one_packet() {
    let (mut world, user) = bound();
    let longest = vec![7; 65_535];

    user.send_channel(&mut world, 0x4000, &longest);
    user.send_channel(&mut world, 0x4000, b"next");

    assert!(data(&mut world) == [&longest[..], b"next"]);
}

#[test]
fn str_04_and_05_what_has_no_length_ends_the_connection_and_its_allocation() {
    let mut bad_cookie = binding(1);
    bad_cookie[7] ^= 1;
    let mut bad_length = binding(1);
    bad_length[3] = 2;

    for bytes in [vec![0x80; 20], bad_cookie, bad_length] {
        let (mut world, _) = bound();
        world.send(client(1), LISTENER, &bytes);
        world.settle();
        assert_eq!(world.sockets(), 0, "{bytes:02x?}");
    }
}

#[test]
fn str_06_a_number_that_no_channel_has_is_dropped_and_the_connection_stays() {
    let (mut world, user) = bound();

    user.send_channel(&mut world, 0x5000, b"hello");
    user.send_channel(&mut world, 0x7FFF, b"hello");

    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
}

/// An allocation with a ticket outlives its connection; its client is waited for.
#[test]
fn str_10_a_client_whose_connection_has_ended_is_not_dialled() {
    let mut configured = config(Everyone);
    (configured.mobility, configured.tcp) = (true, true);
    let mut world = World::new(configured);
    world.connect(client(1));
    let mut user = User::new(client(1));
    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&MobilityTicket(&[])));
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    world.disconnect(client(1));
    world.send(peer(1), answer.relayed(), b"hello");
    world.run_for(Duration::from_secs(60));

    assert_eq!((world.sockets(), world.dials.len()), (1, 0));
    assert!(world.take(client(1)).is_empty());
}

#[test]
fn str_09_two_requests_in_one_segment_are_both_answered() {
    let (mut world, _) = bound();

    let answers = world.exchange(client(1), LISTENER, &[binding(1), binding(2)].concat());

    assert_eq!(answers.len(), 2);
}
