//! The engine's answers, clause by clause: authentication, Allocate, Refresh, CreatePermission and ChannelBind.

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    AttributeType, ChannelNumber, Class, Key, MessageBuilder, Method, TransactionId,
    attribute::{
        AddressFamily, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken,
        UnknownAttributes, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
    },
};
use stunner_relay::{Closed, DefaultPolicy, Event, RelayOnly};

use crate::old_world::{Answer, Everyone, User, World, client, config, get, message, peer, request};

fn udp(message: MessageBuilder<'_>) -> MessageBuilder<'_> {
    message.attribute(&RequestedTransport::UDP)
}

/// A world with one user who has an allocation.
fn allocated() -> (World, User, SocketAddr) {
    allocated_in(config(Everyone))
}

fn allocated_in(config: stunner_relay::Config) -> (World, User, SocketAddr) {
    let mut world = World::new(config);
    let mut user = User::new(client(1));
    let answer = user.ask(&mut world, Method::ALLOCATE, udp);
    let XorRelayedAddress(relayed) = get(&answer);
    (world, user, relayed)
}

fn permit(world: &mut World, user: &mut User, peer: SocketAddr) -> Answer {
    user.ask(world, Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(peer)))
}

fn bind(world: &mut World, user: &mut User, number: u16, peer: SocketAddr) -> Answer {
    let number = ChannelNumber::new(number).expect("a channel number");
    user.ask(world, Method::CHANNEL_BIND, |message| {
        message.attribute(&number).attribute(&XorPeerAddress(peer))
    })
}

fn refresh(world: &mut World, user: &mut User, lifetime: u32) -> Answer {
    user.ask(world, Method::REFRESH, |message| message.attribute(&Lifetime(lifetime)))
}

#[test]
fn bas_01_a_binding_request_is_answered_with_its_source() {
    let mut world = World::new(config(Everyone));
    let answer = request(&mut world, client(7), Method::BINDING, |message| message).unwrap();
    assert_eq!(get::<XorMappedAddress>(&answer), XorMappedAddress(client(7)));
}

#[test]
fn bas_03_and_04_unknown_required_attributes_are_listed() {
    struct Odd<const N: u16>;
    impl<const N: u16> stunner_proto::Attribute<'_> for Odd<N> {
        const TYPE: AttributeType = AttributeType(N);
        fn decode(_: &[u8], _: TransactionId) -> Result<Self, stunner_proto::BadAttribute> {
            Ok(Self)
        }
        fn encoded_len(&self) -> usize {
            0
        }
        fn encode(&self, _: &mut [u8], _: TransactionId) {}
    }
    let mut world = World::new(config(Everyone));
    let answer = request(&mut world, client(1), Method::BINDING, |message| {
        message.attribute(&Odd::<0x7FFF>).attribute(&Odd::<0x8123>).attribute(&Odd::<0x0031>)
    });
    let answer = answer.unwrap();

    assert_eq!(answer.code(), 420);
    let unknown: Vec<_> = get::<UnknownAttributes<'_>>(&answer).iter().collect();
    assert_eq!(unknown, [AttributeType(0x7FFF), AttributeType(0x0031)]);
}

#[test]
fn bas_07_to_11_what_is_no_request_gets_no_answer() {
    let mut world = World::new(config(Everyone));
    let id = TransactionId([1; 12]);
    for (class, method) in [
        (Class::Indication, Method::BINDING),
        (Class::Indication, Method::ALLOCATE),
        (Class::Request, Method::SEND),
        (Class::Request, Method::DATA),
        (Class::Request, Method(0x00D)),
        (Class::SuccessResponse, Method::BINDING),
        (Class::ErrorResponse, Method::ALLOCATE),
    ] {
        let listener = world.listener();
        world.send(client(1), listener, &message(class, method, id, |message| message));
        world.settle();
        assert!(world.take(client(1)).is_empty(), "{class:?} {method}");
    }
    assert_eq!(world.server.counters().dropped_from_clients, 7);
}

