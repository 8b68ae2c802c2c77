//! A server and its sockets: packets and other events in, and what comes of each looked at.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use stunner_proto::{
    TransactionId,
    attribute::{AddressFamily, ConnectionId, ReservationToken, XorPeerAddress},
};
use stunner_relay::{
    AllocateRequest, AllocationId, Client, Config, ConnectRequest, Event, IcmpError, MAX_REPLY, Output,
    PortWish, Refusal, RelayId, Relayed, Server,
};

use super::{
    ledger::Ledger,
    setup::{self, Policy, hosts},
};

mod watch;

pub(super) struct World {
    server: Server,
    now: Instant,
    start: Instant,
    config: Arc<Config>,
    /// The policy in force.
    policy: Policy,
    ledger: Ledger,
    /// Relayed transport addresses that are open, and all handles there have been.
    sockets: BTreeMap<SocketAddr, RelayId>,
    relays: Vec<RelayId>,
    /// All connections there have been, and whose those are that are open.
    connections: Vec<ConnectionId>,
    open: BTreeMap<u32, AllocationId>,
    /// Allocate and Connect requests that wait, with their bytes.
    held: Vec<(AllocateRequest, Vec<u8>)>,
    dials: Vec<(ConnectRequest, Vec<u8>)>,
    holds: bool,
    exhausted: bool,
    /// Whether nobody has come yet to end what has expired.
    late: bool,
    /// Ports that are kept, by their tokens.
    kept: BTreeMap<[u8; 8], SocketAddr>,
    challenged: BTreeMap<(IpAddr, u64), u32>,
    serial: u64,
    transcript: DefaultHasher,
}

impl World {
    pub(super) fn new(settings: [u8; 2]) -> Self {
        let (config, start) = (Arc::new(setup::config(settings)), crate::some_instant());
        Self {
            server: Server::new(config.clone(), [7; 32], start),
            now: start,
            start,
            config,
            policy: Policy(0),
            ledger: Ledger::default(),
            sockets: BTreeMap::new(),
            relays: vec![],
            connections: vec![],
            open: BTreeMap::new(),
            held: vec![],
            dials: vec![],
            holds: false,
            exhausted: false,
            late: false,
            kept: BTreeMap::new(),
            challenged: BTreeMap::new(),
            serial: 0,
            transcript: DefaultHasher::new(),
        }
    }

