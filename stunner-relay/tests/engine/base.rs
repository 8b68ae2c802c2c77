//! What every message goes through, and Binding (RFC 8489, sections 6.3, 7 and 12).

use stunner_proto::{
    AttributeType, Class, Fingerprint, Method, TransactionId,
    attribute::{Lifetime, Software, UnknownAttributes, XorMappedAddress},
};
use stunner_relay::{MAX_REPLY, Output, Transport};

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

/// A Binding request of RFC 3489: sixteen bytes of transaction ID, and no cookie.
const CLASSIC: [u8; 20] = *b"\x00\x01\x00\x00a transaction id";

#[test]
fn a_classic_binding_request_is_answered_in_its_own_way_where_that_is_asked_for() {
    let answers = [false, true].map(|classic| {
        let mut configured = config(Everyone);
        configured.classic = classic;
        World::new(configured).exchange(client(7), crate::world::LISTENER, &CLASSIC)
    });

    assert_eq!(answers[0], Vec::<Vec<u8>>::new());
    let plain = b"\x01\x01\x00\x0Ca transaction id\x00\x01\x00\x08\x00\x01\x9C\x40\xC6\x33\x64\x07";
    assert_eq!(answers[1], [plain.to_vec()]);
}

#[test]
fn gen_09_turn_knows_no_classic_requests_and_what_asks_for_another_way_back_is_refused() {
    let mut configured = config(Everyone);
    configured.classic = true;
    let mut world = World::new(configured);
    let mut allocate = CLASSIC;
    allocate[1] = 3;
    let mut change = CLASSIC.to_vec();
    change[3] = 8;
    change.extend_from_slice(&[0, 3, 0, 4, 0, 0, 0, 6]);

    assert!(world.exchange(client(7), crate::world::LISTENER, &allocate).is_empty());
    let refused = world.exchange(client(7), crate::world::LISTENER, &change).pop().expect("an answer");
    assert_eq!((&refused[..2], &refused[4..20]), (&[0x01, 0x11][..], &CLASSIC[4..]));
    assert!(refused.ends_with(&[0, 0x0A, 0, 2, 0, 3, 0, 0]), "{refused:02x?}");
}

#[test]
fn bas_20_over_dtls_a_request_without_the_cookie_is_a_server_error_and_what_is_no_request_is_nothing() {
    let mut world = World::new(config(Everyone));
    let mut from = world.client(client(7), crate::world::LISTENER);
    from.tuple.transport = Transport::Dtls;
    let mut indication = CLASSIC;
    indication[1] = 0x11;
    let mut reply = [0; MAX_REPLY];

    let Output::Reply(len) = world.server.handle_client(&CLASSIC, from, world.now, &mut reply) else {
        panic!("no answer")
    };
    assert_eq!((&reply[..2], &reply[24..28]), (&[0x01, 0x11][..], &[0, 0, 5, 0][..]), "{len}");
    let output = world.server.handle_client(&indication, from, world.now, &mut reply);
    assert!(matches!(output, Output::Drop));
}
