//! A world for the engine: a clock that only we turn, clients and peers with addresses, and links between them.
//!
//! A test begins with [`allocated`] or one of its kin, asks through a [`User`] who does one thing at a time, and lets
//! time pass by [`World::run_for`]. A [`TurnClient`] lives by itself, over whatever [`Link`] its host has. What the
//! engine wants from its shell is carried out in `client_packet` and `bind`, and nowhere else.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use stunner_proto::{
    attribute::{AddressFamily, ConnectionId},
    framing,
};
use stunner_relay::{
    AllocateRequest, Client, Config, ConnectRequest, Event, FiveTuple, ListenerId, MAX_REPLY, Output,
    RelayId, Server, Transport,
};

mod message;
mod network;
mod ports;
mod setup;
mod turn_client;
mod user;
mod users;

pub(crate) use message::{Answer, Raw, Received, message};
pub(crate) use network::Link;
pub(crate) use setup::{
    Everyone, LISTENER, LISTENER_V6, SERVER, SERVER_2, SERVER_V6, client, client_v6, config, config_of_many,
    other_port, peer, peer_v6,
};
pub(crate) use turn_client::{Purpose, TurnClient};
pub(crate) use user::{User, allocated, allocated_in, allocated_v6};
pub(crate) use users::Users;

use network::{Flight, Network};
use ports::Ports;

