//! Connections between clients and peers (RFC 6062): who may have one, which is which, and when it is over. The bytes are
//! the shell's.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::Instant,
};

use rand::{Rng, rngs::StdRng};
use stunner_proto::{
    Class, MessageBuilder, Method, TransactionId,
    attribute::{AddressFamily, ConnectionId, XorPeerAddress},
};

use super::{
    AllocationId, MAX_EXPIRIES, MAX_REPLY, Output, Refusal, RelayId, Server,
    permission::{judge, passes},
    request::Request,
    response::Exchange,
};
use crate::{Client, Event};

/// How long a connection waits for the client to bind it: 30 s (RFC 6062, sections 5.2 and 5.3).
const BIND: u64 = 30_000;

/// A Connect that was checked: dial its peer from the relayed transport address, then say what came of it with
/// [`Server::connected`] or [`Server::not_connected`].
#[derive(Debug)]
#[must_use]
pub struct ConnectRequest(Box<Dial>);

#[derive(Debug)]
struct Dial {
    exchange: Exchange,
    relay: RelayId,
    connection: ConnectionId,
    peer: SocketAddr,
}

impl ConnectRequest {
    /// Where to dial from.
    #[must_use]
    pub fn relay(&self) -> RelayId {
        self.0.relay
    }

    /// Whom to dial. The answer is 447 when that takes more than 30 s.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.exchange.from
    }

    /// What the connection will be called.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.0.connection
    }
}

/// All connections of a server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_id: HashMap<u32, Connection>,
    by_peer: HashMap<(AllocationId, SocketAddr), u32>,
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
}

#[derive(Debug)]
struct Connection {
    allocation: AllocationId,
    peer: SocketAddr,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The peer is being dialled.
    Dialling,
    /// There is one with the peer, and none with the client yet.
    Waiting { until: u64 },
    /// Data go both ways.
    Bound,
}

impl Connections {
    /// A new connection; `None` where there is one with this peer, or is about to be.
    fn open(
        &mut self,
        allocation: AllocationId,
        peer: SocketAddr,
        state: State,
        rng: &mut StdRng,
    ) -> Option<ConnectionId> {
        if self.by_peer.contains_key(&(allocation, peer)) {
            return None;
        }
        let id = std::iter::repeat_with(|| rng.random()).find(|id| !self.by_id.contains_key(id))?;
        self.by_peer.insert((allocation, peer), id);
        self.by_id.insert(id, Connection { allocation, peer, state });
        self.wait(id, state);
        Some(ConnectionId(id))
    }

    fn wait(&mut self, id: u32, state: State) {
        if let State::Waiting { until } = state {
            self.waiting.push(Reverse((until, id)));
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId) -> Option<AllocationId> {
        let Connection { allocation, peer, .. } = self.by_id.remove(&id.0)?;
        self.by_peer.remove(&(allocation, peer));
        Some(allocation)
    }

    /// That of its peer.
    fn family(&self, id: ConnectionId) -> Option<AddressFamily> {
        self.by_id.get(&id.0).map(|found| AddressFamily::of(found.peer.ip()))
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse((at, _))| *at)
    }

    /// A connection that nobody bound in time; it is still to be closed.
    fn pop_expired(&mut self, now: u64) -> Option<ConnectionId> {
        while let Some(&Reverse((at, id))) = self.waiting.peek().filter(|Reverse((at, _))| *at <= now) {
            self.waiting.pop();
            let waits = self.by_id.get(&id).is_some_and(|found| found.state == State::Waiting { until: at });
            if waits {
                return Some(ConnectionId(id));
            }
        }
        None
    }
}

