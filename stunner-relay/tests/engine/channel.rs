//! ChannelBind and ChannelData (RFC 8656, section 12).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{ChannelNumber, Method, attribute::XorPeerAddress};
use stunner_relay::DefaultPolicy;

use crate::world::{
    Everyone, Raw, Received, User, World, allocated, allocated_in, allocated_v6, client, config, other_port,
    peer, peer_v6,
};

/// An allocation that lives for an hour, and channel 0x4000 bound to peer 1 from now on.
fn bound() -> (World, User, SocketAddr) {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    (world, user, relayed)
}

/// Whether the channel carries data to peer 1 for so many seconds, and not longer.
fn ends_in(world: &mut World, user: &User, seconds: u64) -> bool {
    world.run_for(Duration::from_millis(1_000 * seconds - 1));
    let before = user.reaches_over(world, 0x4000, peer(1));
    world.run_for(Duration::from_millis(1));
    before && !user.reaches_over(world, 0x4000, peer(1))
}

#[test]
fn chb_01_the_first_and_the_last_number_can_be_bound() {
    let (mut world, mut user, _) = allocated();

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    assert_eq!(user.bind(&mut world, 0x4FFF, peer(2)), 0);
}

#[test]
fn chb_02_no_other_number_can_be_bound() {
    let (mut world, mut user, _) = allocated();

    for number in [0x0000, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF] {
        assert_eq!(user.bind(&mut world, number, peer(1)), 400, "{number:#06x}");
    }
}

#[test]
fn the_numbers_of_rfc_5766_can_be_bound_where_the_server_is_told_so() {
    let mut wide = config(Everyone);
    wide.wide_channels = true;
    let (mut world, mut user, relayed) = allocated_in(wide);

    assert_eq!(user.bind(&mut world, 0x7FFF, peer(1)), 0);
    assert_eq!(user.bind(&mut world, 0x8000, peer(2)), 400);

    assert!(user.reaches_over(&mut world, 0x7FFF, peer(1)));
    assert!(user.hears(&mut world, peer(1), relayed));
}

#[test]
fn chb_03_without_a_number_or_a_peer_it_is_a_bad_request() {
    let (mut world, mut user, relayed) = allocated();

    let without_number =
        user.ask(&mut world, Method::CHANNEL_BIND, |message| message.attribute(&XorPeerAddress(peer(1))));
    let without_peer =
        user.ask(&mut world, Method::CHANNEL_BIND, |message| message.attribute(&ChannelNumber::MIN));
    let malformed = user.ask(&mut world, Method::CHANNEL_BIND, |message| {
        message.attribute(&ChannelNumber::MIN).attribute(&Raw::<0x0012>(&[0; 3]))
    });

    assert_eq!((without_number.code(), without_peer.code(), malformed.code()), (400, 400, 400));
    assert!(!user.hears(&mut world, peer(1), relayed));
}

#[test]
fn chb_04_05_and_19_a_number_stays_with_its_peer() {
    let (mut world, mut user, relayed) = bound();

    for other in [peer(2), other_port(peer(1))] {
        assert_eq!(user.bind(&mut world, 0x4000, other), 400, "{other}");
    }

    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
    assert!(!user.hears(&mut world, peer(2), relayed));
}

#[test]
fn chb_06_a_peer_stays_with_its_number() {
    let (mut world, mut user, relayed) = bound();

    assert_eq!(user.bind(&mut world, 0x4001, peer(1)), 400);

    assert!(!user.reaches_over(&mut world, 0x4001, peer(1)));
    world.send(peer(1), relayed, b"hello");
    assert_eq!(user.received(&mut world), [Received::Channel(0x4000, b"hello".to_vec())]);
}

#[test]
fn chb_05_two_ports_of_a_peer_can_have_a_channel_each() {
    let (mut world, mut user, _) = bound();

    assert_eq!(user.bind(&mut world, 0x4001, other_port(peer(1))), 0);

    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
    assert!(user.reaches_over(&mut world, 0x4001, other_port(peer(1))));
}

#[test]
fn chb_07_binding_the_same_pair_again_starts_its_600_seconds_anew() {
    let (mut world, mut user, relayed) = bound();
    world.run_for(Duration::from_secs(599));

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    assert!(user.hears(&mut world, peer(1), relayed));
    assert!(ends_in(&mut world, &user, 600));
}

