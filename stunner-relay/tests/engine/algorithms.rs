//! SHA-256 beside MD5, and users by their hash (RFC 8489, section 9.2.4).

use std::time::Duration;

use stunner_proto::{
    AttributeType, Key, MessageBuilder, Method,
    attribute::{PasswordAlgorithm, PasswordAlgorithms, RequestedTransport, Userhash},
};
use stunner_relay::{Algorithm, Config};

use crate::world::{Answer, Everyone, Raw, User, Users, World, client, config, config_of_many, peer};

/// A server that knows Alice.
fn known() -> Config {
    let mut configured = config(Everyone);
    configured.authenticator = Users::new(&[("alice", "sesame")], Duration::ZERO);
    configured
}

/// Alice, at the address of a client, with an algorithm of her choice.
fn alice(n: u8, chosen: Option<Algorithm>) -> User {
    User { chosen, ..User::named(client(n), "alice", "sesame") }
}

/// The code of an Allocate, and the integrity of its answer.
fn allocate(world: &mut World, user: &mut User) -> (u16, Option<AttributeType>) {
    let answer = user.ask_to_allocate(world, |message| message);
    (answer.code(), integrity(&answer))
}

/// Which of the two integrity attributes an answer carries.
fn integrity(answer: &Answer) -> Option<AttributeType> {
    let [sha1, sha256] = [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256];
    assert!(!(answer.has(sha1) && answer.has(sha256)), "never both");
    [sha1, sha256].into_iter().find(|&kind| answer.has(kind))
}

const SHA1: Option<AttributeType> = Some(AttributeType::MESSAGE_INTEGRITY);
const SHA256: Option<AttributeType> = Some(AttributeType::MESSAGE_INTEGRITY_SHA256);

/// What is answered to an Allocate with these attributes about algorithms, signed with that key.
fn answered(key: &Key, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) -> Answer {
    let mut world = World::new(known());
    let mut user = alice(1, None);
    user.challenge(&mut world);
    let answer = user.request(&mut world, Method::ALLOCATE, |message| {
        build(user.credentials(message.attribute(&RequestedTransport::UDP))).integrity_sha256(key)
    });
    answer.expect("an answer")
}

fn sha256_key() -> Key {
    Key::long_term_sha256("alice", "example.com", "sesame")
}

#[test]
fn lts_02_and_03_hashes_are_announced_where_users_are_found_by_them() {
    let announced = [known(), config_of_many()].map(|configured| {
        let mut user = alice(1, None);
        let challenge = user.challenge(&mut World::new(configured));
        (user.nonce[..13].to_owned(), challenge.get::<PasswordAlgorithms<'_>>().as_bytes().to_vec())
    });

    let offer = PasswordAlgorithms::SHA256_MD5.as_bytes().to_vec();
    assert_eq!(announced, [("obMatJos2AAAD".to_owned(), offer.clone()), ("obMatJos2AAAB".to_owned(), offer)]);
}

#[test]
fn lts_08_a_user_may_give_the_hash_of_its_name() {
    for (chosen, kind) in [(None, SHA1), (Some(Algorithm::Md5), SHA256), (Some(Algorithm::Sha256), SHA256)] {
        let mut world = World::new(known());
        let mut user = User { anonymous: true, ..alice(1, chosen) };

        assert_eq!(allocate(&mut world, &mut user), (0, kind), "{chosen:?}");
    }
}

#[test]
fn lts_08_whoever_gave_its_name_may_go_on_by_its_hash() {
    let (mut world, mut user) = (World::new(known()), alice(1, Some(Algorithm::Sha256)));
    assert_eq!(allocate(&mut world, &mut user), (0, SHA256));
    user.anonymous = true;

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
}

#[test]
fn lts_09_the_hash_of_nobody_is_a_401() {
    let mut world = World::new(known());
    let mut user = User { anonymous: true, ..User::named(client(1), "mallory", "sesame") };

    let answer = user.ask_to_allocate(&mut world, |message| message);

    assert_eq!((answer.code(), answer.has(AttributeType::USERHASH)), (401, false));
}

#[test]
fn lts_09_a_hash_is_of_no_use_where_users_are_known_by_name_only() {
    let mut world = World::new(config_of_many());
    let mut user = User { anonymous: true, ..User::new(client(1)) };

    assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 401);
}

#[test]
fn lts_10_a_client_that_knows_no_algorithms_has_md5_and_is_answered_with_sha_1() {
    let (mut world, mut user) = (World::new(known()), alice(1, None));

    assert_eq!(allocate(&mut world, &mut user), (0, SHA1));
}

#[test]
fn lts_11_a_choice_without_the_offer_is_a_bad_request() {
    for choice in [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5] {
        let answer = answered(&sha256_key(), |message| message.attribute(&choice));

        assert_eq!((answer.code(), answer.kinds()), (400, vec![AttributeType::ERROR_CODE]), "{choice:?}");
    }
}

#[test]
fn lts_12_the_offer_without_a_choice_is_a_bad_request() {
    let answer = answered(&sha256_key(), |message| message.attribute(&PasswordAlgorithms::SHA256_MD5));

    assert_eq!((answer.code(), answer.kinds()), (400, vec![AttributeType::ERROR_CODE]));
}

