//! How much a user, a network or a flood may have of a server.

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    Method,
    attribute::{AdditionalAddressFamily, AddressFamily, RequestedTransport},
};
use stunner_relay::{Bandwidth, Config};

use crate::world::{
    Answer, Everyone, LISTENER, LISTENER_V6, SERVER_V6, User, World, allocated_in, client, client_v6, config,
    config_of_many, other_port, peer, peer_v6,
};

const SECOND: Duration = Duration::from_secs(1);

/// A thousand bytes a second, and two thousand at once.
const LIMIT: Bandwidth = {
    let mut limit = Bandwidth::new(1_000);
    limit.burst = 2_000;
    limit
};

const KILOBYTE: [u8; 1_000] = [7; 1_000];

/// An allocation that may reach peer 1.
fn allocate(world: &mut World, n: u8, name: &'static str) -> (User, SocketAddr) {
    let mut user = User::named(client(n), name, "pass");
    let relayed = user.allocate(world);
    assert_eq!(user.permit(world, &[peer(1)]), 0);
    (user, relayed)
}

/// How many of some packets of a thousand bytes reach the peer.
fn out(world: &mut World, user: &User, packets: usize) -> usize {
    (0..packets).for_each(|_| user.send(world, peer(1), &KILOBYTE));
    world.take(peer(1)).len()
}

/// How many of some packets of a thousand bytes come from the peer.
fn back(world: &mut World, user: &User, relayed: SocketAddr, packets: usize) -> usize {
    (0..packets).for_each(|_| world.send(peer(1), relayed, &KILOBYTE));
    user.received(world).len()
}

fn of_allocation() -> Config {
    let mut limited = config_of_many();
    limited.allocation_bandwidth = Some(LIMIT);
    limited
}

fn of_user() -> Config {
    let mut limited = config_of_many();
    limited.user_bandwidth = Some(LIMIT);
    limited
}

#[test]
fn sec_06_what_an_allocation_sends_too_much_is_dropped_and_the_allocation_stays() {
    let mut world = World::new(of_allocation());
    let (mut user, _) = allocate(&mut world, 1, "user");

    assert_eq!(out(&mut world, &user, 5), 2);

    assert_eq!(world.server.counters().dropped_for_bandwidth, 3);
    assert_eq!((user.refresh(&mut world, 600).code(), world.sockets()), (0, 1));
}

#[test]
fn sec_06_what_peers_send_too_much_is_dropped_and_the_allocation_stays() {
    let mut world = World::new(of_allocation());
    let (mut user, relayed) = allocate(&mut world, 1, "user");

    assert_eq!(back(&mut world, &user, relayed, 5), 2);

    assert_eq!(world.server.counters().dropped_for_bandwidth, 3);
    assert_eq!((user.refresh(&mut world, 600).code(), world.sockets()), (0, 1));
}

#[test]
fn sec_06_what_is_dropped_is_counted_once() {
    let mut world = World::new(of_allocation());
    let (user, relayed) = allocate(&mut world, 1, "user");

    out(&mut world, &user, 3);
    back(&mut world, &user, relayed, 3);

    let counters = world.server.counters();
    assert_eq!(counters.dropped_for_bandwidth, 2);
    assert_eq!((counters.dropped_from_clients, counters.dropped_from_peers), (0, 0));
    assert_eq!((counters.traffic.bytes_to_peers, counters.traffic.bytes_to_client), (2_000, 2_000));
}

#[test]
fn sec_06_the_rate_is_won_back_as_time_passes() {
    for config in [of_allocation(), of_user()] {
        let mut world = World::new(config);
        let (user, relayed) = allocate(&mut world, 1, "user");
        assert_eq!((out(&mut world, &user, 3), back(&mut world, &user, relayed, 3)), (2, 2));

        world.run_for(SECOND);
        assert_eq!((out(&mut world, &user, 3), back(&mut world, &user, relayed, 3)), (1, 1));
        world.run_for(10 * SECOND);
        assert_eq!((out(&mut world, &user, 3), back(&mut world, &user, relayed, 3)), (2, 2));
    }
}

#[test]
fn sec_06_one_direction_takes_nothing_from_the_other() {
    for config in [of_allocation(), of_user()] {
        let mut world = World::new(config);
        let (user, relayed) = allocate(&mut world, 1, "user");

        assert_eq!((out(&mut world, &user, 3), back(&mut world, &user, relayed, 3)), (2, 2));
    }
}

#[test]
fn sec_06_send_indications_and_channel_data_share_a_rate() {
    let mut world = World::new(of_allocation());
    let (mut user, _) = allocate(&mut world, 1, "user");
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    assert_eq!(out(&mut world, &user, 1), 1);
    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
    user.send_channel(&mut world, 0x4000, &KILOBYTE);

    assert_eq!(world.take(peer(1)), []);
}

