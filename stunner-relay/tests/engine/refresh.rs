//! Refresh (RFC 8656, section 8).

use std::time::Duration;

use stunner_proto::{
    Method,
    attribute::{AddressFamily, Lifetime, RequestedAddressFamily, RequestedTransport},
};
use stunner_relay::{Closed, Event};

use crate::world::{
    Everyone, Raw, User, World, allocated, allocated_in, allocated_v6, client, config, config_of_many, peer,
};

/// Whether the allocation lives until just before so many seconds from now, and no longer.
fn lives_for(mut world: World, seconds: u64) -> bool {
    world.run_for(Duration::from_millis(1_000 * seconds - 1));
    let before = world.sockets();
    world.run_for(Duration::from_millis(1));
    (before, world.sockets()) == (1, 0)
}

#[test]
fn ref_01_without_a_lifetime_it_is_the_default_from_now() {
    let (mut world, mut user, _) = allocated();
    world.run_for(Duration::from_secs(100));

    let answer = user.ask(&mut world, Method::REFRESH, |message| message);

    assert_eq!(answer.get::<Lifetime>(), Lifetime(600));
    assert!(lives_for(world, 600));
}

#[test]
fn ref_02_lifetimes_are_clamped_between_the_default_and_the_maximum() {
    let table = [
        (1, 600),
        (10, 600),
        (599, 600),
        (600, 600),
        (601, 601),
        (1_200, 1_200),
        (3_600, 3_600),
        (9_999, 3_600),
        (u32::MAX, 3_600),
    ];

    for (asked, granted) in table {
        let (mut world, mut user, _) = allocated();
        assert_eq!(user.refresh(&mut world, asked).get::<Lifetime>(), Lifetime(granted), "{asked}");
        assert!(lives_for(world, granted.into()), "{asked}");
    }
}

#[test]
fn ref_03_and_04_a_lifetime_of_zero_deletes_and_a_second_one_is_a_mismatch() {
    let (mut world, mut user, _) = allocated();

    assert_eq!(user.refresh(&mut world, 0).get::<Lifetime>(), Lifetime(0));
    assert_eq!(world.sockets(), 0);
    assert!(matches!(world.events.last(), Some(Event::Closed { why: Closed::Deleted, .. })));
    assert_eq!(user.refresh(&mut world, 0).code(), 437);
}

#[test]
fn ref_03_what_was_deleted_can_be_allocated_anew() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.refresh(&mut world, 0).code(), 0);

    user.allocate(&mut world);

    assert_eq!(world.sockets(), 1);
    assert!(lives_for(world, 600));
}

#[test]
fn ref_05_and_06_a_family_must_be_the_allocations_own() {
    let of_v4 = allocated();
    let of_v6 = allocated_v6(Everyone);

    for ((mut world, mut user, _), own) in [(of_v4, AddressFamily::V4), (of_v6, AddressFamily::V6)] {
        for family in [AddressFamily::V4, AddressFamily::V6] {
            let answer = user.ask(&mut world, Method::REFRESH, |message| {
                message.attribute(&RequestedAddressFamily(family)).attribute(&Lifetime(1_200))
            });
            assert_eq!(answer.code(), if family == own { 0 } else { 443 }, "{own:?} {family:?}");
        }
    }
}

#[test]
fn ref_05_a_family_that_does_not_match_changes_nothing() {
    let (mut world, mut user, _) = allocated();

    let answer = user.ask(&mut world, Method::REFRESH, |message| {
        message.attribute(&RequestedAddressFamily(AddressFamily::V6)).attribute(&Lifetime(0))
    });

    assert_eq!(answer.code(), 443);
    assert!(lives_for(world, 600));
}

#[test]
fn ref_05_a_family_that_does_not_exist_is_a_mismatch() {
    let (mut world, mut user, _) = allocated();

    for family in [0, 3] {
        let answer = user.ask(&mut world, Method::REFRESH, |message| {
            message.attribute(&Raw::<0x0017>(&[family, 0, 0, 0]))
        });
        assert_eq!(answer.code(), 443, "{family}");
    }
}

#[test]
fn ref_11_another_user_refreshes_nothing() {
    let (mut world, first, _) = allocated_in(config_of_many());
    let mut other = User { name: "other", ..first };

    assert_eq!(other.refresh(&mut world, 3_600).code(), 441);
    assert!(lives_for(world, 600));
}

#[test]
fn ref_12_what_has_expired_is_not_refreshed() {
    let (mut world, mut user, _) = allocated();
    world.run_for(Duration::from_secs(600));

    assert_eq!(user.refresh(&mut world, 600).code(), 437);
}

#[test]
fn ref_13_permissions_and_channels_are_not_refreshed() {
    let (mut world, mut user, relayed) = allocated();
    assert_eq!(user.permit(&mut world, &[peer(2)]), 0);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
    world.run_for(Duration::from_secs(299));
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    assert!(user.hears(&mut world, peer(2), relayed));

    world.run_for(Duration::from_secs(1));
    assert!(!user.hears(&mut world, peer(2), relayed));

    world.run_for(Duration::from_secs(299));
    assert!(user.reaches_over(&mut world, 0x4000, peer(1)));
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    world.run_for(Duration::from_secs(1));
    assert!(!user.reaches_over(&mut world, 0x4000, peer(1)));
}

#[test]
fn ref_14_attributes_of_other_requests_are_ignored() {
    let (mut world, mut user, _) = allocated();

    let answer = user.ask(&mut world, Method::REFRESH, |message| message.attribute(&RequestedTransport::TCP));

    assert_eq!(answer.code(), 0);
}

#[test]
fn ref_15_refreshed_just_in_time_an_allocation_lives_on() {
    let (mut world, mut user, relayed) = allocated();

    for _ in 0..2 {
        world.run_for(Duration::from_secs(599));
        assert_eq!(user.refresh(&mut world, 600).code(), 0);
    }

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    assert!(user.hears(&mut world, peer(1), relayed));
    assert!(lives_for(world, 600));
}

#[test]
fn a_shorter_lifetime_than_the_one_before_counts() {
    let mut world = World::new(config(Everyone));
    let mut user = User::new(client(1));
    let answer = user.ask_to_allocate(&mut world, |message| message.attribute(&Lifetime(3_600)));
    assert_eq!(answer.get::<Lifetime>(), Lifetime(3_600));

    assert_eq!(user.refresh(&mut world, 600).code(), 0);

    assert!(lives_for(world, 600));
}

#[test]
fn a_lifetime_that_is_shortened_after_a_long_life_counts() {
    let (mut world, mut user, _) = allocated();
    assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
    world.run_for(Duration::from_secs(700));

    assert_eq!(user.refresh(&mut world, 600).code(), 0);

    assert!(lives_for(world, 600));
}

#[test]
fn longer_and_shorter_lifetimes_by_turns_leave_the_expiry_right() {
    let (mut world, mut user, _) = allocated();

    for _ in 0..50 {
        assert_eq!(user.refresh(&mut world, 3_600).code(), 0);
        assert_eq!(user.refresh(&mut world, 600).code(), 0);
        world.run_for(Duration::from_secs(10));
    }

    assert!(lives_for(world, 590));
}

#[test]
fn a_lifetime_of_the_wrong_length_is_a_bad_request_and_changes_nothing() {
    let (mut world, mut user, _) = allocated();

    for value in [&[][..], &[0, 0], &[0; 5]] {
        let answer =
            user.ask(&mut world, Method::REFRESH, |message| message.attribute(&Raw::<0x000D>(value)));
        assert_eq!(answer.code(), 400, "{value:?}");
    }

    assert!(lives_for(world, 600));
}
