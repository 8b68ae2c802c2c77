//! Dual allocations: a relayed transport address of each family (RFC 8656, sections 7.2 and 8.2).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use stunner_proto::{
    AttributeType, Method,
    attribute::{
        AdditionalAddressFamily, AddressErrorCode, AddressFamily, EvenPort, Lifetime, RequestedAddressFamily,
        RequestedTransport,
    },
};
use stunner_relay::{Closed, Config, Event};

use crate::world::{
    Answer, Everyone, Raw, Received, SERVER, SERVER_V6, User, World, client, config, peer, peer_v6,
};

const BOTH: AdditionalAddressFamily = AdditionalAddressFamily(AddressFamily::V6);

/// A server that has addresses of both families.
fn of_both(config: Config) -> World {
    let mut world = World::new(config);
    world.ports.addresses.push(SERVER_V6);
    world
}

fn ask_for_both(world: &mut World) -> Answer {
    User::new(client(1)).ask_to_allocate(world, |message| message.attribute(&BOTH))
}

/// A client with a dual allocation, and its two relayed transport addresses.
struct Dual {
    world: World,
    user: User,
    relayed: [SocketAddr; 2],
}

impl Dual {
    fn new() -> Self {
        Self::with(config(Everyone))
    }

    fn with(config: Config) -> Self {
        let mut world = of_both(config);
        let mut user = User::new(client(1));
        let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&BOTH));
        let relayed = answer.all_relayed().try_into().expect("two addresses");
        Self { world, user, relayed }
    }

    /// The same, and it has permitted a peer of each family and bound a channel to each.
    fn bound() -> Self {
        let mut dual = Self::new();
        assert_eq!(dual.user.bind(&mut dual.world, 0x4000, peer(1)), 0);
        assert_eq!(dual.user.bind(&mut dual.world, 0x4001, peer_v6(1)), 0);
        dual
    }

    /// A Refresh of one family.
    fn refresh(&mut self, family: AddressFamily, lifetime: u32) -> Answer {
        self.user.ask(&mut self.world, Method::REFRESH, |message| {
            message.attribute(&RequestedAddressFamily(family)).attribute(&Lifetime(lifetime))
        })
    }

    /// Which of the two are there.
    fn live(&self) -> [bool; 2] {
        self.relayed.map(|relayed| self.world.server.relay_at(relayed).is_some())
    }

    /// Whether data pass to the peer of each family, over its channel, and back.
    fn passes(&mut self) -> [(bool, bool); 2] {
        let Self { world, user, relayed: [v4, v6] } = self;
        [(0x4000, peer(1), *v4), (0x4001, peer_v6(1), *v6)].map(|(number, peer, relayed)| {
            (user.reaches_over(world, number, peer), user.hears(world, peer, relayed))
        })
    }
}

/// Lets time pass until just before so many seconds from now, and then until then: which are live each time.
fn live_around(dual: &mut Dual, seconds: u64) -> [[bool; 2]; 2] {
    dual.world.run_for(Duration::from_millis(1_000 * seconds - 1));
    let before = dual.live();
    dual.world.run_for(Duration::from_millis(1));
    [before, dual.live()]
}

#[test]
fn alc_28_and_20_what_excludes_a_second_family_is_a_bad_request() {
    let mut world = of_both(config(Everyone));
    let mut user = User::new(client(1));

    let pair = user.ask_to_allocate(&mut world, |message| {
        message.attribute(&BOTH).attribute(&EvenPort { reserve_next: true })
    });
    let family = user.ask_to_allocate(&mut world, |message| {
        message.attribute(&BOTH).attribute(&RequestedAddressFamily(AddressFamily::V4))
    });

    assert_eq!((pair.code(), family.code(), world.sockets()), (400, 400, 0));
}

#[test]
fn alc_25_a_dual_allocation_may_ask_for_even_ports() {
    for _ in 0..5 {
        let mut world = of_both(config(Everyone));
        let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| {
            message.attribute(&BOTH).attribute(&EvenPort { reserve_next: false })
        });

        let ports: Vec<_> = answer.all_relayed().iter().map(|relayed| relayed.port() % 2).collect();
        assert_eq!((ports, answer.has(AttributeType::RESERVATION_TOKEN)), (vec![0, 0], false));
    }
}

