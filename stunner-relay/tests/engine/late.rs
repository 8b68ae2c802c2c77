//! What happens between the moments: sockets that take their time, sweeps that are late, peers that are gone.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stunner_proto::{
    Fingerprint, Method,
    attribute::{
        AddressFamily, EvenPort, RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress,
    },
};
use stunner_relay::{Client, Config, MAX_REPLY, Output, PeerPolicy, RelayOnly, Verdict};

use crate::world::{
    Answer, Everyone, LISTENER, Raw, SERVER_V6, User, Users, World, allocated, allocated_in, client, config,
    peer, peer_v6,
};

fn allocate(user: &User) -> Vec<u8> {
    user.signed(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP))
}

/// Users who have a nonce, in a world whose sockets are not bound before it is told so.
fn waiting<const N: usize>(config: Config) -> (World, [User; N]) {
    let mut world = World::new(config);
    let users = std::array::from_fn(|n| {
        let mut user = User::new(client(u8::try_from(n + 1).expect("a few")));
        user.challenge(&mut world);
        user
    });
    world.held = Some(Vec::new());
    (world, users)
}

#[test]
fn alc_03_a_retransmission_that_overtakes_the_sockets_is_answered_alike() {
    let (mut world, [user]) = waiting(config(Everyone));
    let bytes = allocate(&user);
    for _ in 0..2 {
        assert_eq!(user.exchange(&mut world, &bytes), None);
    }

    world.bind_held();
    world.settle();

    let codes = world.take(client(1)).into_iter().map(|(_, bytes)| Answer(bytes).code());
    assert_eq!(codes.collect::<Vec<_>>(), [0, 0]);
    assert_eq!(world.sockets(), 1);
}

#[test]
fn alc_39_and_sec_11_a_quota_holds_for_those_who_wait_together() {
    let mut limited = config(Everyone);
    limited.max_allocations_per_user = Some(1);
    let (mut world, users) = waiting::<2>(limited);
    for user in &users {
        assert_eq!(user.exchange(&mut world, &allocate(user)), None);
    }

    world.bind_held();
    world.settle();

    let codes = users.map(|user| Answer(world.take(user.address).pop().unwrap().1).code());
    assert_eq!((codes, world.sockets()), ([0, 486], 1));
}

#[test]
fn an_allocation_that_has_expired_and_was_not_swept_makes_room_for_the_next() {
    let (mut world, user, _) = allocated();
    let from = world.client(client(1), LISTENER);
    let late = world.now + Duration::from_secs(600);
    let (bytes, mut reply) = (allocate(&user), [0; MAX_REPLY]);

    let output = world.server.handle_client(&bytes, from, late, &mut reply);

    assert!(matches!(output, Output::Allocate(_)), "{output:?}");
    assert_eq!(world.server.counters().allocations, 0);
}

#[test]
fn sec_04_a_channel_to_a_relayed_address_that_is_gone_carries_nothing() {
    let (mut world, mut first, _) = allocated_in(config(RelayOnly::new()));
    let mut second = User::new(client(2));
    let gone = second.allocate(&mut world);
    assert_eq!(first.bind(&mut world, 0x4000, gone), 0);

    assert_eq!(second.refresh(&mut world, 0).code(), 0);

    assert!(!first.reaches_over(&mut world, 0x4000, gone));
}

/// Says of every port what it is told to say, now.
struct Door(Arc<AtomicBool>);

impl PeerPolicy for Door {
    fn judge(&self, _: IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        if port.is_none() { Verdict::AskPort } else { self.0.load(Ordering::Relaxed).into() }
    }
}

#[test]
fn sec_04_where_the_port_decides_it_decides_for_every_packet_of_a_channel() {
    let open = Arc::new(AtomicBool::new(true));
    let (mut world, mut user, _) = allocated_in(config(Door(open.clone())));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));

    open.store(false, Ordering::Relaxed);

    assert!(!user.reaches_over(&mut world, 0x4000, peer(1)));
}