#[test]
fn chb_08_a_peer_of_the_other_family_is_a_mismatch() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer_v6(1)), 443);

    let (mut world, mut user, relayed) = allocated_v6(Everyone);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 443);
    assert_eq!(user.bind(&mut world, 0x4000, peer_v6(1)), 0);
    assert!(user.reaches_over(&mut world, 0x4000, peer_v6(1)));
    assert!(user.hears(&mut world, peer_v6(1), relayed));
}

#[test]
fn chb_09_and_19_a_peer_that_policy_denies_is_forbidden() {
    let policy = DefaultPolicy::new().allow("203.0.113.1".parse().unwrap());
    let (mut world, mut user, relayed) = allocated_in(config(policy));

    assert_eq!(user.bind(&mut world, 0x4000, peer(2)), 403);

    assert!(!user.reaches_over(&mut world, 0x4000, peer(2)));
    assert!(!user.hears(&mut world, peer(2), relayed));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
}

#[test]
fn chb_10_and_19_one_channel_too_many_is_refused_until_others_expire() {
    let mut small = config(Everyone);
    small.max_channels = 2;
    let (mut world, mut user, relayed) = allocated_in(small);
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    assert_eq!(user.bind(&mut world, 0x4001, peer(2)), 0);

    assert_eq!(user.bind(&mut world, 0x4002, peer(3)), 508);
    assert!(!user.hears(&mut world, peer(3), relayed));
    assert_eq!(user.bind(&mut world, 0x4001, peer(2)), 0);

    world.run_for(Duration::from_secs(600));
    assert_eq!(user.bind(&mut world, 0x4002, peer(3)), 0);
}

#[test]
fn chb_10_a_channel_without_room_for_its_permission_is_refused() {
    let mut small = config(Everyone);
    small.max_permissions = 1;
    let (mut world, mut user, _) = allocated_in(small);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    assert_eq!(user.bind(&mut world, 0x4000, peer(2)), 508);

    assert!(!user.reaches_over(&mut world, 0x4000, peer(2)));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
}

#[test]
fn chb_12_a_channel_lasts_600_seconds_and_then_its_peer_is_heard_by_data_indications() {
    let (mut world, mut user, relayed) = bound();

    assert!(ends_in(&mut world, &user, 600));

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    world.send(peer(1), relayed, b"hello");
    assert_eq!(user.received(&mut world), [Received::Data(peer(1), b"hello".to_vec())]);
}

#[test]
fn chb_13_after_its_time_a_number_can_have_another_peer_and_a_peer_another_number() {
    let (mut world, mut user, relayed) = bound();
    world.run_for(Duration::from_secs(600));

    assert_eq!(user.bind(&mut world, 0x4000, peer(2)), 0);
    assert_eq!(user.bind(&mut world, 0x4001, peer(1)), 0);

    for (number, n) in [(0x4000, 2), (0x4001, 1)] {
        assert!(user.reaches_over(&mut world, number, peer(n)), "{n}");
        world.send(peer(n), relayed, b"hello");
        assert_eq!(user.received(&mut world), [Received::Channel(number, b"hello".to_vec())]);
    }
}

#[test]
fn chb_14_two_allocations_know_nothing_of_each_others_channels() {
    let (mut world, first, _) = bound();
    let mut second = User::new(client(2));
    second.allocate(&mut world);
    assert!(!second.reaches_over(&mut world, 0x4000, peer(1)));

    assert_eq!(second.bind(&mut world, 0x4000, peer(2)), 0);

    assert!(first.reaches_over(&mut world, 0x4000, peer(1)));
    assert!(second.reaches_over(&mut world, 0x4000, peer(2)));
}

#[test]
fn chb_15_the_same_request_twice_is_a_success_twice() {
    let (mut world, user, _) = allocated();
    let bytes = user.signed(Method::CHANNEL_BIND, |message| {
        message.attribute(&ChannelNumber::MIN).attribute(&XorPeerAddress(peer(1)))
    });

    for _ in 0..2 {
        assert_eq!(user.exchange(&mut world, &bytes).unwrap().code(), 0);
    }
}

#[test]
fn chb_16_all_4096_channels_can_be_bound() {
    let mut large = config(Everyone);
    large.max_channels = 4_096;
    let (mut world, mut user, relayed) = allocated_in(large);
    let peer = |number| SocketAddr::new(peer(1).ip(), number);

    for number in 0x4000..=0x4FFF {
        assert_eq!(user.bind(&mut world, number, peer(number)), 0, "{number:#06x}");
    }

    for number in [0x4000, 0x4007, 0x4008, 0x47FF, 0x4FFF] {
        assert!(user.reaches_over(&mut world, number, peer(number)));
        world.send(peer(number), relayed, b"hello");
        assert_eq!(user.received(&mut world), [Received::Channel(number, b"hello".to_vec())]);
    }
}

