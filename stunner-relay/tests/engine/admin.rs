//! What whoever runs a server may do while it runs: list, end, drain and resume.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use stunner_proto::{
    Attribute, AttributeType, Method,
    attribute::{
        AdditionalAddressFamily, AddressFamily, AlternateDomain, AlternateServer, RequestedTransport,
    },
};
use stunner_relay::{Algorithm, AllocationInfo, Closed, Event, Server, Traffic, Transport};

use crate::world::{
    Answer, Everyone, LISTENER, LISTENER_V6, SERVER_V6, User, World, allocated, client, client_v6, config,
    config_of_many, peer,
};

/// A world in which clients 1 to `n` have an allocation each.
fn crowded(n: u8) -> (World, Vec<User>) {
    let mut world = World::new(config_of_many());
    let users = (1..=n).map(|n| {
        let mut user = User::new(client(n));
        user.allocate(&mut world);
        user
    });
    let users = users.collect();
    (world, users)
}

/// A page of so many allocations, and where the next one begins.
fn page(world: &World, place: usize, len: usize) -> (usize, Vec<AllocationInfo>) {
    let page: Vec<_> = world.server.allocations(place, world.now).take(len).collect();
    let next = page.last().map_or(place, |(next, _)| *next);
    (next, page.into_iter().map(|(_, info)| info).collect())
}

/// Everything there is.
fn all(world: &World) -> Vec<AllocationInfo> {
    page(world, 0, usize::MAX).1
}

/// Where the clients of some allocations are.
fn clients(page: &[AllocationInfo]) -> Vec<SocketAddr> {
    page.iter().map(|info| info.client.tuple.client).collect()
}

#[test]
fn an_allocation_is_listed_with_all_that_there_is_to_know() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    user.send(&mut world, peer(1), b"there");
    assert!(user.hears(&mut world, peer(1), relayed));
    world.run_for(Duration::from_millis(1_500));

    let [info] = &all(&world)[..] else { panic!("one allocation") };

    assert_eq!((info.client, &*info.user), (world.client(client(1), LISTENER), "user"));
    assert_eq!((info.relayed, info.expires_in), ([Some(relayed), None], 598_500));
    let traffic =
        Traffic { packets_to_peers: 1, bytes_to_peers: 5, packets_to_client: 1, bytes_to_client: 4 };
    assert_eq!((info.traffic, Some(info.id)), (traffic, world.server.allocation_of(&info.client.tuple)));
}

#[test]
fn a_dual_allocation_is_listed_once_with_both_addresses() {
    let mut world = World::new(config(Everyone));
    world.ports.addresses.push(SERVER_V6);
    let second = AdditionalAddressFamily(AddressFamily::V6);
    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| message.attribute(&second));

    let [info] = &all(&world)[..] else { panic!("one allocation") };

    assert!(info.relayed.iter().flatten().eq(&answer.all_relayed()));
}

#[test]
fn pages_hold_every_allocation_once() {
    let (world, users) = crowded(25);
    let (mut place, mut seen) = (0, Vec::new());

    for expected in [10, 10, 5, 0, 0] {
        let (next, infos) = page(&world, place, 10);
        assert_eq!(infos.len(), expected);
        seen.extend(clients(&infos));
        place = next;
    }

    assert!(seen.into_iter().eq(users.iter().map(|user| user.address)));
}

#[test]
fn between_two_pages_nothing_comes_twice_and_what_stays_is_not_left_out() {
    let (mut world, mut users) = crowded(20);
    let (place, first) = page(&world, 0, 10);
    for n in [2, 5, 9, 12, 15] {
        assert_eq!(users[n].refresh(&mut world, 0).code(), 0);
    }
    for n in 21..=30 {
        User::new(client(n)).allocate(&mut world);
    }

    let rest = page(&world, place, usize::MAX).1;

    let seen = [clients(&first), clients(&rest)].concat();
    let once: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(seen.len(), once.len());
    let ended = [12, 15].map(|n| users[n].address);
    assert!(users.iter().all(|user| once.contains(&user.address) != ended.contains(&user.address)));
}

