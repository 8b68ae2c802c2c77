//! What is kept alive, what is lost, and what is given back (RFC 8656, sections 8, 9 and 12).

use std::time::Duration;

use stunner_proto::{
    Method,
    attribute::{Lifetime, Nonce},
};
use stunner_relay::client::{Event, Failure, Lost, Request, RestartError};

use crate::{
    script::{Asked, Script, peer_of},
    world::{CLIENT, ELSEWHERE, Link, PEER, World, server_config},
};

/// The time of a script's next request, in seconds from now, and the request.
fn next(script: &mut Script) -> (u64, Asked) {
    let start = script.now;
    loop {
        if let Some(asked) = script.poll() {
            return ((script.now - start).as_secs(), asked);
        }
        script.now = script.client.poll_timeout().expect("something is due");
        script.client.handle_timeout(script.now);
    }
}

#[test]
fn cli_10_a_server_that_knows_of_no_allocation_is_believed() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();
    let bind = script.ask();
    script.grant(&bind);
    while script.event().is_some() {}
    let (_, renewal) = next(&mut script);

    script.refuse(&renewal, 437);

    assert_eq!(script.event(), Some(Event::Lost(Lost::Mismatch)));
    assert_eq!((script.client.allocated(), script.client.channel(PEER)), (None, None));
    assert_eq!(script.client.poll_timeout(), None);
    assert_eq!(script.client.restart(CLIENT, script.now), Ok(()));
}

#[test]
fn cli_10_a_refresh_that_is_answered_with_437_ends_the_allocation() {
    let mut script = Script::allocated(Script::config());
    let (at, refresh) = next(&mut script);

    script.refuse(&refresh, 437);

    assert_eq!((at, refresh.method()), (540, Method::REFRESH));
    assert_eq!(script.event(), Some(Event::Lost(Lost::Mismatch)));
}

#[test]
fn cli_11_an_allocation_that_is_gone_already_counts_as_given_back() {
    let mut script = Script::allocated(Script::config());
    script.client.close(script.now);
    let delete = script.ask();

    script.refuse(&delete, 437);

    assert_eq!((script.event(), script.event()), (Some(Event::Closed), None));
}

#[test]
fn cli_12_a_refresh_with_a_stale_nonce_is_sent_with_the_fresh_one() {
    let mut script = Script::allocated(Script::config());
    let (_, refresh) = next(&mut script);

    script.challenge(&refresh, 438, "fresh");
    let again = script.ask();
    script.grant(&again);

    assert_eq!((again.method(), again.get::<Nonce<'_>>().as_str()), (Method::REFRESH, "fresh"));
    assert_eq!(script.event(), None);
    assert_eq!(next(&mut script).0, 540);
}

#[test]
fn cli_12_our_own_server_changes_its_nonces_and_nothing_is_lost() {
    let mut server = server_config();
    server.nonce_lifetime = Duration::from_secs(100);
    let mut world = World::new(Script::config(), server);
    world.settle();
    world.client.permit(PEER.ip(), world.now).unwrap();

    world.run_for(Duration::from_secs(3_600));

    assert!(matches!(world.events[..], [Event::Allocated(_), Event::Permitted(_)]), "{:?}", world.events);
    world.send_from(PEER, b"still there");
    assert_eq!(world.received.len(), 1);
}

#[test]
fn cli_13_a_permission_is_renewed_before_300_s() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);
    script.event();

    for _ in 0..2 {
        let (at, renewal) = next(&mut script);
        script.grant(&renewal);

        assert_eq!((at, renewal.method()), (240, Method::CREATE_PERMISSION));
        assert_eq!(peer_of(&renewal).ip(), PEER.ip());
        assert_eq!(script.event(), None);
    }
}

#[test]
fn cli_13_a_channel_is_renewed_and_its_permission_with_it_in_one_request() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    script.client.bind(PEER, script.now).unwrap();
    for _ in 0..2 {
        let asked = script.ask();
        script.grant(&asked);
    }

    let (at, renewal) = next(&mut script);

    assert_eq!((at, renewal.method()), (240, Method::CHANNEL_BIND));
    script.grant(&renewal);
    assert_eq!(next(&mut script).0, 240);
}

#[test]
fn cli_13_over_a_bad_link_a_call_of_an_hour_keeps_allocation_permission_and_channel() {
    let mut world = World::new(Script::config(), server_config());
    world.link = Link { delay: Duration::from_millis(40), loss: 20, twice: 10 };
    let peer = std::net::SocketAddr::new([203, 0, 113, 10].into(), 9_000);
    world.run_for(Duration::from_secs(40));
    world.client.permit(PEER.ip(), world.now).unwrap();
    world.client.bind(peer, world.now).unwrap();
    world.run_for(Duration::from_secs(40));

    world.run_for(Duration::from_secs(3_600));

    let told = world.take_events();
    assert_eq!(told.len(), 4, "{told:?}");
    world.link.loss = 0;
    for peer in [PEER, peer] {
        world.send(b"there", peer);
        world.send_from(peer, b"back");
    }
    world.run_for(Duration::from_secs(1));
    assert!(world.delivered.iter().any(|(to, _)| *to == PEER));
    assert!(world.delivered.iter().any(|(to, _)| *to == peer));
    assert!(world.received.iter().any(|(from, _)| *from == PEER));
    assert!(world.received.iter().any(|(from, _)| *from == peer));
}