#[test]
fn lts_13_an_offer_that_was_changed_on_the_way_is_a_bad_request() {
    let changed: [&[u8]; 5] =
        [&[0, 2, 0, 0], &[0, 1, 0, 0], &[0, 1, 0, 0, 0, 2, 0, 0], &[0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0], &[]];

    for offer in changed {
        for choice in [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5] {
            let answer = answered(&sha256_key(), |message| {
                message.attribute(&Raw::<0x8002>(offer)).attribute(&choice)
            });
            assert_eq!(answer.code(), 400, "{offer:?} {choice:?}");
        }
    }
}

#[test]
fn lts_14_a_choice_that_was_not_offered_is_a_bad_request() {
    for choice in [&[0, 3, 0, 0][..], &[0, 0, 0, 0], &[0, 2, 0, 4, 1, 2, 3, 4], &[0, 2]] {
        let answer = answered(&sha256_key(), |message| {
            message.attribute(&PasswordAlgorithms::SHA256_MD5).attribute(&Raw::<0x001D>(choice))
        });

        assert_eq!(answer.code(), 400, "{choice:?}");
    }
}

#[test]
fn lts_15_who_chose_sha_256_is_answered_with_its_key() {
    let (mut world, mut user) = (World::new(known()), alice(1, Some(Algorithm::Sha256)));

    let answer = user.ask_to_allocate(&mut world, |message| message);

    assert_eq!((answer.code(), integrity(&answer)), (0, SHA256));
    assert!(answer.message().authenticate(&sha256_key()).is_ok());
}

#[test]
fn lts_15_a_key_by_md5_is_wrong_for_who_chose_sha_256() {
    let md5 = Key::long_term("alice", "example.com", "sesame");
    let answer = answered(&md5, |message| {
        message.attribute(&PasswordAlgorithms::SHA256_MD5).attribute(&PasswordAlgorithm::SHA256)
    });

    assert_eq!(answer.code(), 401);
}

#[test]
fn lts_16_who_chose_md5_is_answered_with_sha_256_under_the_md5_key() {
    let (mut world, mut user) = (World::new(known()), alice(1, Some(Algorithm::Md5)));

    let answer = user.ask_to_allocate(&mut world, |message| message);

    assert_eq!((answer.code(), integrity(&answer)), (0, SHA256));
    assert!(answer.message().authenticate(&Key::long_term("alice", "example.com", "sesame")).is_ok());
}

#[test]
fn lts_28_an_error_is_signed_as_a_success_would_be() {
    for (chosen, kind) in [(None, SHA1), (Some(Algorithm::Md5), SHA256), (Some(Algorithm::Sha256), SHA256)] {
        let (mut world, mut user) = (World::new(known()), alice(1, chosen));

        let answer = user.refresh(&mut world, 600);

        assert_eq!((answer.code(), integrity(&answer)), (437, kind), "{chosen:?}");
    }
}

#[test]
fn lts_34_the_name_counts_where_both_are_given() {
    for (name, other, code) in [("alice", "mallory", 0), ("mallory", "alice", 401)] {
        let mut world = World::new(known());
        let mut user = User::named(client(1), name, "sesame");
        user.challenge(&mut world);
        let hash = Userhash::new(other, "example.com");

        let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&hash));

        assert_eq!(answer.code(), code, "{name} with the hash of {other}");
    }
}

#[test]
fn lts_33_nobody_and_a_wrong_password_are_told_alike_whatever_was_chosen() {
    for chosen in [None, Some(Algorithm::Md5), Some(Algorithm::Sha256)] {
        for anonymous in [false, true] {
            let answers = [("mallory", "sesame"), ("alice", "wrong")].map(|(name, password)| {
                let mut user = User { chosen, anonymous, ..User::named(client(1), name, password) };
                user.ask_to_allocate(&mut World::new(known()), |message| message)
            });

            let [first, second] =
                answers.each_ref().map(|answer| (answer.code(), answer.kinds(), answer.0.len()));
            assert_eq!((first.0, &first), (401, &second), "{chosen:?} {anonymous}");
        }
    }
}

#[test]
fn where_no_algorithms_are_offered_a_choice_is_passed_over() {
    let mut configured = known();
    configured.password_algorithms = false;
    let mut world = World::new(configured);
    let mut user = alice(1, None);
    user.challenge(&mut world);

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&PasswordAlgorithm::SHA256));

    assert_eq!((answer.code(), integrity(&answer)), (0, SHA1));
}

#[test]
fn where_sha_256_is_all_that_is_offered_md5_is_no_key() {
    let mut configured = known();
    configured.sha256_only = true;
    let mut world = World::new(configured);
    let challenge = alice(1, None).challenge(&mut world);
    assert_eq!(challenge.get::<PasswordAlgorithms<'_>>(), PasswordAlgorithms::SHA256);

    for (choice, code) in [
        (None, 401),
        (Some((PasswordAlgorithms::SHA256, PasswordAlgorithm::MD5)), 400),
        (Some((PasswordAlgorithms::SHA256_MD5, PasswordAlgorithm::SHA256)), 400),
        (Some((PasswordAlgorithms::SHA256, PasswordAlgorithm::SHA256)), 0),
    ] {
        let mut user = alice(1, None);
        user.challenge(&mut world);
        let key = if choice.is_some() { sha256_key() } else { user.key() };
        let answer = user.request(&mut world, Method::ALLOCATE, |message| {
            let message = message.attribute(&RequestedTransport::UDP);
            let message = message.maybe(choice.as_ref().map(|(offer, _)| offer));
            let message = message.maybe(choice.as_ref().map(|(_, choice)| choice));
            user.credentials(message).integrity_sha256(&key)
        });
        assert_eq!(answer.expect("an answer").code(), code, "{choice:?}");
    }
}
