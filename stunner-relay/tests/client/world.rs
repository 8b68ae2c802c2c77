//! A small world: one client, our own server, peers, and a link that takes time, loses packets and sends them twice.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::{Message, Method, attribute::AddressFamily};
use stunner_relay::{
    AllocateRequest, Client as From, Config, FiveTuple, ListenerId, LiveRelays, MAX_REPLY, Output,
    PeerPolicy, PortWish, Refusal, RelayId, Server, StaticUser, Verdict,
    client::{self, Client, Event, MAX_REQUEST},
};

pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1));
pub(crate) const RELAYED: SocketAddr = SocketAddr::new(SERVER_IP, 50_000);
pub(crate) const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 4_000);
pub(crate) const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8)), 4_000);
pub(crate) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 9_000);
pub(crate) const PEER_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 7, 0, 0, 0, 0, 9)), 9_000);

const SERVER_IP: IpAddr = SERVER.ip();

/// What happens to the packets between client and server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// How many of a hundred are lost.
    pub(crate) loss: u32,
    /// How many of a hundred come twice.
    pub(crate) twice: u32,
}

struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A packet that somebody received: from whom, and what.
type Packet = (SocketAddr, Vec<u8>);

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) now: Instant,
    pub(crate) link: Link,
    /// The addresses that relayed transport addresses are on.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) events: Vec<Event>,
    /// What the client got from peers.
    pub(crate) received: Vec<Packet>,
    /// What peers got.
    pub(crate) delivered: Vec<Packet>,
    /// The methods of the client's requests, each time one was sent.
    pub(crate) sent: Vec<Method>,
    flights: BTreeMap<(Instant, u64), Flight>,
    flown: u64,
    relays: BTreeMap<SocketAddr, RelayId>,
    next_port: u16,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(config: client::Config, server: Config) -> Self {
        let now = some_instant();
        Self {
            server: Server::new(Arc::new(server), [1; 32], now),
            client: Client::new(config, CLIENT, SERVER, [2; 32], now).expect("settings that fit"),
            now,
            link: Link::default(),
            addresses: vec![SERVER_IP],
            events: Vec::new(),
            received: Vec::new(),
            delivered: Vec::new(),
            sent: Vec::new(),
            flights: BTreeMap::new(),
            flown: 0,
            relays: BTreeMap::new(),
            next_port: 50_001,
            rng: StdRng::seed_from_u64(1),
        }
    }

    /// A world in which the client has its allocation.
    pub(crate) fn allocated(config: client::Config) -> Self {
        let mut world = Self::new(config, server_config());
        world.settle();
        assert!(matches!(world.events.pop(), Some(Event::Allocated(_))));
        world
    }

    /// Lets everything happen that happens within this time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_client();
        loop {
            let timeouts = [self.client.poll_timeout(), self.server.poll_timeout()];
            let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
            let next = timeouts.into_iter().chain([arrival]).flatten().min();
            let Some(at) = next.filter(|&at| at <= end) else { break };
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.free();
            while let Some(flight) = self.flights.first_entry().filter(|first| first.key().0 <= self.now) {
                let flight = flight.remove();
                self.arrive(&flight);
            }
            self.run_client();
        }
        self.now = end;
    }

    /// Lets happen what happens at once.
    pub(crate) fn settle(&mut self) {
        self.run_for(Duration::ZERO);
    }

    /// Sends data to a peer, as the client would, and lets them arrive.
    pub(crate) fn send(&mut self, data: &[u8], peer: SocketAddr) {
        let frame = self.client.send(data, peer).expect("the peer is permitted").to_vec();
        let FiveTuple { client, server, .. } = self.client.five_tuple();
        self.fly(client, server, &frame);
        self.settle();
    }

    /// Sends data from a peer to the client's relayed transport address, and lets them arrive.
    pub(crate) fn send_from(&mut self, peer: SocketAddr, data: &[u8]) {
        let allocated = self.client.allocated().expect("an allocation");
        let relayed = allocated.relayed(AddressFamily::of(peer.ip())).expect("an address of the family");
        self.fly(peer, relayed, data);
        self.settle();
    }

    /// How many relayed transport addresses the server has bound.
    pub(crate) fn relays(&self) -> usize {
        self.relays.len()
    }

    /// The events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn run_client(&mut self) {
        self.client.handle_timeout(self.now);
        let mut buffer = [0; MAX_REQUEST];
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut buffer) {
            let bytes = &buffer[..transmit.len];
            self.sent.push(Message::parse(bytes).expect("a request").method());
            self.fly(transmit.from, transmit.to, bytes);
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let ends = [(from, to), (to, from)];
        let own = ends.iter().any(|(end, other)| [CLIENT, ELSEWHERE].contains(end) && *other == SERVER);
        let link = if own { self.link } else { Link::default() };
        let mut chance = |of_100| self.rng.random_range(0..100) < of_100;
        let copies = u32::from(!chance(link.loss)) + u32::from(chance(link.twice));
        for _ in 0..copies {
            self.flown += 1;
            let flight = Flight { from, to, bytes: bytes.to_vec() };
            self.flights.insert((self.now + link.delay, self.flown), flight);
        }
    }

    fn arrive(&mut self, flight: &Flight) {
        let Flight { from, to, bytes } = flight;
        if let Some(&relay) = self.relays.get(to) {
            if let Some(out) = self.server.handle_peer(bytes, *from, relay, self.now) {
                self.fly(SERVER, out.client.tuple.client, &out.frame.to_vec());
            }
        } else if *to == SERVER {
            self.ask(bytes, *from);
        } else if [CLIENT.ip(), ELSEWHERE.ip()].contains(&to.ip()) {
            if let Some(received) = self.client.handle_input(bytes, *from, self.now) {
                self.received.push((received.peer, received.data.to_vec()));
            }
        } else {
            self.delivered.push((*to, bytes.clone()));
        }
    }

    fn ask(&mut self, bytes: &[u8], client: SocketAddr) {
        let transport = self.client.five_tuple().transport;
        let tuple = FiveTuple { client, server: SERVER, transport };
        let from = From { tuple, listener: ListenerId(0), link: 0 };
        let mut reply = [0; MAX_REPLY];
        let len = match self.server.handle_client(bytes, from, self.now, &mut reply) {
            Output::Reply(len) => len,
            Output::Allocate(request) => self.bind(request, &mut reply),
            Output::ToPeer { relay, peer, data, .. } => {
                let relayed = self.server.relayed(relay).expect("a live relay");
                let data = data.to_vec();
                return self.fly(relayed, peer, &data);
            }
            _ => return,
        };
        self.free();
        self.fly(SERVER, client, &reply[..len]);
    }

    fn bind(&mut self, request: AllocateRequest, reply: &mut [u8; MAX_REPLY]) -> usize {
        let wants = request.wants();
        let odd = u16::from(wants.port == PortWish::Any);
        let relayed = wants.bind(|family| {
            let own = |ip: &&IpAddr| AddressFamily::of(**ip) == family;
            let ip = self.addresses.iter().find(own).ok_or(Refusal::AddressFamilyNotSupported)?;
            self.next_port += 2;
            Ok(SocketAddr::new(*ip, self.next_port - 1 + odd))
        });
        let accepted = self.server.accept(request, relayed, self.now, reply);
        for relayed in [relayed.v4, relayed.v6].into_iter().flatten().filter_map(Result::ok) {
            if let Some(relay) = accepted.relay(AddressFamily::of(relayed.ip())) {
                self.relays.insert(relayed, relay);
            }
        }
        accepted.reply
    }

    fn free(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let stunner_relay::Event::Closed { relayed, .. } = event {
                self.relays.remove(&relayed);
            }
        }
    }
}

/// A server for user `user` with the password `pass`, who may reach everyone.
pub(crate) fn server_config() -> Config {
    let mut config = Config::new("example.com", StaticUser::new("user", "pass"), Everyone);
    config.relays = Arc::new(LiveRelays::new(&[SERVER_IP, SERVER_V6]));
    config
}

struct Everyone;

impl PeerPolicy for Everyone {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &From, _: &str) -> Verdict {
        Verdict::Allow
    }
}

/// Some instant to count from; the world turns its own clock from there.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be made in no other way, and only differences count"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
