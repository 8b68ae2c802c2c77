//! Connections between clients and peers, as the engine has them (RFC 6062): names, answers and timers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use stunner_proto::{
    AttributeType, Class, MessageBuilder, Method,
    attribute::{
        AdditionalAddressFamily, AddressFamily, ConnectionId, DontFragment, EvenPort, Lifetime,
        RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
    },
};
use stunner_relay::{Config, DefaultPolicy, Event, MAX_REPLY};

use crate::world::{Answer, Everyone, SERVER_V6, User, World, client, config, config_of_many, peer, peer_v6};

fn with_connections(mut config: Config) -> Config {
    config.tcp = true;
    config.dont_fragment = true;
    config
}

fn tcp(message: MessageBuilder<'_>) -> MessageBuilder<'_> {
    message.attribute(&RequestedTransport::TCP)
}

/// Client 1 on a stream, with an allocation for connections; and its relayed transport address.
fn allocated_in(config: Config) -> (World, User, SocketAddr) {
    let mut world = World::new(with_connections(config));
    world.connect(client(1));
    let mut user = User::new(client(1));
    let answer = user.ask(&mut world, Method::ALLOCATE, tcp);
    assert_eq!(answer.code(), 0);
    let XorRelayedAddress(relayed) = answer.get();
    (world, user, relayed)
}

fn allocated() -> (World, User, SocketAddr) {
    allocated_in(config(Everyone))
}

/// Asks for a connection. Without an answer somebody is being dialled: the engine's token waits in the world.
fn dial(world: &mut World, user: &mut User, peer: SocketAddr) -> Option<Answer> {
    if user.nonce.is_empty() {
        user.challenge(world);
    }
    user.request(world, Method::CONNECT, |message| {
        user.sign(message.attribute(&XorPeerAddress(peer)), &user.key())
    })
}

/// A connection to peer 1 that waits to be bound.
fn connected(world: &mut World, user: &mut User) -> ConnectionId {
    assert!(dial(world, user, peer(1)).is_none());
    let answer = world.take_connection(true);
    assert_eq!(answer.code(), 0);
    answer.get()
}

/// A ConnectionBind on a stream of its own.
fn bind(world: &mut World, name: &'static str, from: SocketAddr, connection: ConnectionId) -> Answer {
    world.connect(from);
    let mut user = User::named(from, name, "pass");
    user.ask(world, Method::CONNECTION_BIND, |message| message.attribute(&connection))
}

fn is_over(world: &World, connection: ConnectionId) -> bool {
    world
        .events
        .iter()
        .any(|event| matches!(event, Event::Disconnected { connection: over } if *over == connection))
}

#[test]
fn tcp_01_and_06_over_a_stream_a_client_gets_an_address_for_connections_and_no_token() {
    let mut world = World::new(with_connections(config(Everyone)));
    world.connect(client(1));

    let answer = User::new(client(1)).ask(&mut world, Method::ALLOCATE, tcp);

    assert_eq!(answer.code(), 0);
    assert!(!answer.has(AttributeType::RESERVATION_TOKEN));
    assert_eq!(answer.get::<Lifetime>(), Lifetime(600));
}

#[test]
fn tcp_20_a_stream_with_an_allocation_cannot_become_a_connections_data() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);

    let answer = user.ask(&mut world, Method::CONNECTION_BIND, |message| message.attribute(&connection));

    assert_eq!((answer.code(), world.spliced.len()), (400, 0));
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 0);
}

#[test]
fn tcp_02_over_datagrams_it_does_not() {
    let mut world = World::new(with_connections(config(Everyone)));

    assert_eq!(User::new(client(1)).ask(&mut world, Method::ALLOCATE, tcp).code(), 400);
}

#[test]
fn tcp_03_what_is_for_datagrams_is_a_bad_request() {
    type Build = fn(MessageBuilder<'_>) -> MessageBuilder<'_>;
    let all: [Build; 3] = [
        |message| tcp(message).attribute(&DontFragment),
        |message| tcp(message).attribute(&EvenPort { reserve_next: false }),
        |message| tcp(message).attribute(&ReservationToken([1; 8])),
    ];
    for build in all {
        let mut world = World::new(with_connections(config(Everyone)));
        world.connect(client(1));

        assert_eq!(User::new(client(1)).ask(&mut world, Method::ALLOCATE, build).code(), 400);
    }
}

#[test]
fn tcp_04_and_05_other_transports_are_unsupported_and_datagrams_may_be_forbidden() {
    let mut none = with_connections(config(Everyone));
    none.udp = false;
    let mut world = World::new(none);
    world.connect(client(1));
    let mut user = User::new(client(1));

    let unknown =
        user.ask(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport(99)));
    let udp = user.ask(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));

    assert_eq!((unknown.code(), udp.code()), (442, 403));
}

