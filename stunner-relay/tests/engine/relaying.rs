//! Application data, both ways, and what stops them (RFC 8656, sections 9, 11 and 12).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    ChannelData, ChannelNumber, Class, Message, Method, TransactionId,
    attribute::{Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};

use crate::old_world::{Everyone, User, World, client, config, get, message, peer};

/// A world whose client 1 has an allocation.
fn world() -> (World, User, SocketAddr) {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let answer =
        user.ask(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
    let XorRelayedAddress(relayed) = get(&answer);
    (world, user, relayed)
}

fn permit(world: &mut World, user: &mut User) {
    let answer =
        user.ask(world, Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(peer(1))));
    assert_eq!(answer.code(), 0);
}

fn bind(world: &mut World, user: &mut User) {
    let answer = user.ask(world, Method::CHANNEL_BIND, |message| {
        message.attribute(&ChannelNumber::MIN).attribute(&XorPeerAddress(peer(1)))
    });
    assert_eq!(answer.code(), 0);
}

/// Sends `data` to peer 1 by a Send indication.
fn send(world: &mut World, data: &[u8]) {
    let id = TransactionId([3; 12]);
    let bytes = message(Class::Indication, Method::SEND, id, |message| {
        message.attribute(&XorPeerAddress(peer(1))).attribute(&Data(data))
    });
    let listener = world.listener();
    world.send(client(1), listener, &bytes);
    world.settle();
}

fn send_channel(world: &mut World, bytes: &[u8]) {
    let listener = world.listener();
    world.send(client(1), listener, bytes);
    world.settle();
}

#[test]
fn snd_a_send_indication_needs_a_permission() {
    let (mut world, mut user, relayed) = world();

    send(&mut world, b"too early");
    assert!(world.take(peer(1)).is_empty());

    permit(&mut world, &mut user);
    send(&mut world, b"hello");
    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

#[test]
fn snd_empty_data_are_an_empty_datagram() {
    let (mut world, mut user, relayed) = world();
    permit(&mut world, &mut user);

    send(&mut world, b"");

    assert_eq!(world.take(peer(1)), [(relayed, vec![])]);
}

#[test]
fn dat_a_permitted_peers_data_come_as_a_data_indication_from_every_port() {
    let (mut world, mut user, relayed) = world();
    permit(&mut world, &mut user);
    let other_port = SocketAddr::new(peer(1).ip(), 6_000);

    world.send(other_port, relayed, b"hello");
    world.settle();

    let bytes = world.take(client(1)).pop().unwrap().1;
    let indication = Message::parse(&bytes).unwrap();
    assert_eq!((indication.class(), indication.method()), (Class::Indication, Method::DATA));
    assert_eq!(indication.require(), Ok(XorPeerAddress(other_port)));
    assert_eq!(indication.require(), Ok(Data(b"hello")));
}

#[test]
fn dat_another_peers_data_are_dropped() {
    let (mut world, mut user, relayed) = world();
    permit(&mut world, &mut user);

    world.send(peer(2), relayed, b"hello");
    world.settle();

    assert!(world.take(client(1)).is_empty());
    assert_eq!(world.server.counters().dropped_from_peers, 1);
}

#[test]
fn prm_a_permission_lasts_300_seconds_and_traffic_does_not_prolong_it() {
    let (mut world, mut user, relayed) = world();
    permit(&mut world, &mut user);

    world.run_for(Duration::from_millis(299_999));
    send(&mut world, b"in time");
    assert_eq!(world.take(peer(1)).len(), 1);
    world.send(peer(1), relayed, b"in time");
    world.settle();
    assert_eq!(world.take(client(1)).len(), 1);

    world.run_for(Duration::from_millis(1));
    send(&mut world, b"too late");
    assert!(world.take(peer(1)).is_empty());
    world.send(peer(1), relayed, b"too late");
    world.settle();
    assert!(world.take(client(1)).is_empty());
}

#[test]
fn chd_a_channel_carries_data_both_ways() {
    let (mut world, mut user, relayed) = world();
    bind(&mut world, &mut user);

    send_channel(&mut world, b"\x40\x00\x00\x05hello");
    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);

    world.send(peer(1), relayed, b"back");
    world.settle();
    let bytes = world.take(client(1)).pop().unwrap().1;
    assert_eq!(ChannelData::parse(&bytes), Some(ChannelData { number: ChannelNumber::MIN, data: b"back" }));
}

#[test]
fn chd_another_port_of_the_peer_gets_a_data_indication() {
    let (mut world, mut user, relayed) = world();
    bind(&mut world, &mut user);

    world.send(SocketAddr::new(peer(1).ip(), 6_000), relayed, b"hello");
    world.settle();

    let bytes = world.take(client(1)).pop().unwrap().1;
    assert_eq!(Message::parse(&bytes).unwrap().method(), Method::DATA);
}

#[test]
fn chd_an_expired_channel_carries_nothing() {
    let (mut world, mut user, _) = world();
    let answer = user.ask(&mut world, Method::REFRESH, |message| message.attribute(&Lifetime(3600)));
    assert_eq!(answer.code(), 0);
    bind(&mut world, &mut user);

    world.run_for(Duration::from_millis(599_999));
    send_channel(&mut world, b"\x40\x00\x00\x01a");
    assert_eq!(world.take(peer(1)).len(), 1);

    world.run_for(Duration::from_millis(1));
    send_channel(&mut world, b"\x40\x00\x00\x01b");
    assert!(world.take(peer(1)).is_empty());
}

#[test]
fn chd_what_is_cut_short_or_unbound_is_dropped_and_extra_bytes_are_padding() {
    let (mut world, mut user, relayed) = world();
    bind(&mut world, &mut user);

    for bytes in
        [&b"\x40"[..], b"\x40\x00\x00", b"\x40\x00\x00\x06hello", b"\x40\x01\x00\x00", b"\x50\x00\x00\x00"]
    {
        send_channel(&mut world, bytes);
        assert!(world.take(peer(1)).is_empty(), "{bytes:?}");
    }
    send_channel(&mut world, b"\x40\x00\x00\x05hello\0\0\0");
    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

#[test]
fn nothing_passes_once_the_allocation_is_gone() {
    let (mut world, mut user, relayed) = world();
    bind(&mut world, &mut user);
    user.ask(&mut world, Method::REFRESH, |message| message.attribute(&Lifetime(0)));

    send_channel(&mut world, b"\x40\x00\x00\x01a");
    send(&mut world, b"a");
    assert!(world.take(peer(1)).is_empty());
    world.send(peer(1), relayed, b"a");
    world.settle();
    assert!(world.take(client(1)).is_empty());
}
