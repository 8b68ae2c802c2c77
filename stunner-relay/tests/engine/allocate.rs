//! Allocate (RFC 8656, section 7); what it says about ports is in `ports`.

use std::time::Duration;

use stunner_proto::{
    AttributeType, MessageBuilder, Method,
    attribute::{
        AdditionalAddressFamily, AddressFamily, DontFragment, EvenPort, Lifetime, RequestedAddressFamily,
        RequestedTransport, ReservationToken, UnknownAttributes, XorMappedAddress,
    },
};
use stunner_relay::{Closed, Event};

use crate::world::{
    Answer, Everyone, LISTENER, LISTENER_V6, Raw, SERVER, SERVER_V6, User, World, allocated, allocated_in,
    client, client_v6, config, config_of_many, peer,
};

type Build = fn(MessageBuilder<'_>) -> MessageBuilder<'_>;

fn udp(message: MessageBuilder<'_>) -> MessageBuilder<'_> {
    message.attribute(&RequestedTransport::UDP)
}

/// The code of an Allocate's answer; a refused one leaves nothing behind, and a good one is answered as if it had
/// never been (ALC-45).
fn code(build: Build) -> u16 {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let code = user.ask(&mut world, Method::ALLOCATE, build).code();
    if code != 0 {
        assert_eq!((world.sockets(), world.server.counters().allocations), (0, 0));
        assert!(world.events.is_empty(), "{:?}", world.events);
        user.allocate(&mut world);
    }
    code
}

#[test]
fn alc_01_and_gen_13_an_allocation_is_answered_with_both_addresses_and_its_lifetime() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| message);

    assert_eq!(answer.get::<XorMappedAddress>(), XorMappedAddress(client(1)));
    assert_eq!(answer.get::<Lifetime>(), Lifetime(600));
    assert_eq!(answer.relayed().ip(), SERVER);
    let kinds = [
        AttributeType::XOR_RELAYED_ADDRESS,
        AttributeType::LIFETIME,
        AttributeType::XOR_MAPPED_ADDRESS,
        AttributeType::MESSAGE_INTEGRITY,
    ];
    assert_eq!(answer.kinds(), kinds);
}

#[test]
fn alc_01_who_allocated_what_is_told() {
    let (world, _, address) = allocated();

    let [Event::Opened { relay, client: whose, relayed, user }] = &world.events[..] else {
        panic!("{:?}", world.events)
    };
    assert_eq!((whose.tuple.client, *relayed, &**user), (client(1), address, "user"));
    assert_eq!(world.server.relay_at(address), Some(*relay));
}

#[test]
fn alc_02_and_05_a_second_allocate_on_a_five_tuple_is_a_mismatch_whatever_it_says() {
    let (mut world, mut user, relayed) = allocated();
    let builds: [Build; 4] = [
        udp,
        |message| message,
        |message| message.attribute(&RequestedTransport::TCP),
        |message| udp(message).attribute(&ReservationToken([1; 8])),
    ];

    for build in builds {
        assert_eq!(user.ask(&mut world, Method::ALLOCATE, build).code(), 437);
    }

    assert_eq!(world.sockets(), 1);
    assert!(world.server.relay_at(relayed).is_some());
}

#[test]
fn alc_02_another_users_allocate_on_a_five_tuple_is_a_mismatch() {
    let (mut world, first, relayed) = allocated_in(config_of_many());
    let mut other = User { name: "other", ..first };

    assert_eq!(other.ask_to_allocate(&mut world, |message| message).code(), 437);
    assert!(world.server.relay_at(relayed).is_some());
}

#[test]
fn alc_03_the_same_allocate_again_is_the_same_allocation_with_the_time_that_is_left() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let bytes = user.signed(Method::ALLOCATE, udp);

    let first = user.exchange(&mut world, &bytes).unwrap();
    world.run_for(Duration::from_secs(10));
    let again = user.exchange(&mut world, &bytes).unwrap();

    assert_eq!((first.relayed(), Lifetime(600)), (again.relayed(), first.get()));
    assert_eq!(again.get::<Lifetime>(), Lifetime(590));
    assert_eq!((world.sockets(), world.server.counters().opened), (1, 1));
    assert!(again.message().authenticate(&user.key()).is_ok());
}

#[test]
fn alc_03_the_same_allocate_again_is_answered_though_its_nonce_is_stale_by_then() {
    let mut short = config(Everyone);
    short.nonce_lifetime = Duration::from_secs(5);
    let mut world = World::new(short);
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let bytes = user.signed(Method::ALLOCATE, udp);
    let first = user.exchange(&mut world, &bytes).unwrap();

    world.run_for(Duration::from_secs(30));

    assert_eq!(user.exchange(&mut world, &bytes).unwrap().relayed(), first.relayed());
    assert_eq!(user.refresh(&mut world, 600).code(), 438);
}

