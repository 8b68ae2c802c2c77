//! Users of an engine whose credentials change.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use stunner_auth::Credentials;
use stunner_relay::{
    Client, Config, FiveTuple, ListenerId, MAX_REPLY, Output, Refusal, RelayOnly, Server, Transport,
    client::{self, Event, MAX_REQUEST},
};

use super::*;

#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl TimeSource for Clock {
    fn unix_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A server, its users and the time.
struct World {
    users: Users<Clock>,
    clock: Clock,
    server: Server,
    now: Instant,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a world begins at some instant")]
    fn new(auth: &Auth) -> Self {
        let clock = Clock(Arc::new(AtomicU64::new(1_000)));
        let users = Users::new(auth, None, clock.clone());
        let config = Config::new("realm", users.clone(), RelayOnly::new());
        let now = Instant::now();
        Self { users, clock, server: Server::new(Arc::new(config), [7; 32], now), now }
    }

    fn pass(&mut self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
        self.now += Duration::from_secs(seconds);
    }

    /// What is given out at this moment, to last so long.
    fn issue(&self, auth: &Auth, lifetime: u64) -> Credentials {
        auth.credentials(Some("alice"), self.clock.unix_seconds(), lifetime).expect("credentials")
    }

    /// Whether these credentials are good. The engine asks for a socket then, and gets none.
    fn admits(&mut self, credentials: &Credentials) -> bool {
        let (local, server) = (SocketAddr::from(([198, 51, 100, 1], 4000)), ([192, 0, 2, 1], 3478).into());
        let config = client::Config::new(&credentials.username, credentials.password.expose());
        let mut user = client::Client::new(config, local, server, [8; 32], self.now).expect("they fit");
        let tuple = FiveTuple { client: local, server, transport: Transport::Udp };
        let from = Client { tuple, listener: ListenerId(0), link: 0 };
        let (mut request, mut reply) = ([0; MAX_REQUEST], [0; MAX_REPLY]);
        while let Some(sent) = user.poll_transmit(self.now, &mut request) {
            let len = match self.server.handle_client(&request[..sent.len], from, self.now, &mut reply) {
                Output::Reply(len) => len,
                Output::Allocate(request) => {
                    self.server.reject(request, Refusal::InsufficientCapacity, self.now, &mut reply)
                }
                other => panic!("{other:?}"),
            };
            user.handle_input(&reply[..len], server, self.now);
        }
        match user.poll_event() {
            Some(Event::Refused { why, .. }) => why.code() == Some(508),
            other => panic!("{other:?}"),
        }
    }
}

fn fixed(password: &str) -> Auth {
    let kind = AuthKind::Static { username: "user".to_owned(), password: password.into() };
    Auth { realm: "realm".to_owned(), kind }
}

fn limited(secret: &str) -> Auth {
    let kind = AuthKind::TimeLimited { secret: secret.into(), algorithm: Default::default() };
    Auth { realm: "realm".to_owned(), kind }
}

#[test]
fn an_old_password_is_good_until_the_overlap_is_over() {
    let mut world = World::new(&fixed("old"));
    let (old, new) = (world.issue(&fixed("old"), 0), world.issue(&fixed("new"), 0));
    assert!(world.admits(&old) && !world.admits(&new));

    world.users.change(&fixed("new"), None, 3_600);
    assert!(world.admits(&old) && world.admits(&new));
    world.pass(3_600);
    assert!(world.admits(&old) && world.admits(&new));
    world.pass(1);

    assert!(!world.admits(&old) && world.admits(&new));
}

#[test]
fn a_change_without_overlap_reaches_users_that_the_server_remembers_within_a_minute() {
    let mut world = World::new(&fixed("old"));
    let old = world.issue(&fixed("old"), 0);
    assert!(world.admits(&old));

    world.users.change(&fixed("new"), None, 0);
    world.pass(61);

    assert!(!world.admits(&old));
}

#[test]
fn what_an_old_secret_made_is_good_while_it_lasts_and_no_more_can_be_made() {
    let mut world = World::new(&limited("old"));
    let made = world.issue(&limited("old"), 600);
    world.pass(10);

    world.users.change(&limited("new"), None, 600);

    let (forged, new) = (world.issue(&limited("old"), 86_400), world.issue(&limited("new"), 86_400));
    assert!(world.admits(&made) && world.admits(&new) && !world.admits(&forged));
    world.pass(591);
    assert!(!world.admits(&made) && world.admits(&new));
}

#[test]
fn three_generations_are_good_side_by_side() {
    let mut world = World::new(&limited("first"));
    let made: Vec<_> = ["first", "second", "third"].map(|secret| world.issue(&limited(secret), 60)).into();

    world.users.change(&limited("second"), None, 60);
    world.users.change(&limited("third"), None, 60);

    assert!(made.iter().all(|credentials| world.admits(credentials)));
}

#[test]
fn what_comes_back_is_in_use_again() {
    let mut world = World::new(&fixed("old"));
    world.users.change(&fixed("new"), None, 60);
    world.users.change(&fixed("old"), None, 60);
    world.pass(120);

    let (old, new) = (world.issue(&fixed("old"), 0), world.issue(&fixed("new"), 0));

    assert!(world.admits(&old) && !world.admits(&new));
}

#[test]
fn what_is_named_as_previous_is_good_without_end_and_what_is_no_longer_named_ends() {
    let mut world = World::new(&limited("new"));
    world.users.change(&limited("new"), Some(&limited("old")), 60);
    world.pass(3_600);
    let old = world.issue(&limited("old"), 86_400);
    assert!(world.admits(&old));

    world.users.change(&limited("new"), None, 60);
    world.pass(61);

    let new = world.issue(&limited("new"), 86_400);
    assert!(!world.admits(&old) && world.admits(&new));
}
