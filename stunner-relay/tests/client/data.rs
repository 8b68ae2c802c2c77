//! Application data, both ways (RFC 8656, sections 11 and 12).

use std::net::SocketAddr;

use stunner_proto::{
    AttributeType, Class, Message, Method,
    attribute::{Data, Icmp, XorPeerAddress},
};
use stunner_relay::client::{Event, Received, RequestError, SendError};

use crate::{
    script::{Raw, Script},
    world::{PEER, SERVER, World},
};

fn other_port() -> SocketAddr {
    SocketAddr::new(PEER.ip(), PEER.port() + 1)
}

/// A client with a permission for [`PEER`].
fn permitted() -> Script {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).expect("an allocation");
    let asked = script.ask();
    script.grant(&asked);
    assert_eq!(script.event(), Some(Event::Permitted(PEER.ip())));
    script
}

#[test]
fn cli_14_without_a_permission_nothing_is_sent_and_the_caller_is_told() {
    let mut script = Script::allocated(Script::config());

    assert_eq!(script.client.send(b"hello", PEER).err(), Some(SendError::NoPermission));
    script.client.permit(PEER.ip(), script.now).unwrap();
    assert_eq!(script.client.send(b"hello", PEER).err(), Some(SendError::NoPermission));
    let asked = script.ask();
    script.grant(&asked);
    assert!(script.client.send(b"hello", PEER).is_ok());
}

#[test]
fn cli_14_without_an_allocation_nothing_is_sent_and_nothing_is_permitted() {
    let mut script = Script::new(Script::config());

    assert_eq!(script.client.send(b"hello", PEER).err(), Some(SendError::NoAllocation));
    assert_eq!(script.client.permit(PEER.ip(), script.now), Err(RequestError::NoAllocation));
    assert_eq!(script.client.bind(PEER, script.now), Err(RequestError::NoAllocation));
}

#[test]
fn cli_17_packets_from_elsewhere_are_not_turn() {
    let mut script = permitted();
    let bytes =
        Script::indication(|message| message.attribute(&XorPeerAddress(PEER)).attribute(&Data(b"hello")));

    assert_eq!(script.client.handle_input(&bytes, PEER, script.now), None);
    let data = script.client.handle_input(&bytes, SERVER, script.now);
    assert_eq!(data, Some(Received { peer: PEER, data: b"hello" }));
}

#[test]
fn snd_15_a_send_indication_is_not_signed_and_has_the_peer_and_the_data() {
    let mut script = permitted();

    let bytes = script.client.send(b"hello", PEER).unwrap().to_vec();

    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
    let kinds: Vec<_> = message.attributes().map(|attribute| attribute.kind).collect();
    assert_eq!(kinds, [AttributeType::XOR_PEER_ADDRESS, AttributeType::DATA]);
    assert_eq!(message.require(), Ok(XorPeerAddress(PEER)));
    assert_eq!(message.require(), Ok(Data(b"hello")));
}

#[test]
fn snd_06_a_send_indication_asks_for_the_df_bit_where_the_server_has_agreed_to_it() {
    let mut config = Script::config();
    config.dont_fragment = true;
    let mut script = Script::allocated(config);
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);

    let bytes = script.client.send(b"hello", PEER).unwrap().to_vec();

    assert!(Message::parse(&bytes).unwrap().contains(AttributeType::DONT_FRAGMENT));
}

#[test]
fn snd_18_data_of_any_length_go_both_ways_as_they_are() {
    let mut world = World::allocated(Script::config());
    world.client.permit(PEER.ip(), world.now).unwrap();
    world.client.bind(other_port(), world.now).unwrap();
    world.settle();

    let data: Vec<u8> = (0..=255).cycle().take(65_000).collect();
    for len in (0..=40).chain([1_200, 1_500, 65_000]) {
        for peer in [PEER, other_port()] {
            world.send(&data[..len], peer);
            world.send_from(peer, &data[..len]);

            assert_eq!(world.delivered.pop(), Some((peer, data[..len].to_vec())));
            assert_eq!(world.received.pop(), Some((peer, data[..len].to_vec())));
        }
    }
}

#[test]
fn snd_18_data_that_no_packet_can_hold_are_refused() {
    let mut script = permitted();

    assert_eq!(script.client.send(&[0; 65_530], PEER).err(), Some(SendError::TooLong));
}

#[test]
fn snd_16_a_data_indication_without_peer_or_with_neither_data_nor_icmp_is_dropped() {
    let mut script = permitted();

    let no_peer = Script::indication(|message| message.attribute(&Data(b"hello")));
    let no_data = Script::indication(|message| message.attribute(&XorPeerAddress(PEER)));

    script.input(&no_peer);
    script.input(&no_data);
    assert_eq!(script.event(), None);
}

#[test]
fn snd_12_a_data_indication_with_empty_data_is_data() {
    let mut script = permitted();

    let bytes = Script::indication(|message| message.attribute(&XorPeerAddress(PEER)).attribute(&Data(b"")));

    let received = script.client.handle_input(&bytes, SERVER, script.now);
    assert_eq!(received, Some(Received { peer: PEER, data: b"" }));
}

