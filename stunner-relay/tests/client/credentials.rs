//! Long-term credentials: what a client answers to challenges, and which responses it believes.

use std::time::Duration;

use stunner_proto::{
    AttributeType, Class, Integrity, Key, MessageBuilder,
    attribute::{
        ErrorCode, Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Userhash, Username,
        XorMappedAddress, XorRelayedAddress,
    },
};
use stunner_relay::client::{Config, Event, Failure, Request};

use crate::{
    script::{Asked, REALM, Raw, SHA1, Script, Sign},
    world::{CLIENT, RELAYED, World, server_config},
};

const LIST: u16 = AttributeType::PASSWORD_ALGORITHMS.0;

/// A nonce that announces password algorithms, one that announces user hashes, and one with both.
const ALGORITHMS: &str = "obMatJos2AAABnonce";
const ANONYMITY: &str = "obMatJos2AAACnonce";
const BOTH: &str = "obMatJos2AAADnonce";

fn unauthenticated<'b>(response: MessageBuilder<'b>, nonce: &str) -> MessageBuilder<'b> {
    response
        .attribute(&ErrorCode::UNAUTHENTICATED)
        .attribute(&Realm::new(REALM).expect("it fits"))
        .attribute(&Nonce::new(nonce).expect("it fits"))
}

/// A client whose first request was answered with 401, this nonce and this list; and what it asks then, if it does.
fn offered(config: Config, nonce: &str, list: &[u8]) -> (Script, Option<Asked>) {
    let mut script = Script::new(config);
    let first = script.ask();
    script.respond(&first, Class::ErrorResponse, Sign::Not, |response| {
        unauthenticated(response, nonce).attribute(&Raw::<LIST>(list))
    });
    let second = script.poll();
    (script, second)
}

#[test]
fn ltc_01_the_first_request_shows_no_credentials() {
    let asked = Script::new(Script::config()).ask();

    for kind in [
        AttributeType::USERNAME,
        AttributeType::USERHASH,
        AttributeType::REALM,
        AttributeType::NONCE,
        AttributeType::PASSWORD_ALGORITHM,
        AttributeType::PASSWORD_ALGORITHMS,
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
    ] {
        assert!(!asked.has(kind), "{kind}");
    }
}

