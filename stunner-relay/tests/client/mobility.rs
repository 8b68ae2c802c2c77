//! Mobility: the allocation follows its client to another address (RFC 8016, section 3.2.1).

use std::time::Duration;

use stunner_proto::{
    AttributeType, Class, Method,
    attribute::{Lifetime, MobilityTicket, XorMappedAddress, XorRelayedAddress},
};
use stunner_relay::{
    Transport,
    client::{Config, Event, Failure, Lost, MigrateError, Request},
};

use crate::{
    script::{Asked, SHA1, Script},
    world::{CLIENT, ELSEWHERE, Link, PEER, RELAYED, World, server_config},
};

fn mobile() -> Config {
    let mut config = Script::config();
    config.mobility = true;
    config
}

/// A client with an allocation and a ticket from our own server, and a channel to [`PEER`].
fn world(config: Config) -> World {
    let mut server = server_config();
    server.mobility = true;
    let mut world = World::new(config, server);
    world.settle();
    world.client.bind(PEER, world.now).expect("a free number");
    world.settle();
    let told = world.take_events();
    assert!(matches!(told[..], [Event::Allocated(allocated), ..] if allocated.mobile), "{told:?}");
    world
}

/// A client with an allocation and a ticket from a scripted server.
fn script() -> Script {
    script_of(Transport::Udp)
}

fn script_of(transport: Transport) -> Script {
    let mut config = mobile();
    config.transport = transport;
    let mut script = Script::challenged(config);
    let asked = script.ask();
    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
            .attribute(&MobilityTicket(b"first"))
    });
    assert!(matches!(script.event(), Some(Event::Allocated(_))));
    script
}

fn arrive(script: &mut Script, asked: &Asked, ticket: &[u8]) {
    script.respond(asked, Class::SuccessResponse, SHA1, |response| {
        response.attribute(&Lifetime(600)).attribute(&MobilityTicket(ticket))
    });
}

#[test]
fn mob_05_the_allocation_follows_and_its_channels_with_it() {
    let mut world = world(mobile());

    world.client.migrate(ELSEWHERE, world.now).unwrap();
    world.settle();

    assert_eq!(world.take_events(), [Event::Migrated(ELSEWHERE)]);
    assert_eq!(world.client.five_tuple().client, ELSEWHERE);
    world.send(b"here I am", PEER);
    world.send_from(PEER, b"welcome");
    assert_eq!(world.delivered, [(PEER, b"here I am".to_vec())]);
    assert_eq!(world.received, [(PEER, b"welcome".to_vec())]);
    assert_eq!(world.relays(), 1);
}

#[test]
fn mob_05_it_follows_there_and_back_over_a_bad_link_and_lives_on() {
    let mut world = world(mobile());
    world.link = Link { delay: Duration::from_millis(40), loss: 20, twice: 10 };

    for local in [ELSEWHERE, CLIENT, ELSEWHERE] {
        world.client.migrate(local, world.now).unwrap();
        world.run_for(Duration::from_secs(40));
        assert_eq!(world.take_events(), [Event::Migrated(local)]);
        for _ in 0..10 {
            world.send(b"here", PEER);
        }
        world.run_for(Duration::from_secs(900));
    }

    world.link.loss = 0;
    world.received.clear();
    world.send_from(PEER, b"still there");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.take_events(), []);
    assert!(!world.received.is_empty());
}

