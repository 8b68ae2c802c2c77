//! Tokens of an authorization server in place of a password (RFC 7635).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInOut, Nonce as Unique},
};
use stunner_proto::{
    AttributeType, Key, MessageBuilder, Method,
    attribute::{
        AccessToken, Lifetime, MobilityTicket, Nonce, RequestedTransport, ThirdPartyAuthorization,
        UnknownAttributes, Username, XorPeerAddress,
    },
};
use stunner_relay::{Config, OAuth};

use crate::world::{Answer, Everyone, User, World, client, config, peer};

const SERVER_NAME: &str = "turn.example.com";
const SHARED: [u8; 32] = [9; 32];
const MAC_KEY: [u8; 20] = [5; 20];
const NOW: u64 = 1_410_984_813;

/// A server that opens tokens, and the clock that it looks at.
fn with_tokens() -> (Config, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(NOW));
    let time = clock.clone();
    let oauth = OAuth::new(SERVER_NAME, move || time.load(Ordering::Relaxed)).key("north", SHARED);
    let mut config = config(Everyone);
    config.oauth = Some(Arc::new(oauth));
    (config, clock)
}

/// A token as an authorization server seals it: nonce and sealed content.
fn token(mac_key: &[u8], made: u64, lifetime: u32) -> ([u8; 12], Vec<u8>) {
    let mut content = u16::try_from(mac_key.len()).expect("a short key").to_be_bytes().to_vec();
    content.extend_from_slice(mac_key);
    content.extend_from_slice(&(made << 16).to_be_bytes());
    content.extend_from_slice(&lifetime.to_be_bytes());
    let nonce = [3; 12];
    let unique = Unique::<Aes256Gcm>::from(nonce);
    let tag = Aes256Gcm::new(&SHARED.into())
        .encrypt_inout_detached(&unique, SERVER_NAME.as_bytes(), content.as_mut_slice().into())
        .expect("it can be sealed");
    content.extend_from_slice(&tag);
    (nonce, content)
}

/// Who shows a token, and signs with what is in it.
struct Holder {
    user: User,
    identifier: &'static str,
    key: Key,
    token: ([u8; 12], Vec<u8>),
}

impl Holder {
    fn new(world: &mut World, made: u64, lifetime: u32) -> Self {
        let mut user = User::new(client(1));
        user.challenge(world);
        Self { user, identifier: "north", key: Key::new(&MAC_KEY), token: token(&MAC_KEY, made, lifetime) }
    }

    /// A request with the token, or without.
    fn ask(
        &self,
        world: &mut World,
        method: Method,
        shown: bool,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Answer {
        self.request(world, method, shown, build).expect("an answer")
    }

    fn request(
        &self,
        world: &mut World,
        method: Method,
        shown: bool,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Option<Answer> {
        let (nonce, sealed) = &self.token;
        let token = AccessToken::new(nonce, sealed).expect("a short token");
        self.user.request(world, method, |message| {
            build(message)
                .attribute(&Username::new(self.identifier).expect("a name"))
                .attribute(&Nonce::new(&self.user.nonce).expect("a nonce"))
                .maybe(shown.then_some(token).as_ref())
                .integrity(&self.key)
        })
    }

    fn allocate(&self, world: &mut World) -> Answer {
        self.ask(world, Method::ALLOCATE, true, |message| {
            message.attribute(&RequestedTransport::UDP).attribute(&Lifetime(3_600))
        })
    }
}

/// A world that opens tokens, and who holds one that is good for ten minutes.
fn holder() -> (World, Holder, Arc<AtomicU64>) {
    let (config, clock) = with_tokens();
    let mut world = World::new(config);
    let holder = Holder::new(&mut world, NOW, 600);
    (world, holder, clock)
}

#[test]
fn oau_02_a_challenge_names_the_server_for_which_tokens_are_made() {
    let mut world = World::new(with_tokens().0);

    let challenge = User::new(client(1)).challenge(&mut world);

    assert_eq!(challenge.code(), 401);
    assert!(challenge.has(AttributeType::NONCE));
    assert_eq!(challenge.get::<ThirdPartyAuthorization<'_>>().as_str(), SERVER_NAME);
}

#[test]
fn oau_03_a_good_token_is_enough_and_its_key_signs_the_answer() {
    let (mut world, holder, _) = holder();

    let answer = holder.allocate(&mut world);

    assert_eq!(answer.code(), 0);
    assert!(answer.message().authenticate(&holder.key).is_ok());
}

#[test]
fn oau_04_where_no_tokens_are_taken_theirs_is_an_unknown_attribute() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let (nonce, sealed) = token(&MAC_KEY, NOW, 600);
    let token = AccessToken::new(&nonce, &sealed).unwrap();

    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&token));

    assert_eq!(answer.code(), 420);
    let unknown: Vec<_> = answer.get::<UnknownAttributes<'_>>().iter().collect();
    assert_eq!(unknown, [AttributeType::ACCESS_TOKEN]);
}

