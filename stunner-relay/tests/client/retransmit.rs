//! Requests over UDP: when they are sent again, and when they are given up (RFC 8489, section 6.2.1).

use std::time::Duration;

use stunner_proto::Method;
use stunner_relay::client::{Event, Failure, Request, RequestError};

use crate::{
    script::{Asked, Script},
    world::{CLIENT, PEER},
};

fn times(sent: &[(u128, Asked)]) -> Vec<u128> {
    sent.iter().map(|(at, _)| *at).collect()
}

#[test]
fn rtx_01_without_an_answer_a_request_is_sent_seven_times_and_fails_at_39_500_ms() {
    let mut script = Script::new(Script::config());

    let sent = script.run(Duration::from_millis(39_499));

    assert_eq!(times(&sent), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(script.event(), None);
    assert_eq!(script.run(Duration::from_millis(1)), []);
    assert_eq!(script.failure(Request::Allocate), Failure::Timeout);
    assert_eq!(script.client.poll_timeout(), None);
}

#[test]
fn rtx_02_rc_rm_and_rto_are_settings() {
    let mut config = Script::config();
    (config.max_requests, config.last_wait) = (3, 4);
    (config.rto, config.min_rto) = (Duration::from_millis(100), Duration::from_millis(100));
    let mut script = Script::new(config);

    let sent = script.run(Duration::from_millis(699));

    assert_eq!(times(&sent), [0, 100, 300]);
    assert_eq!(script.event(), None);
    script.run(Duration::from_millis(1));
    assert_eq!(script.failure(Request::Allocate), Failure::Timeout);
}

#[test]
fn rtx_03_what_is_sent_again_is_the_same_to_the_byte() {
    let mut script = Script::challenged(Script::config());

    let sent = script.run(Duration::from_secs(39));

    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|(_, asked)| *asked == sent[0].1));
}

#[test]
fn rtx_04_an_answer_ends_the_sending() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    script.run(Duration::from_millis(700));

    script.grant(&asked);

    assert_eq!(script.run(Duration::from_secs(60)), []);
}

/// When a request that begins now is sent for the second time, counted from now.
fn second_after(script: &mut Script) -> u128 {
    let sent = script.run(Duration::from_secs(20));
    sent[1].0 - sent[0].0
}

#[test]
fn rtx_05_the_next_rto_comes_from_the_round_trip_time() {
    let mut script = Script::challenged(Script::config());
    // The challenge took no time, and this takes a second: 125 ms on an average, 250 ms more or less.
    let asked = script.ask();
    script.now += Duration::from_millis(1_000);
    script.grant(&asked);
    script.event();

    script.client.permit(PEER.ip(), script.now).unwrap();

    assert_eq!(second_after(&mut script), 125 + 4 * 250);
}

#[test]
fn rtx_06_a_request_that_was_sent_twice_gives_no_round_trip_time() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    script.run(Duration::from_millis(1_000));
    script.grant(&asked);
    script.event();

    script.client.permit(PEER.ip(), script.now).unwrap();

    assert_eq!(second_after(&mut script), 500);
}

#[test]
fn rtx_07_after_ten_minutes_without_requests_the_first_rto_counts_again() {
    let mut config = Script::config();
    config.lifetime = Some(Duration::from_secs(3_600));
    let mut script = Script::challenged(config);
    let asked = script.ask();
    script.now += Duration::from_millis(1_000);
    script.grant_for(&asked, 3_600);
    script.event();
    assert_eq!(script.run(Duration::from_secs(601)), []);

    script.client.permit(PEER.ip(), script.now).unwrap();

    assert_eq!(second_after(&mut script), 500);
}

#[test]
fn rtx_08_a_hard_icmp_error_fails_what_is_under_way() {
    let mut script = Script::new(Script::config());
    script.ask();

    script.client.handle_unreachable(script.now);

    assert_eq!(script.failure(Request::Allocate), Failure::Unreachable);
    assert_eq!(script.run(Duration::from_secs(60)), []);
}

#[test]
fn rtx_08_an_allocation_that_could_not_be_refreshed_for_an_icmp_error_is_refreshed_again_after_a_pause() {
    let mut script = Script::allocated(Script::config());
    script.run(Duration::from_secs(540));

    script.client.handle_unreachable(script.now);

    assert_eq!(script.failure(Request::Refresh), Failure::Unreachable);
    assert_eq!(script.run(Duration::from_millis(4_999)), []);
    assert_eq!(script.run(Duration::from_millis(1))[0].1.method(), Method::REFRESH);
}

#[test]
fn rtx_09_an_indication_is_sent_once() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);

    script.client.send(b"hello", PEER).unwrap();

    assert_eq!(script.run(Duration::from_secs(60)), []);
}

#[test]
fn rtx_10_the_eleventh_request_waits_until_one_of_ten_is_answered() {
    let mut script = Script::allocated(Script::config());
    let peers: Vec<_> = (1..=12).map(|n| std::net::IpAddr::from([203, 0, 113, n])).collect();
    for &peer in &peers {
        assert_eq!(script.client.permit(peer, script.now), Ok(()));
    }

    let asked: Vec<_> = std::iter::from_fn(|| script.poll()).collect();

    assert_eq!(asked.len(), 10);
    script.grant(&asked[3]);
    assert_eq!(script.event(), Some(Event::Permitted(peers[3])));
    assert_eq!(std::iter::from_fn(|| script.poll()).count(), 1);
}

#[test]
fn rtx_10_what_is_asked_for_twice_is_asked_once() {
    let mut script = Script::allocated(Script::config());

    assert_eq!(script.client.permit(PEER.ip(), script.now), Ok(()));
    assert_eq!(script.client.permit(PEER.ip(), script.now), Ok(()));

    assert_eq!(std::iter::from_fn(|| script.poll()).count(), 1);
    assert_eq!(
        script.client.permit("2001:db8::1".parse().unwrap(), script.now),
        Err(RequestError::NoSuchFamily)
    );
}

#[test]
fn str_15_over_dtls_the_timers_are_those_of_udp() {
    let mut config = Script::config();
    config.transport = stunner_relay::Transport::Dtls;
    let mut script = Script::new(config);

    let sent = script.run(Duration::from_secs(40));

    assert_eq!(times(&sent), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(sent.iter().all(|(_, asked)| asked.from == CLIENT));
}
