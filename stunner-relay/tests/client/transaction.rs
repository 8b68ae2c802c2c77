//! Which response belongs to which request, and what is in it that must be understood (RFC 8489, section 6.3).

use std::{net::SocketAddr, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::{
    AttributeType, Class, Method, TooLong,
    attribute::{ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorRelayedAddress},
};
use stunner_relay::client::{Client, Config, Event, Failure, Request};

use crate::{
    script::{Raw, SHA1, Script, Sign},
    world::{CLIENT, PEER, RELAYED, SERVER, some_instant},
};

#[test]
fn bas_15_success_with_an_unknown_required_attribute_fails_and_what_was_made_is_given_back() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
            .attribute(&Raw::<0x7FFF>(&[]))
    });

    assert_eq!(script.failure(Request::Allocate), Failure::Malformed);
    assert_eq!(script.ask().get::<Lifetime>(), Lifetime(0));
}

#[test]
fn bas_15_a_permission_with_an_unknown_required_attribute_is_not_granted() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |r| r.attribute(&Raw::<0x7FFF>(&[])));

    assert_eq!(script.failure(Request::Permission(PEER.ip())), Failure::Malformed);
    assert!(!script.client.is_permitted(PEER.ip()));
}

#[test]
fn bas_15_an_error_with_an_unknown_required_attribute_fails_the_request_whatever_its_code() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    script.respond(&asked, Class::ErrorResponse, SHA1, |response| {
        response.attribute(&ErrorCode::SERVER_ERROR).attribute(&Raw::<0x7FFF>(&[]))
    });
    assert_eq!((script.poll(), script.failure(Request::Allocate)), (None, Failure::Malformed));

    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    script.respond(&asked, Class::ErrorResponse, Sign::Not, |response| {
        let nonce = Nonce::new("fresh").unwrap();
        response.attribute(&ErrorCode::STALE_NONCE).attribute(&nonce).attribute(&Raw::<0x7FFF>(&[]))
    });
    assert_eq!((script.poll(), script.failure(Request::Allocate)), (None, Failure::Malformed));
}

#[test]
fn bas_15_an_unknown_optional_attribute_is_passed_over() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |r| r.attribute(&Raw::<0xFFFF>(&[])));

    assert_eq!(script.event(), Some(Event::Permitted(PEER.ip())));
}

#[test]
fn bas_16_an_error_without_a_code_fails_the_request() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(PEER.ip(), script.now).unwrap();
    let asked = script.ask();

    script.respond(&asked, Class::ErrorResponse, SHA1, |response| response);

    assert_eq!(script.failure(Request::Permission(PEER.ip())), Failure::Malformed);
}

#[test]
fn bas_17_a_request_is_sent_again_four_times_after_server_errors_each_later_than_the_last() {
    let mut script = Script::challenged(Script::config());

    let mut pauses = Vec::new();
    for _ in 0..5 {
        let start = script.now;
        let asked = std::iter::from_fn(|| {
            script.poll().map(Some).or_else(|| {
                script.now = script.client.poll_timeout().expect("another try");
                Some(None)
            })
        });
        let asked = asked.flatten().next().expect("another try");
        pauses.push((script.now - start).as_millis());
        script.refuse(&asked, 500);
    }

    assert_eq!(pauses, [0, 500, 1_000, 2_000, 4_000]);
    assert_eq!(script.failure(Request::Allocate).code(), Some(500));
    assert_eq!(script.poll(), None);
}

#[test]
fn bas_18_a_response_to_nothing_is_ignored() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    let mut other = asked.clone();
    other.bytes[19] ^= 1;

    script.grant(&other);

    assert_eq!(script.event(), None);
    script.grant(&asked);
    assert!(matches!(script.event(), Some(Event::Allocated(_))));
}

#[test]
fn bas_18_a_response_of_another_method_is_ignored() {
    let mut script = Script::challenged(Script::config());
    let mut other = script.ask();
    other.bytes[1] = 0x04;
    assert_eq!(other.method(), Method::REFRESH);

    script.grant(&other);

    assert_eq!(script.run(Duration::from_millis(500)).len(), 1);
}