#[test]
fn prm_19_the_same_peer_twice_needs_room_for_one() {
    let mut small = config(Everyone);
    small.max_permissions = 1;
    let (mut world, mut user, _) = allocated_in(small);

    assert_eq!(user.permit(&mut world, &[peer(1), peer(1)]), 0);
}

#[test]
fn prm_04_what_is_malformed_comes_before_what_cannot_be_and_that_before_what_may_not() {
    let (mut world, mut user, _) = allocated_in(config(RelayOnly::new()));

    let malformed = user.ask(&mut world, Method::CREATE_PERMISSION, |message| {
        message.attribute(&XorPeerAddress(peer_v6(1))).attribute(&Raw::<0x0012>(&[0; 7]))
    });

    assert_eq!(malformed.code(), 400);
    assert_eq!(user.permit(&mut world, &[peer(1), peer_v6(1)]), 443);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 403);
}

#[test]
fn alc_18_a_port_that_was_kept_is_handed_out_whatever_its_family() {
    let mut world = World::new(config(Everyone));
    world.ports.addresses = vec![SERVER_V6];
    let first = User::new(client(1)).ask_to_allocate(&mut world, |message| {
        message
            .attribute(&RequestedAddressFamily(AddressFamily::V6))
            .attribute(&EvenPort { reserve_next: true })
    });
    let token: ReservationToken = first.get();

    let second = User::new(client(2)).ask_to_allocate(&mut world, |message| message.attribute(&token));

    assert_eq!(second.code(), 0);
}

#[test]
fn a_family_of_three_bytes_is_malformed_wherever_it_stands() {
    let (mut world, mut user, _) = allocated();
    let short = Raw::<0x0017>(&[1, 0, 0]);

    let refreshed = user.ask(&mut world, Method::REFRESH, |message| message.attribute(&short));
    let allocated = User::new(client(2)).ask_to_allocate(&mut world, |message| message.attribute(&short));

    assert_eq!((refreshed.code(), allocated.code()), (400, 400));
}

#[test]
fn gen_08_who_sends_a_fingerprint_gets_one() {
    let (mut world, [user]) = waiting(config(Everyone));
    world.held = None;
    let mut with = |method, signed: bool| {
        let answer = user.request(&mut world, method, |message| {
            let message = message.attribute(&RequestedTransport::UDP);
            if signed { user.sign(message, &user.key()).fingerprint() } else { message.fingerprint() }
        });
        answer.unwrap().message().fingerprint()
    };

    assert_eq!(with(Method::BINDING, false), Fingerprint::Right);
    assert_eq!(with(Method::ALLOCATE, false), Fingerprint::Right);
    assert_eq!(with(Method::ALLOCATE, true), Fingerprint::Right);
}

#[test]
fn rst_02_an_allocation_that_has_expired_and_was_not_swept_lends_its_credentials_to_no_other() {
    let users = Users::new(&[("user", "pass")], Duration::ZERO);
    let mut configured = config(Everyone);
    configured.authenticator = users.clone();
    let (mut world, user, _) = allocated_in(configured);
    users.set("user", &[]);
    let from = world.client(client(1), LISTENER);
    let late = world.now + Duration::from_secs(600);
    let bytes = allocate(&user);

    let output = world.server.handle_client(&bytes, from, late, &mut [0; MAX_REPLY]);

    assert!(matches!(output, Output::Reply(_)), "{output:?}");
}

#[test]
fn sec_13_an_allocate_that_was_overheard_is_stale_though_what_it_made_was_not_swept() {
    let mut configured = config(Everyone);
    configured.nonce_lifetime = Duration::from_secs(60);
    let mut world = World::new(configured);
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let bytes = allocate(&user);
    assert_eq!(user.exchange(&mut world, &bytes).map(|answer| answer.code()), Some(0));
    let from = world.client(client(1), LISTENER);
    let late = world.now + Duration::from_secs(600);

    let output = world.server.handle_client(&bytes, from, late, &mut [0; MAX_REPLY]);

    assert!(matches!(output, Output::Reply(_)), "{output:?}");
}
