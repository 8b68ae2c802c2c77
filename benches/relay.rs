//! The engine alone, without sockets: what one packet costs with 1, 1,000, 100,000 and 1,000,000 allocations.
//!
//! Clients take turns in a random order, so that with many of them the caches are as cold as they are in use. Every
//! client has one channel and one permission.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use stunner_proto::{
    ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{AddressFamily, Data, Lifetime, Nonce, Realm, RequestedTransport, Username, XorPeerAddress},
};
use stunner_relay::{
    Client, Config, FiveTuple, ListenerId, MAX_REPLY, Output, PeerPolicy, RelayId, Server, StaticUser,
    Transport, Verdict,
};

const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];

/// The largest of them that is measured, where somebody is in a hurry.
const LARGEST: &str = "STUNNER_BENCH_ALLOCATIONS";

/// As many clients as take turns.
const TURNS: usize = 1 << 16;

struct Everyone;

impl PeerPolicy for Everyone {
    fn judge(&self, _: std::net::IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::Allow
    }
}

fn client(n: u32) -> Client {
    let tuple = FiveTuple {
        client: (Ipv4Addr::from_bits(0x0A00_0000 + n), 40_000).into(),
        server: ([192, 0, 2, 1], 3478).into(),
        transport: Transport::Udp,
    };
    Client { tuple, listener: ListenerId(0), link: 0 }
}

fn peer(n: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0B00_0000 + n), 5_000).into()
}

/// A server with so many allocations, and the handle of each one's relayed transport address.
struct World {
    server: Server,
    relays: Vec<RelayId>,
    /// Who comes next, and by which relay.
    turns: Vec<(u32, RelayId)>,
    key: Key,
    now: Instant,
}

impl World {
    fn new(size: u32) -> Self {
        let mut config = Config::new("example.com", StaticUser::new("user", "pass"), Everyone);
        config.max_allocations = usize::MAX;
        config.max_challenges = u32::MAX;
        config.nonce_lifetime = Duration::from_secs(1 << 30);
        #[expect(clippy::disallowed_methods, reason = "some instant to begin with")]
        let now = Instant::now();
        let server = Server::new(Arc::new(config), [7; 32], now);
        let key = Key::long_term("user", "example.com", "pass");
        let mut world = Self { server, relays: Vec::new(), turns: Vec::new(), key, now };
        (0..size).for_each(|n| world.add(n));
        world.turns = (0..).zip(world.relays.iter().copied()).collect();
        world.turns.shuffle(&mut StdRng::seed_from_u64(1));
        world.turns.truncate(TURNS);
        world
    }

    fn add(&mut self, n: u32) {
        let mut reply = [0; MAX_REPLY];
        let allocate = |message: MessageBuilder<'_>| message.attribute(&RequestedTransport::UDP).finish();
        let mut bytes = [0; 512];
        let len = allocate(request(Method::ALLOCATE, &mut bytes)).expect("it fits");
        let Output::Reply(len) = self.server.handle_client(&bytes[..len], client(n), self.now, &mut reply)
        else {
            panic!("no challenge")
        };
        let challenge = Message::parse(&reply[..len]).expect("a message");
        let nonce = challenge.require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
        let mut bytes = [0; 512];
        let message = request(Method::ALLOCATE, &mut bytes).attribute(&RequestedTransport::UDP);
        let len = sign(message, &nonce, &self.key);
        let Output::Allocate(request) =
            self.server.handle_client(&bytes[..len], client(n), self.now, &mut reply)
        else {
            panic!("no allocation")
        };
        let relayed = (Ipv4Addr::from_bits(0xC000_0000 + n), 50_000).into();
        let relayed = request.wants().bind(|_| Ok(relayed));
        let accepted = self.server.accept(request, relayed, self.now, &mut reply);
        self.relays.push(accepted.relay(AddressFamily::V4).expect("an allocation"));
        let _ = self.server.poll_event();
        let len = self.bind(n, &nonce, &mut bytes);
        let Output::Reply(_) = self.server.handle_client(&bytes[..len], client(n), self.now, &mut reply)
        else {
            panic!("no channel")
        };
    }

    fn bind(&self, n: u32, nonce: &str, bytes: &mut [u8; 512]) -> usize {
        let message = request(Method::CHANNEL_BIND, bytes);
        let message = message.attribute(&ChannelNumber::MIN).attribute(&XorPeerAddress(peer(n)));
        sign(message, nonce, &self.key)
    }
}