#[test]
fn bas_18_an_answer_that_comes_twice_counts_once() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.grant(&asked);
    script.grant(&asked);

    assert!(matches!(script.event(), Some(Event::Allocated(_))));
    assert_eq!(script.event(), None);
}

#[test]
fn bas_19_a_response_from_elsewhere_is_ignored() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    let bytes = Script::response(&asked, Class::ErrorResponse, SHA1, &Script::key(), |response| {
        response.attribute(&ErrorCode::FORBIDDEN)
    });

    for from in [PEER, SocketAddr::new(SERVER.ip(), SERVER.port() + 1)] {
        assert_eq!(script.client.handle_input(&bytes, from, script.now), None);
    }

    assert_eq!(script.event(), None);
}

#[test]
fn fpr_a_response_with_a_wrong_fingerprint_is_no_response() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    let mut bytes = Script::response(&asked, Class::SuccessResponse, SHA1, &Script::key(), |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
    });
    let [high, low] = u16::try_from(bytes.len() - 20 + 8).unwrap().to_be_bytes();
    bytes[2..4].copy_from_slice(&[high, low]);
    bytes.extend_from_slice(&[0x80, 0x28, 0x00, 0x04, 1, 2, 3, 4]);

    script.input(&bytes);

    assert_eq!(script.event(), None);
}

#[test]
fn hdr_11_requests_and_indications_from_the_server_are_not_answered() {
    let mut script = Script::allocated(Script::config());

    for kind in [0x0001_u16, 0x0003, 0x0011, 0x0016] {
        let mut bytes = b"\0\0\0\0\x21\x12\xA4\x42transaction!".to_vec();
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        script.input(&bytes);
    }

    assert_eq!((script.poll(), script.event()), (None, None));
}

#[test]
fn hdr_14_a_response_that_was_cut_or_has_one_bit_wrong_changes_nothing() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    let good = Script::response(&asked, Class::SuccessResponse, SHA1, &Script::key(), |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
    });

    for len in 0..good.len() {
        script.input(&good[..len]);
    }
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        script.input(&bytes);
    }

    assert_eq!((script.event(), script.poll()), (None, None));
    script.input(&good);
    assert!(matches!(script.event(), Some(Event::Allocated(_))));
}

#[test]
fn hdr_14_random_bytes_change_nothing() {
    let mut script = Script::allocated(Script::config());
    let mut rng = StdRng::seed_from_u64(1);

    for _ in 0..10_000 {
        let mut bytes = [0; 64];
        rng.fill(&mut bytes);
        let len = rng.random_range(0..=64);
        script.input(&bytes[..len]);
    }

    assert_eq!((script.event(), script.poll()), (None, None));
}

#[test]
fn a_request_that_does_not_fit_is_not_sent_and_that_is_told() {
    let nonce = "\u{10FFFF}".repeat(127);
    for (realm, fits) in [(10, true), (127, false)] {
        let mut script = Script::new(Config::new(&"x".repeat(508), "pass"));
        let first = script.ask();

        script.respond(&first, Class::ErrorResponse, Sign::Not, |response| {
            response
                .attribute(&ErrorCode::UNAUTHENTICATED)
                .attribute(&Realm::new(&"é".repeat(realm)).unwrap())
                .attribute(&Nonce::new(&nonce).unwrap())
        });

        assert_eq!(script.poll().is_some(), fits, "a realm of {realm} characters");
        let told = Event::Refused { request: Request::Allocate, why: Failure::TooLong };
        assert_eq!(script.event(), (!fits).then_some(told));
    }
}

#[test]
fn settings_that_do_not_fit_their_attributes_are_not_taken() {
    let config = Config::new(&"x".repeat(509), "pass");

    let client = Client::new(config, CLIENT, RELAYED, [0; 32], some_instant());

    assert_eq!(client.err(), Some(TooLong(AttributeType::USERNAME)));
}