#[test]
fn mob_05_what_was_under_way_waits_until_the_client_has_arrived() {
    let mut script = script();
    script.client.permit(PEER.ip(), script.now).unwrap();
    let before = script.ask();

    script.client.migrate(ELSEWHERE, script.now).unwrap();

    let refresh = script.ask();
    assert_eq!((refresh.method(), refresh.from), (Method::REFRESH, ELSEWHERE));
    assert_eq!(refresh.get::<MobilityTicket<'_>>().0, b"first");
    assert_eq!(script.poll(), None);
    script.grant(&before);
    assert_eq!(script.event(), None);
    arrive(&mut script, &refresh, b"second");
    assert_eq!(script.event(), Some(Event::Migrated(ELSEWHERE)));
    let after = script.ask();
    assert_eq!((after.method(), after.from), (Method::CREATE_PERMISSION, ELSEWHERE));
    assert_ne!(after.id(), before.id());
}

#[test]
fn mob_05_data_go_from_the_old_address_until_the_client_has_arrived() {
    let mut script = script();
    script.client.migrate(ELSEWHERE, script.now).unwrap();
    assert_eq!(script.client.five_tuple().client, CLIENT);

    let refresh = script.ask();
    arrive(&mut script, &refresh, b"second");

    assert_eq!(script.client.five_tuple().client, ELSEWHERE);
}

#[test]
fn mob_05_each_move_uses_the_ticket_of_the_last() {
    let mut script = script();
    script.client.migrate(ELSEWHERE, script.now).unwrap();
    let refresh = script.ask();
    script.challenge(&refresh, 438, "for the new address");
    let refresh = script.ask();
    arrive(&mut script, &refresh, b"second");

    script.client.migrate(CLIENT, script.now).unwrap();

    assert_eq!(refresh.get::<MobilityTicket<'_>>().0, b"first");
    assert_eq!(script.ask().get::<MobilityTicket<'_>>().0, b"second");
}

#[test]
fn mob_16_a_client_whose_address_has_not_changed_never_shows_its_ticket() {
    let mut script = script();

    assert_eq!(script.client.migrate(CLIENT, script.now), Err(MigrateError::SameAddress));
    for _ in 0..3 {
        let sent = script.run(Duration::from_secs(540));
        assert!(!sent[0].1.has(AttributeType::MOBILITY_TICKET));
        script.grant(&sent[0].1);
    }
}

#[test]
fn mob_16_without_ticket_or_allocation_there_is_no_move() {
    let mut without = Script::allocated(mobile());
    let mut early = Script::new(mobile());

    assert_eq!(without.client.migrate(ELSEWHERE, without.now), Err(MigrateError::NoTicket));
    assert_eq!(early.client.migrate(ELSEWHERE, early.now), Err(MigrateError::NoAllocation));
}

#[test]
fn mob_04_a_ticket_that_was_not_asked_for_is_not_taken() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
            .attribute(&MobilityTicket(b"gift"))
    });

    assert_eq!(script.client.migrate(ELSEWHERE, script.now), Err(MigrateError::NoTicket));
}

#[test]
fn mob_08_a_move_of_an_allocation_that_is_gone_ends_it_here_too() {
    let mut script = script();
    script.client.migrate(ELSEWHERE, script.now).unwrap();
    let refresh = script.ask();

    script.refuse(&refresh, 437);

    assert_eq!(script.event(), Some(Event::Lost(Lost::Mismatch)));
}

#[test]
fn mob_07_a_move_that_is_refused_leaves_the_client_where_it_was() {
    let mut script = script();
    script.client.migrate(ELSEWHERE, script.now).unwrap();
    let refresh = script.ask();

    script.refuse(&refresh, 400);

    assert_eq!(script.failure(Request::Migrate).code(), Some(400));
    assert_eq!(script.client.five_tuple().client, CLIENT);
    script.client.permit(PEER.ip(), script.now).unwrap();
    assert_eq!(script.ask().from, CLIENT);
}

#[test]
fn mob_11_over_tcp_the_allocation_outlives_its_connection_and_comes_along_to_the_next() {
    let mut config = mobile();
    config.transport = Transport::Tcp;
    let mut world = world(config);
    let tuple = world.client.five_tuple();
    world.server.handle_close(tuple);
    world.client.handle_close(CLIENT, world.now);
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.take_events(), []);

    world.client.migrate(ELSEWHERE, world.now).unwrap();
    world.settle();

    assert_eq!(world.take_events(), [Event::Migrated(ELSEWHERE)]);
    world.send(b"back again", PEER);
    assert_eq!(world.delivered, [(PEER, b"back again".to_vec())]);
}

#[test]
fn mob_11_what_was_under_way_on_a_connection_that_ended_waits_for_the_next() {
    let mut script = script_of(Transport::Tcp);
    script.client.permit(PEER.ip(), script.now).unwrap();
    script.ask();

    script.client.handle_close(CLIENT, script.now);

    assert_eq!((script.run(Duration::from_secs(60)), script.event()), (vec![], None));
    script.client.migrate(ELSEWHERE, script.now).unwrap();
    let refresh = script.ask();
    arrive(&mut script, &refresh, b"second");
    assert_eq!(script.ask().method(), Method::CREATE_PERMISSION);
}

#[test]
fn mob_11_a_connection_that_ends_during_the_move_fails_the_move_alone() {
    let mut config = mobile();
    config.transport = Transport::Tcp;
    let mut world = world(config);
    world.client.migrate(ELSEWHERE, world.now).unwrap();

    world.client.handle_close(ELSEWHERE, world.now);
    world.settle();

    let told = [Event::Refused { request: Request::Migrate, why: Failure::Unreachable }];
    assert_eq!(world.take_events(), told);
    assert!(world.client.allocated().is_some());
}
