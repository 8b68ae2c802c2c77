//! Keys that the server keeps, credentials that end, and a server that answers nothing but Binding.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stunner_proto::{
    Key, Method,
    attribute::{Lifetime, MobilityTicket, RequestedTransport},
};
use stunner_relay::{Algorithm, Authenticator, Credential, Identity, SharedSecret};

use crate::world::{Everyone, User, Users, World, allocated_in, client, config, peer};

const MINUTE: Duration = Duration::from_secs(60);

/// Alice's key may be kept for so long.
fn kept_for(lifetime: Duration) -> (World, Arc<Users>) {
    let users = Users::new(&[("alice", "sesame")], lifetime);
    let mut configured = config(Everyone);
    configured.authenticator = users.clone();
    (World::new(configured), users)
}

/// The code of an Allocate by Alice, or whoever says so, from another address each time.
fn allocate(world: &mut World, n: u8, password: &'static str) -> u16 {
    User::named(client(n), "alice", password).ask_to_allocate(world, |message| message).code()
}

#[test]
fn a_key_that_may_be_kept_is_not_asked_for_again_until_its_time_is_over() {
    let (mut world, users) = kept_for(MINUTE);

    assert_eq!((allocate(&mut world, 1, "sesame"), users.asked()), (0, 1));
    world.run_for(MINUTE - Duration::from_millis(1));
    assert_eq!((allocate(&mut world, 2, "sesame"), users.asked()), (0, 1));
    world.run_for(Duration::from_millis(1));
    assert_eq!((allocate(&mut world, 3, "sesame"), users.asked()), (0, 2));
}

#[test]
fn a_key_that_may_not_be_kept_is_asked_for_by_every_allocation() {
    let (mut world, users) = kept_for(Duration::ZERO);

    for n in 1..=3 {
        assert_eq!((allocate(&mut world, n, "sesame"), users.asked()), (0, n.into()));
    }
}

#[test]
fn requests_of_an_allocation_are_checked_with_its_own_key_and_nobody_is_asked() {
    let (mut world, users) = kept_for(Duration::ZERO);
    let mut user = User::named(client(1), "alice", "sesame");
    user.allocate(&mut world);
    users.set("alice", &[]);

    assert_eq!((user.refresh(&mut world, 600).code(), user.permit(&mut world, &[peer(1)])), (0, 0));
    assert_eq!((user.bind(&mut world, 0x4000, peer(1)), users.asked()), (0, 1));
}

#[test]
fn each_algorithm_and_each_kind_of_name_has_a_key_of_its_own() {
    let (mut world, users) = kept_for(MINUTE);
    let kinds =
        [None, Some(Algorithm::Sha256)].map(|chosen| [false, true].map(|anonymous| (chosen, anonymous)));

    for (n, (chosen, anonymous)) in (1..).zip(kinds.into_iter().flatten().cycle().take(8)) {
        let mut user = User { chosen, anonymous, ..User::named(client(n), "alice", "sesame") };
        user.allocate(&mut world);
        assert_eq!(users.asked(), u32::from(n.min(4)), "{chosen:?} {anonymous}");
    }
}

#[test]
fn a_key_that_is_kept_does_not_lock_out_another_password() {
    let (mut world, users) = kept_for(MINUTE);
    assert_eq!(allocate(&mut world, 1, "sesame"), 0);

    users.set("alice", &["sesame", "new"]);
    assert_eq!((allocate(&mut world, 2, "new"), allocate(&mut world, 3, "sesame")), (0, 0));

    users.set("alice", &["new"]);
    assert_eq!((allocate(&mut world, 4, "new"), allocate(&mut world, 5, "sesame")), (0, 401));
}

#[test]
fn an_allocation_does_not_lock_out_another_password_of_its_user() {
    let (mut world, users) = kept_for(MINUTE);
    let mut user = User::named(client(1), "alice", "sesame");
    user.allocate(&mut world);
    users.set("alice", &["new"]);
    user.password = "new";

    assert_eq!(user.refresh(&mut world, 600).code(), 0);
}

