//! Ten minutes of a call between two clients of one server, who see nothing but relayed addresses of each other.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use rand::Rng;
use stunner_proto::{
    ChannelData, ChannelNumber, Class, Message, Method, TransactionId,
    attribute::{Lifetime, Nonce, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};
use stunner_relay::RelayOnly;

use crate::old_world::{Link, User, World, client, config, get, message};

/// A request that is repeated until it is answered.
struct Pending {
    bytes: Vec<u8>,
    method: Method,
    next: u64,
}

/// One side of the call: it refreshes in time, and repeats what is lost.
struct Side {
    user: User,
    other: SocketAddr,
    pending: HashMap<TransactionId, Pending>,
    received: Vec<u32>,
    failures: Vec<u16>,
}

const STEP: u64 = 20;

impl Side {
    fn start(&mut self, world: &mut World, method: Method, at: u64) {
        let key = self.user.key();
        let id = TransactionId(world.rng.random());
        let peer = XorPeerAddress(self.other);
        let bytes = message(Class::Request, method, id, |message| {
            let message = match method {
                Method::REFRESH => message.attribute(&Lifetime(600)),
                Method::CHANNEL_BIND => message.attribute(&ChannelNumber::MIN).attribute(&peer),
                _ => message.attribute(&peer),
            };
            self.user.sign(message, &key)
        });
        self.pending.insert(id, Pending { bytes, method, next: at });
    }

    /// Sends what is due: requests again, and one packet of media.
    fn step(&mut self, world: &mut World, at: u64) {
        for (method, every) in [
            (Method::REFRESH, 540_000),
            (Method::CREATE_PERMISSION, 240_000),
            (Method::CHANNEL_BIND, 500_000),
        ] {
            if at > 0 && at.is_multiple_of(every) {
                self.start(world, method, at);
            }
        }
        let listener = world.listener();
        for pending in self.pending.values_mut().filter(|pending| pending.next <= at) {
            world.send(self.user.address, listener, &pending.bytes);
            pending.next = at + 500;
        }
        let number = u32::try_from(at / STEP).expect("a short call");
        let packet = [&[0x40, 0, 0, 4][..], &number.to_be_bytes()].concat();
        world.send(self.user.address, listener, &packet);
    }

    fn receive(&mut self, world: &mut World, at: u64) {
        for (_, bytes) in world.take(self.user.address) {
            if let Some(ChannelData { data, .. }) = ChannelData::parse(&bytes) {
                self.received.push(u32::from_be_bytes(data.try_into().expect("a number")));
                continue;
            }
            let answer = crate::old_world::Answer(bytes);
            let Some(pending) = self.pending.remove(&answer.message().transaction_id()) else { continue };
            match answer.code() {
                0 => {}
                438 => {
                    self.user.nonce = get::<Nonce<'_>>(&answer).as_str().to_owned();
                    self.start(world, pending.method, at);
                }
                code => self.failures.push(code),
            }
        }
    }
}

/// Sets up the call over a good link, then holds it for `minutes` over `link`.
fn call(link: Link, seed: u64, minutes: u64) -> [Side; 2] {
    let mut world = World::seeded(config(RelayOnly::new()), seed);
    let mut users = [User::new(client(1)), User::new(client(2))];
    let relayed = users.each_mut().map(|user| {
        let answer =
            user.ask(&mut world, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
        get::<XorRelayedAddress>(&answer).0
    });
    let mut others = relayed.into_iter().rev();
    let mut sides = users.map(|user| Side {
        user,
        other: others.next().expect("two of them"),
        pending: HashMap::new(),
        received: Vec::new(),
        failures: Vec::new(),
    });
    for side in &mut sides {
        let peer = XorPeerAddress(side.other);
        let bound = side.user.ask(&mut world, Method::CHANNEL_BIND, |message| {
            message.attribute(&ChannelNumber::MIN).attribute(&peer)
        });
        assert_eq!(bound.code(), 0);
    }
    world.link = link;
    for at in (0..minutes * 60_000).step_by(usize::try_from(STEP).expect("a small number")) {
        sides.iter_mut().for_each(|side| side.step(&mut world, at));
        world.run_for(Duration::from_millis(STEP));
        sides.iter_mut().for_each(|side| side.receive(&mut world, at));
    }
    assert_eq!(world.sockets(), 2, "seed {seed}");
    sides
}

#[test]
fn a_call_of_ten_minutes_loses_nothing_over_links_that_lose_nothing() {
    for side in call(Link::default(), 1, 10) {
        assert_eq!(side.received, (0..30_000).collect::<Vec<_>>());
        assert!(side.failures.is_empty(), "{:?}", side.failures);
    }
}

#[test]
fn a_call_outlives_loss_jitter_and_duplicates() {
    let link =
        Link { delay: Duration::from_millis(40), jitter: Duration::from_millis(60), loss: 10, twice: 3 };
    for seed in 1..=5 {
        for side in call(link, seed, 25) {
            let last = *side.received.iter().max().expect("something arrived");
            assert!(last > 74_900, "seed {seed}: the last packet that arrived was {last}");
            // Each packet crosses four links: 0.9 to the fourth is 0.66.
            let arrived = side.received.len();
            assert!((45_000..62_000).contains(&arrived), "seed {seed}: {arrived}");
            assert!(side.failures.is_empty(), "seed {seed}: {:?}", side.failures);
        }
    }
}

#[test]
fn a_message_that_is_data_is_not_taken_for_a_response() {
    let mut world = World::new(config(RelayOnly::new()));
    let mut user = User::new(client(1));
    user.challenge(&mut world);
    let response =
        message(Class::SuccessResponse, Method::ALLOCATE, TransactionId([1; 12]), |message| message);
    assert!(Message::parse(&response).is_ok());
    let listener = world.listener();
    world.send(client(1), listener, &response);
    world.settle();
    assert!(world.take(client(1)).is_empty());
}