#[test]
fn sec_06_both_families_of_an_allocation_share_a_rate() {
    let mut world = World::new(of_allocation());
    world.ports.addresses.push(SERVER_V6);
    let mut user = User::new(client(1));
    let second = AdditionalAddressFamily(AddressFamily::V6);
    assert_eq!(user.ask_to_allocate(&mut world, |message| message.attribute(&second)).code(), 0);
    assert_eq!(user.permit(&mut world, &[peer(1), peer_v6(1)]), 0);

    assert_eq!(out(&mut world, &user, 2), 2);

    assert!(!user.reaches(&mut world, peer_v6(1)));
}

#[test]
fn sec_06_each_allocation_has_a_rate_of_its_own() {
    let mut world = World::new(of_allocation());
    let (first, first_relayed) = allocate(&mut world, 1, "user");
    let (second, second_relayed) = allocate(&mut world, 2, "user");

    assert_eq!((out(&mut world, &first, 3), out(&mut world, &second, 3)), (2, 2));
    assert_eq!(back(&mut world, &first, first_relayed, 3), 2);
    assert_eq!(back(&mut world, &second, second_relayed, 3), 2);
}

#[test]
fn sec_06_all_allocations_of_a_user_share_its_rate_and_another_user_has_its_own() {
    let mut world = World::new(of_user());
    let (first, first_relayed) = allocate(&mut world, 1, "user");
    let (second, second_relayed) = allocate(&mut world, 2, "user");
    let (other, other_relayed) = allocate(&mut world, 3, "other");

    assert_eq!((out(&mut world, &first, 1), out(&mut world, &second, 3)), (1, 1));
    assert_eq!(back(&mut world, &first, first_relayed, 1), 1);
    assert_eq!(back(&mut world, &second, second_relayed, 3), 1);
    assert_eq!((out(&mut world, &other, 3), back(&mut world, &other, other_relayed, 3)), (2, 2));
}

#[test]
fn sec_06_what_nobody_permitted_takes_nothing_from_the_rate() {
    for config in [of_allocation(), of_user()] {
        let mut world = World::new(config);
        let (user, relayed) = allocate(&mut world, 1, "user");

        for _ in 0..5 {
            user.send(&mut world, peer(2), &KILOBYTE);
            world.send(peer(2), relayed, &KILOBYTE);
        }

        assert_eq!((out(&mut world, &user, 2), back(&mut world, &user, relayed, 2)), (2, 2));
    }
}

/// A server that allows a network two allocations.
fn of_network(v4: u8, v6: u8) -> World {
    let mut limited = config_of_many();
    limited.max_allocations_per_source = Some(2);
    limited.source_prefix = (v4, v6);
    World::new(limited)
}

/// The code of an Allocate from an address.
fn code(world: &mut World, from: SocketAddr) -> u16 {
    let listener = if from.is_ipv6() { LISTENER_V6 } else { LISTENER };
    let mut user = User { server: listener, ..User::new(from) };
    user.ask_to_allocate(world, |message| message).code()
}

fn v4(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().expect("an address"), 40_000)
}

#[test]
fn sec_11_a_network_in_ipv4_has_a_quota() {
    let mut world = of_network(24, 64);

    let codes = ["198.51.100.1", "198.51.100.254", "198.51.100.7", "198.51.101.1", "198.51.99.1"]
        .map(|ip| code(&mut world, v4(ip)));

    assert_eq!(codes, [0, 0, 486, 0, 0]);
}

#[test]
fn sec_11_a_network_in_ipv6_has_a_quota() {
    let mut world = of_network(24, 64);
    let elsewhere = SocketAddr::new("2001:db8:1:1::1".parse().expect("an address"), 40_000);

    let codes = [client_v6(1), client_v6(2), client_v6(3), elsewhere].map(|from| code(&mut world, from));

    assert_eq!(codes, [0, 0, 486, 0]);
}

#[test]
fn sec_11_by_default_a_network_is_an_address_in_ipv4_and_64_bits_in_ipv6() {
    let (v4, v6) = config(Everyone).source_prefix;
    let mut world = of_network(v4, v6);
    let port = |n| SocketAddr::new(client(1).ip(), n);

    assert_eq!([1, 2, 3].map(|n| code(&mut world, port(n))), [0, 0, 486]);
    assert_eq!(code(&mut world, client(2)), 0);
    assert_eq!([1, 2, 3].map(|n| code(&mut world, client_v6(n))), [0, 0, 486]);
}

#[test]
fn sec_11_a_network_of_no_bits_is_everyone_of_its_family() {
    let mut world = of_network(0, 0);

    assert_eq!(
        [v4("198.51.100.1"), v4("8.8.8.8"), v4("1.1.1.1")].map(|from| code(&mut world, from)),
        [0, 0, 486]
    );
    assert_eq!(code(&mut world, client_v6(1)), 0);
}

