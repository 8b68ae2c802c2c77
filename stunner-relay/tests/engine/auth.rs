//! Long-term credentials (RFC 8489, section 9.2.4).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stunner_proto::{
    AttributeType, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{Data, Nonce, Realm, RequestedTransport, Username, XorPeerAddress},
};
use stunner_relay::{Authenticator, Credential, Identity, UserId};

use crate::world::{Answer, Everyone, Raw, User, World, allocated, client, config, message, peer};

/// A request with one user's credentials, made by hand where a test wants something to be wrong.
fn signed(
    user: &User,
    world: &mut World,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Answer {
    user.request(world, Method::ALLOCATE, |message| build(message.attribute(&RequestedTransport::UDP)))
        .expect("an answer")
}

/// What a challenge carries.
const CHALLENGE: [AttributeType; 4] = [
    AttributeType::ERROR_CODE,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHMS,
];

/// A user who knows the realm and has a nonce.
fn challenged() -> (World, User) {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    (world, user)
}

#[test]
fn lts_01_a_request_without_integrity_is_challenged_and_leaves_no_state() {
    let mut world = World::new(config(Everyone));

    let answer = signed(&User::new(client(1)), &mut world, |message| message);

    assert_eq!(answer.code(), 401);
    assert_eq!(answer.kinds(), CHALLENGE);
    assert_eq!(answer.get::<Realm<'_>>().as_str(), "example.com");
    assert_eq!((world.server.counters().allocations, world.server.poll_timeout()), (0, None));
}

#[test]
fn lts_02_and_03_the_nonce_says_which_features_there_are() {
    let challenges = [true, false].map(|offered| {
        let mut configured = config(Everyone);
        configured.password_algorithms = offered;
        let mut user = User::new(client(1));
        let challenge = user.challenge(&mut World::new(configured));
        (user.nonce[..13].to_owned(), challenge.has(AttributeType::PASSWORD_ALGORITHMS))
    });

    assert_eq!(challenges, [("obMatJos2AAAD".to_owned(), true), ("obMatJos2AAAA".to_owned(), false)]);
}

/// Text of a quoted string (RFC 3261, section 25.1), without its quoted pairs.
#[test]
fn att_17_a_nonce_is_short_and_can_be_quoted() {
    let mut world = World::new(config(Everyone));

    for n in 0..200 {
        let mut user = User::new(client(n));
        user.challenge(&mut world);
        assert!((1..128).contains(&user.nonce.len()), "{}", user.nonce);
        assert!(user.nonce.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'"' && c != b'\\'));
        world.run_for(Duration::from_millis(77));
    }
}

#[test]
fn lts_04_two_ports_of_one_address_get_two_nonces() {
    let (mut world, first) = challenged();
    let mut second = User::new((client(1).ip(), 40_001).into());
    second.challenge(&mut world);

    assert_ne!(first.nonce, second.nonce);
}

#[test]
fn lts_05_and_sec_14_a_nonce_that_was_issued_to_another_client_is_stale() {
    let (mut world, first) = challenged();
    let mut second = User { address: client(2), ..first };

    assert_eq!(second.ask_to_allocate(&mut world, |message| message).code(), 438);
}

#[test]
fn lts_06_integrity_without_a_username_is_a_bad_request() {
    let (mut world, user) = challenged();

    let answer = signed(&user, &mut world, |message| {
        message
            .attribute(&Realm::new(&user.realm).unwrap())
            .attribute(&Nonce::new(&user.nonce).unwrap())
            .integrity(&user.key())
    });

    assert_eq!((answer.code(), answer.kinds()), (400, vec![AttributeType::ERROR_CODE]));
}

#[test]
fn lts_07_integrity_without_realm_or_nonce_is_a_bad_request() {
    let (mut world, user) = challenged();

    let without_realm = signed(&user, &mut world, |message| {
        message
            .attribute(&Username::new("user").unwrap())
            .attribute(&Nonce::new(&user.nonce).unwrap())
            .integrity(&user.key())
    });
    let without_nonce = signed(&user, &mut world, |message| {
        message
            .attribute(&Username::new("user").unwrap())
            .attribute(&Realm::new(&user.realm).unwrap())
            .integrity(&user.key())
    });

    assert_eq!((without_realm.code(), without_nonce.code()), (400, 400));
    assert_eq!(without_realm.kinds(), [AttributeType::ERROR_CODE]);
    assert_eq!(without_nonce.kinds(), [AttributeType::ERROR_CODE]);
}

#[test]
fn lts_17_18_and_33_an_unknown_user_and_a_wrong_password_are_told_alike() {
    let answers = [("nobody", "pass"), ("user", "wrong")].map(|(name, password)| {
        let mut world = World::new(config(Everyone));
        let answer = User::named(client(1), name, password).ask_to_allocate(&mut world, |message| message);
        assert_eq!(answer.code(), 401);
        answer.kinds()
    });

    assert_eq!(answers[0], CHALLENGE);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn lts_19_a_wrong_sha_256_is_not_saved_by_a_right_sha_1() {
    let (mut world, user) = challenged();
    let wrong = Key::long_term("user", &user.realm, "wrong");

    let answer = signed(&user, &mut world, |message| {
        user.credentials(message).integrity(&user.key()).integrity_sha256(&wrong)
    });

    assert_eq!(answer.code(), 401);
}

#[test]
fn lts_20_a_right_sha_256_is_enough_and_is_answered_in_kind() {
    let (mut world, user) = challenged();
    let wrong = Key::long_term("user", &user.realm, "wrong");

    let answer = signed(&user, &mut world, |message| {
        user.credentials(message).integrity(&wrong).integrity_sha256(&user.key())
    });

    assert_eq!(answer.code(), 0);
    assert!(answer.has(AttributeType::MESSAGE_INTEGRITY_SHA256));
    assert!(!answer.has(AttributeType::MESSAGE_INTEGRITY));
    assert!(answer.message().authenticate(&user.key()).is_ok());
}

/// Everyone's key is the same few bytes, so that a test can sign by itself.
struct SomeKey;

impl Authenticator for SomeKey {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let UserId::Name(name) = who.user else { return };
        try_key(Credential::new(Key::new(b"some key"), name));
    }
}

#[test]
fn int_09_a_sha_256_that_is_cut_is_good_in_stun_and_not_in_turn() {
    let mut configured = config(Everyone);
    configured.authenticator = std::sync::Arc::new(SomeKey);
    let mut world = World::new(configured);
    let mut user = User::new(client(1));
    user.challenge(&mut world);

    let codes = [16, 32].map(|len| {
        let mut bytes = message(Class::Request, Method::ALLOCATE, TransactionId([7; 12]), |message| {
            user.credentials(message.attribute(&RequestedTransport::UDP))
        });
        let length = u16::try_from(bytes.len() - 20 + 4 + len).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let mac = Hmac::<Sha256>::new_from_slice(b"some key").unwrap().chain_update(&bytes).finalize();
        bytes.extend_from_slice(&[0x00, 0x1C, 0, u8::try_from(len).unwrap()]);
        bytes.extend_from_slice(&mac.into_bytes()[..len]);
        assert!(Message::parse(&bytes).unwrap().authenticate_truncated(&Key::new(b"some key")).is_ok());
        user.exchange(&mut world, &bytes).unwrap().code()
    });

    assert_eq!(codes, [401, 0]);
}

#[test]
fn lts_21_24_and_32_a_nonce_is_stale_after_an_hour_and_the_new_one_is_good() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    world.run_for(Duration::from_millis(3_599_999));
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    world.run_for(Duration::from_millis(1));

    let stale = user.refresh(&mut world, 600);
    assert_eq!(stale.code(), 438);
    assert_eq!(stale.kinds(), CHALLENGE);

    user.take_nonce(&stale);
    assert_eq!(user.refresh(&mut world, 600).code(), 0);
}

