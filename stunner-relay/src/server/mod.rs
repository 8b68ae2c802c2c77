//! The engine: packets and time in, decisions out. No socket, no clock, no thread, no log.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use stunner_proto::{
    Message, ParseError,
    attribute::{ConnectionId, ReservationToken},
    framing::Kind,
};

use crate::{Client, Closed, Config, Counters, Event, FiveTuple, Frame};
use allocation::{FAMILIES, Half};
use credentials::Keys;
use limits::Challenges;
use mobility::Tickets;
use nonce::Nonces;
use table::Table;
use tcp::Connections;

mod admin;
mod allocate;
mod allocation;
mod channel;
mod classic;
mod credentials;
mod discovery;
mod icmp;
mod index;
mod limits;
mod mobility;
mod nonce;
mod oauth;
mod permission;
mod refresh;
mod refusal;
mod relay;
mod request;
mod response;
mod table;
mod tcp;

pub use admin::AllocationInfo;
pub use allocate::{Accepted, AllocateRequest, PortWish, Relayed, Wants};
pub use discovery::Discovery;
pub use icmp::IcmpError;
pub use limits::Bandwidth;
pub use oauth::OAuth;
pub use refusal::Refusal;
pub use table::{AllocationId, RelayId};
pub use tcp::ConnectRequest;

/// The longest response in bytes: what passes every network unfragmented. A longer list of unknown attributes is cut.
pub const MAX_REPLY: usize = 1232;

/// How many allocations, and how many connections, one call of [`Server::handle_timeout`] looks at, so that packets do not
/// wait for it.
const MAX_EXPIRIES: usize = 256;

/// A TURN server without sockets.
///
/// Give it the packets of clients and peers and the time; carry out what it says. All of its state changes happen in
/// these calls, so the same calls give the same answers.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    start: Instant,
    rng: StdRng,
    nonces: Nonces,
    keys: Keys,
    tickets: Tickets,
    challenges: Challenges,
    table: Table,
    connections: Connections,
    events: VecDeque<Event>,
    counters: Counters,
    /// How often the configuration was changed: verdicts and keys of an earlier one are asked for again.
    generation: u32,
    /// Where to send clients instead; no new allocations are made while it is there.
    draining: Option<Box<[SocketAddr]>>,
}

/// What is to become of a client's packet.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Output<'p> {
    /// Bind what the request wants, then [accept](Server::accept) or [reject](Server::reject) it.
    Allocate(AllocateRequest),
    /// Dial the peer, then say whether it [took the connection](Server::connected) or [not](Server::not_connected).
    Connect(ConnectRequest),
    /// Send this many bytes of the reply back to the client. What follows on this stream, both ways, are the data of
    /// that connection (RFC 6062, section 5.4).
    Splice {
        /// Which.
        connection: ConnectionId,
        /// How many bytes of the reply.
        reply: usize,
    },
    /// Nothing: the packet was dropped, and counted.
    Drop,
    /// Send this many bytes of the reply back to the client.
    Reply(usize),
    /// Send the reply over UDP from one address of the server's to one of the client's (RFC 5780).
    ReplyFrom {
        /// Which of its listeners' addresses the server answers from.
        from: SocketAddr,
        /// Where to.
        to: SocketAddr,
        /// How many bytes of the reply.
        len: usize,
    },
    /// Send `data` to `peer` from the relayed transport address of `relay`.
    ToPeer {
        /// Whose socket to send from.
        relay: RelayId,
        /// Where to.
        peer: SocketAddr,
        /// What to send; may be empty.
        data: &'p [u8],
        /// Whether the client asked for the DF bit.
        dont_fragment: bool,
    },
}

/// A peer's data on their way to the client that permitted them.
#[derive(Debug)]
#[must_use]
pub struct ToClient<'p> {
    /// Who gets it.
    pub client: Client,
    /// What to send.
    pub frame: Frame<'p>,
}