#[test]
fn chb_17_teredo_and_6to4_are_forbidden() {
    let (mut world, mut user, _) = allocated_v6(Everyone);

    for peer in ["[2001::1]:5000", "[2002:cb00:7101::1]:5000"] {
        assert_eq!(user.bind(&mut world, 0x4000, peer.parse().unwrap()), 403, "{peer}");
    }
}

#[test]
fn chb_18_and_19_a_peer_with_port_zero_is_a_bad_request() {
    let (mut world, mut user, relayed) = allocated();

    assert_eq!(user.bind(&mut world, 0x4000, SocketAddr::new(peer(1).ip(), 0)), 400);

    assert!(!user.hears(&mut world, peer(1), relayed));
}

#[test]
fn chd_01_data_go_to_the_bound_peer_from_the_relayed_transport_address() {
    let (mut world, user, relayed) = bound();

    assert_eq!(user.exchange(&mut world, b"\x40\x00\x00\x05hello"), None);

    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

#[test]
fn chd_02_no_data_are_an_empty_datagram() {
    let (mut world, user, relayed) = bound();

    user.send_channel(&mut world, 0x4000, b"");
    assert_eq!(world.take(peer(1)), [(relayed, vec![])]);

    world.send(peer(1), relayed, b"");
    assert_eq!(user.received(&mut world), [Received::Channel(0x4000, vec![])]);
}

#[test]
fn chd_03_05_06_and_14_what_is_cut_short_or_unbound_is_dropped() {
    let (mut world, user, _) = bound();
    let dropped = [
        &b"\x40"[..],
        b"\x40\x00",
        b"\x40\x00\x00",
        b"\x40\x00\x00\x01",
        b"\x40\x00\x00\x06hello",
        b"\x40\x00\xFF\xFFhello",
        b"\x40\x01\x00\x00",
        b"\x50\x00\x00\x00",
        b"\x7F\xFF\x00\x00",
        b"\x80\x00\x00\x00",
        b"\xFF\xFF\x00\x00",
    ];

    for bytes in dropped {
        assert_eq!(user.exchange(&mut world, bytes), None, "{bytes:?}");
        assert!(world.take(peer(1)).is_empty(), "{bytes:?}");
    }
    assert_eq!(world.server.counters().dropped_from_clients, dropped.len() as u64);
}

#[test]
fn chd_04_bytes_behind_the_data_are_padding() {
    let (mut world, user, relayed) = bound();

    for padding in [&b"\0"[..], b"\0\0\0", b"more than that"] {
        assert_eq!(user.exchange(&mut world, &[b"\x40\x00\x00\x05hello", padding].concat()), None);
        assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
    }
}

#[test]
fn chd_07_data_do_not_prolong_a_channel() {
    let (mut world, user, relayed) = bound();

    for _ in 0..299 {
        world.run_for(Duration::from_secs(2));
        assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
        user.hears(&mut world, peer(1), relayed);
    }

    assert!(ends_in(&mut world, &user, 2));
}

#[test]
fn chd_08_data_of_the_bound_peer_come_over_the_channel() {
    let (mut world, user, relayed) = bound();

    world.send(peer(1), relayed, b"hello");

    assert_eq!(user.received(&mut world), [Received::Channel(0x4000, b"hello".to_vec())]);
}

#[test]
fn chd_09_data_are_padded_on_a_connection_and_nowhere_else() {
    for (connected, packet) in
        [(true, &b"\x40\x00\x00\x05hello\0\0\0"[..]), (false, &b"\x40\x00\x00\x05hello"[..])]
    {
        let mut world = World::new(config(Everyone));
        if connected {
            world.connect(client(1));
        }
        let mut user = User::new(client(1));
        let relayed = user.allocate(&mut world);
        assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

        user.send_channel(&mut world, 0x4000, b"hello");
        assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);

        world.send(peer(1), relayed, b"hello");
        world.settle();
        let came: Vec<_> = world.take(client(1)).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(came, [packet], "connected: {connected}");
    }
}

#[test]
fn chd_10_a_channel_is_of_no_use_to_another_five_tuple() {
    let (mut world, user, _) = bound();
    let other_address = User::new(other_port(client(1)));
    let other_server = User { server: "192.0.2.1:5349".parse().unwrap(), ..user };

    for other in [other_address, other_server] {
        assert!(!other.reaches_over(&mut world, 0x4000, peer(1)));
    }
}
