//! Corners where two rules meet: families that end alone, tickets that come twice, settings that change under way.

use std::{sync::Arc, time::Duration};

use stunner_proto::{
    Method,
    attribute::{AdditionalAddressFamily, AddressFamily, Lifetime, MobilityTicket, RequestedAddressFamily},
};
use stunner_relay::{Algorithm, Bandwidth, Client, Config, IcmpError, MAX_REPLY, PeerPolicy, Verdict};

use crate::{
    mobility::Call,
    world::{
        Everyone, Raw, SERVER_V6, User, World, allocated, allocated_in, client, config, config_of_many, peer,
        peer_v6,
    },
};

const BOTH: AdditionalAddressFamily = AdditionalAddressFamily(AddressFamily::V6);

fn dual(world: &mut World) -> User {
    world.ports.addresses.push(SERVER_V6);
    let mut user = User::new(client(1));
    assert_eq!(user.ask_to_allocate(world, |message| message.attribute(&BOTH)).code(), 0);
    user
}

fn delete_v6(world: &mut World, user: &mut User) {
    let answer = user.ask(world, Method::REFRESH, |message| {
        message.attribute(&RequestedAddressFamily(AddressFamily::V6)).attribute(&Lifetime(0))
    });
    assert_eq!(answer.code(), 0);
}

#[test]
fn ref_07_the_channel_numbers_of_a_deleted_family_are_free() {
    let mut world = World::new(config(Everyone));
    let mut user = dual(&mut world);
    assert_eq!(user.bind(&mut world, 0x4000, peer_v6(1)), 0);
    delete_v6(&mut world, &mut user);

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
}

#[test]
fn ref_07_the_channels_of_a_deleted_family_take_no_room() {
    let mut small = config(Everyone);
    small.max_channels = 1;
    let mut world = World::new(small);
    let mut user = dual(&mut world);
    assert_eq!(user.bind(&mut world, 0x4000, peer_v6(1)), 0);
    delete_v6(&mut world, &mut user);

    assert_eq!(user.bind(&mut world, 0x4001, peer(1)), 0);
}

#[test]
fn ref_07_the_permissions_of_a_deleted_family_take_no_room() {
    let mut small = config(Everyone);
    small.max_permissions = 1;
    let mut world = World::new(small);
    let mut user = dual(&mut world);
    assert_eq!(user.permit(&mut world, &[peer_v6(1)]), 0);
    delete_v6(&mut world, &mut user);

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
}

#[test]
fn mob_11_who_comes_back_after_its_connection_ended_is_reached_at_once() {
    let mut call = Call::over_tcp();
    call.world.disconnect(client(1));
    call.go(client(2));

    assert_eq!(call.heard_at(), Some(client(2)));
}

#[test]
fn mob_13_a_repeated_refresh_is_the_same_success_though_the_old_connection_ended_meanwhile() {
    let mut call = Call::over_tcp();
    let user = call.at(client(2));
    let bytes = user.signed(Method::REFRESH, |message| message.attribute(&MobilityTicket(&call.ticket)));
    assert_eq!(user.exchange(&mut call.world, &bytes).expect("an answer").code(), 0);
    call.world.disconnect(client(1));

    assert_eq!(user.exchange(&mut call.world, &bytes).expect("an answer").code(), 0);
}

#[test]
fn ref_07_a_refresh_with_a_ticket_means_the_family_that_it_names() {
    let mut mobile = config(Everyone);
    mobile.mobility = true;
    let mut world = World::new(mobile);
    world.ports.addresses.push(SERVER_V6);
    let mut user = User::new(client(1));
    let answer =
        user.ask_to_allocate(&mut world, |message| message.attribute(&BOTH).attribute(&MobilityTicket(&[])));
    let MobilityTicket(ticket) = answer.get();
    let mut second = User::new(client(2));

    let answer = second.ask(&mut world, Method::REFRESH, |message| {
        message
            .attribute(&RequestedAddressFamily(AddressFamily::V6))
            .attribute(&Lifetime(0))
            .attribute(&MobilityTicket(ticket))
    });

    assert_eq!((answer.code(), world.sockets()), (0, 1));
}