#[test]
fn tcp_07_without_an_allocation_nobody_is_dialled() {
    let mut world = World::new(with_connections(config(Everyone)));
    world.connect(client(1));

    assert_eq!(dial(&mut world, &mut User::new(client(1)), peer(1)).unwrap().code(), 437);
}

#[test]
fn tcp_08_who_takes_the_connection_gives_it_a_name_in_a_signed_answer() {
    let (mut world, mut user, _) = allocated();
    assert!(dial(&mut world, &mut user, peer(1)).is_none());

    let answer = world.take_connection(true);

    assert_eq!(answer.code(), 0);
    assert!(answer.has(AttributeType::CONNECTION_ID));
    assert!(answer.message().authenticate(&user.key()).is_ok());
}

#[test]
fn tcp_09_who_does_not_take_it_is_a_447_and_may_be_dialled_again() {
    let (mut world, mut user, _) = allocated();
    assert!(dial(&mut world, &mut user, peer(1)).is_none());

    assert_eq!(world.take_connection(false).code(), 447);

    connected(&mut world, &mut user);
}

#[test]
fn tcp_11_and_12_there_is_one_connection_with_a_peer_at_a_time() {
    let (mut world, mut user, _) = allocated();
    assert!(dial(&mut world, &mut user, peer(1)).is_none());
    assert_eq!(dial(&mut world, &mut user, peer(1)).unwrap().code(), 446);
    let connection: ConnectionId = world.take_connection(true).get();
    assert_eq!(dial(&mut world, &mut user, peer(1)).unwrap().code(), 446);
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 0);
    assert_eq!(dial(&mut world, &mut user, peer(1)).unwrap().code(), 446);

    world.server.handle_connection_close(connection);

    assert!(dial(&mut world, &mut user, peer(1)).is_none());
}

#[test]
fn tcp_13_and_14_whom_to_dial_must_be_there_and_be_allowed() {
    let (mut world, mut user, _) = allocated_in(config(DefaultPolicy::new()));

    let nobody = user.ask(&mut world, Method::CONNECT, |message| message);
    let denied = dial(&mut world, &mut user, ([127, 0, 0, 1], 80).into()).unwrap();
    let other_family = dial(&mut world, &mut user, peer_v6(1)).unwrap();

    assert_eq!((nobody.code(), denied.code(), other_family.code()), (400, 403, 443));
}

#[test]
fn tcp_15_a_connection_that_nobody_binds_is_over_after_thirty_seconds() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);
    world.run_for(Duration::from_millis(29_999));
    assert!(!is_over(&world, connection));

    world.run_for(Duration::from_millis(1));

    assert!(is_over(&world, connection));
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 400);
}

#[test]
fn tcp_16_a_permitted_peer_that_connects_is_told_to_the_client() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    let (told, connection) = world.incoming(peer(1), relayed).expect("an indication");

    let attempt = Answer(told);
    let message = attempt.message();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
    assert_eq!(attempt.get::<XorPeerAddress>(), XorPeerAddress(peer(1)));
    assert_eq!(attempt.get::<ConnectionId>(), connection);
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 0);
}

#[test]
fn tcp_17_a_peer_that_was_not_permitted_is_closed_at_once() {
    let (mut world, _, relayed) = allocated();

    assert!(world.incoming(peer(1), relayed).is_none());
}

#[test]
fn tcp_17_and_sec_04_a_peer_that_another_policy_denies_is_closed_at_once() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    let denying = with_connections(config(DefaultPolicy::new()));

    world.operate(|server| server.reconfigure(Arc::new(denying)));

    assert!(world.incoming(peer(1), relayed).is_none());
}

#[test]
fn tcp_18_29_and_31_a_connection_is_bound_on_a_stream_without_an_allocation_and_the_answer_is_signed() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);

    let answer = bind(&mut world, "user", client(2), connection);

    assert_eq!(answer.code(), 0);
    assert!(answer.message().authenticate(&user.key()).is_ok());
    assert_eq!(world.spliced, [(client(2), connection)]);
}

#[test]
fn tcp_19_over_datagrams_nothing_is_bound() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);

    let mut other = User::new(client(2));
    let answer = other.ask(&mut world, Method::CONNECTION_BIND, |message| message.attribute(&connection));

    assert_eq!(answer.code(), 400);
}