#[test]
fn alc_02_of_two_allocates_that_wait_for_their_socket_one_is_a_mismatch() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    world.held = Some(Vec::new());
    let key = user.key();
    for _ in 0..2 {
        assert_eq!(user.request(&mut world, Method::ALLOCATE, |message| user.sign(udp(message), &key)), None);
    }

    world.bind_held();
    world.settle();

    let came = world.take(client(1)).into_iter();
    let codes: Vec<_> = came.map(|(_, bytes)| crate::world::Answer(bytes).code()).collect();
    assert_eq!((codes, world.sockets()), (vec![0, 437], 1));
}

#[test]
fn alc_06_to_09_only_udp_is_relayed_and_it_must_be_asked_for() {
    assert_eq!(code(|message| message), 400);
    assert_eq!(code(|message| message.attribute(&Raw::<0x0019>(&[17, 0, 0]))), 400);
    assert_eq!(code(|message| message.attribute(&Raw::<0x0019>(&[17, 0, 0, 0, 0]))), 400);
    assert_eq!(code(|message| message.attribute(&RequestedTransport(99))), 442);
    assert_eq!(code(|message| message.attribute(&RequestedTransport(0))), 442);
    assert_eq!(code(|message| message.attribute(&RequestedTransport::TCP)), 442);
}

#[test]
fn alc_10_and_11_the_df_bit_may_be_asked_for_where_it_can_be_set() {
    let answers = [false, true].map(|can| {
        let mut configured = config(Everyone);
        configured.dont_fragment = can;
        let mut user = User::new(client(1));
        user.ask_to_allocate(&mut World::new(configured), |message| message.attribute(&DontFragment))
    });

    assert_eq!(answers.each_ref().map(Answer::code), [420, 0]);
    let unknown: Vec<_> = answers[0].get::<UnknownAttributes<'_>>().iter().collect();
    assert_eq!(unknown, [AttributeType::DONT_FRAGMENT]);
}

#[test]
fn xlt_09_from_ipv4_to_ipv6_the_df_bit_cannot_be_kept() {
    let ask = |from, family| {
        let mut configured = config(Everyone);
        configured.dont_fragment = true;
        let mut world = World::new(configured);
        world.ports.addresses.push(SERVER_V6);
        let mut user =
            User { server: if from == client(1) { LISTENER } else { LISTENER_V6 }, ..User::new(from) };
        user.ask_to_allocate(&mut world, |message| {
            message.attribute(&DontFragment).attribute(&RequestedAddressFamily(family))
        })
        .code()
    };

    assert_eq!(ask(client(1), AddressFamily::V6), 420);
    assert_eq!(ask(client(1), AddressFamily::V4), 0);
    assert_eq!(ask(client_v6(1), AddressFamily::V6), 0);
}

#[test]
fn alc_12_13_14_and_20_what_excludes_one_another_is_a_bad_request() {
    const V4: AddressFamily = AddressFamily::V4;
    const V6: AddressFamily = AddressFamily::V6;
    const TOKEN: ReservationToken = ReservationToken([1; 8]);
    let builds: [Build; 5] = [
        |message| message.attribute(&TOKEN).attribute(&EvenPort { reserve_next: false }),
        |message| message.attribute(&TOKEN).attribute(&EvenPort { reserve_next: true }),
        |message| message.attribute(&TOKEN).attribute(&RequestedAddressFamily(V4)),
        |message| message.attribute(&TOKEN).attribute(&AdditionalAddressFamily(V6)),
        |message| message.attribute(&RequestedAddressFamily(V4)).attribute(&AdditionalAddressFamily(V6)),
    ];

    for (n, build) in builds.into_iter().enumerate() {
        let mut world = World::new(config(Everyone));
        let answer = User::new(client(1)).ask_to_allocate(&mut world, build);
        assert_eq!((answer.code(), world.sockets()), (400, 0), "{n}");
    }
}

#[test]
fn alc_21_ipv6_is_relayed_where_the_server_has_it() {
    for (has, code) in [(true, 0), (false, 440)] {
        let mut world = World::new(config(Everyone));
        world.ports.addresses.extend(has.then_some(SERVER_V6));
        let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| {
            message.attribute(&RequestedAddressFamily(AddressFamily::V6))
        });
        assert_eq!(answer.code(), code);
        if has {
            assert_eq!(answer.relayed().ip(), SERVER_V6);
        }
    }
}

#[test]
fn alc_22_a_family_that_does_not_exist_is_not_supported() {
    assert_eq!(code(|message| udp(message).attribute(&Raw::<0x0017>(&[0, 0, 0, 0]))), 440);
    assert_eq!(code(|message| udp(message).attribute(&Raw::<0x0017>(&[3, 0, 0, 0]))), 440);
}

#[test]
fn alc_23_a_client_in_ipv6_that_asks_for_no_family_gets_ipv4() {
    let mut world = World::new(config(Everyone));
    world.ports.addresses.insert(0, SERVER_V6);
    let mut user = User { server: LISTENER_V6, ..User::new(client_v6(1)) };

    let answer = user.ask_to_allocate(&mut world, |message| message);

    assert_eq!(answer.relayed().ip(), SERVER);
    assert_eq!(answer.get::<XorMappedAddress>(), XorMappedAddress(client_v6(1)));
}