#[test]
fn oau_05_06_and_09_what_does_not_open_or_does_not_sign_is_a_401() {
    let (mut world, good, _) = holder();
    let mut changed = token(&MAC_KEY, NOW, 600);
    *changed.1.last_mut().unwrap() ^= 1;
    let (of, key) = (|| good.user.clone(), || Key::new(&MAC_KEY));

    for (what, holder) in [
        (
            "another identifier",
            Holder { user: of(), identifier: "south", key: key(), token: good.token.clone() },
        ),
        ("a changed token", Holder { user: of(), identifier: "north", key: key(), token: changed }),
        (
            "another key",
            Holder { user: of(), identifier: "north", key: Key::new(b"other"), token: good.token.clone() },
        ),
        (
            "no token at all",
            Holder { user: of(), identifier: "north", key: key(), token: ([0; 12], Vec::new()) },
        ),
    ] {
        assert_eq!(holder.allocate(&mut world).code(), 401, "{what}");
    }
}

#[test]
fn oau_07_and_08_a_token_is_good_for_its_time_and_five_seconds_either_way() {
    for (made, lifetime, code) in [
        (NOW - 604, 600, 0),
        (NOW - 605, 600, 401),
        (NOW + 604, 600, 0),
        (NOW + 605, 600, 401),
        (NOW, 0, 0),
        (NOW - 5, 0, 401),
    ] {
        let mut world = World::new(with_tokens().0);
        let holder = Holder::new(&mut world, made, lifetime);

        let answer = holder.allocate(&mut world);

        assert_eq!(answer.code(), code, "made {made}, for {lifetime}");
    }
}

#[test]
fn oau_10_an_allocation_lives_no_longer_than_its_token() {
    let (config, _) = with_tokens();
    let mut world = World::new(config);
    let holder = Holder::new(&mut world, NOW - 100, 900);

    let answer = holder.allocate(&mut world);

    assert_eq!(answer.get::<Lifetime>(), Lifetime(900 + 5 - 100));
}

#[test]
fn oau_11_later_requests_are_signed_with_the_tokens_key_and_show_no_token() {
    let (mut world, holder, _) = holder();
    assert_eq!(holder.allocate(&mut world).code(), 0);

    let permitted = holder.ask(&mut world, Method::CREATE_PERMISSION, false, |message| {
        message.attribute(&XorPeerAddress(peer(1)))
    });

    assert_eq!(permitted.code(), 0);
    assert!(permitted.message().authenticate(&holder.key).is_ok());
}

#[test]
fn oau_12_a_new_token_prolongs_and_its_key_takes_the_place_of_the_old() {
    let (mut world, mut holder, clock) = holder();
    assert_eq!(holder.allocate(&mut world).code(), 0);
    clock.fetch_add(500, Ordering::Relaxed);
    world.run_for(std::time::Duration::from_secs(500));
    let old = std::mem::replace(&mut holder.key, Key::new(&[6; 20]));
    holder.token = token(&[6; 20], NOW + 500, 600);

    let refreshed =
        holder.ask(&mut world, Method::REFRESH, true, |message| message.attribute(&Lifetime(600)));

    assert_eq!((refreshed.code(), refreshed.get::<Lifetime>()), (0, Lifetime(600)));
    let with_new = holder.ask(&mut world, Method::REFRESH, false, |message| message);
    holder.key = old;
    let with_old = holder.ask(&mut world, Method::REFRESH, false, |message| message);
    assert_eq!((with_new.code(), with_old.code()), (0, 401));
}

#[test]
fn oau_12_and_mob_05_a_new_token_prolongs_when_its_client_moves() {
    let (mut configured, clock) = with_tokens();
    configured.mobility = true;
    let mut world = World::new(configured);
    let mut holder = Holder::new(&mut world, NOW, 600);
    let allocated = holder.ask(&mut world, Method::ALLOCATE, true, |message| {
        message.attribute(&RequestedTransport::UDP).attribute(&MobilityTicket(&[]))
    });
    let MobilityTicket(ticket) = allocated.get();
    clock.fetch_add(500, Ordering::Relaxed);
    world.run_for(std::time::Duration::from_secs(500));
    holder.user = User::new(client(2));
    holder.user.challenge(&mut world);
    holder.token = token(&MAC_KEY, NOW + 500, 600);

    let refreshed = holder.ask(&mut world, Method::REFRESH, true, |message| {
        message.attribute(&Lifetime(600)).attribute(&MobilityTicket(ticket))
    });

    assert_eq!((refreshed.code(), refreshed.get::<Lifetime>()), (0, Lifetime(600)));
}

#[test]
fn oau_10_a_token_that_ends_while_sockets_are_bound_makes_no_allocation() {
    let (config, _) = with_tokens();
    let mut world = World::new(config);
    let holder = Holder::new(&mut world, NOW - 604, 600);
    world.held = Some(Vec::new());
    let udp = RequestedTransport::UDP;
    assert_eq!(holder.request(&mut world, Method::ALLOCATE, true, |message| message.attribute(&udp)), None);
    world.run_for(std::time::Duration::from_millis(1));

    world.bind_held();
    world.settle();

    let answer = Answer(world.take(client(1)).pop().expect("an answer").1);
    assert_eq!((answer.code(), world.sockets()), (401, 0));
}
