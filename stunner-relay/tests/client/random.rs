//! Random lives over bad links: whatever is asked and in which order, client and server agree in the end.

use std::{net::SocketAddr, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_relay::client::{Event, Lost};

use crate::{
    script::Script,
    world::{CLIENT, ELSEWHERE, Link, World, server_config},
};

fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 9_000))
}

/// One life: a hundred things that are asked for, seconds to minutes apart. What is left is the world, and whom the
/// client wants permitted, and whom bound.
fn live(seed: u64) -> (World, [bool; 4], [bool; 4]) {
    let mut config = Script::config();
    config.mobility = true;
    let mut server = server_config();
    server.mobility = true;
    server.nonce_lifetime = Duration::from_secs(500);
    let mut world = World::new(config, server);
    world.link = Link { delay: Duration::from_millis(30), loss: 10, twice: 10 };
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut permitted, mut bound) = ([false; 4], [false; 4]);
    world.run_for(Duration::from_secs(40));
    for _ in 0..100 {
        let n = rng.random_range(0..4_u8);
        let (at, now) = (usize::from(n), world.now);
        match rng.random_range(0..5) {
            0 => permitted[at] = world.client.permit(peer(n).ip(), now).is_ok(),
            1 => bound[at] = world.client.bind(peer(n), now).is_ok(),
            2 => {
                world.client.forbid(peer(n).ip());
                permitted[at] = false;
            }
            3 => {
                world.client.unbind(peer(n), now);
                bound[at] = false;
            }
            _ => {
                // Only data show the server that the client has arrived: somebody must be permitted, and stay so.
                let lasts = |n: &u8| permitted[usize::from(*n)] && world.client.is_permitted(peer(*n).ip());
                let Some(n) = (0..4).find(lasts) else { continue };
                let other = if world.client.five_tuple().client == CLIENT { ELSEWHERE } else { CLIENT };
                assert_eq!(world.client.migrate(other, now), Ok(()), "seed {seed}");
                world.run_for(Duration::from_secs(40));
                for _ in 0..10 {
                    world.send(b"here", peer(n));
                }
            }
        }
        world.run_for(Duration::from_millis(rng.random_range(0..400_000)));
    }
    world.run_for(Duration::from_secs(700));
    (world, permitted, bound)
}

fn is_bad(event: &Event) -> bool {
    matches!(event, Event::Lost(_) | Event::Refused { .. })
}

#[test]
fn what_is_wanted_works_and_nothing_else_does_after_any_life() {
    for seed in 0..10 {
        let (mut world, permitted, bound) = live(seed);

        let bad: Vec<_> = world.events.iter().filter(|event| is_bad(event)).collect();
        assert!(bad.is_empty(), "seed {seed}: {bad:?}");
        world.link = Link::default();
        world.received.clear();
        for n in 0..4 {
            let at = usize::from(n);
            world.send_from(peer(n), &[n]);
            let came = world.received.pop().is_some();
            assert_eq!(came, permitted[at] || bound[at], "seed {seed}, peer {n}");
            assert_eq!(world.client.channel(peer(n)).is_some(), bound[at], "seed {seed}, peer {n}");
        }
        assert_eq!(world.relays(), 1);
    }
}

#[test]
fn an_allocation_that_the_server_ends_is_noticed_and_another_one_is_made() {
    let mut world = World::allocated(Script::config());
    world.client.bind(peer(1), world.now).unwrap();
    world.settle();
    world.server.end_user("user");
    world.take_events();

    world.run_for(Duration::from_secs(240));

    assert_eq!(world.take_events(), [Event::Lost(Lost::Mismatch)]);
    world.client.restart(CLIENT, world.now).unwrap();
    world.settle();
    assert!(matches!(world.take_events()[..], [Event::Allocated(_)]));
}