#[test]
fn ref_05_a_refresh_with_a_ticket_and_a_family_that_is_not_there_is_a_mismatch() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));

    let answer = user.ask(&mut call.world, Method::REFRESH, |message| {
        message.attribute(&RequestedAddressFamily(AddressFamily::V6)).attribute(&MobilityTicket(&call.ticket))
    });

    assert_eq!(answer.code(), 443);
}

#[test]
fn a_refresh_with_a_ticket_that_is_refused_uses_nothing_up() {
    let mut call = Call::over_udp();
    let mut user = call.at(client(2));
    let refused = user.ask(&mut call.world, Method::REFRESH, |message| {
        message.attribute(&Raw::<0x000D>(&[0, 0])).attribute(&MobilityTicket(&call.ticket))
    });
    assert_eq!(refused.code(), 400);

    assert_eq!(call.refresh(&mut user, &call.ticket.clone(), 600).code(), 0);
}

/// Denies everyone.
struct Nobody;

impl PeerPolicy for Nobody {
    fn judge(&self, _: std::net::IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::Deny
    }
}

const REFUSED: IcmpError = IcmpError { kind: 3, code: 3, mtu: 0 };

#[test]
fn sec_04_an_icmp_error_about_a_peer_that_another_policy_denies_is_not_told() {
    let first = config(Everyone);
    let mut other = first.clone();
    other.policy = Arc::new(Nobody);
    let (mut world, mut user, relayed) = allocated_in(first);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    let relay = world.server.relay_at(relayed).expect("a live relay");
    world.operate(|server| server.reconfigure(Arc::new(other)));

    let told = world.server.handle_icmp(REFUSED, peer(1), relay, world.now, &mut [0; MAX_REPLY]);

    assert_eq!(told, None);
}

/// Allows every port, and is never to be asked about port 0, as the trait's documentation says.
struct AnyPort;

impl PeerPolicy for AnyPort {
    fn judge(&self, _: std::net::IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        assert_ne!(port, Some(0), "port 0 never gets here");
        port.map_or(Verdict::AskPort, |_| Verdict::Allow)
    }
}

#[test]
fn icm_11_no_policy_is_asked_about_a_port_that_is_not_known() {
    let (mut world, mut user, relayed) = allocated_in(config(AnyPort));
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    let relay = world.server.relay_at(relayed).expect("a live relay");
    let unknown = std::net::SocketAddr::new(peer(1).ip(), 0);

    assert!(world.server.handle_icmp(REFUSED, unknown, relay, world.now, &mut [0; MAX_REPLY]).is_some());
}

#[test]
fn sec_06_what_is_dropped_for_one_rate_takes_nothing_from_another() {
    let mut limited = config_of_many();
    limited.allocation_bandwidth = Some(Bandwidth::new(1_000));
    limited.user_bandwidth = Some(Bandwidth::new(2_000));
    let mut world = World::new(limited);
    let [first, second] = [1, 2].map(|n| {
        let mut user = User::new(client(n));
        user.allocate(&mut world);
        assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
        user
    });
    for _ in 0..3 {
        first.send(&mut world, peer(1), &[7; 1_000]);
    }
    assert_eq!(world.take(peer(1)).len(), 1);

    second.send(&mut world, peer(1), &[7; 1_000]);

    assert_eq!(world.take(peer(1)).len(), 1);
}

#[test]
fn sec_06_small_packets_that_come_often_get_the_whole_rate() {
    let mut limited = config(Everyone);
    limited.allocation_bandwidth = Some(Bandwidth::new(1_900));
    let (mut world, mut user, _) = allocated_in(limited);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    let mut passed = 0;

    for _ in 0..10_000 {
        user.send(&mut world, peer(1), b"two");
        passed += 3 * world.take(peer(1)).len();
        world.run_for(Duration::from_millis(1));
    }

    assert!((20_500..=21_000).contains(&passed), "{passed}");
}

#[test]
fn sec_06_allocating_anew_brings_no_new_burst() {
    let mut limited = config(Everyone);
    limited.user_bandwidth = Some(Bandwidth::new(1_000));
    let (mut world, mut user, _) = allocated_in(limited);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    user.send(&mut world, peer(1), &[7; 1_000]);
    assert_eq!(world.take(peer(1)).len(), 1);
    assert_eq!(user.refresh(&mut world, 0).code(), 0);
    user.allocate(&mut world);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    user.send(&mut world, peer(1), &[7; 1_000]);

    assert_eq!(world.take(peer(1)).len(), 0);
}