#[test]
fn ltc_02_a_plain_challenge_is_answered_by_a_new_transaction_signed_with_the_md5_key() {
    let mut script = Script::new(Script::config());
    let first = script.ask();

    script.challenge(&first, 401, "nonce");
    let second = script.ask();

    assert_ne!(second.id(), first.id());
    assert_eq!(second.get::<Username<'_>>().as_str(), "user");
    assert_eq!(second.get::<Realm<'_>>().as_str(), REALM);
    assert_eq!(second.get::<Nonce<'_>>().as_str(), "nonce");
    assert_eq!(second.message().authenticate(&Script::key()).unwrap().integrity(), Integrity::Sha1);
    assert!(
        !second.has(AttributeType::PASSWORD_ALGORITHM) && !second.has(AttributeType::PASSWORD_ALGORITHMS)
    );
}

#[test]
fn ltc_03_an_offer_is_repeated_byte_for_byte_with_the_choice_and_sha256_integrity() {
    let list = [0x00, 0x09, 0x00, 0x05, 1, 2, 3, 4, 5, 0xAA, 0xBB, 0xCC, 0x00, 0x02, 0x00, 0x00];

    let (_, asked) = offered(Script::config(), ALGORITHMS, &list);

    let asked = asked.expect("another request");
    assert_eq!(asked.get::<PasswordAlgorithms<'_>>().as_bytes(), list);
    assert_eq!(asked.get::<PasswordAlgorithm<'_>>(), PasswordAlgorithm::SHA256);
    let key = Key::long_term_sha256("user", REALM, "pass");
    assert_eq!(asked.message().authenticate(&key).unwrap().integrity(), Integrity::Sha256);
}

#[test]
fn ltc_04_sha_256_is_chosen_also_where_md5_stands_first() {
    let (_, asked) = offered(Script::config(), ALGORITHMS, &[0, 1, 0, 0, 0, 2, 0, 0]);

    assert_eq!(asked.unwrap().get::<PasswordAlgorithm<'_>>(), PasswordAlgorithm::SHA256);
}

#[test]
fn ltc_04_md5_is_chosen_where_it_is_all_there_is_and_sha256_signs() {
    let (_, asked) = offered(Script::config(), ALGORITHMS, &[0, 1, 0, 0]);

    let asked = asked.unwrap();
    assert_eq!(asked.get::<PasswordAlgorithm<'_>>(), PasswordAlgorithm::MD5);
    assert_eq!(asked.message().authenticate(&Script::key()).unwrap().integrity(), Integrity::Sha256);
}

#[test]
fn ltc_05_unknown_algorithms_alone_end_it() {
    let (mut script, asked) = offered(Script::config(), ALGORITHMS, &[0, 9, 0, 0]);

    assert_eq!(asked, None);
    assert_eq!(script.failure(Request::Allocate), Failure::NoAlgorithm);
}

#[test]
fn ltc_06_an_announced_offer_that_is_missing_ends_it_in_either_order_of_the_bits() {
    for nonce in [ALGORITHMS, "obMatJos2gAAAnonce"] {
        let mut script = Script::new(Script::config());
        let first = script.ask();

        script.challenge(&first, 401, nonce);

        assert_eq!(script.poll(), None);
        assert_eq!(script.failure(Request::Allocate), Failure::BidDown);
    }
}

#[test]
fn ltc_06_a_stale_nonce_that_lacks_the_announced_offer_ends_it_too() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.challenge(&asked, 438, ALGORITHMS);

    assert_eq!((script.poll(), script.failure(Request::Allocate)), (None, Failure::BidDown));
}

#[test]
fn ltc_07_a_server_that_knows_hashes_is_told_no_name() {
    for nonce in [ANONYMITY, "obMatJos2QAAAnonce"] {
        let mut script = Script::new(Script::config());
        let first = script.ask();

        script.challenge(&first, 401, nonce);

        let asked = script.ask();
        assert_eq!(asked.get::<Userhash>(), Userhash::new("user", REALM));
        assert!(!asked.has(AttributeType::USERNAME));
    }
}

#[test]
fn ltc_07_without_the_settings_for_them_neither_hash_nor_sha_256_is_used() {
    let mut config = Script::config();
    (config.sha256, config.userhash) = (false, false);

    let (_, asked) = offered(config, BOTH, &[0, 2, 0, 0, 0, 1, 0, 0]);

    let asked = asked.unwrap();
    assert_eq!(asked.get::<Username<'_>>().as_str(), "user");
    assert!(!asked.has(AttributeType::PASSWORD_ALGORITHM) && !asked.has(AttributeType::PASSWORD_ALGORITHMS));
    assert_eq!(asked.message().authenticate(&Script::key()).unwrap().integrity(), Integrity::Sha1);
}

#[test]
fn ltc_08_a_second_401_for_the_same_credentials_ends_it() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.challenge(&asked, 401, "another");

    assert_eq!(script.poll(), None);
    assert_eq!(script.failure(Request::Allocate).code(), Some(401));
}

#[test]
fn ltc_08_credentials_for_one_realm_are_not_shown_to_another() {
    let mut config = Script::config();
    config.realm = Some("elsewhere.example".to_owned());
    let mut script = Script::new(config);
    let first = script.ask();

    script.challenge(&first, 401, "nonce");

    assert_eq!((script.poll(), script.failure(Request::Allocate)), (None, Failure::WrongRealm));
}

#[test]
fn ltc_09_a_stale_nonce_is_replaced_and_the_credentials_are_kept() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.challenge(&asked, 438, "fresh");
    let again = script.ask();

    assert_ne!(again.id(), asked.id());
    assert_eq!(again.get::<Nonce<'_>>().as_str(), "fresh");
    assert_eq!(again.get::<Username<'_>>().as_str(), "user");
    assert!(again.message().authenticate(&Script::key()).is_ok());
}

#[test]
fn ltc_10_the_fourth_stale_nonce_in_a_row_ends_it() {
    let mut script = Script::challenged(Script::config());

    for nonce in ["a", "b", "c", "d"] {
        let asked = script.ask();
        script.challenge(&asked, 438, nonce);
    }

    assert_eq!(script.poll(), None);
    assert_eq!(script.failure(Request::Allocate).code(), Some(438));
}

#[test]
fn ltc_11_a_400_that_nobody_signed_is_as_if_it_had_never_come() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::ErrorResponse, Sign::Not, |r| r.attribute(&ErrorCode::BAD_REQUEST));

    let sent = script.run(Duration::from_millis(39_499));
    assert!(sent.len() == 6 && sent.iter().all(|(_, again)| *again == asked), "{sent:?}");
    assert_eq!(script.event(), None);
    script.run(Duration::from_millis(1));
    assert_eq!(script.failure(Request::Allocate), Failure::Timeout);
}

#[test]
fn ltc_12_a_response_without_or_with_bad_integrity_is_ignored_over_udp_and_remembered() {
    for sign in [Sign::Not, Sign::Wrongly] {
        let mut script = Script::challenged(Script::config());
        let asked = script.ask();

        script.respond(&asked, Class::SuccessResponse, sign, |r| r.attribute(&Lifetime(600)));

        assert_eq!(script.event(), None);
        assert_eq!(script.run(Duration::from_millis(39_500)).len(), 6);
        assert_eq!(script.failure(Request::Allocate), Failure::IntegrityViolated);
    }
}

#[test]
fn ltc_12_success_for_a_request_without_credentials_is_not_believed() {
    let mut script = Script::new(Script::config());
    let first = script.ask();

    script.grant(&first);

    assert_eq!((script.event(), script.client.allocated()), (None, None));
}

#[test]
fn ltc_13_a_response_with_bad_integrity_fails_at_once_on_a_stream() {
    let mut config = Script::config();
    config.transport = stunner_relay::Transport::Tcp;
    let mut script = Script::challenged(config);
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, Sign::Wrongly, |r| r.attribute(&Lifetime(600)));

    assert_eq!(script.failure(Request::Allocate), Failure::IntegrityViolated);
}

#[test]
fn ltc_14_a_success_whose_nonce_announces_an_offer_that_is_missing_is_ignored() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        response
            .attribute(&XorRelayedAddress(RELAYED))
            .attribute(&XorMappedAddress(CLIENT))
            .attribute(&Lifetime(600))
            .attribute(&Nonce::new(ALGORITHMS).unwrap())
    });

    assert_eq!(script.event(), None);
    script.grant(&asked);
    assert!(matches!(script.event(), Some(Event::Allocated(_))));
}

#[test]
fn ltc_15_later_requests_carry_what_was_learned() {
    let mut script = Script::allocated(Script::config());
    script.client.permit(RELAYED.ip(), script.now).unwrap();

    let asked = script.ask();

    assert_eq!(asked.get::<Username<'_>>().as_str(), "user");
    assert_eq!(asked.get::<Realm<'_>>().as_str(), REALM);
    assert_eq!(asked.get::<Nonce<'_>>().as_str(), "nonce");
    assert_eq!(asked.message().authenticate(&Script::key()).unwrap().integrity(), Integrity::Sha1);
}

#[test]
fn ltc_16_once_algorithms_were_offered_sha256_signs_also_after_an_offer_fails_to_come() {
    let (mut script, asked) = offered(Script::config(), ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);

    script.challenge(&asked.unwrap(), 438, "plain");

    let asked = script.ask();
    assert!(asked.has(AttributeType::MESSAGE_INTEGRITY_SHA256));
    assert!(!asked.has(AttributeType::MESSAGE_INTEGRITY));
}

#[test]
fn ltc_17_our_own_server_is_convinced_by_name_and_by_hash_by_md5_and_by_sha_256() {
    for (sha256, userhash) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut config = Script::config();
        (config.sha256, config.userhash) = (sha256, userhash);
        let mut world = World::new(config, server_config());

        world.settle();

        assert!(matches!(world.events[..], [Event::Allocated(_)]), "{sha256} {userhash}: {:?}", world.events);
    }
}

#[test]
fn ltc_17_a_server_without_algorithms_convinces_too() {
    let mut server = server_config();
    server.password_algorithms = false;
    let mut world = World::new(Script::config(), server);

    world.settle();

    assert!(matches!(world.events[..], [Event::Allocated(_)]), "{:?}", world.events);
}

#[test]
fn ltc_08_our_own_server_does_not_let_a_wrong_password_in_and_is_asked_twice_only() {
    let mut world = World::new(Config::new("user", "guess"), server_config());

    world.run_for(Duration::from_secs(100));

    assert_eq!(world.sent.len(), 2);
    let Event::Refused { request: Request::Allocate, why } = &world.events[0] else { panic!() };
    assert_eq!(why.code(), Some(401));
}

#[test]
fn sec_10_neither_settings_nor_client_show_the_password() {
    let mut config = Config::new("alice-name", "s3cret-pass");
    config.mobility = true;
    let world = World::new(config.clone(), server_config());

    let shown = format!("{config:?} {:?}", world.client);

    assert!(!shown.contains("s3cret") && !shown.contains("alice"), "{shown}");
}