#[test]
fn one_allocation_can_be_ended_and_its_client_finds_out() {
    let (mut world, mut users) = crowded(3);
    let id = all(&world)[1].id;

    assert!(world.operate(|server| server.end_allocation(id)));

    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Ended, client, .. })
        if client.tuple.client == users[1].address));
    assert_eq!((world.sockets(), users[1].refresh(&mut world, 600).code()), (2, 437));
    assert_eq!(clients(&all(&world)), [client(1), client(3)]);
}

#[test]
fn what_has_ended_cannot_be_ended_and_its_successor_is_not_mistaken_for_it() {
    let (mut world, _) = crowded(1);
    let id = all(&world)[0].id;
    assert!(world.operate(|server| server.end_allocation(id)));
    User::new(client(2)).allocate(&mut world);

    assert!(!world.operate(|server| server.end_allocation(id)));

    assert_eq!(world.sockets(), 1);
}

#[test]
fn all_allocations_of_a_user_can_be_ended_and_nobody_elses() {
    let mut world = World::new(config_of_many());
    world.ports.addresses.push(SERVER_V6);
    let second = AdditionalAddressFamily(AddressFamily::V6);
    for (n, name) in [(1, "alice"), (2, "bob"), (3, "alice"), (4, "alice"), (5, "carol")] {
        let mut user = User::named(client(n), name, "pass");
        assert_eq!(user.ask_to_allocate(&mut world, |message| message.attribute(&second)).code(), 0);
    }

    let ended = ["alice", "alice", "nobody"].map(|name| world.operate(|server| server.end_user(name)));

    assert_eq!((ended, world.sockets()), ([3, 0, 0], 4));
    assert_eq!(clients(&all(&world)), [client(2), client(5)]);
    assert_eq!(world.operate(|server| server.end_user("bob")), 1);
}

#[test]
fn in_whatever_order_a_users_allocations_end_the_rest_can_be_ended() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        for ended in 0..=3 {
            let (mut world, mut users) = crowded(3);
            for &n in &order[..ended] {
                assert_eq!(users[n].refresh(&mut world, 0).code(), 0);
            }

            assert_eq!(world.operate(|server| server.end_user("user")), 3 - ended, "{order:?}");
            assert_eq!(world.sockets(), 0);
        }
    }
}

/// Other servers, one of each family.
fn alternates() -> [SocketAddr; 2] {
    ["192.0.2.99:3478", "[2001:db8::99]:3478"].map(|text| text.parse().expect("an address"))
}

/// A server that is being emptied.
fn draining(alternates: &[SocketAddr]) -> World {
    let mut world = World::new(config(Everyone));
    world.operate(|server| server.drain(alternates));
    world
}

fn allocate(world: &mut World, address: SocketAddr) -> Answer {
    let server = if address.is_ipv6() { LISTENER_V6 } else { LISTENER };
    User { server, ..User::new(address) }.ask_to_allocate(world, |message| message)
}

/// The other servers that an answer names, in its order.
fn named(answer: &Answer) -> Vec<SocketAddr> {
    let message = answer.message();
    let all = message.attributes().filter(|attribute| attribute.kind == AlternateServer::TYPE);
    let decode = |value| AlternateServer::decode(value, message.transaction_id()).expect("an address");
    all.map(|attribute| decode(attribute.value).0).collect()
}

