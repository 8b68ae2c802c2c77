//! Permissions and CreatePermission (RFC 8656, sections 9 and 10).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    Method,
    attribute::{Data, XorPeerAddress},
};
use stunner_relay::DefaultPolicy;

use crate::world::{
    Everyone, Raw, Received, User, World, allocated, allocated_in, allocated_v6, client, config, other_port,
    peer, peer_v6,
};

/// An allocation that lives for an hour, and a permission for peer 1 from now on.
fn permitted() -> (World, User, SocketAddr) {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    (world, user, relayed)
}

/// Whether data pass both ways for just less than so many milliseconds more, and neither way from then on.
fn ends_in((mut world, user, relayed): (World, User, SocketAddr), millis: u64) -> bool {
    let mut passes = |wait| {
        world.run_for(Duration::from_millis(wait));
        (user.reaches(&mut world, peer(1)), user.hears(&mut world, peer(1), relayed))
    };
    passes(millis - 1) == (true, true) && passes(1) == (false, false)
}

#[test]
fn prm_01_a_permission_is_for_every_port_of_a_peer() {
    let (mut world, user, relayed) = permitted();

    for from in [peer(1), other_port(peer(1))] {
        world.send(from, relayed, b"hello");
        assert_eq!(user.received(&mut world), [Received::Data(from, b"hello".to_vec())]);
        assert!(user.reaches(&mut world, from), "{from}");
    }
}

#[test]
fn prm_02_three_peers_are_permitted_at_once() {
    let (mut world, mut user, relayed) = allocated();

    assert_eq!(user.permit(&mut world, &[peer(1), peer(2), peer(3)]), 0);

    for n in 1..=3 {
        assert!(user.reaches(&mut world, peer(n)) && user.hears(&mut world, peer(n), relayed), "{n}");
    }
}

#[test]
fn prm_03_without_a_peer_it_is_a_bad_request() {
    let (mut world, mut user, _) = allocated();

    assert_eq!(user.permit(&mut world, &[]), 400);
}

#[test]
fn prm_04_one_malformed_peer_and_nobody_is_permitted() {
    let malformed = [&[][..], &[0; 7], &[0, 3, 0, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0, 0, 0, 0]];

    for value in malformed {
        let (mut world, mut user, relayed) = allocated();
        let answer = user.ask(&mut world, Method::CREATE_PERMISSION, |message| {
            message.attribute(&XorPeerAddress(peer(1))).attribute(&Raw::<0x0012>(value))
        });
        assert_eq!(answer.code(), 400, "{value:?}");
        assert!(!user.hears(&mut world, peer(1), relayed), "{value:?}");
    }
}

#[test]
fn prm_05_a_peer_of_the_other_family_is_a_mismatch_and_nobody_is_permitted() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(1), peer_v6(1)]), 443);
    assert!(!user.hears(&mut world, peer(1), relayed));

    let (mut world, mut user, relayed) = allocated_v6(Everyone);
    assert_eq!(user.permit(&mut world, &[peer_v6(1), peer(1)]), 443);
    assert!(!user.hears(&mut world, peer_v6(1), relayed));
}

#[test]
fn prm_05_an_ipv6_peer_is_permitted_on_an_ipv6_allocation() {
    let (mut world, mut user, relayed) = allocated_v6(Everyone);

    assert_eq!(user.permit(&mut world, &[peer_v6(1)]), 0);

    assert!(user.reaches(&mut world, peer_v6(1)));
    world.send(peer_v6(1), relayed, b"hello");
    assert_eq!(user.received(&mut world), [Received::Data(peer_v6(1), b"hello".to_vec())]);
}

#[test]
fn prm_07_all_peers_are_permitted_or_none() {
    let policy = DefaultPolicy::new().allow("203.0.113.0/24".parse().unwrap());
    let (mut world, mut user, relayed) = allocated_in(config(policy));

    assert_eq!(user.permit(&mut world, &[peer(1), SocketAddr::from(([127, 0, 0, 1], 80))]), 403);
    assert!(!user.hears(&mut world, peer(1), relayed));
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
}

#[test]
fn prm_08_more_peers_than_there_is_room_for_are_refused_until_others_expire() {
    let mut small = config(Everyone);
    small.max_permissions = 3;
    let (mut world, mut user, relayed) = allocated_in(small);
    assert_eq!(user.permit(&mut world, &[peer(1), peer(2)]), 0);

    assert_eq!(user.permit(&mut world, &[peer(3), peer(4)]), 508);
    assert!(!user.hears(&mut world, peer(3), relayed));
    assert_eq!(user.permit(&mut world, &[peer(3), peer(1)]), 0);

    world.run_for(Duration::from_secs(300));
    assert_eq!(user.permit(&mut world, &[peer(4), peer(5), peer(6)]), 0);
}