#[test]
fn tcp_20_a_name_must_be_there_be_known_and_be_new() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);
    world.connect(client(3));
    let unnamed = User::new(client(3)).ask(&mut world, Method::CONNECTION_BIND, |message| message);
    assert_eq!(unnamed.code(), 400);
    let unknown = ConnectionId(connection.0.wrapping_add(1));
    assert_eq!(bind(&mut world, "user", client(4), unknown).code(), 400);
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 0);

    assert_eq!(bind(&mut world, "user", client(5), connection).code(), 400);
}

#[test]
fn tcp_21_another_user_binds_nothing() {
    let (mut world, mut user, _) = allocated_in(config_of_many());
    let connection = connected(&mut world, &mut user);

    assert_eq!(bind(&mut world, "other", client(2), connection).code(), 441);
    assert_eq!(bind(&mut world, "user", client(3), connection).code(), 0);
}

#[test]
fn tcp_25_connections_end_with_their_allocation() {
    let (mut world, mut user, _) = allocated();
    let connection = connected(&mut world, &mut user);
    assert_eq!(bind(&mut world, "user", client(2), connection).code(), 0);

    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    assert!(is_over(&world, connection));
    assert_eq!(world.sockets(), 0);
}

#[test]
fn a_connection_that_comes_up_after_its_allocation_has_ended_is_closed() {
    let (mut world, mut user, _) = allocated();
    assert!(dial(&mut world, &mut user, peer(1)).is_none());
    assert_eq!(user.refresh(&mut world, 0).code(), 0);
    let request = world.dials.pop().expect("a token");

    assert_eq!(world.server.connected(request, world.now, &mut [0; MAX_REPLY]), 0);
}

#[test]
fn tcp_30_nothing_else_goes_over_an_allocation_for_connections() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 403);
    assert!(!user.reaches(&mut world, peer(1)));
    world.send(peer(1), relayed, b"a datagram");
    assert!(user.received(&mut world).is_empty());
}

#[test]
fn tcp_30_and_no_connection_goes_over_an_allocation_for_datagrams() {
    let mut world = World::new(with_connections(config(Everyone)));
    world.connect(client(1));
    let mut user = User::new(client(1));
    user.allocate(&mut world);

    assert_eq!(dial(&mut world, &mut user, peer(1)).unwrap().code(), 403);
}

#[test]
fn connections_of_one_allocation_are_limited() {
    let mut few = config(Everyone);
    few.max_connections = 2;
    let (mut world, mut user, _) = allocated_in(few);
    for n in 1..=2 {
        assert!(dial(&mut world, &mut user, peer(n)).is_none());
    }

    assert_eq!(dial(&mut world, &mut user, peer(3)).unwrap().code(), 508);
}

#[test]
fn where_connections_are_not_relayed_they_are_unsupported() {
    let mut world = World::new(config(Everyone));
    world.connect(client(1));
    let mut user = User::new(client(1));

    assert_eq!(user.ask(&mut world, Method::ALLOCATE, tcp).code(), 442);
    assert!(user.request(&mut world, Method::CONNECT, |message| message).is_none());
}

#[test]
fn tcp_25_and_ref_07_connections_end_with_the_family_of_their_peer() {
    let mut world = World::new(with_connections(config(Everyone)));
    world.ports.addresses.push(SERVER_V6);
    world.connect(client(1));
    let mut user = User::new(client(1));
    let both = AdditionalAddressFamily(AddressFamily::V6);
    assert_eq!(user.ask(&mut world, Method::ALLOCATE, |message| tcp(message).attribute(&both)).code(), 0);
    let connections = [peer(1), peer_v6(1)].map(|peer| {
        assert!(dial(&mut world, &mut user, peer).is_none());
        let answer = world.take_connection(true);
        answer.get::<ConnectionId>()
    });

    let answer = user.ask(&mut world, Method::REFRESH, |message| {
        message.attribute(&RequestedAddressFamily(AddressFamily::V6)).attribute(&Lifetime(0))
    });

    assert_eq!(answer.code(), 0);
    assert_eq!(connections.map(|connection| is_over(&world, connection)), [false, true]);
}

#[test]
fn tcp_15_many_that_nobody_binds_are_ended_256_at_a_time() {
    let mut many = config(Everyone);
    many.max_connections = 300;
    let (mut world, mut user, relayed) = allocated_in(many);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    for port in 10_000..10_300 {
        assert!(world.incoming(SocketAddr::new(peer(1).ip(), port), relayed).is_some());
    }
    let late = world.now + Duration::from_secs(30);
    let mut ended = || {
        world.operate(|server| server.handle_timeout(late));
        std::mem::take(&mut world.events).len()
    };

    // The first event is that of the allocation.
    assert_eq!([ended(), ended()], [257, 44]);
}