impl Server {
    /// A server without allocations. `seed` is secret: nonces and transaction IDs come from it.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let features = credentials::features(&config);
        let nonces = Nonces::new(&mut rng, millis(config.nonce_lifetime), features);
        let tickets = Tickets::new(&mut rng);
        let challenges = Challenges::new(&mut rng);
        Self {
            config,
            start: now,
            rng,
            nonces,
            keys: Keys::default(),
            tickets,
            challenges,
            table: Table::default(),
            connections: Connections::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            generation: 0,
            draining: None,
        }
    }

    /// How it was configured.
    #[cfg(feature = "tokio")]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in one packet from a client: a datagram, or one frame of a stream. A response is written to `reply`.
    #[inline]
    pub fn handle_client<'p>(
        &mut self,
        packet: &'p [u8],
        from: Client,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> Output<'p> {
        let now = self.time(now);
        let output = match packet.first().map(|&first| Kind::of(first)) {
            Some(Kind::ChannelData) => self.channel_data(packet, from, now),
            Some(Kind::Message) => match Message::parse(packet) {
                Ok(message) => self.message(message, from, now, reply),
                Err(ParseError::NoMagicCookie) => self.classic(packet, from, reply).map(Output::Reply),
                Err(_) => None,
            },
            _ => None,
        };
        output.unwrap_or_else(|| {
            self.counters.dropped_from_clients += 1;
            Output::Drop
        })
    }

    /// Ends the allocation of a client whose connection ended, unless the client holds a ticket to come back with.
    pub fn handle_close(&mut self, client: FiveTuple) {
        if let Some(allocation) = self.table.by_tuple(&client)
            && !self.survives(allocation, &client)
        {
            self.end(allocation, Closed::Disconnected);
        }
    }

    /// Ends what has expired: at most 256 allocations, and connections, a call. Call it when [`poll_timeout`](Self::poll_timeout) says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.time(now);
        self.expire_connections(now);
        for _ in 0..MAX_EXPIRIES {
            let Some(id) = self.table.pop_expired(now) else { break };
            for family in FAMILIES {
                let half = self.table.get(id).and_then(|allocation| allocation.half_of(family));
                if half.is_some_and(|half| half.expires <= now) {
                    self.close(RelayId { allocation: id, family }, Closed::Expired);
                }
            }
            self.table.queue(id);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = [self.table.next_expiry(), self.connections.next_expiry()].into_iter().flatten().min();
        next.map(|at| self.start + Duration::from_millis(at))
    }

    /// What happened since the last call, oldest first. The socket of what was closed is to be freed.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { allocations: self.table.len() as u64, ..self.counters }
    }

    /// Whose relayed transport address this is, if it belongs to this server: a packet to it need not leave the process.
    #[must_use]
    #[inline]
    pub fn relay_at(&self, relayed: SocketAddr) -> Option<RelayId> {
        if self.config.relays.has_address(relayed.ip()) { self.table.by_relayed(relayed) } else { None }
    }

    /// The allocation that a client holds.
    #[must_use]
    pub fn allocation_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        self.table.by_tuple(client)
    }

    /// The relayed transport address behind a handle, as peers see it.
    #[must_use]
    #[inline]
    pub fn relayed(&self, relay: RelayId) -> Option<SocketAddr> {
        self.table.get(relay.allocation)?.half_of(relay.family).map(Half::relayed)
    }

    /// Ends an allocation with all of its relayed transport addresses.
    fn end(&mut self, allocation: AllocationId, why: Closed) {
        for family in FAMILIES {
            self.close(RelayId { allocation, family }, why);
        }
    }

    /// Ends one relayed transport address, and the allocation with its last.
    fn close(&mut self, relay: RelayId, why: Closed) {
        let Some(allocation) = self.table.get(relay.allocation) else { return };
        let (client, user) = (allocation.client, allocation.rest.known.user.clone());
        self.end_connections(relay);
        if let Some(half) = self.table.remove(relay) {
            let (relayed, traffic) = (half.relayed(), half.traffic);
            self.config.relays.set(relayed, false);
            if let Some(allocation) = self.table.get_mut(relay.allocation) {
                allocation.forget_family(relay.family);
            }
            self.events.push_back(Event::Closed { relay, client, relayed, user, why, traffic });
        }
    }

    fn time(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.start))
    }

    fn reservation_token(&mut self) -> ReservationToken {
        ReservationToken(rand::Rng::random(&mut self.rng))
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000).saturating_add(u64::from(duration.subsec_millis()))
}