/// Below this, a port of the server's is a listener's.
const FIRST_RELAY_PORT: u16 = 40_000;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) rng: StdRng,
    pub(crate) network: Network,
    pub(crate) ports: Ports,
    /// Clients that live by themselves: they ask again, refresh in time, and keep what they receive.
    pub(crate) clients: BTreeMap<SocketAddr, TurnClient>,
    pub(crate) events: Vec<Event>,
    /// Connect requests that wait for [`World::take_connection`].
    pub(crate) dials: Vec<ConnectRequest>,
    /// Streams that became the data of a connection.
    pub(crate) spliced: Vec<(SocketAddr, ConnectionId)>,
    /// While it is there, Allocate requests wait in it for [`World::bind_held`].
    pub(crate) held: Option<Vec<AllocateRequest>>,
    /// What carries packets that follow one another.
    pub(crate) stream: Transport,
    seed: u64,
    /// What arrived where nobody lives: in order, and from whom.
    inbox: BTreeMap<SocketAddr, Vec<(SocketAddr, Vec<u8>)>>,
    /// Clients whose packets follow one another on a stream, and what has come of an unfinished one.
    streams: BTreeMap<SocketAddr, Vec<u8>>,
    relays: BTreeMap<SocketAddr, RelayId>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::seeded(config, 1)
    }

    pub(crate) fn seeded(config: Config, seed: u64) -> Self {
        let start = some_instant();
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            server: Server::new(Arc::new(config), secret, start),
            now: start,
            rng: StdRng::seed_from_u64(seed),
            network: Network::new(seed),
            ports: Ports::new(&[SERVER]),
            clients: BTreeMap::new(),
            events: Vec::new(),
            dials: Vec::new(),
            spliced: Vec::new(),
            held: None,
            stream: Transport::Tcp,
            seed,
            inbox: BTreeMap::new(),
            streams: BTreeMap::new(),
            relays: BTreeMap::new(),
        }
    }

    /// Puts a packet on its way.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let stream = self.streams.contains_key(&from) || self.streams.contains_key(&to);
        self.network.send(Flight { from, to, bytes: bytes.to_vec() }, self.now, stream);
    }

    /// Sends over a link that takes no time, and says what came back.
    pub(crate) fn exchange(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.send(from, to, bytes);
        self.settle();
        let came = self.take(from).into_iter();
        came.map(|(source, bytes)| {
            assert_eq!(source, to, "an answer comes from where the request went to");
            bytes
        })
        .collect()
    }

    /// Lets everything happen that happens within this time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_clients();
        loop {
            let timeouts = self.clients.values().filter_map(TurnClient::poll_timeout);
            let next = timeouts.chain(self.network.next()).chain(self.server.poll_timeout()).min();
            let Some(at) = next.filter(|&at| at <= end) else { break };
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.take_events();
            while let Some(flight) = self.network.arrived(self.now) {
                self.arrive(flight);
            }
            self.run_clients();
        }
        self.now = end;
    }

    /// Delivers what arrives at this moment.
    pub(crate) fn settle(&mut self) {
        self.run_for(Duration::ZERO);
    }

    /// What arrived at an address since the last call, and from whom.
    pub(crate) fn take(&mut self, at: SocketAddr) -> Vec<(SocketAddr, Vec<u8>)> {
        self.inbox.remove(&at).unwrap_or_default()
    }

    /// How many relayed transport addresses have a socket.
    pub(crate) fn sockets(&self) -> usize {
        self.relays.len()
    }

    /// A client's packets follow one another on a connection from now on.
    pub(crate) fn connect(&mut self, client: SocketAddr) {
        self.streams.insert(client, Vec::new());
    }

    /// The connection of a client ends.
    pub(crate) fn disconnect(&mut self, client: SocketAddr) {
        let tuple = self.client(client, LISTENER).tuple;
        self.streams.remove(&client);
        self.server.handle_close(tuple);
        self.take_events();
    }

    /// Does something to the server that whoever runs it may do, and takes note of what that brought about.
    pub(crate) fn operate<T>(&mut self, what: impl FnOnce(&mut Server) -> T) -> T {
        let result = what(&mut self.server);
        self.take_events();
        result
    }

    /// The client behind an address, as a shell would tell of it.
    pub(crate) fn client(&self, client: SocketAddr, server: SocketAddr) -> Client {
        let transport = if self.streams.contains_key(&client) { self.stream } else { Transport::Udp };
        let tuple = FiveTuple { client, server, transport };
        Client { tuple, listener: ListenerId(server.port()), link: u32::from(client.port()) }
    }

    fn run_clients(&mut self) {
        let mut clients = std::mem::take(&mut self.clients);
        for (address, client) in &mut clients {
            client.handle_timeout(self.now);
            while let Some(bytes) = client.poll_transmit() {
                self.send(*address, LISTENER, &bytes);
            }
        }
        self.clients = clients;
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { from, to, bytes } = flight;
        if let Some(&relay) = self.relays.get(&to) {
            self.relay_packet(&bytes, from, relay);
        } else if [SERVER, SERVER_2, SERVER_V6].contains(&to.ip()) && to.port() < FIRST_RELAY_PORT {
            match self.streams.get_mut(&from) {
                None => self.client_packet(from, to, &bytes),
                Some(unfinished) => {
                    unfinished.extend_from_slice(&bytes);
                    self.client_frames(from, to);
                }
            }
        } else if let Some(client) = self.clients.get_mut(&to) {
            client.handle_input(&bytes, self.now);
        } else {
            self.inbox.entry(to).or_default().push((from, bytes));
        }
    }

    fn client_frames(&mut self, from: SocketAddr, to: SocketAddr) {
        loop {
            let Some(unfinished) = self.streams.get_mut(&from) else { return };
            match framing::frame_len(unfinished) {
                Err(_) => return self.disconnect(from),
                Ok(Some(len)) if len <= unfinished.len() => {
                    let frame: Vec<u8> = unfinished.drain(..len).collect();
                    self.client_packet(from, to, &frame);
                }
                Ok(_) => return,
            }
        }
    }

    fn client_packet(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let client = self.client(from, to);
        let mut reply = [0; MAX_REPLY];
        let output = self.server.handle_client(bytes, client, self.now, &mut reply);
        let len = match output {
            Output::Reply(len) => len,
            Output::Allocate(request) => match &mut self.held {
                Some(held) => return held.push(request),
                None => self.bind(request, &mut reply),
            },
            Output::ToPeer { relay, peer, data, .. } => return self.send_to_peer(relay, peer, data),
            Output::Connect(request) => return self.dials.push(request),
            Output::Splice { connection, reply } => {
                self.spliced.push((from, connection));
                reply
            }
            Output::ReplyFrom { from, to, len } => return self.send(from, to, &reply[..len]),
            _ => 0,
        };
        self.take_events();
        self.reply(&client, &reply[..len]);
    }

    /// The peer that was dialled last takes the connection, or does not; the answer to who asked for it.
    pub(crate) fn take_connection(&mut self, takes: bool) -> Answer {
        let request = self.dials.pop().expect("somebody was dialled");
        let client = request.client();
        let mut reply = [0; MAX_REPLY];
        let len = if takes {
            self.server.connected(request, self.now, &mut reply)
        } else {
            self.server.not_connected(request, self.now, &mut reply)
        };
        self.take_events();
        self.reply(&client, &reply[..len]);
        self.settle();
        Answer(self.take(client.tuple.client).pop().expect("an answer").1)
    }

    /// A peer connects to a relayed transport address: what the client is told, and what the connection is called.
    pub(crate) fn incoming(
        &mut self,
        peer: SocketAddr,
        relayed: SocketAddr,
    ) -> Option<(Vec<u8>, ConnectionId)> {
        let relay = *self.relays.get(&relayed)?;
        let mut reply = [0; MAX_REPLY];
        let (_, connection, len) = self.server.handle_incoming(peer, relay, self.now, &mut reply)?;
        Some((reply[..len].to_vec(), connection))
    }

    /// Carries out the Allocate requests that were held back.
    pub(crate) fn bind_held(&mut self) {
        for request in self.held.take().unwrap_or_default() {
            let client = request.client();
            let mut reply = [0; MAX_REPLY];
            let len = self.bind(request, &mut reply);
            self.take_events();
            self.reply(&client, &reply[..len]);
        }
    }

    fn bind(&mut self, request: AllocateRequest, reply: &mut [u8; MAX_REPLY]) -> usize {
        let relayed = self.ports.take(&request, self.now, &mut self.rng);
        let accepted = self.server.accept(request, relayed, self.now, reply);
        for relayed in [relayed.v4, relayed.v6].into_iter().flatten().filter_map(Result::ok) {
            match accepted.relay(AddressFamily::of(relayed.ip())) {
                Some(relay) => assert_eq!(self.relays.insert(relayed, relay), None),
                None => self.ports.release(relayed),
            }
        }
        accepted.reply
    }

    /// One of our own relayed transport addresses is reached at once; where none is live, nobody listens.
    fn send_to_peer(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        let from = self.server.relayed(relay).expect("a live relay");
        match self.server.relay_at(peer) {
            Some(other) => self.relay_packet(data, from, other),
            None => self.send(from, peer, data),
        }
    }

    fn relay_packet(&mut self, data: &[u8], from: SocketAddr, relay: RelayId) {
        let Some(to) = self.server.handle_peer(data, from, relay, self.now) else { return };
        let (client, bytes) = (to.client, to.frame.to_vec());
        self.reply(&client, &bytes);
    }

    fn reply(&mut self, client: &Client, bytes: &[u8]) {
        let address = client.tuple.client;
        if client.tuple.transport.is_stream() && !self.streams.contains_key(&address) {
            // Its connection has ended, and its allocation waits for it to come back.
            return;
        }
        assert_eq!(*client, self.client(address, client.tuple.server), "the shell's key comes back");
        if client.tuple.transport.is_stream() && !bytes.is_empty() {
            assert_eq!(framing::frame_len(bytes), Ok(Some(bytes.len())), "one frame, and no more");
        }
        if !bytes.is_empty() {
            self.send(client.tuple.server, address, bytes);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let Event::Closed { relayed, relay, .. } = &event {
                assert_eq!(self.relays.remove(relayed), Some(*relay));
                self.ports.release(*relayed);
            }
            self.events.push(event);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this world is {}", self.seed);
        }
    }
}

/// Some instant to count from; the world turns its own clock from there.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be made in no other way, and only differences count"
)]
fn some_instant() -> Instant {
    Instant::now()
}
