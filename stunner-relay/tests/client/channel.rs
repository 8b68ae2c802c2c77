//! Channels: numbers, and when they may be bound otherwise (RFC 8656, section 12).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{ChannelNumber, Method};
use stunner_relay::client::{Event, Failure, Request, RequestError, SendError};

use crate::{
    script::Script,
    world::{PEER, PEER_V6, World},
};

fn peer(n: u16) -> SocketAddr {
    SocketAddr::new(PEER.ip(), n)
}

fn number(n: u16) -> ChannelNumber {
    ChannelNumber::new(n).expect("a number")
}

#[test]
fn chb_01_numbers_are_of_those_that_rfc_8656_has_and_no_two_peers_share_one() {
    let mut script = Script::allocated(Script::config());

    let bound: std::collections::BTreeSet<_> =
        (1..=0x1000).map(|n| script.client.bind(peer(n), script.now).unwrap().get()).collect();

    assert!(bound.iter().copied().eq(0x4000..=0x4FFF));
    assert_eq!(script.client.bind(peer(0x1001), script.now), Err(RequestError::NoFreeChannel));
}

#[test]
fn chb_07_a_peer_that_is_bound_keeps_its_number() {
    let mut world = World::allocated(Script::config());

    let first = world.client.bind(PEER, world.now);
    world.settle();
    let second = world.client.bind(PEER, world.now);
    world.settle();

    assert_eq!(first, second);
    assert_eq!(world.sent.iter().filter(|&&method| method == Method::CHANNEL_BIND).count(), 1);
}

#[test]
fn chb_08_a_peer_of_a_family_that_is_not_relayed_is_not_asked_for() {
    let mut script = Script::allocated(Script::config());

    assert_eq!(script.client.bind(PEER_V6, script.now), Err(RequestError::NoSuchFamily));
    assert_eq!(script.poll(), None);
}

#[test]
fn chb_18_a_peer_with_port_0_is_not_asked_for() {
    let mut script = Script::allocated(Script::config());

    assert_eq!(script.client.bind(peer(0), script.now), Err(RequestError::PortZero));
}

#[test]
fn chb_11_a_channel_brings_the_permission_of_its_peer() {
    let mut world = World::allocated(Script::config());
    let bound = world.client.bind(PEER, world.now).unwrap();

    world.settle();

    let told = world.take_events();
    assert_eq!(told, [Event::Permitted(PEER.ip()), Event::Bound { peer: PEER, number: bound }]);
    assert!(world.client.is_permitted(PEER.ip()));
    assert_eq!(world.client.channel(PEER), Some(bound));
}

/// A client with one channel that it keeps no longer; it was bound now.
fn unbound() -> (Script, ChannelNumber) {
    let mut script = Script::allocated(Script::config());
    let bound = script.client.bind(PEER, script.now).expect("a free number");
    let asked = script.ask();
    script.grant(&asked);
    script.client.unbind(PEER, script.now);
    while script.event().is_some() {}
    (script, bound)
}

/// Lets time pass, and refreshes the allocation meanwhile.
fn pass(script: &mut Script, time: Duration) {
    let end = script.now + time;
    while script.now < end {
        let step = Duration::from_secs(1).min(end - script.now);
        for (_, asked) in script.run(step) {
            assert_eq!(asked.method(), Method::REFRESH);
            script.grant(&asked);
        }
    }
}

#[test]
fn chb_20_a_number_goes_to_another_peer_300_s_after_it_has_expired_and_not_before() {
    for (after, expected) in [(899, 0x4001), (900, 0x4000)] {
        let (mut script, bound) = unbound();
        assert_eq!(bound, number(0x4000));

        pass(&mut script, Duration::from_secs(after));

        assert_eq!(script.client.bind(peer(1), script.now), Ok(number(expected)), "{after} s");
    }
}

#[test]
fn chb_20_a_peer_gets_its_old_number_within_300_s_after_that_has_expired() {
    let (mut script, _) = unbound();
    pass(&mut script, Duration::from_secs(700));
    script.client.bind(peer(1), script.now).unwrap();

    assert_eq!(script.client.bind(PEER, script.now), Ok(number(0x4000)));
}

#[test]
fn chb_20_a_channel_that_is_kept_no_longer_serves_until_it_expires() {
    let (mut script, bound) = unbound();

    pass(&mut script, Duration::from_millis(599_999));
    assert_eq!(script.client.channel(PEER), Some(bound));

    pass(&mut script, Duration::from_millis(1));
    assert_eq!(script.client.channel(PEER), None);
    assert_eq!(script.client.send(b"", PEER).err(), Some(SendError::NoPermission));
}

#[test]
fn chb_20_a_number_whose_fate_is_unknown_is_not_given_to_another_peer() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();
    script.run(Duration::from_millis(39_500));
    assert_eq!(script.failure(Request::Channel(number(0x4000), PEER)), Failure::Timeout);

    assert_eq!(script.client.bind(peer(1), script.now), Ok(number(0x4001)));
    assert_eq!(script.client.bind(PEER, script.now), Ok(number(0x4000)));
}

#[test]
fn chb_19_a_number_that_was_refused_is_free_and_its_peer_has_no_permission() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();
    let asked = script.ask();

    script.refuse(&asked, 403);

    assert_eq!(script.failure(Request::Channel(number(0x4000), PEER)).code(), Some(403));
    assert_eq!(script.client.send(b"", PEER).err(), Some(SendError::NoPermission));
    assert_eq!(script.client.bind(peer(1), script.now), Ok(number(0x4000)));
}

#[test]
fn chb_12_a_silent_server_is_asked_again_until_the_channel_has_expired() {
    let mut script = Script::allocated(Script::config());
    let bound = script.client.bind(PEER, script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);
    while script.event().is_some() {}

    let mut told = Vec::new();
    for _ in 0..600 {
        for (_, asked) in script.run(Duration::from_secs(1)) {
            if asked.method() == Method::REFRESH {
                script.grant(&asked);
            }
        }
        told.extend(script.event());
    }

    let refused = |request| Event::Refused { request, why: Failure::Timeout };
    assert!(told.contains(&refused(Request::Channel(bound, PEER))), "{told:?}");
    assert_eq!(script.client.channel(PEER), None);
    // The server may have heard what it was asked for, and bound it for another 600 s.
    pass(&mut script, Duration::from_millis(899_000));
    assert_eq!(script.client.bind(peer(1), script.now), Ok(number(0x4001)));
}
