//! Sequences of what clients, peers and whoever runs a server may do, correctly signed, against one engine.

use std::time::Duration;

use stunner_proto::{MessageBuilder, Method, attribute as stun};

use actor::Actor;
use world::World;

mod actor;
mod ledger;
mod setup;
mod world;

/// More steps than this show nothing new, and take long.
const MAX_STEPS: usize = 300;

/// Two bytes of settings, then steps of four bytes each. After every step the world checks what must always hold; at
/// the end everything expires; and the same bytes give the same packets again.
pub fn sequence(bytes: &[u8]) {
    assert_eq!(play(bytes), play(bytes), "the same seed and the same steps give the same packets");
}

fn play(bytes: &[u8]) -> u64 {
    let Some((&settings, steps)) = bytes.split_first_chunk() else { return 0 };
    let mut game = Game { world: World::new(settings), actors: Actor::all() };
    for &[kind, who, a, b] in steps.as_chunks().0.iter().take(MAX_STEPS) {
        let n = game.actors.len();
        game.step(kind, Who { actor: usize::from(who) % n, flags: who }, a, b);
        game.world.check();
    }
    game.world.end()
}

struct Game {
    world: World,
    actors: Vec<Actor>,
}

/// Who takes a step, and how.
#[derive(Clone, Copy)]
struct Who {
    actor: usize,
    flags: u8,
}

/// How a request is made.
struct Manner {
    /// With the name of somebody else.
    impostor: bool,
    sha256: bool,
    /// With an integrity that is wrong, or none at all.
    broken: bool,
    unsigned: bool,
    fingerprint: bool,
}

impl Who {
    fn has(self, bit: u8) -> bool {
        self.flags & 1 << bit != 0
    }

    fn manner(self) -> Manner {
        let [impostor, sha256, broken, unsigned] = [
            self.has(2) && self.has(4),
            self.has(3),
            self.has(4) && !self.has(2),
            self.has(6) && self.has(7),
        ];
        Manner { impostor, sha256, broken, unsigned, fingerprint: self.has(7) }
    }
}

impl Game {
    fn step(&mut self, kind: u8, who: Who, a: u8, b: u8) {
        self.actors[who.actor].elsewhere = who.has(5);
        match kind % 24 {
            0 | 1 => self.ask(who, Method::ALLOCATE, |world, message| {
                let message = message.maybe((a & 0x30 == 0x20).then(|| world.token(b)).as_ref());
                allocate(message, a, b)
            }),
            2 => self.ask(who, Method::REFRESH, |_, message| {
                let message = message.maybe(family(a).as_ref());
                if a & 8 == 0 { message.attribute(&lifetime(b)) } else { message }
            }),
            3 | 4 => self.ask(who, Method::CREATE_PERMISSION, |world, message| {
                let more = (0..a >> 6).map(|n| b.wrapping_add(n));
                std::iter::once(a)
                    .chain(more)
                    .fold(message, |message, peer| message.attribute(&world.peer(peer)))
            }),
            5 => self.ask(who, Method::CHANNEL_BIND, |world, message| {
                let number = [0x40, a % 6, 0, 0];
                message.raw(stunner_proto::AttributeType::CHANNEL_NUMBER, &number).attribute(&world.peer(b))
            }),
            6 => self.send(who, a, b),
            7 => self.send_channel(who, a, b),
            8 | 9 => self.world.hear(a, b),
            10 => self.world.icmp(a, b),
            11 | 12 => self.world.pass(time(a, b), who.has(7)),
            13 => self.world.reconfigure(a, b),
            14 => self.close(who),
            15 => self.repeat(who, a),
            16 => self.follow(who, a, b),
            17 => self.ask(who, Method::BINDING, |_, message| message),
            18 => self.world.operate(a, b),
            19 => self.world.ports(a),
            20 => self.ask(who, Method::CONNECT, |world, message| message.attribute(&world.peer(a))),
            21 => self.world.dialled(a),
            22 => self.ask(who, Method::CONNECTION_BIND, |world, message| {
                message.maybe(world.connection(a).as_ref())
            }),
            _ => self.world.incoming(a, b),
        }
    }