fn request(method: Method, bytes: &mut [u8]) -> MessageBuilder<'_> {
    MessageBuilder::new(Class::Request, method, TransactionId([7; 12]), bytes)
}

fn sign(message: MessageBuilder<'_>, nonce: &str, key: &Key) -> usize {
    message
        .attribute(&Username::new("user").expect("a name"))
        .attribute(&Realm::new("example.com").expect("a realm"))
        .attribute(&Nonce::new(nonce).expect("a nonce"))
        .integrity(key)
        .finish()
        .expect("it fits")
}

/// Measures one thing that clients do in turns.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    world: &mut World,
    mut once: impl FnMut(&mut Server, u32, RelayId, Instant, &mut [u8; MAX_REPLY]),
) {
    let size = world.relays.len();
    let mut turn = 0;
    let mut reply = [0; MAX_REPLY];
    let mut group = criterion.benchmark_group(name);
    group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
        bencher.iter(|| {
            let (n, relay) = world.turns[turn];
            turn += 1;
            if turn == world.turns.len() {
                turn = 0;
            }
            once(&mut world.server, n, relay, world.now, &mut reply);
        });
    });
}

fn relaying(criterion: &mut Criterion) {
    let channel = [&[0x40, 0, 4, 0xB0][..], &[1; 1200]].concat();
    let data = [1; 1200];
    let mut binding = [0; 20];
    request(Method::BINDING, &mut binding).finish().expect("it fits");
    let largest = std::env::var(LARGEST).ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
    for size in SIZES.into_iter().filter(|&size| size <= largest) {
        eprintln!("{size} allocations are made...");
        let mut world = World::new(size);
        measure(criterion, "ChannelData to a peer", &mut world, |server, n, _, now, reply| {
            let _ = black_box(server.handle_client(&channel, client(n), now, reply));
        });
        measure(criterion, "a peer's data, to ChannelData", &mut world, |server, n, relay, now, _| {
            let _ = black_box(server.handle_peer(&data, peer(n), relay, now));
        });
        let mut send = [0; 1300];
        measure(criterion, "Send indication to a peer", &mut world, |server, n, _, now, reply| {
            let message =
                MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([1; 12]), &mut send);
            let message = message.attribute(&XorPeerAddress(peer(n))).attribute(&Data(&data));
            let len = message.finish().expect("it fits");
            let _ = black_box(server.handle_client(&send[..len], client(n), now, reply));
        });
        measure(criterion, "a peer's data, to a Data indication", &mut world, |server, n, relay, now, _| {
            let other_port = SocketAddr::new(peer(n).ip(), 6_000);
            let _ = black_box(server.handle_peer(&data, other_port, relay, now));
        });
        measure(criterion, "Binding", &mut world, |server, n, _, now, reply| {
            let _ = black_box(server.handle_client(&binding, client(n), now, reply));
        });
        measure(criterion, "401 for an Allocate", &mut world, |server, n, _, now, reply| {
            let mut bytes = [0; 64];
            let message = request(Method::ALLOCATE, &mut bytes).attribute(&RequestedTransport::UDP);
            let len = message.finish().expect("it fits");
            let _ = black_box(server.handle_client(&bytes[..len], client(n), now, reply));
        });
        refresh(criterion, &mut world);
    }
}

/// Refreshes of one client: each needs a nonce of its own.
fn refresh(criterion: &mut Criterion, world: &mut World) {
    let mut reply = [0; MAX_REPLY];
    let mut bytes = [0; 512];
    let len = request(Method::REFRESH, &mut bytes).finish().expect("it fits");
    let Output::Reply(len) = world.server.handle_client(&bytes[..len], client(0), world.now, &mut reply)
    else {
        panic!("no challenge")
    };
    let challenge = Message::parse(&reply[..len]).expect("a message");
    let nonce = challenge.require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
    let len = sign(request(Method::REFRESH, &mut bytes).attribute(&Lifetime(600)), &nonce, &world.key);
    measure(criterion, "Refresh", world, |server, _, _, now, reply| {
        let _ = black_box(server.handle_client(&bytes[..len], client(0), now, reply));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = relaying
}
criterion_main!(benches);