#[test]
fn sec_11_the_quota_of_a_network_is_given_back() {
    let mut world = of_network(24, 64);
    let mut first = User::new(client(1));
    first.allocate(&mut world);
    assert_eq!((code(&mut world, client(2)), code(&mut world, client(3))), (0, 486));

    assert_eq!(first.refresh(&mut world, 0).code(), 0);
    assert_eq!((code(&mut world, client(3)), code(&mut world, client(4))), (0, 486));
    world.run_for(Duration::from_secs(600));
    assert_eq!([5, 6, 7].map(|n| code(&mut world, client(n))), [0, 0, 486]);
}

#[test]
fn sec_11_the_quota_of_a_network_counts_every_user() {
    let mut world = of_network(24, 64);
    let names = ["alice", "bob", "carol"];

    let codes = [1, 2, 3].map(|n| {
        let mut user = User::named(client(n), names[usize::from(n) - 1], "pass");
        user.ask_to_allocate(&mut world, |message| message).code()
    });

    assert_eq!(codes, [0, 0, 486]);
}

/// The codes of two clients that ask at the same time, before either has its socket.
fn together(limit: impl FnOnce(&mut Config)) -> [u16; 2] {
    let mut limited = config(Everyone);
    limit(&mut limited);
    let mut world = World::new(limited);
    let users = [1, 2].map(|n| {
        let mut user = User::new(client(n));
        user.challenge(&mut world);
        user
    });
    world.held = Some(Vec::new());
    for user in &users {
        let bytes = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
        assert_eq!(user.exchange(&mut world, &bytes), None);
    }
    world.bind_held();
    world.settle();
    assert_eq!(world.sockets(), 1);
    users.map(|user| Answer(world.take(user.address).pop().expect("an answer").1).code())
}

#[test]
fn sec_11_limits_hold_for_those_who_wait_together() {
    assert_eq!(together(|config| config.max_allocations = 1), [0, 508]);
    let network = |config: &mut Config| {
        config.max_allocations_per_source = Some(1);
        config.source_prefix = (24, 64);
    };
    assert_eq!(together(network), [0, 486]);
}

/// How many of so many requests without credentials are answered, from one address after the other.
fn challenges(world: &mut World, from: &[SocketAddr], requests: usize) -> usize {
    let ask = |from: &SocketAddr| {
        let server = if from.is_ipv6() { LISTENER_V6 } else { LISTENER };
        let user = User { server, ..User::new(*from) };
        let answer = user.request(world, Method::ALLOCATE, |message| message);
        usize::from(answer.is_some_and(|answer| answer.code() == 401))
    };
    from.iter().cycle().take(requests).map(ask).sum()
}

fn of_challenges() -> World {
    let mut limited = config(Everyone);
    limited.max_challenges = 10;
    World::new(limited)
}

#[test]
fn sec_08_an_address_gets_so_many_challenges_a_second() {
    let mut world = of_challenges();

    assert_eq!(challenges(&mut world, &[client(1), other_port(client(1))], 25), 10);
    assert_eq!(world.server.counters().dropped_from_clients, 15);
    assert_eq!(challenges(&mut world, &[client(2)], 25), 10);

    world.run_for(SECOND);
    assert_eq!(challenges(&mut world, &[client(1)], 25), 10);
}

#[test]
fn sec_08_a_network_of_64_bits_gets_the_challenges_of_one_address() {
    let mut world = of_challenges();
    let network: Vec<_> = (1..=25).map(client_v6).collect();

    assert_eq!(challenges(&mut world, &network, 25), 10);
}

#[test]
fn sec_08_who_has_a_connection_has_shown_its_address() {
    let mut world = of_challenges();
    world.connect(client(1));

    assert_eq!(challenges(&mut world, &[client(1)], 25), 25);
}

#[test]
fn sec_08_stale_nonces_are_challenges_too() {
    let mut world = of_challenges();
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    user.nonce = "stale".to_owned();
    let bytes = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    let answered = (0..25).filter(|_| user.exchange(&mut world, &bytes).is_some()).count();

    assert_eq!(answered, 9);
}

#[test]
fn sec_08_a_flood_in_its_name_does_not_end_what_a_client_has() {
    let mut limited = config(Everyone);
    limited.max_challenges = 10;
    let (mut world, mut user, _) = allocated_in(limited);
    challenges(&mut world, &[other_port(client(1))], 100);

    assert_eq!((user.refresh(&mut world, 600).code(), user.permit(&mut world, &[peer(1)])), (0, 0));
    assert!(user.reaches(&mut world, peer(1)));
    assert!(user.request(&mut world, Method::BINDING, |message| message).is_some());
}