    /// A request of an actor, signed as its manner is; it takes what it is told by the answer.
    fn ask(
        &mut self,
        who: Who,
        method: Method,
        build: impl for<'b> Fn(&World, MessageBuilder<'b>) -> MessageBuilder<'b>,
    ) {
        let (world, actor) = (&mut self.world, &mut self.actors[who.actor]);
        if actor.nonce().is_none() {
            let bytes = actor.unsigned(Method::ALLOCATE, world.id());
            let answer = world.packet(&bytes, actor.client());
            actor.take(&bytes, answer.as_deref());
        }
        let bytes = actor.request(method, world.id(), &who.manner(), |message| build(world, message));
        let answer = world.packet(&bytes, actor.client());
        actor.take(&bytes, answer.as_deref());
        actor.last = bytes;
    }

    fn send(&mut self, who: Who, a: u8, b: u8) {
        let (world, actor) = (&mut self.world, &self.actors[who.actor]);
        let bytes = actor.indication(world.id(), |message| {
            let message = message.attribute(&world.peer(a)).attribute(&stun::Data(setup::data(b)));
            if b & 0x80 != 0 { message.attribute(&stun::DontFragment) } else { message }
        });
        assert!(world.packet(&bytes, actor.client()).is_none(), "nobody answers an indication");
    }

    fn send_channel(&mut self, who: Who, a: u8, b: u8) {
        let data = setup::data(b);
        let len = u8::try_from(data.len()).expect("few data");
        let mut bytes = [&[0x40, a % 6, 0, len], data].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let answer = self.world.packet(&bytes, self.actors[who.actor].client());
        assert!(answer.is_none(), "nobody answers data");
    }

    /// A connection ends; the client has another one there at once.
    fn close(&mut self, who: Who) {
        let actor = &self.actors[who.actor];
        if actor.client().tuple.transport.is_stream() {
            self.world.close(actor.client());
        }
    }

    /// The last request once more, from anywhere, or cut short.
    fn repeat(&mut self, who: Who, a: u8) {
        let last = &self.actors[usize::from(a) % self.actors.len()].last;
        let bytes = if who.has(7) { &last[..last.len().min(usize::from(a))] } else { &last[..] };
        self.world.packet(bytes, self.actors[who.actor].client());
    }

    /// A Refresh with a ticket: the client's own, an old one of it, or that of somebody else.
    fn follow(&mut self, who: Who, a: u8, b: u8) {
        let whose = if a & 4 != 0 { usize::from(a) % self.actors.len() } else { who.actor };
        let tickets = &self.actors[whose].tickets;
        let old = usize::from(a >> 4 & 1);
        let ticket = tickets.len().checked_sub(1 + old).map(|at| tickets[at].clone()).unwrap_or_default();
        self.ask(who, Method::REFRESH, |_, message| {
            message.attribute(&stun::MobilityTicket(&ticket)).attribute(&lifetime(b))
        });
    }
}

fn allocate(message: MessageBuilder<'_>, a: u8, b: u8) -> MessageBuilder<'_> {
    let transport = if a & 0x40 != 0 { stun::RequestedTransport::TCP } else { stun::RequestedTransport::UDP };
    let second = (a & 0x0C == 0x0C).then_some(stun::AdditionalAddressFamily(stun::AddressFamily::V6));
    let even = (a & 0x30 == 0x10).then_some(stun::EvenPort { reserve_next: b & 1 != 0 });
    let ticket = (a & 0x80 != 0).then_some(stun::MobilityTicket(&[]));
    let first = if a & 0x0C == 0x08 { family(a) } else { None };
    message
        .attribute(&transport)
        .attribute(&lifetime(b))
        .maybe(first.as_ref())
        .maybe(second.as_ref())
        .maybe(even.as_ref())
        .maybe(ticket.as_ref())
}

fn family(a: u8) -> Option<stun::RequestedAddressFamily> {
    let family =
        [None, Some(stun::AddressFamily::V4), Some(stun::AddressFamily::V6), None][usize::from(a & 3)];
    family.map(stun::RequestedAddressFamily)
}

fn lifetime(b: u8) -> stun::Lifetime {
    stun::Lifetime([0, 30, 60, 120, 240, 600, 3_600, u32::MAX][usize::from(b & 7)])
}

fn time(a: u8, b: u8) -> Duration {
    Duration::from_millis(u64::from(a) * [1, 100, 1_000, 10_000][usize::from(b & 3)])
}