#[test]
fn snd_17_data_from_an_address_without_permission_are_dropped() {
    let mut script = permitted();

    script.input(&Script::indication(|message| {
        let stranger = SocketAddr::from(([203, 0, 113, 66], 9_000));
        message.attribute(&XorPeerAddress(stranger)).attribute(&Data(b"hello"))
    }));
}

#[test]
fn snd_17_data_are_welcome_as_soon_as_the_permission_is_asked_for() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let bytes =
        Script::indication(|message| message.attribute(&XorPeerAddress(PEER)).attribute(&Data(b"hello")));

    assert!(script.client.handle_input(&bytes, SERVER, script.now).is_some());
}

#[test]
fn snd_19_of_two_data_attributes_the_first_counts() {
    let mut script = permitted();

    let bytes = Script::indication(|message| {
        message
            .attribute(&XorPeerAddress(PEER))
            .attribute(&XorPeerAddress(SERVER))
            .attribute(&Data(b"first"))
            .attribute(&Data(b"second"))
    });

    let received = script.client.handle_input(&bytes, SERVER, script.now);
    assert_eq!(received, Some(Received { peer: PEER, data: b"first" }));
}

#[test]
fn bas_08_a_data_indication_with_an_unknown_required_attribute_is_dropped() {
    let mut script = permitted();

    script.input(&Script::indication(|message| {
        message.attribute(&XorPeerAddress(PEER)).attribute(&Raw::<0x7FFF>(&[])).attribute(&Data(b"hello"))
    }));
}

#[test]
fn icm_12_an_icmp_error_is_told_with_peer_type_code_and_data() {
    let mut script = permitted();

    script.input(&Script::indication(|message| {
        message.attribute(&XorPeerAddress(PEER)).attribute(&Icmp { kind: 3, code: 4, data: 1_280 })
    }));

    let icmp = Icmp { kind: 3, code: 4, data: 1_280 };
    assert_eq!(script.event(), Some(Event::Icmp { peer: PEER, icmp }));
}

#[test]
fn icm_12_a_flood_of_icmp_errors_takes_a_bounded_place() {
    let mut script = permitted();
    let error = Script::indication(|message| {
        message.attribute(&XorPeerAddress(PEER)).attribute(&Icmp { kind: 3, code: 3, data: 0 })
    });

    for _ in 0..10_000 {
        script.input(&error);
    }

    assert_eq!(std::iter::from_fn(|| script.event()).count(), 256);
}

#[test]
fn chd_08_data_of_a_bound_peer_come_and_go_over_the_channel_and_those_of_its_other_ports_do_not() {
    let mut world = World::allocated(Script::config());
    let number = world.client.bind(PEER, world.now).unwrap();
    world.settle();

    let [high, low] = number.get().to_be_bytes();
    assert_eq!(world.client.send(b"hello", PEER).unwrap().head(), [high, low, 0, 5]);
    assert_eq!(world.client.send(b"hello", other_port()).unwrap().head()[..2], [0x00, 0x16]);
    world.send_from(PEER, b"one");
    world.send_from(other_port(), b"two");
    assert_eq!(world.received, [(PEER, b"one".to_vec()), (other_port(), b"two".to_vec())]);
}

#[test]
fn chd_12_data_over_a_channel_whose_peer_has_no_permission_any_more_are_dropped() {
    let mut world = World::allocated(Script::config());
    world.client.bind(PEER, world.now).unwrap();
    world.settle();
    world.client.unbind(PEER, world.now);
    world.run_for(std::time::Duration::from_secs(301));
    assert!(world.client.channel(PEER).is_some());

    let received = world.client.handle_input(b"\x40\x00\x00\x05hello", SERVER, world.now);

    assert_eq!(received, None);
}

#[test]
fn chd_05_data_over_a_channel_that_has_expired_are_dropped_also_where_its_peer_is_permitted() {
    let mut world = World::allocated(Script::config());
    world.client.permit(PEER.ip(), world.now).unwrap();
    world.client.bind(PEER, world.now).unwrap();
    world.settle();
    world.client.unbind(PEER, world.now);
    world.run_for(std::time::Duration::from_secs(601));
    assert!(world.client.is_permitted(PEER.ip()));

    let received = world.client.handle_input(b"\x40\x00\x00\x05hello", SERVER, world.now);

    assert_eq!(received, None);
}

#[test]
fn chd_13_data_over_a_channel_are_welcome_as_soon_as_it_is_asked_for() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();

    let received = script.client.handle_input(b"\x40\x00\x00\x05hello", SERVER, script.now);

    assert_eq!(received, Some(Received { peer: PEER, data: b"hello" }));
}

#[test]
fn chd_05_data_over_a_channel_that_nobody_asked_for_are_dropped() {
    let mut script = permitted();

    for number in [0x4000_u16, 0x4FFF, 0x5000, 0x7FFF] {
        script.input(&[&number.to_be_bytes()[..], &[0, 1, 7]].concat());
    }
}

#[test]
fn chd_14_channel_data_that_are_cut_are_dropped_and_padding_is_not_data() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();
    let whole = b"\x40\x00\x00\x05hello\0\0\0";

    for len in 0..9 {
        script.input(&whole[..len]);
    }
    let received = script.client.handle_input(whole, SERVER, script.now);
    assert_eq!(received, Some(Received { peer: PEER, data: b"hello" }));
}
