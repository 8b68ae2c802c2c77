//! Send and Data indications (RFC 8656, section 11).

use std::{collections::BTreeSet, net::SocketAddr};

use rand::Rng;
use stunner_proto::{
    AttributeType, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{AddressFamily, Data, DontFragment, RequestedAddressFamily, XorPeerAddress},
};
use stunner_relay::{MAX_REPLY, Output};

use crate::world::{
    Everyone, LISTENER, LISTENER_V6, Raw, Received, SERVER_V6, User, World, allocated, allocated_in, client,
    client_v6, config, message, other_port, peer, peer_v6,
};

/// An allocation, and a permission for peer 1.
fn permitted() -> (World, User, SocketAddr) {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    (world, user, relayed)
}

fn hello(message: MessageBuilder<'_>) -> MessageBuilder<'_> {
    message.attribute(&XorPeerAddress(peer(1))).attribute(&Data(b"hello"))
}

#[test]
fn snd_01_data_go_to_the_peer_from_the_relayed_transport_address() {
    let (mut world, user, relayed) = permitted();

    user.indicate(&mut world, hello);

    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

#[test]
fn snd_02_without_a_permission_data_are_dropped() {
    let (mut world, user, _) = permitted();

    assert!(!user.reaches(&mut world, peer(2)));
    assert_eq!(world.server.counters().dropped_from_clients, 1);
}

#[test]
fn snd_03_without_a_peer_or_data_it_is_dropped() {
    let (mut world, user, _) = permitted();

    user.indicate(&mut world, |message| message.attribute(&XorPeerAddress(peer(1))));
    user.indicate(&mut world, |message| message.attribute(&Data(b"hello")));
    user.indicate(&mut world, |message| {
        message.attribute(&Raw::<0x0012>(&[0; 7])).attribute(&Data(b"hello"))
    });

    assert!(world.take(peer(1)).is_empty());
    assert_eq!(world.server.counters().dropped_from_clients, 3);
}

#[test]
fn snd_04_empty_data_are_an_empty_datagram() {
    let (mut world, user, relayed) = permitted();

    user.send(&mut world, peer(1), b"");

    assert_eq!(world.take(peer(1)), [(relayed, vec![])]);
}

#[test]
fn snd_05_and_bas_08_with_an_unknown_required_attribute_it_is_dropped() {
    let (mut world, user, _) = permitted();

    user.indicate(&mut world, |message| hello(message).attribute(&Raw::<0x7FFF>(&[])));
    user.indicate(&mut world, |message| hello(message.attribute(&Raw::<0x7FFF>(&[]))));
    assert!(world.take(peer(1)).is_empty());

    user.indicate(&mut world, |message| hello(message).attribute(&Raw::<0xFFFE>(&[])));
    assert_eq!(world.take(peer(1)).len(), 1);
}

#[test]
fn snd_06_whoever_asks_for_the_df_bit_gets_it_or_is_dropped() {
    let mut able = config(Everyone);
    able.dont_fragment = true;
    let (mut world, mut user, _) = allocated_in(able);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    let from = world.client(client(1), LISTENER);

    for asked in [true, false] {
        let bytes = message(Class::Indication, Method::SEND, TransactionId([1; 12]), |message| {
            if asked { hello(message).attribute(&DontFragment) } else { hello(message) }
        });
        match world.server.handle_client(&bytes, from, world.now, &mut [0; MAX_REPLY]) {
            Output::ToPeer { data: b"hello", dont_fragment, .. } => assert_eq!(dont_fragment, asked),
            output => panic!("{output:?}"),
        }
    }

    let (mut world, user, _) = permitted();
    user.indicate(&mut world, |message| hello(message).attribute(&DontFragment));
    assert!(world.take(peer(1)).is_empty());
}

/// A Send indication with DONT-FRAGMENT to a peer, at a server that can set the bit.
fn sent_unfragmented(user: &User, world: &mut World, to: SocketAddr) -> bool {
    user.indicate(world, |message| {
        message.attribute(&XorPeerAddress(to)).attribute(&Data(b"hello")).attribute(&DontFragment)
    });
    world.take(to).iter().any(|(_, data)| data == b"hello")
}

#[test]
fn xlt_07_where_a_family_is_translated_or_ipv6_is_relayed_the_df_bit_is_no_hindrance() {
    for (at, server, relayed_v6) in
        [(client(1), LISTENER, true), (client_v6(1), LISTENER_V6, true), (client_v6(1), LISTENER_V6, false)]
    {
        let mut able = config(Everyone);
        able.dont_fragment = true;
        let mut world = World::new(able);
        world.ports.addresses.push(SERVER_V6);
        let mut user = User { server, ..User::new(at) };
        let family = relayed_v6.then_some(RequestedAddressFamily(AddressFamily::V6));
        let answer = user.ask_to_allocate(&mut world, |message| message.maybe(family.as_ref()));
        assert_eq!(answer.code(), 0);
        let to = if relayed_v6 { peer_v6(1) } else { peer(1) };
        assert_eq!(user.permit(&mut world, &[to]), 0);

        assert!(sent_unfragmented(&user, &mut world, to), "{at} by {to}");
    }
}

#[test]
fn snd_08_a_send_indication_goes_beside_a_channel() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    user.indicate(&mut world, hello);

    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

#[test]
fn snd_09_to_port_zero_nothing_is_sent() {
    let (mut world, user, _) = permitted();

    assert!(!user.reaches(&mut world, SocketAddr::new(peer(1).ip(), 0)));
    assert_eq!(world.server.counters().dropped_from_clients, 1);
}

#[test]
fn snd_10_to_the_other_family_nothing_is_sent() {
    let (mut world, user, _) = permitted();

    assert!(!user.reaches(&mut world, peer_v6(1)));
    assert!(!user.reaches(&mut world, "[::ffff:203.0.113.1]:5000".parse().unwrap()));
    assert_eq!(world.server.counters().dropped_from_clients, 2);
}

#[test]
fn snd_11_a_permitted_peers_data_come_as_a_data_indication() {
    let (mut world, user, relayed) = permitted();

    world.send(peer(1), relayed, b"hello");

    assert_eq!(user.received(&mut world), [Received::Data(peer(1), b"hello".to_vec())]);
}

#[test]
fn snd_11_every_data_indication_has_a_transaction_id_of_its_own() {
    let (mut world, _, relayed) = permitted();

    world.send(peer(1), relayed, b"hello");
    world.send(peer(1), relayed, b"hello");
    world.settle();

    let came = world.take(client(1));
    let ids: Vec<_> = came.iter().map(|(_, bytes)| Message::parse(bytes).unwrap().transaction_id()).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn hdr_12_a_hundred_thousand_transaction_ids_are_all_different() {
    let (mut world, _, relayed) = permitted();
    let relay = world.server.relay_at(relayed).expect("a live relay");

    let ids: BTreeSet<[u8; 12]> = (0..100_000)
        .map(|_| {
            let to = world.server.handle_peer(b"", peer(1), relay, world.now).expect("it is permitted");
            Message::parse(&to.frame.to_vec()).expect("a message").transaction_id().0
        })
        .collect();

    assert_eq!(ids.len(), 100_000);
}

#[test]
fn snd_12_an_empty_datagram_comes_as_empty_data() {
    let (mut world, user, relayed) = permitted();

    world.send(peer(1), relayed, b"");

    assert_eq!(user.received(&mut world), [Received::Data(peer(1), vec![])]);
}

#[test]
fn snd_13_without_a_permission_a_peer_is_not_heard() {
    let (mut world, user, relayed) = permitted();

    assert!(!user.hears(&mut world, peer(2), relayed));
    assert_eq!(world.server.counters().dropped_from_peers, 1);
}

#[test]
fn snd_14_another_port_than_the_channels_comes_as_a_data_indication() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    world.send(other_port(peer(1)), relayed, b"hello");

    assert_eq!(user.received(&mut world), [Received::Data(other_port(peer(1)), b"hello".to_vec())]);
}

#[test]
fn snd_15_a_data_indication_holds_the_peer_and_its_data_and_nothing_else() {
    let mut configured = config(Everyone);
    configured.software = Some("a server".to_owned());
    let (mut world, mut user, relayed) = crate::world::allocated_in(configured);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    world.send(peer(1), relayed, b"hello");
    world.settle();

    let bytes = world.take(client(1)).remove(0).1;
    let kinds: Vec<_> =
        Message::parse(&bytes).unwrap().attributes().map(|attribute| attribute.kind).collect();
    assert_eq!(kinds, [AttributeType::XOR_PEER_ADDRESS, AttributeType::DATA]);
}

/// The longest is what UDP over IPv4 can carry.
#[test]
fn snd_18_data_of_every_length_arrive_as_they_were_sent() {
    let (mut world, mut user, relayed) = permitted();
    assert_eq!(user.bind(&mut world, 0x4000, other_port(peer(1))), 0);

    for len in (1..=1_500).chain([65_507]) {
        let mut data = vec![0; len];
        world.rng.fill(&mut data[..]);
        user.send(&mut world, peer(1), &data);
        assert!(world.take(peer(1)) == [(relayed, data.clone())], "Send, {len}");
        user.send_channel(&mut world, 0x4000, &data);
        assert!(world.take(other_port(peer(1))) == [(relayed, data.clone())], "ChannelData, {len}");
        for (from, received) in [
            (peer(1), Received::Data(peer(1), data.clone())),
            (other_port(peer(1)), Received::Channel(0x4000, data.clone())),
        ] {
            world.send(from, relayed, &data);
            assert!(user.received(&mut world) == [received], "from {from}, {len}");
        }
    }
}

#[test]
fn snd_19_the_first_of_two_peers_and_of_two_data_counts() {
    let (mut world, user, relayed) = permitted();

    user.indicate(&mut world, |message| {
        hello(message).attribute(&XorPeerAddress(peer(2))).attribute(&Data(b"ignored"))
    });

    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
    assert!(world.take(peer(2)).is_empty());
}

#[test]
fn xlt_10_an_ipv6_client_is_relayed_by_ipv4_and_the_reverse() {
    let families = [
        (client_v6(1), LISTENER_V6, AddressFamily::V4, peer(1)),
        (client(1), LISTENER, AddressFamily::V6, peer_v6(1)),
    ];

    for (address, server, family, peer) in families {
        let mut world = World::new(config(Everyone));
        world.ports.addresses.push(SERVER_V6);
        let mut user = User { server, ..User::new(address) };
        let answer =
            user.ask_to_allocate(&mut world, |message| message.attribute(&RequestedAddressFamily(family)));
        let relayed = answer.relayed();
        assert_eq!(AddressFamily::of(relayed.ip()), family);
        assert_eq!(user.permit(&mut world, &[peer]), 0);

        user.send(&mut world, peer, b"there");
        assert_eq!(world.take(peer), [(relayed, b"there".to_vec())]);
        world.send(peer, relayed, b"back");
        assert_eq!(user.received(&mut world), [Received::Data(peer, b"back".to_vec())]);
    }
}

#[test]
fn a_wrong_fingerprint_drops_a_send_indication() {
    let (mut world, user, _) = permitted();
    let mut bytes = message(Class::Indication, Method::SEND, TransactionId([1; 12]), |message| {
        hello(message).fingerprint()
    });
    assert_eq!(user.exchange(&mut world, &bytes), None);
    assert_eq!(world.take(peer(1)).len(), 1);

    *bytes.last_mut().unwrap() ^= 1;

    assert_eq!(user.exchange(&mut world, &bytes), None);
    assert!(world.take(peer(1)).is_empty());
}
