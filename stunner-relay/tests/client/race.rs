//! A server with an IPv4 and an IPv6 address: whichever answers first is used (RFC 8656, section 3.9).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_proto::{
    Class, Message, MessageBuilder,
    attribute::{ErrorCode, Nonce, Realm},
};
use stunner_relay::client::{Client, Config, MAX_REQUEST, Race};

use crate::{
    script::REALM,
    world::{CLIENT, SERVER, SERVER_V6, some_instant},
};

fn v6() -> (SocketAddr, SocketAddr) {
    ("[2001:db8:1::7]:4000".parse().expect("an address"), SocketAddr::new(SERVER_V6, 3478))
}

/// A race in which IPv6 is preferred.
fn race() -> (Race, Instant) {
    let now = some_instant();
    let client = |(local, server), seed| {
        Client::new(Config::new("user", "pass"), local, server, [seed; 32], now).expect("settings that fit")
    };
    (Race::new(client(v6(), 1), client((CLIENT, SERVER), 2), now), now)
}

/// The servers that are asked at this time, and the bytes.
fn asked(race: &mut Race, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffer = [0; MAX_REQUEST];
    race.handle_timeout(now);
    std::iter::from_fn(|| {
        race.poll_transmit(now, &mut buffer).map(|sent| (sent.to, buffer[..sent.len].to_vec()))
    })
    .collect()
}

fn answer(race: &mut Race, server: SocketAddr, request: &[u8], now: Instant) {
    let mut buffer = [0; MAX_REQUEST];
    let request = Message::parse(request).expect("a message");
    let len = MessageBuilder::response(&request, Class::ErrorResponse, &mut buffer)
        .attribute(&ErrorCode::UNAUTHENTICATED)
        .attribute(&Realm::new(REALM).expect("it fits"))
        .attribute(&Nonce::new("nonce").expect("it fits"))
        .finish()
        .expect("it fits");
    race.handle_input(&buffer[..len], server, now);
}

#[test]
fn cli_16_the_preferred_address_has_a_head_start_of_250_ms() {
    let (mut race, now) = race();
    let servers = |asked: Vec<(SocketAddr, Vec<u8>)>| asked.into_iter().map(|(to, _)| to).collect::<Vec<_>>();

    assert_eq!(servers(asked(&mut race, now)), [v6().1]);
    assert_eq!(race.poll_timeout(), Some(now + Duration::from_millis(250)));
    assert_eq!(servers(asked(&mut race, now + Duration::from_millis(250))), [SERVER]);
}

#[test]
fn cli_16_the_first_to_answer_goes_on_and_the_other_has_left_nothing_behind() {
    for slow in [false, true] {
        let (mut race, now) = race();
        let preferred = asked(&mut race, now).remove(0);
        let now = now + Duration::from_millis(250);
        let other = asked(&mut race, now).remove(0);
        assert!(race.poll_winner().is_none());

        let (server, request) = if slow { other } else { preferred };
        answer(&mut race, server, &request, now);

        let mut winner = race.poll_winner().expect("it was answered");
        assert_eq!(winner.five_tuple().server, server);
        assert!(race.poll_winner().is_none() && race.poll_timeout().is_none());
        let mut buffer = [0; MAX_REQUEST];
        let sent = winner.poll_transmit(now, &mut buffer).expect("it goes on");
        assert!(
            Message::parse(&buffer[..sent.len]).unwrap().contains(stunner_proto::AttributeType::USERNAME)
        );
    }
}

#[test]
fn cli_16_where_neither_answers_the_preferred_one_tells_why() {
    let (mut race, now) = race();

    race.handle_unreachable(SERVER, now);
    assert!(race.poll_winner().is_none());
    race.handle_unreachable(v6().1, now);

    let mut loser = race.poll_winner().expect("both have given up");
    assert_eq!(loser.five_tuple().server, v6().1);
    assert!(loser.poll_event().is_some());
}
