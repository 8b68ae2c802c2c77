//! A world for the engine: a clock that only we turn, clients and peers with addresses, and lossy links between them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::{
    Attribute, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{ErrorCode, Nonce, Realm, Username},
};
use stunner_relay::{
    Bound, Client, Config, Event, FiveTuple, ListenerId, LiveRelays, MAX_REPLY, Output, PeerPolicy, Server,
    StaticUser, Transport,
};

/// The server's address, and that of its relayed transport addresses.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A client's address.
pub(crate) fn client(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, n], 40_000))
}

/// A peer's address.
pub(crate) fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 5_000))
}

/// A packet on its way.
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// What a link does to packets. `Default` loses nothing and takes no time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    /// How long a packet takes at least.
    pub(crate) delay: Duration,
    /// And how much longer at most.
    pub(crate) jitter: Duration,
    /// How many of a hundred are lost.
    pub(crate) loss: u32,
    /// How many of a hundred come twice.
    pub(crate) twice: u32,
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) rng: StdRng,
    /// What arrived where, in order, and from whom.
    pub(crate) inbox: BTreeMap<SocketAddr, Vec<(SocketAddr, Vec<u8>)>>,
    pub(crate) events: Vec<Event>,
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    relays: BTreeMap<SocketAddr, stunner_relay::RelayId>,
    next_port: u16,
    transport: Transport,
}

/// What a world begins with: user `user` with the password `pass`, and a policy.
pub(crate) fn config(policy: impl PeerPolicy) -> Config {
    let mut config = Config::new("example.com", StaticUser::new("user", "pass"), policy);
    config.relays = Arc::new(LiveRelays::new(&[SERVER]));
    config
}

/// Permits every peer.
pub(crate) struct Everyone;

impl PeerPolicy for Everyone {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &Client, _: &str) -> stunner_relay::Verdict {
        stunner_relay::Verdict::Allow
    }
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    pub(crate) fn seeded(config: Config, seed: u64) -> Self {
        let start = some_instant();
        Self {
            server: Server::new(Arc::new(config), [u8::try_from(seed % 251).unwrap_or(0); 32], start),
            now: start,
            link: Link::default(),
            rng: StdRng::seed_from_u64(seed),
            inbox: BTreeMap::new(),
            events: Vec::new(),
            flights: BTreeMap::new(),
            sent: 0,
            relays: BTreeMap::new(),
            next_port: 49_152,
            transport: Transport::Udp,
        }
    }

    /// Where clients send to.
    pub(crate) fn listener(&self) -> SocketAddr {
        SocketAddr::new(SERVER, 3478)
    }

    /// Puts a packet on its way.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let copies = if self.rng.random_range(0..100) < self.link.loss {
            0
        } else {
            1 + usize::from(self.rng.random_range(0..100) < self.link.twice)
        };
        for _ in 0..copies {
            let jitter = self.link.jitter.mul_f64(self.rng.random());
            self.sent += 1;
            let flight = Flight { from, to, bytes: bytes.to_vec() };
            self.flights.insert((self.now + self.link.delay + jitter, self.sent), flight);
        }
    }

    /// Lets everything happen that happens within this time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.server.poll_timeout();
            let Some(at) = [flight, timeout].into_iter().flatten().min().filter(|&at| at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if timeout.is_some_and(|at| at <= self.now) {
                self.server.handle_timeout(self.now);
                self.take_events();
            }
            if flight.is_some_and(|at| at <= self.now)
                && let Some((_, flight)) = self.flights.pop_first()
            {
                self.arrive(flight);
            }
        }
        self.now = end;
    }

    /// Delivers what is on its way at this moment.
    pub(crate) fn settle(&mut self) {
        self.run_for(Duration::ZERO);
    }

    /// What arrived at an address since the last call.
    pub(crate) fn take(&mut self, at: SocketAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.inbox.remove(&at).unwrap_or_default()
    }

    fn arrive(&mut self, flight: Flight) {
        if flight.to == self.listener() {
            self.client_packet(&flight);
        } else if let Some(&relay) = self.relays.get(&flight.to) {
            let delivered = self.server.handle_peer(&flight.bytes, flight.from, relay, self.now);
            if let Some(to) = delivered {
                let bytes = to.frame.to_vec();
                let client = to.client.tuple.client;
                self.send(self.listener(), client, &bytes);
            }
        } else {
            self.inbox.entry(flight.to).or_default().push((flight.from, flight.bytes));
        }
    }

    fn client_packet(&mut self, flight: &Flight) {
        let tuple = FiveTuple { client: flight.from, server: self.listener(), transport: self.transport };
        let from = Client { tuple, listener: ListenerId(0), link: 0 };
        let mut reply = [0; MAX_REPLY];
        let output = self.server.handle_client(&flight.bytes, from, self.now, &mut reply);
        let len = match output {
            Output::Reply(len) => len,
            Output::Allocate(request) => {
                let relayed = SocketAddr::new(SERVER, self.next_port);
                self.next_port += 1;
                let accepted = self.server.accept(request, Bound { relayed }, self.now, &mut reply);
                if let Some(relay) = accepted.relay {
                    self.relays.insert(relayed, relay);
                }
                accepted.reply
            }
            Output::ToPeer { relay, peer, data, .. } => {
                let from = self.server.relayed(relay).expect("a live relay");
                self.send(from, peer, data);
                0
            }
            _ => 0,
        };
        if len > 0 {
            self.send(self.listener(), flight.from, &reply[..len]);
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let Event::Closed { relayed, .. } = &event {
                self.relays.remove(relayed);
            }
            self.events.push(event);
        }
    }

    /// How many relayed transport addresses have a socket.
    pub(crate) fn sockets(&self) -> usize {
        self.relays.len()
    }
}