#[test]
fn alc_29_a_dual_allocation_has_an_address_of_each_family_and_one_lifetime() {
    let mut world = of_both(config(Everyone));

    let answer = ask_for_both(&mut world);

    let ips: Vec<_> = answer.all_relayed().iter().map(|relayed| relayed.ip()).collect();
    assert_eq!(ips, [SERVER, SERVER_V6]);
    let expected = [
        AttributeType::XOR_RELAYED_ADDRESS,
        AttributeType::XOR_RELAYED_ADDRESS,
        AttributeType::LIFETIME,
        AttributeType::XOR_MAPPED_ADDRESS,
        AttributeType::MESSAGE_INTEGRITY,
    ];
    assert_eq!((answer.kinds(), answer.get()), (expected.to_vec(), Lifetime(600)));
}

#[test]
fn alc_30_and_31_the_second_family_can_only_be_ipv6() {
    let mut world = of_both(config(Everyone));

    for value in [&[1, 0, 0, 0][..], &[0, 0, 0, 0], &[3, 0, 0, 0], &[2, 0, 0], &[]] {
        let answer = User::new(client(1))
            .ask_to_allocate(&mut world, |message| message.attribute(&Raw::<0x8000>(value)));
        assert_eq!((answer.code(), world.sockets()), (400, 0), "{value:?}");
    }
}

/// The addresses of an answer, and the family that failed with its code.
fn partly(answer: &Answer) -> (Vec<IpAddr>, AddressFamily, u16) {
    let AddressErrorCode { family, error } = answer.get();
    (answer.all_relayed().iter().map(|relayed| relayed.ip()).collect(), family, error.code())
}

#[test]
fn alc_32_where_there_is_no_ipv6_a_dual_allocation_has_ipv4_and_is_told_so() {
    let mut world = World::new(config(Everyone));

    assert_eq!(partly(&ask_for_both(&mut world)), (vec![SERVER], AddressFamily::V6, 440));
    assert_eq!(world.sockets(), 1);
}

#[test]
fn alc_24_and_32_where_there_is_no_ipv4_a_dual_allocation_has_ipv6_and_is_told_so() {
    let mut world = World::new(config(Everyone));
    world.ports.addresses = vec![SERVER_V6];

    assert_eq!(partly(&ask_for_both(&mut world)), (vec![SERVER_V6], AddressFamily::V4, 440));
}

#[test]
fn alc_33_where_the_ports_of_a_family_are_taken_a_dual_allocation_has_the_other() {
    for (full, left, family) in
        [(SERVER_V6, SERVER, AddressFamily::V6), (SERVER, SERVER_V6, AddressFamily::V4)]
    {
        let mut world = of_both(config(Everyone));
        world.ports.exhausted.insert(full);

        assert_eq!(partly(&ask_for_both(&mut world)), (vec![left], family, 508));
    }
}

#[test]
fn alc_34_without_either_family_there_is_no_capacity() {
    let mut world = of_both(config(Everyone));
    world.ports.exhausted.extend([SERVER, SERVER_V6]);
    assert_eq!(ask_for_both(&mut world).code(), 508);

    let mut world = World::new(config(Everyone));
    world.ports.addresses.clear();
    assert_eq!(ask_for_both(&mut world).code(), 508);
}

#[test]
fn alc_23_without_a_word_about_families_it_is_ipv4_alone() {
    let mut world = of_both(config(Everyone));

    let answer = User::new(client(1)).ask_to_allocate(&mut world, |message| message);

    assert_eq!((answer.all_relayed().len(), answer.relayed().ip(), world.sockets()), (1, SERVER, 1));
}

