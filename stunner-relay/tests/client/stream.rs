//! Requests and data over TCP (RFC 8489, section 6.2.2; RFC 8656, section 12.5).

use std::time::Duration;

use stunner_relay::{
    Transport,
    client::{Config, Event, Failure, Lost, Request, SendError},
};

use crate::{
    script::Script,
    world::{CLIENT, PEER, World, server_config},
};

fn tcp() -> Config {
    let mut config = Script::config();
    config.transport = Transport::Tcp;
    config
}

#[test]
fn str_07_a_request_is_sent_once_and_fails_at_39_500_ms() {
    let mut script = Script::new(tcp());

    let sent = script.run(Duration::from_millis(39_499));

    assert_eq!((sent.len(), script.event()), (1, None));
    assert_eq!(script.run(Duration::from_millis(1)), []);
    assert_eq!(script.failure(Request::Allocate), Failure::Timeout);
}

#[test]
fn str_07_the_timeout_is_a_setting() {
    let mut config = tcp();
    config.stream_timeout = Duration::from_secs(5);
    let mut script = Script::new(config);

    script.run(Duration::from_secs(5));

    assert_eq!(script.failure(Request::Allocate), Failure::Timeout);
}

#[test]
fn str_08_the_end_of_the_connection_fails_all_that_is_under_way_and_ends_the_allocation() {
    let mut script = Script::allocated(tcp());
    for n in 1..=3 {
        script.client.permit([203, 0, 113, n].into(), script.now).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| script.poll()).count(), 3);

    script.client.handle_close(CLIENT, script.now);

    for n in 1..=3 {
        assert_eq!(script.failure(Request::Permission([203, 0, 113, n].into())), Failure::Unreachable);
    }
    assert_eq!(script.event(), Some(Event::Lost(Lost::Disconnected)));
    assert_eq!(script.client.send(b"", PEER).err(), Some(SendError::NoAllocation));
    assert_eq!(script.client.poll_timeout(), None);
}

#[test]
fn str_08_the_end_of_another_connection_means_nothing() {
    let mut script = Script::allocated(tcp());

    script.client.handle_close(PEER, script.now);

    assert_eq!(script.event(), None);
}

#[test]
fn str_09_responses_are_matched_in_any_order() {
    let mut script = Script::allocated(tcp());
    for n in 1..=2 {
        script.client.permit([203, 0, 113, n].into(), script.now).unwrap();
    }
    let [first, second] = [script.ask(), script.ask()];

    script.grant(&second);
    script.grant(&first);

    assert_eq!(script.event(), Some(Event::Permitted([203, 0, 113, 2].into())));
    assert_eq!(script.event(), Some(Event::Permitted([203, 0, 113, 1].into())));
}

#[test]
fn str_02_channel_data_are_padded_on_a_stream_and_only_there() {
    for (config, len) in [(tcp(), 12), (Script::config(), 9)] {
        let mut script = Script::allocated(config);
        script.client.bind(PEER, script.now).unwrap();
        let asked = script.ask();
        script.grant(&asked);

        let frame = script.client.send(b"hello", PEER).unwrap();

        assert_eq!((frame.head(), frame.data(), frame.len()), (&b"\x40\x00\x00\x05"[..], &b"hello"[..], len));
    }
}

#[test]
fn chd_09_data_go_both_ways_over_a_channel_of_a_stream() {
    let mut world = World::new(tcp(), server_config());
    world.settle();
    world.client.bind(PEER, world.now).unwrap();
    world.settle();

    world.send(b"to the peer", PEER);
    world.send_from(PEER, b"back");

    assert_eq!(world.delivered, [(PEER, b"to the peer".to_vec())]);
    assert_eq!(world.received, [(PEER, b"back".to_vec())]);
}
