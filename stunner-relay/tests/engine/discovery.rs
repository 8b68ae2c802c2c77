//! What a client learns of the NATs before it (RFC 5780), and which of its transmissions arrived (RFC 7982).

use std::net::SocketAddr;

use stunner_proto::{
    AttributeType, Class, Method, TransactionId,
    attribute::{
        ChangeRequest, MappedAddress, OtherAddress, ResponseOrigin, ResponsePort, TransactionTransmitCounter,
        UnknownAttributes, XorMappedAddress,
    },
};
use stunner_relay::{Config, Discovery};

use crate::world::{Answer, Everyone, LISTENER, User, World, allocated, client, config, message};

/// The server's four addresses: two of each part.
fn at(ip: u8, port: u16) -> SocketAddr {
    ([192, 0, 2, ip], port).into()
}

fn with_two_addresses() -> Config {
    let mut config = config(Everyone);
    config.discovery = Some(Discovery { primary: LISTENER, alternate: at(2, 3479) });
    config
}

/// A Binding request to one of the server's addresses; what comes back, and from where.
fn ask(world: &mut World, to: SocketAddr, change: Option<ChangeRequest>) -> (SocketAddr, Answer) {
    let bytes = message(Class::Request, Method::BINDING, TransactionId([1; 12]), |message| {
        message.maybe(change.as_ref())
    });
    world.send(client(1), to, &bytes);
    world.settle();
    let (from, bytes) = world.take(client(1)).pop().expect("an answer");
    (from, Answer(bytes))
}

#[test]
fn nat_01_a_server_with_two_addresses_tells_of_the_other() {
    let mut world = World::new(with_two_addresses());

    let (from, answer) = ask(&mut world, LISTENER, None);

    assert_eq!(from, LISTENER);
    assert_eq!(answer.get::<MappedAddress>(), MappedAddress(client(1)));
    assert_eq!(answer.get::<XorMappedAddress>(), XorMappedAddress(client(1)));
    assert_eq!(answer.get::<ResponseOrigin>(), ResponseOrigin(LISTENER));
    assert_eq!(answer.get::<OtherAddress>(), OtherAddress(at(2, 3479)));
}

#[test]
fn nat_02_it_answers_from_where_it_is_asked_to_whichever_address_it_is_asked_at() {
    let mut world = World::new(with_two_addresses());
    for (ip, other_ip) in [(1, 2), (2, 1)] {
        for (port, other_port) in [(3478, 3479), (3479, 3478)] {
            for (change, expected) in [
                (ChangeRequest { ip: false, port: true }, at(ip, other_port)),
                (ChangeRequest { ip: true, port: false }, at(other_ip, port)),
                (ChangeRequest { ip: true, port: true }, at(other_ip, other_port)),
            ] {
                let (from, answer) = ask(&mut world, at(ip, port), Some(change));

                assert_eq!(from, expected);
                assert_eq!(answer.get::<ResponseOrigin>(), ResponseOrigin(expected));
                assert_eq!(answer.get::<OtherAddress>(), OtherAddress(at(other_ip, other_port)));
            }
        }
    }
}

#[test]
fn nat_03_and_04_a_server_with_one_address_knows_no_other() {
    let mut world = World::new(config(Everyone));

    let (_, refused) = ask(&mut world, LISTENER, Some(ChangeRequest { ip: true, port: false }));
    let (_, answer) = ask(&mut world, LISTENER, None);

    assert_eq!(refused.code(), 420);
    let unknown: Vec<_> = refused.get::<UnknownAttributes<'_>>().iter().collect();
    assert_eq!(unknown, [AttributeType::CHANGE_REQUEST]);
    assert!(!answer.has(AttributeType::OTHER_ADDRESS));
}

#[test]
fn nat_05_and_13_the_answer_goes_to_another_port_of_the_same_address() {
    let mut world = World::new(with_two_addresses());
    let bytes = message(Class::Request, Method::BINDING, TransactionId([1; 12]), |message| {
        message.attribute(&ResponsePort(40_001))
    });

    world.send(client(1), LISTENER, &bytes);
    world.settle();

    let elsewhere = SocketAddr::new(client(1).ip(), 40_001);
    assert!(world.take(client(1)).is_empty());
    let (_, answer) = world.take(elsewhere).pop().expect("an answer");
    assert_eq!(Answer(answer).get::<XorMappedAddress>(), XorMappedAddress(client(1)));
}

#[test]
fn nat_13_answers_to_other_ports_are_as_few_as_challenges() {
    let mut limited = with_two_addresses();
    limited.max_challenges = 3;
    let mut world = World::new(limited);
    let bytes = message(Class::Request, Method::BINDING, TransactionId([1; 12]), |message| {
        message.attribute(&ResponsePort(40_001))
    });

    (0..10).for_each(|_| world.send(client(1), LISTENER, &bytes));
    world.settle();

    assert_eq!(world.take(SocketAddr::new(client(1).ip(), 40_001)).len(), 3);
}

#[test]
fn nat_06_over_a_connection_there_is_nothing_to_change() {
    let mut world = World::new(with_two_addresses());
    world.connect(client(1));

    let (_, refused) = ask(&mut world, LISTENER, Some(ChangeRequest { ip: true, port: false }));

    assert_eq!(refused.code(), 420);
}

#[test]
fn nat_06_a_server_with_one_address_answers_to_no_other_port() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1))
        .request(&mut world, Method::BINDING, |message| message.attribute(&ResponsePort(40_001)))
        .expect("an answer");

    assert_eq!(answer.code(), 420);
    let unknown: Vec<_> = answer.get::<UnknownAttributes<'_>>().iter().collect();
    assert_eq!(unknown, [AttributeType::RESPONSE_PORT]);
}

#[test]
fn nat_09_no_response_has_an_alternate_server_and_an_other_address() {
    let mut world = World::new(with_two_addresses());
    world.operate(|server| server.drain(&[at(2, 3479)]));

    let (_, bound) = ask(&mut world, LISTENER, None);
    let redirected = User::new(client(1)).ask_to_allocate(&mut world, |message| message);

    assert!(bound.has(AttributeType::OTHER_ADDRESS) && !bound.has(AttributeType::ALTERNATE_SERVER));
    assert_eq!(redirected.code(), 300);
    assert!(redirected.has(AttributeType::ALTERNATE_SERVER));
    for kind in [AttributeType::OTHER_ADDRESS, AttributeType::RESPONSE_ORIGIN] {
        assert!(!redirected.has(kind), "{kind}");
    }
}

#[test]
fn the_number_of_a_transmission_comes_back() {
    let (mut world, mut user, _) = allocated();
    let sent = TransactionTransmitCounter { requests: 3, responses: 0 };

    let bound = user.request(&mut world, Method::BINDING, |message| message.attribute(&sent)).unwrap();
    let refreshed = user.ask(&mut world, Method::REFRESH, |message| message.attribute(&sent));

    assert_eq!(bound.get::<TransactionTransmitCounter>(), sent);
    assert_eq!(refreshed.get::<TransactionTransmitCounter>(), sent);
}