#[test]
fn lts_22_an_old_nonce_and_a_wrong_password_are_a_401() {
    let (mut world, user) = challenged();
    world.run_for(Duration::from_secs(3_600));
    let mut user = User { password: "wrong", ..user };

    assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 401);
}

#[test]
fn lts_23_a_nonce_that_was_never_issued_is_stale() {
    let (mut world, mut user) = challenged();
    user.nonce = "a nonce of my own".to_owned();

    assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 438);
}

#[test]
fn lts_25_a_nonce_whose_feature_bits_were_changed_is_stale() {
    let (mut world, mut user) = challenged();
    user.nonce = user.nonce.replace("obMatJos2AAAD", "obMatJos2AAAA");

    assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 438);
}

#[test]
fn lts_26_another_realm_is_answered_with_ours() {
    let (mut world, mut user) = challenged();
    user.realm = "example.net".to_owned();

    let answer = user.ask_to_allocate(&mut world, |message| message);

    assert_eq!((answer.code(), answer.get::<Realm<'_>>().as_str()), (401, "example.com"));
}

#[test]
fn lts_27_success_is_signed_and_names_nobody() {
    let (mut world, mut user, _) = allocated();

    let answer = user.refresh(&mut world, 600);

    assert_eq!(answer.kinds(), [AttributeType::LIFETIME, AttributeType::MESSAGE_INTEGRITY]);
    assert!(answer.message().authenticate(&user.key()).is_ok());
}

#[test]
fn lts_28_and_30_an_error_after_authentication_is_signed() {
    let (mut world, mut user) = challenged();
    let key = user.key();
    let answers = [
        (400, user.ask(&mut world, Method::ALLOCATE, |message| message)),
        (420, user.ask_to_allocate(&mut world, |message| message.attribute(&Raw::<0x7FFF>(&[])))),
        (437, user.refresh(&mut world, 600)),
        (442, user.ask(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport(99)))),
        (440, user.ask_to_allocate(&mut world, |message| message.attribute(&Raw::<0x0017>(&[3, 0, 0, 0])))),
    ];

    for (code, answer) in answers {
        assert_eq!(answer.code(), code);
        assert!(answer.message().authenticate(&key).is_ok(), "{code}");
        assert!(!answer.has(AttributeType::NONCE), "{code}");
    }
}

#[test]
fn lts_29_credentials_come_before_unknown_attributes() {
    let mut world = World::new(config(Everyone));

    let answer = signed(&User::new(client(1)), &mut world, |message| message.attribute(&Raw::<0x7FFF>(&[])));

    assert_eq!(answer.code(), 401);
}

#[test]
fn lts_31_an_unknown_attribute_behind_the_integrity_does_not_count() {
    let (mut world, user) = challenged();
    let mut bytes = message(Class::Request, Method::ALLOCATE, TransactionId([7; 12]), |message| {
        user.sign(message.attribute(&RequestedTransport::UDP), &user.key())
    });
    bytes.extend_from_slice(&[0x7F, 0xFF, 0, 0]);
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());

    assert_eq!(user.exchange(&mut world, &bytes).unwrap().code(), 0);
}