#[test]
fn prm_08_and_sec_11_a_request_names_thirty_two_peers_at_most() {
    let (mut world, mut user, _) = allocated();
    let peers: Vec<_> = (0..33).map(peer).collect();

    assert_eq!(user.permit(&mut world, &peers), 508);
    assert!(!user.reaches(&mut world, peer(1)));
    assert_eq!(user.permit(&mut world, &peers[..32]), 0);
    assert!(user.reaches(&mut world, peer(31)));
}

#[test]
fn prm_09_a_permission_lasts_300_seconds() {
    assert!(ends_in(permitted(), 300_000));
}

#[test]
fn prm_10_a_permission_that_is_created_again_lasts_300_seconds_more() {
    let (mut world, mut user, relayed) = permitted();
    world.run_for(Duration::from_secs(200));

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);

    assert!(ends_in((world, user, relayed), 300_000));
}

#[test]
fn prm_11_and_chd_07_data_do_not_prolong_a_permission() {
    let (mut world, mut user, relayed) = permitted();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    for _ in 0..299 {
        world.run_for(Duration::from_secs(1));
        assert!(user.reaches(&mut world, peer(1)) && user.reaches_over(&mut world, 0x4000, peer(1)));
        assert!(user.hears(&mut world, peer(1), relayed));
    }

    assert!(ends_in((world, user, relayed), 1_000));
}

#[test]
fn prm_12_and_chb_11_a_channel_brings_a_permission_of_300_seconds() {
    let (mut world, mut user, relayed) = permitted();
    world.run_for(Duration::from_secs(200));

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    assert!(ends_in((world, user, relayed), 300_000));
}

#[test]
fn prm_13_and_chd_11_a_channel_outlives_its_permission_on_the_way_to_the_peer_only() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    world.run_for(Duration::from_secs(400));

    assert!(!user.hears(&mut world, peer(1), relayed));
    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
}

#[test]
fn prm_14_another_peer_is_not_heard() {
    let (mut world, user, relayed) = permitted();

    assert!(!user.hears(&mut world, peer(2), relayed));
    assert!(world.take(peer(2)).is_empty());
    assert_eq!(world.server.counters().dropped_from_peers, 1);
}

#[test]
fn prm_15_a_permission_is_of_no_use_to_another_allocation() {
    let (mut world, _, _) = permitted();
    let mut second = User::new(client(2));
    let relayed = second.allocate(&mut world);

    assert!(!second.hears(&mut world, peer(1), relayed));
    assert!(!second.reaches(&mut world, peer(1)));
}

#[test]
fn prm_16_the_port_of_a_peer_does_not_matter() {
    let (mut world, mut user, relayed) = allocated();

    assert_eq!(user.permit(&mut world, &[SocketAddr::new(peer(1).ip(), 0)]), 0);
    assert_eq!(user.permit(&mut world, &[SocketAddr::new(peer(2).ip(), 9)]), 0);

    for n in [1, 2] {
        assert!(user.hears(&mut world, peer(n), relayed) && user.reaches(&mut world, peer(n)), "{n}");
    }
}

#[test]
fn prm_17_the_same_request_twice_is_a_success_twice() {
    let (mut world, user, _) = allocated();
    let bytes = user.signed(Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(peer(1))));

    for _ in 0..2 {
        assert_eq!(user.exchange(&mut world, &bytes).unwrap().code(), 0);
    }
}

#[test]
fn prm_18_and_alc_49_a_new_allocation_has_no_permission_and_no_channel() {
    let (mut world, mut user, _) = permitted();
    assert_eq!(user.bind(&mut world, 0x4000, peer(2)), 0);
    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    let relayed = user.allocate(&mut world);

    for n in [1, 2] {
        assert!(!user.reaches(&mut world, peer(n)) && !user.hears(&mut world, peer(n), relayed), "{n}");
    }
    assert!(!user.reaches_over(&mut world, 0x4000, peer(2)));
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
}

#[test]
fn prm_19_the_same_peer_twice_is_one_permission() {
    let mut small = config(Everyone);
    small.max_permissions = 2;
    let (mut world, mut user, _) = allocated_in(small);

    assert_eq!(user.permit(&mut world, &[peer(1), other_port(peer(1))]), 0);
    assert_eq!(user.permit(&mut world, &[peer(2)]), 0);
    assert_eq!(user.permit(&mut world, &[peer(3)]), 508);
}

#[test]
fn many_permissions_are_found_like_few() {
    let (mut world, mut user, relayed) = allocated();

    for first in (0..200).step_by(20) {
        let peers: Vec<_> = (first..first + 20).map(peer).collect();
        assert_eq!(user.permit(&mut world, &peers), 0);
    }

    for n in 0..200 {
        assert!(user.hears(&mut world, peer(n), relayed), "{n}");
    }
    assert!(!user.hears(&mut world, peer(200), relayed));
}

#[test]
fn data_in_a_create_permission_go_nowhere() {
    let (mut world, mut user, _) = allocated();

    let answer = user.ask(&mut world, Method::CREATE_PERMISSION, |message| {
        message.attribute(&XorPeerAddress(peer(1))).attribute(&Data(b"hello"))
    });

    assert_eq!((answer.code(), world.take(peer(1))), (0, vec![]));
}