#[test]
fn a_password_that_is_no_longer_one_is_good_no_longer_than_its_key_is_kept() {
    let (mut world, users) = kept_for(MINUTE);
    assert_eq!(allocate(&mut world, 1, "sesame"), 0);
    users.set("alice", &["new"]);

    assert_eq!(allocate(&mut world, 2, "sesame"), 0);
    world.run_for(MINUTE);
    assert_eq!(allocate(&mut world, 3, "sesame"), 401);
}

#[test]
fn a_wrong_password_leaves_no_key() {
    let (mut world, users) = kept_for(MINUTE);

    assert_eq!((allocate(&mut world, 1, "wrong"), allocate(&mut world, 2, "wrong")), (401, 401));
    assert_eq!((allocate(&mut world, 3, "sesame"), users.asked()), (0, 3));
}

#[test]
fn lts_17_a_name_that_becomes_somebodys_is_known_at_once() {
    let (mut world, users) = kept_for(MINUTE);
    users.set("alice", &[]);

    assert_eq!(allocate(&mut world, 1, "sesame"), 401);
    users.set("alice", &["sesame"]);
    assert_eq!(allocate(&mut world, 1, "sesame"), 0);
}

/// An allocation whose credential ends a minute from now, and the time of day.
fn temporary(outlives: bool) -> (World, User, Arc<AtomicU64>) {
    const NAME: &str = "1700000060:alice";
    let clock = Arc::new(AtomicU64::new(1_700_000_000));
    let time = clock.clone();
    let mut configured = config(Everyone);
    configured.authenticator = Arc::new(SharedSecret::new("secret", move || time.load(Ordering::Relaxed)));
    configured.sessions_outlive_credentials = outlives;
    configured.mobility = true;
    let mut world = World::new(configured);
    let password = stunner_auth::password(NAME, &"secret".into()).expose().to_owned().leak();
    let mut user = User::named(client(1), NAME, password);
    user.allocate(&mut world);
    (world, user, clock)
}

/// Time passes, in the world and by the clock on the wall.
fn pass(world: &mut World, clock: &AtomicU64, seconds: u64) {
    world.run_for(Duration::from_secs(seconds));
    clock.fetch_add(seconds, Ordering::Relaxed);
}

/// The codes of Refresh, CreatePermission and ChannelBind.
fn codes(world: &mut World, user: &mut User) -> [u16; 3] {
    let refreshed = user.refresh(world, 600).code();
    [refreshed, user.permit(world, &[peer(1)]), user.bind(world, 0x4000, peer(1))]
}

#[test]
fn rst_07_an_allocation_may_outlive_its_credential() {
    let (mut world, mut user, clock) = temporary(true);

    for _ in 0..10 {
        pass(&mut world, &clock, 300);
        assert_eq!(codes(&mut world, &mut user), [0; 3]);
    }
}

#[test]
fn rst_07_an_allocation_ends_with_its_credential_where_the_server_is_told_so() {
    let (mut world, mut user, clock) = temporary(false);

    pass(&mut world, &clock, 59);
    assert_eq!(codes(&mut world, &mut user), [0; 3]);
    pass(&mut world, &clock, 2);
    assert_eq!(codes(&mut world, &mut user), [401; 3]);
}

#[test]
fn rst_07_and_mob_05_an_allocation_that_may_outlive_its_credential_may_follow_its_client_then() {
    for (outlives, code) in [(true, 0), (false, 401)] {
        let (mut world, user, clock) = temporary(outlives);
        let at = |n| User { address: client(n), nonce: String::new(), ..user.clone() };
        let answer = at(2).ask_to_allocate(&mut world, |message| message.attribute(&MobilityTicket(&[])));
        let MobilityTicket(ticket) = answer.get();
        pass(&mut world, &clock, 61);

        let moved =
            at(3).ask(&mut world, Method::REFRESH, |message| message.attribute(&MobilityTicket(ticket)));

        assert_eq!(moved.code(), code, "{outlives}");
    }
}

