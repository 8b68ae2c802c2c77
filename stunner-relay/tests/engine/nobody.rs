//! A server that serves who shows no credentials: never by default (RFC 8656, section 7.2; RFC 8155, section 5).

use stunner_proto::{
    AttributeType, MessageBuilder, Method,
    attribute::{Lifetime, RequestedTransport, XorPeerAddress},
};
use stunner_relay::Config;

use crate::world::{Answer, Everyone, User, World, client, config, config_of_many, peer};

/// What serves everybody.
fn open() -> Config {
    let mut config = config(Everyone);
    config.unauthenticated = true;
    config
}

/// A request without credentials.
fn bare(
    world: &mut World,
    n: u8,
    method: Method,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Answer {
    User::new(client(n)).request(world, method, build).expect("an answer")
}

fn allocate(world: &mut World, n: u8) -> Answer {
    bare(world, n, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP))
}

fn end(world: &mut World, n: u8) -> u16 {
    bare(world, n, Method::REFRESH, |message| message.attribute(&Lifetime(0))).code()
}

/// Somebody with credentials, who got its nonce by being refused: nobody is challenged who shows none.
fn known(world: &mut World, n: u8, name: &'static str, password: &'static str) -> User {
    let mut user = User::named(client(n), name, password);
    (user.realm, user.nonce) = ("example.com".to_owned(), "old".to_owned());
    let refused = user.refresh(world, 0);
    user.take_nonce(&refused);
    user
}

/// Whether a response carries neither integrity.
fn is_unsigned(answer: &Answer) -> bool {
    !answer.has(AttributeType::MESSAGE_INTEGRITY) && !answer.has(AttributeType::MESSAGE_INTEGRITY_SHA256)
}

#[test]
fn alc_47_who_shows_no_credentials_gets_an_allocation_where_none_are_needed() {
    let mut world = World::new(open());

    let answer = allocate(&mut world, 1);

    assert_eq!((answer.code(), is_unsigned(&answer)), (0, true));
    assert!(world.server.relay_at(answer.relayed()).is_some());
}

#[test]
fn alc_47_without_the_setting_nobody_gets_an_allocation_without_credentials() {
    assert_eq!(allocate(&mut World::new(config(Everyone)), 1).code(), 401);
}

#[test]
fn alc_47_data_go_both_ways_and_the_allocation_ends_without_credentials() {
    let mut world = World::new(open());
    let relayed = allocate(&mut world, 1).relayed();
    let permitted =
        bare(&mut world, 1, Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(peer(1))));
    assert_eq!((permitted.code(), is_unsigned(&permitted)), (0, true));

    let user = User::new(client(1));

    assert!(user.reaches(&mut world, peer(1)) && user.hears(&mut world, peer(1), relayed));
    assert_eq!((end(&mut world, 1), world.sockets()), (0, 0));
}

#[test]
fn alc_47_errors_are_unsigned_too() {
    let mut world = World::new(open());

    let answer = bare(&mut world, 1, Method::REFRESH, |message| message);

    assert_eq!((answer.code(), is_unsigned(&answer)), (437, true));
}

#[test]
fn who_shows_credentials_must_show_good_ones_all_the_same() {
    let mut world = World::new(open());

    for (password, code) in [("wrong", 401), ("pass", 0)] {
        let answer = known(&mut world, 1, "user", password).ask_to_allocate(&mut world, |message| message);
        assert_eq!(answer.code(), code, "{password}");
    }
}

#[test]
fn what_was_made_with_credentials_is_out_of_reach_for_who_shows_none_and_the_reverse() {
    let mut world = World::new(open());
    known(&mut world, 1, "user", "pass").allocate(&mut world);
    let mut other = known(&mut world, 2, "user", "pass");
    assert_eq!(allocate(&mut world, 2).code(), 0);

    assert_eq!((end(&mut world, 1), other.refresh(&mut world, 0).code()), (441, 441));
    assert_eq!(world.sockets(), 2);
}

#[test]
fn a_user_without_a_name_is_not_nobody() {
    let mut config = config_of_many();
    config.unauthenticated = true;
    let mut world = World::new(config);
    assert_eq!(allocate(&mut world, 1).code(), 0);
    let mut nameless = known(&mut world, 1, "", "pass");

    assert_eq!((nameless.refresh(&mut world, 0).code(), world.sockets()), (441, 1));
}

#[test]
fn all_who_show_no_credentials_share_the_quota_of_one_user() {
    let mut config = open();
    config.max_allocations_per_user = Some(2);
    let mut world = World::new(config);

    assert_eq!([1, 2, 3].map(|n| allocate(&mut world, n).code()), [0, 0, 486]);
}