/// The answers to the same Allocate twice, half a minute apart.
fn twice(world: &mut World) -> [Answer; 2] {
    let mut user = User::new(client(1));
    user.challenge(world);
    let bytes =
        user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP).attribute(&BOTH));
    let first = user.exchange(world, &bytes).expect("an answer");
    world.run_for(Duration::from_secs(30));
    [first, user.exchange(world, &bytes).expect("an answer")]
}

#[test]
fn alc_03_the_same_dual_allocate_again_is_answered_with_both_addresses() {
    let mut world = of_both(config(Everyone));

    let [first, again] = twice(&mut world);

    assert_eq!((again.all_relayed(), again.kinds()), (first.all_relayed(), first.kinds()));
    assert_eq!((again.get(), world.sockets()), (Lifetime(570), 2));
}

#[test]
fn alc_03_the_same_allocate_again_is_told_again_which_family_failed() {
    let mut world = World::new(config(Everyone));

    let [first, again] = twice(&mut world);

    assert_eq!((partly(&again), again.kinds()), (partly(&first), first.kinds()));
}

#[test]
fn ref_07_one_family_can_be_deleted_and_the_other_does_not_notice() {
    for (family, left) in [(AddressFamily::V6, [true, false]), (AddressFamily::V4, [false, true])] {
        let mut dual = Dual::bound();
        assert_eq!(dual.passes(), [(true, true); 2]);

        assert_eq!(dual.refresh(family, 0).get::<Lifetime>(), Lifetime(0));

        assert_eq!((dual.live(), dual.world.sockets()), (left, 1), "{family:?}");
        assert_eq!(dual.passes(), left.map(|live| (live, live)), "{family:?}");
    }
}

#[test]
fn ref_07_what_is_deleted_is_not_there_to_be_refreshed_or_permitted() {
    let mut dual = Dual::bound();
    assert_eq!(dual.refresh(AddressFamily::V6, 0).code(), 0);

    assert_eq!(dual.refresh(AddressFamily::V6, 600).code(), 443);
    assert_eq!(dual.user.permit(&mut dual.world, &[peer(1), peer_v6(1)]), 443);
    assert_eq!(dual.user.bind(&mut dual.world, 0x4001, peer_v6(1)), 443);
    assert_eq!(dual.user.refresh(&mut dual.world, 600).code(), 0);
    assert_eq!(live_around(&mut dual, 600), [[true, false], [false; 2]]);
}

#[test]
fn ref_08_one_family_can_be_given_more_time() {
    let mut dual = Dual::new();

    assert_eq!(dual.refresh(AddressFamily::V4, 1_200).get::<Lifetime>(), Lifetime(1_200));

    assert_eq!(live_around(&mut dual, 600), [[true; 2], [true, false]]);
    assert_eq!(live_around(&mut dual, 600), [[true, false], [false; 2]]);
}

#[test]
fn ref_08_a_family_that_was_given_less_time_goes_first() {
    let mut dual = Dual::new();
    assert_eq!(dual.user.refresh(&mut dual.world, 3_600).code(), 0);

    assert_eq!(dual.refresh(AddressFamily::V6, 600).code(), 0);

    assert_eq!(live_around(&mut dual, 600), [[true; 2], [true, false]]);
    assert_eq!(live_around(&mut dual, 3_000), [[true, false], [false; 2]]);
}

#[test]
fn ref_09_without_a_family_both_are_refreshed() {
    let mut dual = Dual::new();
    assert_eq!(dual.refresh(AddressFamily::V4, 1_200).code(), 0);
    dual.world.run_for(Duration::from_secs(100));

    assert_eq!(dual.user.refresh(&mut dual.world, 1_800).get::<Lifetime>(), Lifetime(1_800));

    assert_eq!(live_around(&mut dual, 1_800), [[true; 2], [false; 2]]);
}

#[test]
fn ref_10_when_both_are_deleted_the_allocation_is_gone() {
    let mut dual = Dual::bound();

    assert_eq!(dual.refresh(AddressFamily::V4, 0).code(), 0);
    assert_eq!(dual.world.server.counters().allocations, 1);
    assert_eq!(dual.refresh(AddressFamily::V6, 0).code(), 0);

    assert_eq!((dual.world.server.counters().allocations, dual.world.sockets()), (0, 0));
    assert_eq!(dual.refresh(AddressFamily::V6, 0).code(), 437);
}