#[test]
fn rst_02_a_credential_that_has_ended_makes_no_further_allocation() {
    for outlives in [false, true] {
        let (mut world, user, clock) = temporary(outlives);
        pass(&mut world, &clock, 61);
        let mut second = User { address: client(2), nonce: String::new(), ..user };

        assert_eq!(second.ask_to_allocate(&mut world, |message| message).code(), 401, "{outlives}");
    }
}

/// A store without passwords: what was derived from one, by each algorithm.
struct Stored([Key; 2]);

impl Authenticator for Stored {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let [md5, sha256] = &self.0;
        let key = if who.algorithm == Algorithm::Md5 { md5 } else { sha256 };
        try_key(Credential::new(key.clone(), "user"));
    }
}

#[test]
fn key_11_derived_keys_are_all_that_a_store_must_hold() {
    let [md5, sha256] =
        [Key::long_term, Key::long_term_sha256].map(|make| make("user", "example.com", "pass"));
    let mut configured = config(Everyone);
    configured.authenticator = Arc::new(Stored([md5, sha256]));
    let mut world = World::new(configured);

    for (n, chosen) in [(1, None), (2, Some(Algorithm::Md5)), (3, Some(Algorithm::Sha256))] {
        let mut user = User { chosen, ..User::new(client(n)) };
        assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 0, "{chosen:?}");
        assert_eq!(user.refresh(&mut world, 600).code(), 0, "{chosen:?}");
    }
}

#[test]
fn rst_03_a_name_without_a_time_is_nobodys() {
    let (mut world, user, _) = temporary(true);

    for name in ["alice", "alice:bob", "17000000x0:alice", ""] {
        let password = stunner_auth::password(name, &"secret".into()).expose().to_owned().leak();
        let mut other = User { name, password, address: client(2), nonce: String::new(), ..user.clone() };
        assert_eq!(other.ask_to_allocate(&mut world, |message| message).code(), 401, "{name}");
    }
}

#[test]
fn rst_08_a_quota_counts_the_user_whatever_the_time_in_its_name() {
    let mut limited = config(Everyone);
    limited.authenticator = Arc::new(SharedSecret::new("secret", || 1_700_000_000));
    limited.max_allocations_per_user = Some(2);
    let mut world = World::new(limited);
    let mut allocate = |n, name: &'static str| {
        let password = stunner_auth::password(name, &"secret".into()).expose().to_owned().leak();
        User::named(client(n), name, password).ask_to_allocate(&mut world, |message| message).code()
    };

    assert_eq!((allocate(1, "1700000060:alice"), allocate(2, "1700000070:alice")), (0, 0));
    assert_eq!((allocate(3, "1700000080:alice"), allocate(4, "1700000080:bob")), (486, 0));
}

#[test]
fn sec_11_a_quota_counts_whoever_gives_its_name_or_its_hash() {
    let mut limited = config(Everyone);
    limited.max_allocations_per_user = Some(2);
    let (mut world, ..) = allocated_in(limited);
    let mut by_hash = |n| {
        let mut user = User { anonymous: true, ..User::new(client(n)) };
        user.ask_to_allocate(&mut world, |message| message).code()
    };

    assert_eq!((by_hash(2), by_hash(3)), (0, 486));
}

#[test]
fn a_server_for_stun_only_answers_binding_and_nothing_else() {
    let mut configured = config(Everyone);
    configured.stun_only = true;
    let mut world = World::new(configured);
    let user = User::new(client(1));
    let mut answered = |method| {
        let answer = user.request(&mut world, method, |message| {
            message.attribute(&RequestedTransport::UDP).attribute(&Lifetime(600))
        });
        answer.map(|answer| answer.code())
    };

    assert_eq!(answered(Method::BINDING), Some(0));
    for method in [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        assert_eq!(answered(method), None, "{method}");
    }
}
