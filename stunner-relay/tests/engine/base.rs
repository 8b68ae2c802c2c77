//! What every message goes through, and Binding (RFC 8489, sections 6.3, 7 and 12).

use stunner_proto::{
    AttributeType, Class, Fingerprint, Method, TransactionId,
    attribute::{Lifetime, Software, UnknownAttributes, XorMappedAddress},
};

use crate::world::{Everyone, Raw, User, World, allocated_in, client, config, message};

#[test]
fn bas_01_and_21_a_binding_request_is_answered_with_its_source() {
    let mut world = World::new(config(Everyone));
    let user = User::new(client(7));

    let answer = user.request(&mut world, Method::BINDING, |message| message).unwrap();

    assert_eq!(answer.get::<XorMappedAddress>(), XorMappedAddress(client(7)));
    assert_eq!(answer.message().fingerprint(), Fingerprint::Absent);
}

#[test]
fn bas_02_the_same_over_a_connection() {
    let mut world = World::new(config(Everyone));
    world.connect(client(7));
    let user = User::new(client(7));

    let answer = user.request(&mut world, Method::BINDING, |message| message).unwrap();

    assert_eq!(answer.get::<XorMappedAddress>(), XorMappedAddress(client(7)));
}

#[test]
fn bas_03_and_04_unknown_required_attributes_are_listed() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).request(&mut world, Method::BINDING, |message| {
        message
            .attribute(&Raw::<0x7FFF>(&[1, 2, 3]))
            .attribute(&Raw::<0x8123>(&[]))
            .attribute(&Raw::<0x0031>(&[]))
    });
    let answer = answer.unwrap();

    assert_eq!(answer.code(), 420);
    let unknown: Vec<_> = answer.get::<UnknownAttributes<'_>>().iter().collect();
    assert_eq!(unknown, [AttributeType(0x7FFF), AttributeType(0x0031)]);
}

#[test]
fn bas_05_and_06_what_is_optional_or_unexpected_is_ignored() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).request(&mut world, Method::BINDING, |message| {
        message.attribute(&Raw::<0xC123>(&[1])).attribute(&Lifetime(10))
    });

    assert_eq!(answer.unwrap().code(), 0);
}

#[test]
fn bas_07_to_11_what_is_no_request_gets_no_answer() {
    let mut world = World::new(config(Everyone));
    let user = User::new(client(1));
    let unanswered = [
        (Class::Indication, Method::BINDING),
        (Class::Indication, Method::ALLOCATE),
        (Class::Request, Method::SEND),
        (Class::Request, Method::DATA),
        (Class::Request, Method(0x00D)),
        (Class::SuccessResponse, Method::BINDING),
        (Class::ErrorResponse, Method::ALLOCATE),
    ];

    for (class, method) in unanswered {
        let bytes =
            message(class, method, TransactionId([1; 12]), |message| message.attribute(&Raw::<0x7FFF>(&[])));
        assert_eq!(user.exchange(&mut world, &bytes), None, "{class:?} {method}");
    }
    assert_eq!(world.server.counters().dropped_from_clients, 7);
}

#[test]
fn bas_12_an_answer_comes_from_where_the_request_went_to() {
    let mut world = World::new(config(Everyone));
    let second = User { server: "192.0.2.1:5349".parse().unwrap(), ..User::new(client(1)) };

    assert!(second.request(&mut world, Method::BINDING, |message| message).is_some());
}

#[test]
fn bas_13_the_same_binding_request_twice_is_answered_twice_alike() {
    let mut world = World::new(config(Everyone));
    let user = User::new(client(1));
    let bytes = message(Class::Request, Method::BINDING, TransactionId([3; 12]), |message| message);

    assert_eq!(user.exchange(&mut world, &bytes), user.exchange(&mut world, &bytes));
}

#[test]
fn bas_14_gen_07_and_sec_09_software_is_told_when_it_is_set_and_nowhere_else() {
    for name in [None, Some("a server")] {
        let mut configured = config(Everyone);
        configured.software = name.map(str::to_owned);
        let (mut world, mut user, _) = allocated_in(configured);
        let binding = user.request(&mut world, Method::BINDING, |message| message).unwrap();
        let refused = user.request(&mut world, Method::ALLOCATE, |message| message).unwrap();

        for answer in [binding, refused, user.refresh(&mut world, 600)] {
            let told = answer.message().get::<Software<'_>>().unwrap();
            assert_eq!(told.map(|software| software.as_str()), name, "{:?}", answer.message());
        }
    }
}

#[test]
fn a_request_with_a_wrong_fingerprint_is_dropped() {
    let mut world = World::new(config(Everyone));
    let user = User::new(client(1));
    let mut bytes =
        message(Class::Request, Method::BINDING, TransactionId([7; 12]), |message| message.fingerprint());
    *bytes.last_mut().unwrap() ^= 1;

    assert_eq!(user.exchange(&mut world, &bytes), None);
}