#[test]
fn cli_13_what_is_kept_no_longer_is_not_renewed() {
    let mut world = World::allocated(Script::config());
    world.client.permit(PEER.ip(), world.now).unwrap();
    world.client.bind(PEER, world.now).unwrap();
    world.settle();
    world.client.forbid(PEER.ip());
    world.client.unbind(PEER, world.now);
    world.take_events();
    world.sent.clear();

    world.run_for(Duration::from_secs(1_000));

    assert_eq!(world.sent, [Method::REFRESH]);
    assert_eq!(world.take_events(), []);
    assert!(!world.client.is_permitted(PEER.ip()));
}

#[test]
fn cli_13_a_permission_outlives_the_channel_that_renewed_it() {
    let mut world = World::allocated(Script::config());
    world.client.permit(PEER.ip(), world.now).unwrap();
    world.client.bind(PEER, world.now).unwrap();
    world.settle();
    world.client.unbind(PEER, world.now);

    world.run_for(Duration::from_secs(1_800));

    world.send_from(PEER, b"still permitted");
    assert_eq!(world.received.len(), 1);
}

#[test]
fn cli_13_a_permission_is_renewed_at_once_where_the_channel_that_should_have_done_it_is_refused() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    script.client.bind(PEER, script.now).unwrap();
    for _ in 0..2 {
        let asked = script.ask();
        script.grant(&asked);
    }
    let (_, renewal) = next(&mut script);

    script.refuse(&renewal, 403);

    assert_eq!(renewal.method(), Method::CHANNEL_BIND);
    assert_eq!(script.ask().method(), Method::CREATE_PERMISSION);
}

#[test]
fn cli_13_a_silent_server_is_asked_again_until_the_permission_has_ended() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);
    script.event();

    script.run(Duration::from_millis(299_999));

    assert!(script.client.is_permitted(PEER.ip()));
    script.run(Duration::from_millis(1));
    assert!(!script.client.is_permitted(PEER.ip()));
    assert_eq!(script.failure(Request::Permission(PEER.ip())), Failure::Timeout);
}

#[test]
fn cli_10_an_allocation_that_cannot_be_refreshed_is_lost_when_it_expires() {
    let mut script = Script::allocated(Script::config());

    script.run(Duration::from_millis(599_999));

    assert_eq!(script.failure(Request::Refresh), Failure::Timeout);
    assert_eq!(script.event(), None);
    script.run(Duration::from_millis(1));
    assert_eq!(script.event(), Some(Event::Lost(Lost::Expired)));
    assert_eq!(script.client.poll_timeout(), None);
}

#[test]
fn cli_10_a_refresh_that_is_refused_is_told_and_not_repeated() {
    let mut script = Script::allocated(Script::config());
    let (_, refresh) = next(&mut script);

    script.refuse(&refresh, 441);

    assert_eq!(script.failure(Request::Refresh).code(), Some(441));
    assert_eq!(script.run(Duration::from_millis(59_999)), []);
}

#[test]
fn cli_15_a_channel_that_the_server_holds_otherwise_begins_everything_anew() {
    let mut script = Script::allocated(Script::config());
    script.client.bind(PEER, script.now).unwrap();
    let bind = script.ask();

    script.refuse(&bind, 400);

    assert_eq!(script.event(), Some(Event::Lost(Lost::ChannelMismatch)));
    let delete = script.ask();
    assert_eq!((delete.method(), delete.get::<Lifetime>()), (Method::REFRESH, Lifetime(0)));
    script.grant_for(&delete, 0);
    let again = script.ask();
    script.grant(&again);
    assert_eq!(again.method(), Method::ALLOCATE);
    assert!(matches!(script.event(), Some(Event::Allocated(_))));
}

#[test]
fn cli_18_closing_gives_the_allocation_back() {
    let mut world = World::allocated(Script::config());
    world.client.bind(PEER, world.now).unwrap();
    world.settle();
    world.take_events();
    assert_eq!(world.relays(), 1);

    world.client.close(world.now);
    world.settle();

    assert_eq!((world.relays(), world.take_events()), (0, vec![Event::Closed]));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn cli_18_closing_ends_also_where_the_server_is_silent() {
    let mut script = Script::allocated(Script::config());

    script.client.close(script.now);

    assert_eq!(script.client.restart(ELSEWHERE, script.now), Err(RestartError::Busy));
    assert_eq!(script.run(Duration::from_millis(39_500)).len(), 7);
    assert_eq!((script.event(), script.event()), (Some(Event::Closed), None));
}

#[test]
fn cli_18_one_that_has_nothing_is_closed_at_once() {
    let mut script = Script::new(Script::config());
    script.ask();
    script.client.handle_unreachable(script.now);
    script.event();

    script.client.close(script.now);

    assert_eq!((script.event(), script.poll()), (Some(Event::Closed), None));
}

#[test]
fn ref_15_an_allocation_lives_as_long_as_its_client() {
    let mut world = World::allocated(Script::config());

    world.run_for(Duration::from_secs(86_400));

    assert_eq!((world.relays(), world.take_events()), (1, vec![]));
}