#[test]
fn lts_01_a_request_without_credentials_is_challenged_and_leaves_no_state() {
    let mut world = World::new(config(Everyone));
    let answer = request(&mut world, client(1), Method::ALLOCATE, udp).unwrap();

    assert_eq!(answer.code(), 401);
    let message = answer.message();
    assert!(message.contains(AttributeType::REALM) && message.contains(AttributeType::NONCE));
    assert!(!message.contains(AttributeType::MESSAGE_INTEGRITY));
    assert_eq!((world.server.counters().allocations, world.sockets()), (0, 0));
}

#[test]
fn bas_22_a_challenge_is_at_most_eight_times_as_long_as_the_shortest_request() {
    let mut world = World::new(config(Everyone));
    let answer = request(&mut world, client(1), Method::ALLOCATE, |message| message).unwrap();
    assert!(answer.0.len() <= 8 * 20, "{}", answer.0.len());
}

#[test]
fn lts_06_and_07_signed_without_username_realm_or_nonce_is_a_bad_request() {
    let mut world = World::new(config(Everyone));
    let key = Key::long_term("user", "example.com", "pass");
    let answer = request(&mut world, client(1), Method::ALLOCATE, |message| message.integrity(&key)).unwrap();
    assert_eq!(answer.code(), 400);
    assert!(!answer.message().contains(AttributeType::NONCE));
}

