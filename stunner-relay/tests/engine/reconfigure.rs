//! Another configuration for a server that has allocations already.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stunner_proto::{
    AttributeType, Method,
    attribute::{Lifetime, MobilityTicket, Realm, RequestedTransport},
};
use stunner_relay::{Algorithm, Client, Config, PeerPolicy, Verdict};

use crate::world::{
    Answer, Everyone, Received, User, Users, World, allocated_in, client, config, other_port, peer,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Permits all but one.
struct AllBut(IpAddr);

impl PeerPolicy for AllBut {
    fn judge(&self, peer: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::from(peer != self.0)
    }
}

/// Permits all ports but one, and asks for each packet.
struct AllButPort(u16);

impl PeerPolicy for AllButPort {
    fn judge(&self, _: IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        port.map_or(Verdict::AskPort, |port| Verdict::from(port != self.0))
    }
}

/// An allocation that has permitted peers 1 and 2, and may be given another configuration.
struct Live {
    world: World,
    user: User,
    relayed: SocketAddr,
    config: Config,
}

impl Live {
    fn new() -> Self {
        Self::with(config(Everyone))
    }

    fn with(config: Config) -> Self {
        let (mut world, mut user, relayed) = allocated_in(config.clone());
        assert_eq!(user.permit(&mut world, &[peer(1), peer(2)]), 0);
        Self { world, user, relayed, config }
    }

    fn change(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let config = Arc::new(self.config.clone());
        self.world.operate(|server| server.reconfigure(config));
    }

    fn policy(&mut self, policy: impl PeerPolicy) {
        self.change(|config| config.policy = Arc::new(policy));
    }

    /// Whether peers 1 and 2 are reached by Send indications.
    fn reaches(&mut self) -> [bool; 2] {
        [1, 2].map(|n| self.user.reaches(&mut self.world, peer(n)))
    }

    /// Whether peers 1 and 2 are heard.
    fn hears(&mut self) -> [bool; 2] {
        [1, 2].map(|n| self.user.hears(&mut self.world, peer(n), self.relayed))
    }
}

#[test]
fn sec_04_a_permission_that_another_policy_denies_ends_and_others_go_on() {
    let mut live = Live::new();
    assert_eq!((live.reaches(), live.hears()), ([true; 2], [true; 2]));

    live.policy(AllBut(peer(1).ip()));

    assert_eq!((live.reaches(), live.hears()), ([false, true], [false, true]));
}

#[test]
fn sec_04_a_peer_that_another_policy_denies_is_not_heard_though_nothing_is_sent_to_it() {
    let mut live = Live::new();

    live.policy(AllBut(peer(1).ip()));

    assert_eq!(live.hears(), [false, true]);
}

#[test]
fn sec_04_a_channel_that_another_policy_denies_ends_and_others_go_on() {
    let mut live = Live::new();
    for (number, n) in [(0x4000, 1), (0x4001, 2)] {
        assert_eq!(live.user.bind(&mut live.world, number, peer(n)), 0);
    }

    live.policy(AllBut(peer(1).ip()));

    let Live { world, user, relayed, .. } = &mut live;
    assert!(!user.reaches_over(world, 0x4000, peer(1)));
    assert!(user.reaches_over(world, 0x4001, peer(2)));
    assert!(!user.hears(world, peer(1), *relayed));
    world.send(peer(2), *relayed, b"back");
    assert_eq!(user.received(world), [Received::Channel(0x4001, b"back".to_vec())]);
}

#[test]
fn sec_04_where_another_policy_asks_for_the_port_it_is_asked_for_each_packet() {
    let mut live = Live::new();
    assert_eq!(live.user.bind(&mut live.world, 0x4000, peer(1)), 0);
    assert_eq!(live.user.bind(&mut live.world, 0x4001, other_port(peer(1))), 0);

    live.policy(AllButPort(peer(1).port()));

    let Live { world, user, relayed, .. } = &mut live;
    assert!(
        !user.reaches_over(world, 0x4000, peer(1)) && user.reaches_over(world, 0x4001, other_port(peer(1)))
    );
    assert!(!user.reaches(world, peer(1)) && user.reaches(world, other_port(peer(1))));
    assert!(!user.hears(world, peer(1), *relayed) && user.hears(world, other_port(peer(1)), *relayed));
}

#[test]
fn sec_04_what_was_ended_does_not_come_back_with_the_old_policy_but_can_be_permitted_again() {
    let mut live = Live::new();
    live.policy(AllBut(peer(1).ip()));
    assert_eq!(live.reaches(), [false, true]);

    live.policy(Everyone);

    assert_eq!(live.reaches(), [false, true]);
    assert_eq!(live.user.permit(&mut live.world, &[peer(1)]), 0);
    assert_eq!((live.reaches(), live.hears()), ([true; 2], [true; 2]));
}

#[test]
fn a_channel_that_was_ended_leaves_its_number_and_its_peer_free() {
    let mut live = Live::new();
    assert_eq!(live.user.bind(&mut live.world, 0x4000, peer(1)), 0);
    live.policy(AllBut(peer(1).ip()));
    assert!(!live.user.reaches_over(&mut live.world, 0x4000, peer(1)));

    assert_eq!(live.user.bind(&mut live.world, 0x4000, peer(2)), 0);
    assert!(live.user.reaches_over(&mut live.world, 0x4000, peer(2)));
}

#[test]
fn another_policy_decides_about_new_permissions_and_channels() {
    let mut live = Live::new();
    live.policy(AllBut(peer(3).ip()));

    assert_eq!(live.user.permit(&mut live.world, &[peer(3)]), 403);
    assert_eq!(live.user.bind(&mut live.world, 0x4000, peer(3)), 403);
    assert_eq!(live.user.permit(&mut live.world, &[peer(4)]), 0);
}

#[test]
fn prm_11_being_judged_again_does_not_prolong_a_permission() {
    let mut live = Live::new();
    live.world.run_for(Duration::from_secs(200));
    live.policy(AllBut(peer(3).ip()));
    assert_eq!(live.reaches(), [true; 2]);

    live.world.run_for(Duration::from_millis(99_999));
    assert_eq!((live.reaches(), live.hears()), ([true; 2], [true; 2]));
    live.world.run_for(Duration::from_millis(1));
    assert_eq!((live.reaches(), live.hears()), ([false; 2], [false; 2]));
}

/// The server has learnt that the user has another password, or is no user any more.
fn with_another_password(outlives: bool) -> Live {
    let mut first = config(Everyone);
    first.sessions_outlive_credentials = outlives;
    let mut live = Live::with(first);
    live.change(|config| config.authenticator = Users::new(&[("user", "new"), ("other", "pass")], DAY));
    live
}

/// The code of an Allocate from another address.
fn allocate(live: &mut Live, name: &'static str, password: &'static str) -> u16 {
    let mut user = User::named(client(2), name, password);
    user.ask_to_allocate(&mut live.world, |message| message).code()
}

#[test]
fn another_authenticator_decides_about_new_allocations_at_once() {
    for (name, password, code) in [("user", "pass", 401), ("user", "new", 0), ("other", "pass", 0)] {
        let mut live = with_another_password(true);

        assert_eq!(allocate(&mut live, name, password), code, "{name} {password}");
    }
}

#[test]
fn an_allocation_goes_on_with_the_credentials_that_made_it() {
    let mut live = with_another_password(true);

    assert_eq!(live.user.refresh(&mut live.world, 600).code(), 0);
    live.user.password = "new";
    assert_eq!(live.user.refresh(&mut live.world, 600).code(), 0);
}

#[test]
fn where_sessions_do_not_outlive_credentials_an_allocation_needs_the_new_ones() {
    let mut live = with_another_password(false);

    assert_eq!(live.user.refresh(&mut live.world, 600).code(), 401);
    live.user.password = "new";
    assert_eq!(live.user.refresh(&mut live.world, 600).code(), 0);
    assert_eq!(live.user.permit(&mut live.world, &[peer(3)]), 0);
    assert_eq!(live.reaches(), [true; 2]);
}

#[test]
fn a_key_that_was_kept_is_forgotten_with_its_authenticator() {
    let users = Users::new(&[("user", "pass")], DAY);
    let mut first = config(Everyone);
    first.authenticator = users.clone();
    let mut live = Live::with(first);
    assert_eq!((allocate(&mut live, "user", "pass"), users.asked()), (0, 1));

    live.change(|config| config.max_permissions = 10);

    let mut third = User::new(client(3));
    assert_eq!((third.ask_to_allocate(&mut live.world, |message| message).code(), users.asked()), (0, 2));
}

#[test]
fn mob_10_where_allocations_may_not_move_any_more_a_ticket_is_forbidden() {
    let mut mobile = config(Everyone);
    mobile.mobility = true;
    let mut live = Live::with(mobile);
    let ask = |live: &mut Live, user: &mut User, method, ticket: &[u8]| -> Answer {
        let udp = RequestedTransport::UDP;
        user.ask(&mut live.world, method, |message| {
            message.attribute(&udp).attribute(&MobilityTicket(ticket))
        })
    };
    let answer = ask(&mut live, &mut User::new(client(2)), Method::ALLOCATE, &[]);
    let MobilityTicket(ticket) = answer.get();

    live.change(|config| config.mobility = false);

    assert_eq!(ask(&mut live, &mut User::new(client(3)), Method::REFRESH, ticket).code(), 405);
}

#[test]
fn lts_03_a_nonce_that_announced_something_else_is_stale() {
    let mut live = Live::new();

    live.change(|config| config.password_algorithms = false);
    let stale = live.user.refresh(&mut live.world, 600);

    assert_eq!((stale.code(), stale.has(AttributeType::PASSWORD_ALGORITHMS)), (438, false));
    live.user.take_nonce(&stale);
    assert_eq!((live.user.refresh(&mut live.world, 600).code(), &live.user.nonce[9..13]), (0, "AAAA"));
}

#[test]
fn lts_03_once_algorithms_are_offered_they_can_be_chosen() {
    let mut without = config(Everyone);
    without.password_algorithms = false;
    let mut live = Live::with(without);

    live.change(|config| config.password_algorithms = true);

    let mut user = User { chosen: Some(Algorithm::Sha256), ..User::new(client(2)) };
    assert_eq!(user.ask_to_allocate(&mut live.world, |message| message).code(), 0);
}

#[test]
fn lts_26_another_realm_is_told_and_credentials_are_for_that() {
    let mut live = Live::new();
    live.change(|config| config.realm = "example.net".to_owned());

    let answer = live.user.refresh(&mut live.world, 600);

    assert_eq!((answer.code(), answer.get::<Realm<'_>>().as_str()), (401, "example.net"));
    live.user.take_nonce(&answer);
    assert_eq!(live.user.refresh(&mut live.world, 600).code(), 0);
}

#[test]
fn other_lifetimes_and_limits_count_from_the_next_request_on() {
    let mut live = Live::new();
    live.change(|config| {
        config.max_lifetime = Duration::from_secs(900);
        config.max_permissions = 2;
        config.max_allocations = 1;
    });

    assert_eq!(live.user.refresh(&mut live.world, 3_600).get::<Lifetime>(), Lifetime(900));
    assert_eq!(live.user.permit(&mut live.world, &[peer(3)]), 508);
    assert_eq!(allocate(&mut live, "user", "pass"), 508);
    assert_eq!((live.reaches(), live.hears()), ([true; 2], [true; 2]));
}

#[test]
fn what_was_counted_for_a_network_is_given_back_though_networks_are_counted_otherwise_now() {
    let mut live = Live::new();
    live.change(|config| {
        config.source_prefix = (24, 64);
        config.max_allocations_per_source = Some(1);
    });

    assert_eq!(live.user.refresh(&mut live.world, 0).code(), 0);
    assert_eq!(allocate(&mut live, "user", "pass"), 0);

    assert_eq!(live.user.ask_to_allocate(&mut live.world, |message| message).code(), 486);
}

/// Knows peers once it has looked for them.
struct Looking(Arc<AtomicBool>);

impl PeerPolicy for Looking {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        if self.0.load(Ordering::Relaxed) { Verdict::Allow } else { Verdict::NotYet }
    }
}

#[test]
fn a_permission_of_which_another_policy_knows_nothing_yet_goes_on_once_it_does() {
    let mut live = Live::new();
    let found = Arc::new(AtomicBool::new(false));
    live.policy(Looking(found.clone()));
    assert_eq!((live.reaches(), live.hears()), ([false; 2], [false; 2]));

    found.store(true, Ordering::Relaxed);

    assert_eq!((live.reaches(), live.hears()), ([true; 2], [true; 2]));
}

#[test]
fn a_channel_of_which_another_policy_knows_nothing_yet_goes_on_once_it_does() {
    let mut live = Live::new();
    assert_eq!(live.user.bind(&mut live.world, 0x4000, peer(1)), 0);
    let found = Arc::new(AtomicBool::new(false));
    live.policy(Looking(found.clone()));
    assert!(!live.user.reaches_over(&mut live.world, 0x4000, peer(1)));

    found.store(true, Ordering::Relaxed);

    assert!(live.user.reaches_over(&mut live.world, 0x4000, peer(1)));
}