#[test]
fn alc_24_without_a_family_a_server_without_ipv4_has_nothing_to_give() {
    let mut world = World::new(config(Everyone));
    world.ports.addresses = vec![SERVER_V6];
    let mut user = User { server: LISTENER_V6, ..User::new(client_v6(1)) };

    assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 440);
}

#[test]
fn alc_35_36_and_37_lifetimes_are_clamped_between_the_default_and_the_maximum() {
    let table = [
        (0, 600),
        (1, 600),
        (599, 600),
        (601, 601),
        (1_200, 1_200),
        (3_600, 3_600),
        (7_200, 3_600),
        (u32::MAX, 3_600),
    ];

    for (asked, granted) in table {
        let mut world = World::new(config(Everyone));
        let answer =
            User::new(client(1)).ask_to_allocate(&mut world, |message| message.attribute(&Lifetime(asked)));
        assert_eq!(answer.get::<Lifetime>(), Lifetime(granted), "{asked}");

        world.run_for(Duration::from_millis(1_000 * u64::from(granted) - 1));
        assert_eq!(world.sockets(), 1, "{asked}");
        world.run_for(Duration::from_millis(1));
        assert_eq!(world.sockets(), 0, "{asked}");
    }
}

#[test]
fn alc_38_malformed_attributes_are_a_bad_request() {
    assert_eq!(code(|message| udp(message).attribute(&Raw::<0x000D>(&[0, 0]))), 400);
    assert_eq!(code(|message| udp(message).attribute(&Raw::<0x0018>(&[]))), 400);
    assert_eq!(code(|message| udp(message).attribute(&Raw::<0x0022>(&[1; 7]))), 400);
}

#[test]
fn alc_39_40_and_41_a_quota_counts_users_and_is_given_back() {
    for deleted in [true, false] {
        let mut limited = config_of_many();
        limited.max_allocations_per_user = Some(1);
        let (mut world, mut first, _) = allocated_in(limited);
        let mut second = User::new(client(2));
        assert_eq!(second.ask_to_allocate(&mut world, |message| message).code(), 486);
        User { server: "192.0.2.1:5349".parse().unwrap(), ..User::named(client(1), "other", "pass") }
            .allocate(&mut world);

        if deleted {
            assert_eq!(first.refresh(&mut world, 0).code(), 0);
        } else {
            world.run_for(Duration::from_secs(600));
        }

        second.allocate(&mut world);
        assert_eq!(first.ask_to_allocate(&mut world, |message| message).code(), 486);
    }
}

#[test]
fn sec_11_a_server_that_is_full_says_so_until_somebody_leaves() {
    let mut small = config(Everyone);
    small.max_allocations = 1;
    let (mut world, mut first, _) = allocated_in(small);
    let mut second = User::new(client(2));

    assert_eq!(second.ask_to_allocate(&mut world, |message| message).code(), 508);
    assert_eq!(first.refresh(&mut world, 0).code(), 0);
    second.allocate(&mut world);
}

#[test]
fn alc_45_a_failed_allocate_is_no_hindrance_to_a_right_one() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    assert_eq!(user.ask(&mut world, Method::ALLOCATE, |message| message).code(), 400);
    assert_eq!(user.refresh(&mut world, 600).code(), 437);

    user.allocate(&mut world);

    assert_eq!(user.refresh(&mut world, 600).code(), 0);
}

#[test]
fn alc_46_a_client_behind_teredo_or_6to4_is_forbidden() {
    for address in ["[2001::1]:40000", "[2002:c633:6401::1]:40000"] {
        let mut world = World::new(config(Everyone));
        let mut user = User { server: LISTENER_V6, ..User::new(address.parse().unwrap()) };
        assert_eq!(user.ask_to_allocate(&mut world, |message| message).code(), 403, "{address}");
    }
}

#[test]
fn alc_48_a_second_family_is_left_out_by_a_server_that_has_one() {
    let mut world = World::new(config(Everyone));

    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| {
        message.attribute(&AdditionalAddressFamily(AddressFamily::V6))
    });

    assert_eq!(answer.relayed().ip(), SERVER);
    let addresses = answer.kinds().into_iter().filter(|&kind| kind == AttributeType::XOR_RELAYED_ADDRESS);
    assert_eq!(addresses.count(), 1);
}

#[test]
fn alc_50_an_allocation_ends_with_its_connection() {
    let mut world = World::new(config(Everyone));
    world.connect(client(1));
    let mut user = User::new(client(1));
    let relayed = user.allocate(&mut world);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    assert!(user.hears(&mut world, peer(1), relayed));

    world.disconnect(client(1));

    assert_eq!((world.sockets(), world.server.counters().allocations), (0, 0));
    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Disconnected, .. })));
}