/// A user of the server: it keeps realm, nonce and key, and asks again when it is told to.
pub(crate) struct User {
    pub(crate) address: SocketAddr,
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
    pub(crate) realm: String,
    pub(crate) nonce: String,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("a message")
    }

    /// The code of an error response; 0 for success.
    pub(crate) fn code(&self) -> u16 {
        match self.message().class() {
            Class::SuccessResponse => 0,
            _ => self.message().require::<ErrorCode<'_>>().expect("an error has a code").code(),
        }
    }
}

impl User {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, name: "user", password: "pass", realm: String::new(), nonce: String::new() }
    }

    pub(crate) fn key(&self) -> Key {
        Key::long_term(self.name, &self.realm, self.password)
    }

    /// Asks without credentials, and keeps the realm and the nonce of the refusal.
    pub(crate) fn challenge(&mut self, world: &mut World) {
        let refused = request(world, self.address, Method::ALLOCATE, |message| message);
        let refused = refused.expect("a refusal");
        self.realm = refused.message().require::<Realm<'_>>().expect("a realm").as_str().to_owned();
        self.nonce = refused.message().require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
    }

    /// One signed request over a link that loses nothing.
    pub(crate) fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Answer {
        if self.nonce.is_empty() {
            self.challenge(world);
        }
        let key = self.key();
        let answer = request(world, self.address, method, |message| self.sign(build(message), &key));
        answer.expect("an answer")
    }

    pub(crate) fn sign<'b>(&self, message: MessageBuilder<'b>, key: &Key) -> MessageBuilder<'b> {
        message
            .attribute(&Username::new(self.name).expect("a name"))
            .attribute(&Realm::new(&self.realm).expect("a realm"))
            .attribute(&Nonce::new(&self.nonce).expect("a nonce"))
            .integrity(key)
    }
}

/// Sends a request, and returns the last packet that came back at once.
pub(crate) fn request(
    world: &mut World,
    from: SocketAddr,
    method: Method,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Option<Answer> {
    let id = TransactionId(world.rng.random());
    let bytes = message(Class::Request, method, id, build);
    let listener = world.listener();
    world.send(from, listener, &bytes);
    world.settle();
    world.take(from).pop().map(|(_, bytes)| Answer(bytes))
}

/// The bytes of a message.
pub(crate) fn message(
    class: Class,
    method: Method,
    id: TransactionId,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let len = build(MessageBuilder::new(class, method, id, &mut buffer)).finish().expect("it fits");
    buffer.truncate(len);
    buffer
}

/// An attribute that must be there.
pub(crate) fn get<'a, A: Attribute<'a>>(answer: &'a Answer) -> A {
    answer.message().require().expect("the attribute is there")
}

/// Some instant to count from; the world turns its own clock from there.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be made in no other way, and only differences count"
)]
fn some_instant() -> Instant {
    Instant::now()
}