impl Server {
    /// Connect: the checks of RFC 6062, section 5.2.
    pub(super) fn connect<'p>(&mut self, request: &Request<'_>) -> Result<Output<'p>, Refusal> {
        let id = self.allocation_for(request)?;
        let XorPeerAddress(peer) = request.message.require::<XorPeerAddress>()?;
        let allocation = self.table.get(id).ok_or(Refusal::AllocationMismatch)?;
        if !allocation.is_tcp() || peer.port() == 0 {
            return Err(Refusal::Forbidden);
        }
        judge(&self.config, allocation, peer.ip(), Some(peer.port()), request.now)?;
        if allocation.rest.connections.len() >= self.config.max_connections {
            return Err(Refusal::InsufficientCapacity);
        }
        let connection = self.connections.open(id, peer, State::Dialling, &mut self.rng);
        let connection = connection.ok_or(Refusal::ConnectionAlreadyExists)?;
        self.note(id, connection);
        let relay = RelayId { allocation: id, family: AddressFamily::of(peer.ip()) };
        let dial = Dial { exchange: request.exchange.clone(), relay, connection, peer };
        Ok(Output::Connect(ConnectRequest(Box::new(dial))))
    }

    /// The peer took the connection. What it sends waits, up to a bound, until the client binds the connection; the
    /// response is written to `reply`. 0 when the allocation is gone meanwhile: close the connection.
    #[must_use]
    pub fn connected(&mut self, request: ConnectRequest, now: Instant, reply: &mut [u8; MAX_REPLY]) -> usize {
        let until = self.time(now) + BIND;
        let Dial { exchange, connection, .. } = *request.0;
        let Some(found) = self.connections.by_id.get_mut(&connection.0) else { return 0 };
        found.state = State::Waiting { until };
        self.connections.wait(connection.0, State::Waiting { until });
        let response = exchange.success(reply).attribute(&connection);
        self.succeed(&exchange, response)
    }

    /// The peer did not take it, or not in time (447).
    #[must_use]
    pub fn not_connected(
        &mut self,
        request: ConnectRequest,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let now = self.time(now);
        let Dial { exchange, connection, .. } = *request.0;
        self.handle_connection_close(connection);
        self.refuse(&exchange, Refusal::ConnectionTimeoutOrFailure, reply, now)
    }

    /// A peer has connected to a relayed transport address (RFC 6062, section 5.3). A ConnectionAttempt for the client is
    /// written to `reply`; `None` where the client did not permit the peer: close the connection at once.
    pub fn handle_incoming(
        &mut self,
        peer: SocketAddr,
        relay: RelayId,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<(Client, ConnectionId, usize)> {
        let now = self.time(now);
        let judged = self.permission(relay.allocation, peer, now)?;
        let allocation = self.table.get(relay.allocation).filter(|allocation| allocation.is_tcp())?;
        allocation.half(relay.family, now)?;
        let room = allocation.rest.connections.len() < self.config.max_connections;
        if !room || allocation.is_stranded() || !passes(&self.config, allocation, judged.verdict, peer) {
            return None;
        }
        let client = allocation.client;
        let waiting = State::Waiting { until: now + BIND };
        let connection = self.connections.open(relay.allocation, peer, waiting, &mut self.rng)?;
        self.note(relay.allocation, connection);
        let id = TransactionId(self.rng.random());
        let len = MessageBuilder::new(Class::Indication, Method::CONNECTION_ATTEMPT, id, reply)
            .attribute(&connection)
            .attribute(&XorPeerAddress(peer))
            .finish()
            .expect("an indication fits a reply");
        Some((client, connection, len))
    }

    /// ConnectionBind, on a stream of its own (RFC 6062, section 5.4).
    pub(super) fn connection_bind<'p>(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<Output<'p>, Refusal> {
        let connection = request.message.require::<ConnectionId>()?;
        let tuple = request.exchange.from.tuple;
        // A stream carries messages or the data of a connection: one with an allocation is in use.
        let is_taken = self.table.by_tuple(&tuple).is_some();
        if !tuple.transport.is_stream() || is_taken {
            return Err(Refusal::BadRequest);
        }
        let found = self.connections.by_id.get_mut(&connection.0);
        let found =
            found.filter(|found| matches!(found.state, State::Waiting { until } if request.now < until));
        let found = found.ok_or(Refusal::BadRequest)?;
        let owner = self.table.get(found.allocation).ok_or(Refusal::BadRequest)?;
        if !owner.rest.known.is_same_user(&request.known) {
            return Err(Refusal::WrongCredentials);
        }
        found.state = State::Bound;
        let response = request.exchange.success(reply);
        Ok(Output::Splice { connection, reply: self.succeed(&request.exchange, response) })
    }

    /// A connection has ended, on whichever side: the shell has closed the other.
    pub fn handle_connection_close(&mut self, connection: ConnectionId) {
        let Some(allocation) = self.connections.close(connection) else { return };
        if let Some(allocation) = self.table.get_mut(allocation) {
            allocation.rest.connections.retain(|&other| other != connection);
        }
    }

    /// Remembers with an allocation what ends with it.
    fn note(&mut self, id: AllocationId, connection: ConnectionId) {
        if let Some(allocation) = self.table.get_mut(id) {
            allocation.rest.connections.push(connection);
        }
    }

    /// Connections of a relayed transport address that is about to end: those with peers of its family.
    pub(super) fn end_connections(&mut self, relay: RelayId) {
        let Self { table, connections, events, .. } = self;
        let Some(allocation) = table.get_mut(relay.allocation) else { return };
        allocation.rest.connections.retain(|&connection| {
            let other = connections.family(connection).is_some_and(|family| family != relay.family);
            if !other {
                connections.close(connection);
                events.push_back(Event::Disconnected { connection });
            }
            other
        });
    }

    /// Ends what nobody has bound in time.
    pub(super) fn expire_connections(&mut self, now: u64) {
        for _ in 0..MAX_EXPIRIES {
            let Some(connection) = self.connections.pop_expired(now) else { break };
            self.handle_connection_close(connection);
            self.events.push_back(Event::Disconnected { connection });
        }
    }
}