#[test]
fn ref_03_without_a_family_zero_deletes_both() {
    let mut dual = Dual::new();

    assert_eq!(dual.user.refresh(&mut dual.world, 0).get::<Lifetime>(), Lifetime(0));

    assert_eq!((dual.world.sockets(), dual.user.refresh(&mut dual.world, 0).code()), (0, 437));
}

#[test]
fn prm_06_peers_of_both_families_are_permitted_by_one_request() {
    let mut dual = Dual::new();
    let [v4, v6] = dual.relayed;

    assert_eq!(dual.user.permit(&mut dual.world, &[peer(1), peer_v6(1)]), 0);

    for (peer, relayed) in [(peer(1), v4), (peer_v6(1), v6)] {
        dual.user.send(&mut dual.world, peer, b"there");
        assert_eq!(dual.world.take(peer), [(relayed, b"there".to_vec())]);
        dual.world.send(peer, relayed, b"back");
        assert_eq!(dual.user.received(&mut dual.world), [Received::Data(peer, b"back".to_vec())]);
    }
}

#[test]
fn chd_01_and_08_both_families_have_channels_at_the_same_time() {
    let mut dual = Dual::bound();
    let [v4, v6] = dual.relayed;

    for (number, peer, relayed) in [(0x4000, peer(1), v4), (0x4001, peer_v6(1), v6)] {
        dual.user.send_channel(&mut dual.world, number, b"there");
        assert_eq!(dual.world.take(peer), [(relayed, b"there".to_vec())]);
        dual.world.send(peer, relayed, b"back");
        assert_eq!(dual.user.received(&mut dual.world), [Received::Channel(number, b"back".to_vec())]);
    }
}

/// A way for an allocation to end.
type End = fn(&mut Dual);

#[test]
fn each_socket_that_was_opened_is_closed_once_however_it_ends() {
    let ends: [(Closed, End); 3] = [
        (Closed::Deleted, |dual| assert_eq!(dual.user.refresh(&mut dual.world, 0).code(), 0)),
        (Closed::Expired, |dual| dual.world.run_for(Duration::from_secs(600))),
        (Closed::Disconnected, |dual| dual.world.disconnect(client(1))),
    ];

    for (why, end) in ends {
        let mut dual = Dual::new();
        end(&mut dual);

        let told = dual.world.events.iter().map(|event| match event {
            Event::Opened { relayed, .. } => (*relayed, None),
            Event::Closed { relayed, why, .. } => (*relayed, Some(*why)),
            other => panic!("{other:?}"),
        });
        let [v4, v6] = dual.relayed;
        let expected = [(v4, None), (v6, None), (v4, Some(why)), (v6, Some(why))];
        assert!(told.eq(expected), "{:?}", dual.world.events);
    }
}

#[test]
fn each_half_tells_what_it_carried_itself() {
    let mut dual = Dual::bound();
    dual.user.send_channel(&mut dual.world, 0x4001, b"12345");
    dual.world.send(peer(1), dual.relayed[0], b"123");
    assert_eq!(dual.user.received(&mut dual.world), [Received::Channel(0x4000, b"123".to_vec())]);

    assert_eq!(dual.user.refresh(&mut dual.world, 0).code(), 0);

    let carried = dual.world.events.iter().filter_map(|event| match event {
        Event::Closed { traffic, .. } => Some((traffic.bytes_to_peers, traffic.bytes_to_client)),
        _ => None,
    });
    assert!(carried.eq([(0, 3), (5, 0)]));
}

#[test]
fn alc_39_a_dual_allocation_counts_once() {
    let mut limited = config(Everyone);
    limited.max_allocations_per_user = Some(2);
    let mut dual = Dual::with(limited);
    let mut code = |n| User::new(client(n)).ask_to_allocate(&mut dual.world, |message| message).code();

    assert_eq!((code(2), code(3)), (0, 486));
}