#[test]
fn alt_01_without_credentials_nobody_is_sent_elsewhere() {
    let mut world = draining(&alternates());

    let answer = User::new(client(1))
        .request(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    let answer = answer.expect("an answer");
    assert_eq!((answer.code(), answer.has(AttributeType::ALTERNATE_SERVER)), (401, false));
    assert_eq!(
        User::named(client(1), "user", "wrong").ask_to_allocate(&mut world, |message| message).code(),
        401
    );
}

#[test]
fn alt_02_who_would_allocate_is_sent_to_a_server_of_its_own_family() {
    let [v4, v6] = alternates();

    for alternates in [[v4, v6], [v6, v4]] {
        let mut world = draining(&alternates);
        for (address, expected) in [(client(1), [v4, v6]), (client_v6(1), [v6, v4])] {
            let answer = allocate(&mut world, address);
            assert_eq!((answer.code(), named(&answer)), (300, expected.to_vec()), "{address}");
            assert!(answer.has(AttributeType::MESSAGE_INTEGRITY));
        }
    }
}

#[test]
fn alt_03_a_server_of_the_other_family_comes_second_and_of_each_family_one() {
    let [v4, v6] = alternates();
    let further = "192.0.2.98:3478".parse().expect("an address");
    let mut world = draining(&[v6, v4, further]);

    assert_eq!(named(&allocate(&mut world, client(1))), [v4, v6]);
}

#[test]
fn alt_02_where_only_the_other_family_has_a_server_that_one_is_named() {
    let [_, v6] = alternates();

    assert_eq!(named(&allocate(&mut draining(&[v6]), client(1))), [v6]);
}

#[test]
fn alt_02_a_server_may_be_set_up_to_send_clients_elsewhere() {
    let mut configured = config(Everyone);
    configured.alternates = alternates().to_vec();
    let mut world = World::new(configured);

    let answer = allocate(&mut world, client(1));

    assert_eq!((answer.code(), named(&answer)), (300, alternates().to_vec()));
}

#[test]
fn alt_04_over_tls_the_name_in_another_certificate_is_told_to_who_chose_sha_256() {
    for (stream, chosen, told) in [
        (Transport::Tls, Some(Algorithm::Sha256), true),
        (Transport::Dtls, Some(Algorithm::Sha256), true),
        (Transport::Tls, None, false),
        (Transport::Tcp, Some(Algorithm::Sha256), false),
    ] {
        let mut configured = config(Everyone);
        configured.alternate_domain = Some("turn2.example.com".to_owned());
        let mut world = World::new(configured);
        world.operate(|server| server.drain(&alternates()));
        world.stream = stream;
        world.connect(client(1));
        let mut user = User { chosen, ..User::new(client(1)) };

        let answer = user.ask_to_allocate(&mut world, |message| message);

        assert_eq!(answer.code(), 300);
        let domain = answer.message().get::<AlternateDomain<'_>>().expect("a domain or none");
        assert_eq!(
            domain.map(|domain| domain.as_str().to_owned()),
            told.then(|| "turn2.example.com".to_owned()),
            "{stream:?} {chosen:?}"
        );
    }
}

#[test]
fn a_server_that_is_drained_to_nowhere_has_no_capacity() {
    let answer = allocate(&mut draining(&[]), client(1));

    assert_eq!((answer.code(), answer.has(AttributeType::ALTERNATE_SERVER)), (508, false));
}

#[test]
fn what_is_there_goes_on_while_a_server_is_drained() {
    let (mut world, mut user, _) = allocated();
    let allocate = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
    assert_eq!(user.refresh(&mut world, 0).code(), 0);
    assert_eq!(user.exchange(&mut world, &allocate).expect("an answer").code(), 0);

    world.operate(|server| server.drain(&alternates()));

    assert_eq!(user.exchange(&mut world, &allocate).expect("an answer").code(), 0);
    assert_eq!((user.refresh(&mut world, 600).code(), user.permit(&mut world, &[peer(1)])), (0, 0));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
}

#[test]
fn who_waits_for_its_socket_while_draining_begins_is_sent_elsewhere() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    world.held = Some(Vec::new());
    let allocate = user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
    assert_eq!(user.exchange(&mut world, &allocate), None);

    world.operate(|server| server.drain(&alternates()));
    world.bind_held();
    world.settle();

    let answer = Answer(world.take(client(1)).pop().expect("an answer").1);
    assert_eq!((answer.code(), named(&answer), world.sockets()), (300, alternates().to_vec(), 0));
}

#[test]
fn other_requests_than_allocate_are_not_sent_elsewhere() {
    let mut world = draining(&alternates());
    let mut user = User::new(client(1));

    assert_eq!((user.refresh(&mut world, 600).code(), user.permit(&mut world, &[peer(1)])), (437, 437));
    assert_eq!(user.request(&mut world, Method::BINDING, |message| message).expect("an answer").code(), 0);
}

#[test]
fn a_server_that_resumes_makes_allocations_again() {
    for alternates in [&alternates()[..], &[]] {
        let mut world = draining(alternates);
        assert_ne!(allocate(&mut world, client(1)).code(), 0);

        world.operate(Server::resume);

        assert_eq!(allocate(&mut world, client(1)).code(), 0);
    }
}