    pub(super) fn id(&mut self) -> TransactionId {
        self.serial += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.serial.to_be_bytes());
        TransactionId(id)
    }

    /// A host, or what is or was a relayed transport address.
    pub(super) fn peer(&self, n: u8) -> XorPeerAddress {
        let n = usize::from(n) % 16;
        let relayed = || {
            let relay = self.relays.get(self.relays.len().checked_sub(1 + n % 4)?)?;
            self.server.relayed(*relay)
        };
        XorPeerAddress(if n < 12 { hosts()[n % 5] } else { relayed().unwrap_or(setup::relayed(n)) })
    }

    /// One that a port is kept for, or of nobody.
    pub(super) fn token(&self, n: u8) -> ReservationToken {
        let kept = self.kept.keys().nth(usize::from(n) % (1 + self.kept.len()));
        ReservationToken(kept.copied().unwrap_or([n; 8]))
    }

    /// One that there is or was.
    pub(super) fn connection(&self, n: u8) -> Option<ConnectionId> {
        let last = self.connections.len().checked_sub(1)?;
        Some(self.connections[last - usize::from(n).min(last)])
    }

    /// A packet of a client; what it is answered with.
    pub(super) fn packet(&mut self, bytes: &[u8], from: Client) -> Option<Vec<u8>> {
        let mut reply = [0; MAX_REPLY];
        let len = match self.server.handle_client(bytes, from, self.now, &mut reply) {
            Output::Drop => 0,
            Output::Reply(len) => len,
            Output::Allocate(request) if self.holds => {
                self.held.push((request, bytes.to_vec()));
                0
            }
            Output::Allocate(request) => self.bind(request, &mut reply),
            Output::Connect(request) => {
                self.dials.push((request, bytes.to_vec()));
                0
            }
            Output::Splice { connection, reply } => {
                assert!(self.open.contains_key(&connection.0), "it is open");
                reply
            }
            Output::ToPeer { relay, peer, data, .. } => {
                self.watch_to_peer(bytes, from, relay, peer, data);
                let other = self.server.relay_at(peer);
                let own = self.server.relayed(relay).expect("a live relay");
                other.into_iter().for_each(|other| self.arrive(data, own, other));
                0
            }
            other => panic!("{other:?}"),
        };
        self.watch_data(bytes, from);
        self.answer(bytes, from, &reply[..len])
    }

    fn answer(&mut self, request: &[u8], from: Client, answer: &[u8]) -> Option<Vec<u8>> {
        self.note_events();
        self.transcript.write(answer);
        (!answer.is_empty()).then(|| {
            self.watch_answer(request, from, answer);
            answer.to_vec()
        })
    }

    fn bind(&mut self, request: AllocateRequest, reply: &mut [u8; MAX_REPLY]) -> usize {
        let wish = request.wants().port;
        let relayed = match wish {
            PortWish::Reserved(token) => self.reserved(token),
            _ => request.wants().bind(|family| {
                let even = matches!(wish, PortWish::Even | PortWish::EvenAndNext(_));
                if self.exhausted { Err(Refusal::InsufficientCapacity) } else { Ok(self.port(family, even)) }
            }),
        };
        let accepted = self.server.accept(request, relayed, self.now, reply);
        for relayed in [relayed.v4, relayed.v6].into_iter().flatten().filter_map(Result::ok) {
            let Some(relay) = accepted.relay(AddressFamily::of(relayed.ip())) else { continue };
            assert_eq!(self.sockets.insert(relayed, relay), None);
            self.relays.push(relay);
            if let PortWish::EvenAndNext(token) = wish {
                self.kept.insert(token.0, SocketAddr::new(relayed.ip(), relayed.port() + 1));
            }
        }
        accepted.reply
    }

    /// The port that is kept under a token, of whichever family it is.
    fn reserved(&mut self, token: ReservationToken) -> Relayed {
        match self.kept.remove(&token.0).ok_or(Refusal::InsufficientCapacity) {
            Ok(relayed) if relayed.is_ipv6() => Relayed { v4: None, v6: Some(Ok(relayed)) },
            relayed => Relayed { v4: Some(relayed), v6: None },
        }
    }

    /// One that was never taken, as long as there are any.
    fn port(&self, family: AddressFamily, even: bool) -> SocketAddr {
        let ip = if family == AddressFamily::V4 { setup::server() } else { setup::server_v6() }.ip();
        let taken = |port| {
            let relayed = SocketAddr::new(ip, port);
            self.sockets.contains_key(&relayed) || self.kept.values().any(|kept| *kept == relayed)
        };
        let first = 50_000 + u16::try_from(4 * self.relays.len() % 10_000).expect("few");
        let mut ports = (first..).filter(|port| !even || port % 2 == 0 && !taken(port + 1));
        SocketAddr::new(ip, ports.find(|&port| !taken(port)).expect("a free port"))
    }

    /// Whoever waited for a port gets one, or none are left from now on, or all wait.
    pub(super) fn ports(&mut self, a: u8) {
        (self.holds, self.exhausted) = (a & 1 != 0, a & 2 != 0);
        for (request, bytes) in std::mem::take(&mut self.held) {
            let (from, mut reply) = (request.client(), [0; MAX_REPLY]);
            let len = if a & 4 == 0 {
                self.bind(request, &mut reply)
            } else {
                self.server.reject(request, Refusal::InsufficientCapacity, self.now, &mut reply)
            };
            self.answer(&bytes, from, &reply[..len]);
        }
    }

    /// A peer sends to what is or was a relayed transport address.
    pub(super) fn hear(&mut self, a: u8, b: u8) {
        let XorPeerAddress(peer) = self.peer(b);
        let relay = self.relays.len().checked_sub(1 + usize::from(a % 8)).map(|at| self.relays[at]);
        relay.into_iter().for_each(|relay| self.arrive(setup::data(a >> 3), peer, relay));
    }

    fn arrive(&mut self, data: &[u8], from: SocketAddr, relay: RelayId) {
        let Some(to) = self.server.handle_peer(data, from, relay, self.now) else { return };
        let (client, bytes) = (to.client, to.frame.to_vec());
        self.transcript.write(&bytes);
        self.watch_to_client(&bytes, data, from, client, relay);
    }

    pub(super) fn icmp(&mut self, a: u8, b: u8) {
        let XorPeerAddress(peer) = self.peer(b);
        let mut reply = [0; MAX_REPLY];
        let error = IcmpError { kind: a % 12, code: a >> 4, mtu: b.into() };
        let Some(&relay) = self.relays.iter().nth_back(usize::from(b >> 4)) else { return };
        if let Some((client, len)) = self.server.handle_icmp(error, peer, relay, self.now, &mut reply) {
            self.transcript.write(&reply[..len]);
            self.watch_client(client, peer, relay);
        }
    }

    /// Time passes; `late` says that nobody comes to end what has expired, before the next step.
    pub(super) fn pass(&mut self, time: Duration, late: bool) {
        (self.now, self.late) = (self.now + time, late);
    }

    pub(super) fn reconfigure(&mut self, a: u8, b: u8) {
        let mut config = Config::clone(&self.config);
        self.policy = Policy(a);
        config.policy = Arc::new(self.policy);
        config.mobility ^= b & 7 == 1;
        config.sessions_outlive_credentials ^= b & 7 == 2;
        config.password_algorithms ^= b & 7 == 3;
        self.config = Arc::new(config);
        self.server.reconfigure(self.config.clone());
        self.ledger.doubt();
    }

    /// What whoever runs the server can do.
    pub(super) fn operate(&mut self, a: u8, b: u8) {
        match a % 6 {
            0 => self.server.drain(&[]),
            1 => self.server.drain(&[hosts()[0], hosts()[3]]),
            2 | 3 => self.server.resume(),
            4 => drop(self.server.end_user(setup::USERS[usize::from(b) % 2])),
            _ => {
                let relay = self.relays.iter().nth_back(usize::from(b % 8));
                relay.map(|relay| self.server.end_allocation(relay.allocation()));
            }
        }
        self.note_events();
    }

    pub(super) fn close(&mut self, client: Client) {
        self.server.handle_close(client.tuple);
        self.note_events();
        self.ledger.closed(client);
    }

    /// The peer that was dialled takes the connection, or does not.
    pub(super) fn dialled(&mut self, a: u8) {
        let Some((request, bytes)) = self.dials.pop() else { return };
        let (from, relay, mut reply) = (request.client(), request.relay(), [0; MAX_REPLY]);
        if a & 1 != 0 {
            let len = self.server.not_connected(request, self.now, &mut reply);
            self.answer(&bytes, from, &reply[..len]);
            return;
        }
        let connection = request.connection();
        let len = self.server.connected(request, self.now, &mut reply);
        if len > 0 {
            self.connections.push(connection);
            self.open.insert(connection.0, relay.allocation());
        }
        self.answer(&bytes, from, &reply[..len]);
    }

    /// A peer connects, or a connection ends.
    pub(super) fn incoming(&mut self, a: u8, b: u8) {
        if b & 0x80 != 0 {
            if let Some(connection) = self.connection(a) {
                self.open.remove(&connection.0);
                self.server.handle_connection_close(connection);
            }
            return;
        }
        let XorPeerAddress(peer) = self.peer(b);
        let Some(&relay) = self.relays.iter().nth_back(usize::from(a % 8)) else { return };
        let mut reply = [0; MAX_REPLY];
        let told = self.server.handle_incoming(peer, relay, self.now, &mut reply);
        if let Some((client, connection, len)) = told {
            self.transcript.write(&reply[..len]);
            self.watch_client(client, peer, relay);
            self.connections.push(connection);
            self.open.insert(connection.0, relay.allocation());
        }
    }

    fn note_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Opened { relay, relayed, .. } => assert_eq!(self.sockets.get(&relayed), Some(&relay)),
                Event::Closed { relay, relayed, .. } => {
                    assert_eq!(self.sockets.remove(&relayed), Some(relay));
                    let family = AddressFamily::of(relayed.ip());
                    let id = relay.allocation();
                    if !self.sockets.values().any(|other| other.allocation() == id) {
                        self.ledger.0.remove(&id);
                    } else if let Some(entry) = self.ledger.0.get_mut(&id) {
                        entry.forget(family);
                    }
                }
                Event::Disconnected { connection } => {
                    // One that was still being dialled is not open yet.
                    self.open.remove(&connection.0);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