#[test]
fn lts_32_another_lifetime_of_nonces_counts() {
    let first = config(Everyone);
    let mut other = first.clone();
    other.nonce_lifetime = Duration::from_secs(60);
    let (mut world, mut user, _) = allocated_in(first);
    world.operate(|server| server.reconfigure(Arc::new(other)));
    world.run_for(Duration::from_secs(61));

    assert_eq!(user.refresh(&mut world, 600).code(), 438);
}

#[test]
fn lts_21_who_chose_sha_256_before_it_was_withdrawn_has_a_stale_nonce_and_right_credentials() {
    let first = config(Everyone);
    let mut other = first.clone();
    other.password_algorithms = false;
    let mut world = World::new(first);
    let mut user = User { chosen: Some(Algorithm::Sha256), ..User::new(client(1)) };
    user.allocate(&mut world);
    world.operate(|server| server.reconfigure(Arc::new(other)));

    assert_eq!(user.refresh(&mut world, 600).code(), 438);
}

#[test]
fn a_dual_allocation_is_listed_with_the_time_until_its_last_half_expires() {
    let mut world = World::new(config(Everyone));
    let mut user = dual(&mut world);
    let answer = user.ask(&mut world, Method::REFRESH, |message| {
        message.attribute(&RequestedAddressFamily(AddressFamily::V4)).attribute(&Lifetime(1_200))
    });
    assert_eq!(answer.code(), 0);

    let expires_in = world.server.allocations(0, world.now).map(|(_, info)| info.expires_in);

    assert_eq!(expires_in.collect::<Vec<_>>(), [1_200_000]);
}

#[test]
fn gen_15_nothing_is_left_to_wake_up_for_when_nothing_is_left() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    assert_eq!(world.server.poll_timeout(), None);
}

/// Whether a client that has sent 100,000 bytes is heard a second after its user was limited to 1,000 in a second.
fn is_heard_after_a_limit_came(before: Config) -> bool {
    let mut after = before.clone();
    after.user_bandwidth = Some(Bandwidth::new(1_000));
    let (mut world, mut user, _) = allocated_in(before);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    (0..100).for_each(|_| user.send(&mut world, peer(1), &[7; 1_000]));
    assert_eq!(world.take(peer(1)).len(), 100);

    world.operate(|server| server.reconfigure(Arc::new(after)));
    world.run_for(Duration::from_secs(1));
    user.reaches(&mut world, peer(1))
}

#[test]
fn sec_06_what_was_sent_before_there_was_a_limit_is_not_held_against_it() {
    let mut before = config(Everyone);
    before.allocation_bandwidth = Some(Bandwidth::new(100_000));

    assert!(is_heard_after_a_limit_came(before));
}

#[test]
fn sec_06_who_sent_much_before_a_limit_was_lowered_waits_for_one_burst_at_most() {
    let mut before = config(Everyone);
    before.user_bandwidth = Some(Bandwidth::new(100_000));

    assert!(is_heard_after_a_limit_came(before));
}

#[test]
fn sec_06_a_user_that_comes_and_goes_does_not_win_back_what_another_used_up() {
    let mut limited = config_of_many();
    limited.user_bandwidth = Some(Bandwidth { bytes_per_second: 0, burst: 10_000 });
    limited.max_challenges = u32::MAX;
    let mut world = World::new(limited);
    let come_and_go = |world: &mut World, name, data: &[u8]| {
        let mut user = User::named(client(1), name, "pass");
        user.allocate(world);
        assert_eq!(user.permit(world, &[peer(1)]), 0);
        user.send(world, peer(1), data);
        assert_eq!(user.refresh(world, 0).code(), 0);
        world.take(peer(1)).len()
    };
    assert_eq!(come_and_go(&mut world, "user", &[7; 10_000]), 1);

    for _ in 0..=4_096 {
        assert_eq!(come_and_go(&mut world, "other", b"!"), 1);
    }

    assert_eq!(come_and_go(&mut world, "user", b"!"), 0);
}