#[test]
fn lts_35_the_integrity_of_a_send_indication_is_not_looked_at() {
    let (mut world, mut user, relayed) = allocated();
    user.permit(&mut world, &[peer(1)]);

    user.indicate(&mut world, |message| {
        message
            .attribute(&XorPeerAddress(peer(1)))
            .attribute(&Data(b"hello"))
            .integrity(&Key::new(b"some other key"))
    });

    assert_eq!(world.take(peer(1)), [(relayed, b"hello".to_vec())]);
}

/// Two secrets, while one takes the place of the other.
struct Rotating;

impl Authenticator for Rotating {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let UserId::Name(name) = who.user else { return };
        for password in ["old", "new"] {
            let key = Key::long_term(name, who.realm, password);
            if try_key(Credential::new(key, name)) {
                return;
            }
        }
    }
}

#[test]
fn either_of_two_passwords_is_good_while_they_are_rotated() {
    let mut rotating = config(Everyone);
    rotating.authenticator = std::sync::Arc::new(Rotating);
    let mut world = World::new(rotating);

    for (n, password) in [(1, "old"), (2, "new")] {
        User::named(client(n), "user", password).allocate(&mut world);
    }
    let mut wrong = User::named(client(3), "user", "neither");

    assert_eq!(wrong.ask_to_allocate(&mut world, |message| message).code(), 401);
}