#[test]
fn lts_17_and_18_an_unknown_user_and_a_wrong_password_are_told_alike() {
    let mut answers = Vec::new();
    for (name, password) in [("nobody", "pass"), ("user", "wrong")] {
        let mut world = World::new(config(Everyone));
        let mut user = User { name, password, ..User::new(client(1)) };
        let answer = user.ask(&mut world, Method::ALLOCATE, udp);
        assert_eq!(answer.code(), 401);
        answers.push(answer.message().attributes().map(|attribute| attribute.kind).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn lts_21_and_24_an_old_nonce_is_stale_and_the_new_one_is_good() {
    let (mut world, mut user, _) = allocated();
    world.run_for(Duration::from_secs(550));
    assert_eq!(refresh(&mut world, &mut user, 3600).code(), 0);
    world.run_for(Duration::from_secs(3_100));

    let stale = refresh(&mut world, &mut user, 600);
    assert_eq!(stale.code(), 438);
    user.nonce = get::<stunner_proto::attribute::Nonce<'_>>(&stale).as_str().to_owned();
    assert_eq!(refresh(&mut world, &mut user, 600).code(), 0);
}

#[test]
fn lts_22_an_old_nonce_and_a_wrong_password_are_a_401() {
    let mut world = World::new(config(Everyone));
    let mut user = User { password: "wrong", ..User::new(client(1)) };
    user.challenge(&mut world);
    world.run_for(Duration::from_secs(4_000));
    assert_eq!(user.ask(&mut world, Method::ALLOCATE, udp).code(), 401);
}

#[test]
fn lts_05_a_nonce_that_was_issued_to_another_client_is_stale() {
    let mut world = World::new(config(Everyone));
    let mut first = User::new(client(1));
    first.challenge(&mut world);
    let mut second = User { address: client(2), ..first };
    assert_eq!(second.ask(&mut world, Method::ALLOCATE, udp).code(), 438);
}

#[test]
fn lts_27_and_28_answers_after_authentication_are_signed() {
    let (mut world, mut user, _) = allocated();
    let key = user.key();
    for answer in [refresh(&mut world, &mut user, 0), refresh(&mut world, &mut user, 600)] {
        assert!(answer.message().authenticate(&key).is_ok(), "{:?}", answer.message());
    }
}

#[test]
fn alc_an_allocation_is_answered_with_both_addresses_and_its_lifetime() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let answer = user.ask(&mut world, Method::ALLOCATE, udp);

    assert_eq!(get::<XorMappedAddress>(&answer), XorMappedAddress(client(1)));
    assert_eq!(get::<Lifetime>(&answer), Lifetime(600));
    assert_eq!(get::<XorRelayedAddress>(&answer).0.ip(), crate::old_world::SERVER);
    assert!(matches!(world.events[..], [Event::Opened { .. }]));
}

#[test]
fn alc_lifetimes_are_clamped_between_the_default_and_the_maximum() {
    for (asked, granted) in
        [(0, 600), (1, 600), (599, 600), (601, 601), (3600, 3600), (7200, 3600), (u32::MAX, 3600)]
    {
        let mut world = World::new(config(Everyone));
        let answer = User::new(client(1))
            .ask(&mut world, Method::ALLOCATE, |message| udp(message).attribute(&Lifetime(asked)));
        assert_eq!(get::<Lifetime>(&answer), Lifetime(granted), "{asked}");
    }
}

#[test]
fn alc_bad_allocates_are_refused_with_their_codes() {
    type Build = fn(MessageBuilder<'_>) -> MessageBuilder<'_>;
    let table: [(&str, Build, u16); 6] = [
        ("no REQUESTED-TRANSPORT", |m| m, 400),
        ("TCP", |m| m.attribute(&RequestedTransport::TCP), 442),
        ("protocol 0", |m| m.attribute(&RequestedTransport(0)), 442),
        (
            "a token and EVEN-PORT",
            |m| udp(m).attribute(&ReservationToken([1; 8])).attribute(&EvenPort { reserve_next: false }),
            400,
        ),
        (
            "a token and a family",
            |m| {
                udp(m)
                    .attribute(&ReservationToken([1; 8]))
                    .attribute(&RequestedAddressFamily(AddressFamily::V4))
            },
            400,
        ),
        (
            "both kinds of family",
            |m| {
                udp(m)
                    .attribute(&RequestedAddressFamily(AddressFamily::V4))
                    .attribute(&stunner_proto::attribute::AdditionalAddressFamily(AddressFamily::V6))
            },
            400,
        ),
    ];
    for (what, build, code) in table {
        let mut world = World::new(config(Everyone));
        assert_eq!(User::new(client(1)).ask(&mut world, Method::ALLOCATE, build).code(), code, "{what}");
        assert_eq!(world.sockets(), 0, "{what}");
    }
}

#[test]
fn alc_a_second_allocation_on_a_five_tuple_is_a_mismatch_and_a_repeated_one_is_the_same() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let key = user.key();
    let bytes =
        message(Class::Request, Method::ALLOCATE, TransactionId([9; 12]), |m| user.sign(udp(m), &key));
    let listener = world.listener();
    let ask = |world: &mut World| {
        world.send(client(1), listener, &bytes);
        world.settle();
        Answer(world.take(client(1)).pop().expect("an answer").1)
    };

    let (first, again) = (ask(&mut world), ask(&mut world));
    assert_eq!(get::<XorRelayedAddress>(&first), get::<XorRelayedAddress>(&again));
    assert_eq!(world.sockets(), 1);
    assert_eq!(user.ask(&mut world, Method::ALLOCATE, udp).code(), 437);
}

#[test]
fn alc_a_quota_is_kept_and_given_back() {
    let mut limited = config(Everyone);
    limited.max_allocations_per_user = Some(1);
    let (mut world, mut first, _) = allocated_in(limited);
    let mut second = User::new(client(2));

    assert_eq!(second.ask(&mut world, Method::ALLOCATE, udp).code(), 486);
    assert_eq!(refresh(&mut world, &mut first, 0).code(), 0);
    assert_eq!(second.ask(&mut world, Method::ALLOCATE, udp).code(), 0);
}

#[test]
fn rfr_a_refresh_of_zero_deletes_and_a_second_one_is_a_mismatch() {
    let (mut world, mut user, _) = allocated();

    assert_eq!(get::<Lifetime>(&refresh(&mut world, &mut user, 0)), Lifetime(0));
    assert_eq!(refresh(&mut world, &mut user, 0).code(), 437);
    assert_eq!(world.sockets(), 0);
    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Deleted, .. })));
}

