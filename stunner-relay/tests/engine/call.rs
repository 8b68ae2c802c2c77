//! A call between two clients of one server, who see nothing but relayed transport addresses of each other.

use std::{net::SocketAddr, time::Duration};

use stunner_relay::{Config, RelayOnly};

use crate::world::{LISTENER, Link, Purpose, Received, TurnClient, World, client, config};

/// How often either side sends a packet.
const STEP: Duration = Duration::from_millis(20);

/// How many packets a side sends in a minute.
const A_MINUTE: u32 = 3_000;

/// The channel over which each side reaches the other.
const CHANNEL: u16 = 0x4000;

const SIDES: [u8; 2] = [1, 2];

/// Two clients that have found each other, and a link of this kind for each.
fn connected(config: Config, link: Link, seed: u64) -> World {
    let mut world = World::seeded(config, seed);
    for n in SIDES {
        world.network.link(client(n).ip(), link);
        let side = TurnClient::new("user", "pass", seed + u64::from(n), world.now);
        world.clients.insert(client(n), side);
    }
    until_idle(&mut world);
    let [first, second] = SIDES.map(|n| world.clients[&client(n)].relayed.expect("an allocation"));
    let now = world.now;
    for (n, other) in [(1, second), (2, first)] {
        side(&mut world, n).bind(CHANNEL, other, now);
    }
    until_idle(&mut world);
    world
}

fn until_idle(world: &mut World) {
    world.run_for(STEP);
    while !world.clients.values().all(TurnClient::is_idle) {
        world.run_for(STEP);
    }
}

fn side(world: &mut World, n: u8) -> &mut TurnClient {
    world.clients.get_mut(&client(n)).expect("one of two sides")
}

/// Both sides send numbered packets for so many minutes; what each has received, and still asks for.
fn call(mut world: World, minutes: u32) -> [TurnClient; 2] {
    let [first, second] = SIDES.map(|n| world.clients[&client(n)].relayed.expect("an allocation"));
    for number in 0..minutes * A_MINUTE {
        for (n, other) in [(1, second), (2, first)] {
            let packet = side(&mut world, n).packet(other, &number.to_be_bytes());
            world.send(client(n), LISTENER, &packet);
        }
        world.run_for(STEP);
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.sockets(), 2);
    SIDES.map(|n| world.clients.remove(&client(n)).expect("one of two sides"))
}

/// The numbers of what was received, all of it over the channel.
fn numbers(side: &TurnClient) -> Vec<u32> {
    let number = |received: &Received| match received {
        Received::Channel(CHANNEL, data) => u32::from_be_bytes(data[..].try_into().expect("a number")),
        other => panic!("{other:?}"),
    };
    side.received.iter().map(number).collect()
}

/// How often the server agreed to the channel, and to the permission.
fn agreed(side: &TurnClient) -> [u32; 2] {
    let count = |of: fn(&Purpose, &SocketAddr) -> bool| {
        let peer = side.served.keys().find_map(|purpose| match purpose {
            Purpose::Bind(_, peer) => Some(*peer),
            _ => None,
        });
        let peer = peer.expect("a channel");
        side.served.iter().filter(|(purpose, _)| of(purpose, &peer)).map(|(_, &count)| count).sum()
    };
    [
        count(|purpose, peer| *purpose == Purpose::Bind(CHANNEL, *peer)),
        count(|purpose, peer| *purpose == Purpose::Permit(peer.ip())),
    ]
}

#[test]
fn a_call_of_ten_minutes_loses_nothing_over_links_that_lose_nothing() {
    let world = connected(config(RelayOnly::new()), Link::default(), 1);

    for side in call(world, 10) {
        assert!(numbers(&side).into_iter().eq(0..10 * A_MINUTE));
        assert_eq!(side.failures, []);
        assert_eq!((side.served[&Purpose::Refresh], agreed(&side)), (1, [2, 3]));
    }
}

#[test]
fn a_call_loses_nothing_while_its_nonces_become_stale() {
    let mut short = config(RelayOnly::new());
    short.nonce_lifetime = Duration::from_secs(90);
    let world = connected(short, Link { delay: Duration::from_millis(30), ..Link::default() }, 1);

    for side in call(world, 10) {
        assert!(numbers(&side).into_iter().eq(0..10 * A_MINUTE));
        assert_eq!(side.failures, []);
    }
}

/// Each packet crosses two links, and 0.9 * 1.03 of what is sent comes out of each: 0.859 in all.
fn outlives_a_bad_link(seed: u64) {
    let link = Link {
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(60),
        loss: 10,
        twice: 3,
        late: 2,
    };
    for side in call(connected(config(RelayOnly::new()), link, seed), 25) {
        let numbers = numbers(&side);
        let last = *numbers.iter().max().expect("something arrived");
        assert!(last > 25 * A_MINUTE - 50, "seed {seed}: the last packet that arrived was {last}");
        let arrived = numbers.len();
        assert!((63_500..65_500).contains(&arrived), "seed {seed}: {arrived}");
        let overtaken = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!(overtaken > 100, "seed {seed}: {overtaken}");
        assert_eq!(side.failures, [], "seed {seed}");
        assert!(side.served[&Purpose::Refresh] >= 2, "seed {seed}");
    }
}

#[test]
fn a_call_outlives_loss_jitter_and_duplicates() {
    std::thread::scope(|scope| {
        for seed in 1..=2 {
            scope.spawn(move || outlives_a_bad_link(seed));
        }
    });
}

#[test]
fn a_call_is_the_same_again_with_the_same_seed() {
    let link = Link { jitter: Duration::from_millis(60), loss: 10, ..Link::default() };
    let life = |seed| {
        let world = connected(config(RelayOnly::new()), link, seed);
        call(world, 1).map(|side| numbers(&side))
    };

    assert!(life(1) == life(1) && life(1) != life(2));
}
