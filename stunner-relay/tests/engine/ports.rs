//! Even ports, pairs and reservations (RFC 8656, section 7.2). Which ports are free is the world's to know, as it is a
//! shell's: what is tested is that the engine asks for the right one, and says what came of it.

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    AttributeType, Method,
    attribute::{EvenPort, RequestedTransport, ReservationToken},
};

use crate::world::{Answer, Everyone, User, World, client, config};

const EVEN: EvenPort = EvenPort { reserve_next: false };
const PAIR: EvenPort = EvenPort { reserve_next: true };

/// Client 1 has the even port of a pair, and the token for the other.
fn reserved() -> (World, SocketAddr, ReservationToken) {
    let mut world = World::new(config(Everyone));
    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| message.attribute(&PAIR));
    let (even, token) = (answer.relayed(), answer.get());
    (world, even, token)
}

/// What client `n` is answered who comes with a token.
fn redeem(world: &mut World, n: u8, token: ReservationToken) -> Answer {
    User::new(client(n)).ask_to_allocate(world, |message| message.attribute(&token))
}

#[test]
fn alc_04_the_same_allocate_again_is_answered_with_the_same_token() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let bytes =
        user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP).attribute(&PAIR));

    let first = user.exchange(&mut world, &bytes).unwrap();
    let again = user.exchange(&mut world, &bytes).unwrap();

    assert_eq!(first, again);
    assert_eq!(first.get::<ReservationToken>(), again.get());
}

#[test]
fn alc_15_a_token_that_was_never_given_is_worth_nothing() {
    let (mut world, _, ReservationToken(mut token)) = reserved();
    token[7] ^= 1;

    assert_eq!(redeem(&mut world, 2, ReservationToken(token)).code(), 508);
}

#[test]
fn alc_16_and_19_a_token_is_good_as_long_as_its_port_is_kept() {
    for (wait, code) in [(29_999, 0), (30_000, 508)] {
        let (mut world, _, token) = reserved();
        world.run_for(Duration::from_millis(wait));
        assert_eq!(redeem(&mut world, 2, token).code(), code, "{wait}");
    }
}

#[test]
fn alc_17_a_token_is_good_once() {
    let (mut world, _, token) = reserved();

    assert_eq!(redeem(&mut world, 2, token).code(), 0);
    assert_eq!(redeem(&mut world, 3, token).code(), 508);
}

#[test]
fn alc_18_a_token_is_good_for_another_client_over_another_transport() {
    let (mut world, even, token) = reserved();
    world.connect(client(2));

    let answer = redeem(&mut world, 2, token);

    assert_eq!(answer.relayed(), SocketAddr::new(even.ip(), even.port() + 1));
    assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
}

#[test]
fn alc_18_a_token_outlives_the_allocation_that_it_was_given_with() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&PAIR));
    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    assert_eq!(redeem(&mut world, 1, answer.get()).relayed().port(), answer.relayed().port() + 1);
}

#[test]
fn alc_25_an_even_port_comes_without_a_token() {
    let mut world = World::new(config(Everyone));

    for n in 1..=20 {
        let answer = User::new(client(n)).ask_to_allocate(&mut world, |message| message.attribute(&EVEN));
        assert_eq!(answer.relayed().port() % 2, 0);
        assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
    }
}

#[test]
fn alc_26_and_44_a_reserved_port_is_given_to_nobody_else() {
    let mut world = World::new(config(Everyone));
    world.ports.range = 50_000..=50_002;
    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| message.attribute(&PAIR));
    assert_eq!(answer.relayed().port(), 50_000);

    assert_eq!(User::new(client(2)).allocate(&mut world).port(), 50_002);
    assert_eq!(User::new(client(3)).ask_to_allocate(&mut world, |message| message).code(), 508);
    assert_eq!(redeem(&mut world, 3, answer.get()).relayed().port(), 50_001);
}

#[test]
fn alc_26_every_token_is_another() {
    let (mut world, _, first) = reserved();

    let answer = User::new(client(2)).ask_to_allocate(&mut world, |message| message.attribute(&PAIR));

    assert_ne!(answer.get::<ReservationToken>(), first);
}

#[test]
fn alc_27_without_a_pair_nothing_is_allocated_and_a_single_port_still_is() {
    let mut world = World::new(config(Everyone));
    world.ports.range = 50_000..=50_000;
    let mut user = User::new(client(1));

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&PAIR));

    assert_eq!((answer.code(), answer.has(AttributeType::RESERVATION_TOKEN)), (508, false));
    assert_eq!(user.ask_to_allocate(&mut world, |message| message.attribute(&EVEN)).relayed().port(), 50_000);
}

#[test]
fn alc_44_and_41_a_port_that_was_freed_is_there_again() {
    let mut world = World::new(config(Everyone));
    world.ports.range = 50_000..=50_000;
    let mut first = User::new(client(1));
    first.allocate(&mut world);
    let mut second = User::new(client(2));
    assert_eq!(second.ask_to_allocate(&mut world, |message| message).code(), 508);

    assert_eq!(first.refresh(&mut world, 0).code(), 0);

    assert_eq!(second.allocate(&mut world).port(), 50_000);
}