#[test]
fn rfr_an_allocation_ends_when_its_time_is_over_and_not_before() {
    let (mut world, _, _) = allocated();
    world.run_for(Duration::from_millis(599_999));
    assert_eq!(world.sockets(), 1);
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.sockets(), 0);
    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Expired, .. })));
}

#[test]
fn rfr_refreshes_longer_and_shorter_by_turns_leave_the_expiry_right() {
    let (mut world, mut user, _) = allocated();
    for _ in 0..50 {
        assert_eq!(refresh(&mut world, &mut user, 3600).code(), 0);
        assert_eq!(refresh(&mut world, &mut user, 600).code(), 0);
        world.run_for(Duration::from_secs(10));
    }
    world.run_for(Duration::from_secs(589));
    assert_eq!(world.sockets(), 1);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.sockets(), 0);
}

#[test]
fn prm_requests_of_another_user_on_the_five_tuple_are_wrong_credentials() {
    struct Two;
    impl stunner_relay::Authenticator for Two {
        fn credentials(
            &self,
            who: &stunner_relay::Identity<'_>,
            try_key: &mut dyn FnMut(stunner_relay::Credential) -> bool,
        ) {
            let stunner_relay::UserId::Name(name) = who.user else { return };
            try_key(stunner_relay::Credential {
                key: Key::long_term(name, who.realm, "pass"),
                user: name.into(),
            });
        }
    }
    let mut two = config(Everyone);
    two.authenticator = std::sync::Arc::new(Two);
    let (mut world, first, _) = allocated_in(two);
    let mut other = User { name: "other", ..first };
    assert_eq!(permit(&mut world, &mut other, peer(1)).code(), 441);
}

#[test]
fn prm_all_peers_are_permitted_or_none() {
    let (mut world, mut user, relayed) =
        allocated_in(config(DefaultPolicy::new().allow("203.0.113.0/24".parse().unwrap())));
    let loopback = XorPeerAddress(([127, 0, 0, 1], 80).into());
    let answer = user.ask(&mut world, Method::CREATE_PERMISSION, |message| {
        message.attribute(&XorPeerAddress(peer(1))).attribute(&loopback)
    });
    assert_eq!(answer.code(), 403);

    world.send(peer(1), relayed, b"hello");
    world.settle();
    assert!(world.take(client(1)).is_empty());
}

#[test]
fn prm_without_a_peer_400_and_with_the_other_family_443() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.ask(&mut world, Method::CREATE_PERMISSION, |message| message).code(), 400);
    assert_eq!(permit(&mut world, &mut user, "[2001:db8::1]:1".parse().unwrap()).code(), 443);
}

#[test]
fn chb_01_and_02_channel_numbers_end_at_4fff() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(bind(&mut world, &mut user, 0x4FFF, peer(1)).code(), 0);
    assert_eq!(bind(&mut world, &mut user, 0x5000, peer(2)).code(), 400);
    assert_eq!(bind(&mut world, &mut user, 0x7FFF, peer(3)).code(), 400);
}

#[test]
fn chb_a_number_and_a_peer_belong_to_one_another() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(bind(&mut world, &mut user, 0x4000, peer(1)).code(), 0);
    assert_eq!(bind(&mut world, &mut user, 0x4000, peer(2)).code(), 400);
    assert_eq!(bind(&mut world, &mut user, 0x4001, peer(1)).code(), 400);
    assert_eq!(bind(&mut world, &mut user, 0x4000, peer(1)).code(), 0);
}

#[test]
fn relay_only_permits_live_relayed_addresses_and_nothing_else() {
    let (mut world, mut user, relayed) = allocated_in(config(RelayOnly::new()));
    let unused = SocketAddr::new(relayed.ip(), relayed.port() + 1);

    assert_eq!(permit(&mut world, &mut user, peer(1)).code(), 403);
    assert_eq!(permit(&mut world, &mut user, relayed).code(), 0);
    assert_eq!(bind(&mut world, &mut user, 0x4000, relayed).code(), 0);
    assert_eq!(bind(&mut world, &mut user, 0x4001, unused).code(), 403);
}
