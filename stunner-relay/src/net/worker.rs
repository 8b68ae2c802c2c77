//! All that belongs to one core: an engine, its listeners, its relayed transport addresses and its clients' streams.

use std::{
    cell::RefCell,
    io::IoSlice,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use slab::Slab;
use stunner_proto::attribute::AddressFamily;
use tokio::task::AbortHandle;

use super::{
    RelayAddress, Shared,
    ports::{Ports, Reservations},
    socket::{Datagram, DatagramSocket, Network, RecvBatch},
    stream::Connection,
};
use crate::{
    AllocateRequest, Client, Event, FiveTuple, ListenerId, MAX_REPLY, Output, PortWish, Refusal, RelayId,
    Relayed, Server, Transport,
};

/// How often expired allocations are looked for and counters are published.
const TICK: Duration = Duration::from_secs(1);

/// What one thread runs. Its parts are borrowed for the time of one call only, never across an `await`.
pub(super) struct Worker<N: Network> {
    pub(super) network: N,
    server: RefCell<Server>,
    batch: RefCell<RecvBatch>,
    listeners: Vec<Option<Rc<N::Socket>>>,
    relays: RefCell<Vec<Option<Relay<N::Socket>>>>,
    pub(super) connections: RefCell<Slab<Rc<Connection>>>,
    ports: RefCell<Ports>,
    reservations: SharedReservations<N>,
    addresses: Vec<RelayAddress>,
    shared: Arc<Shared>,
    index: usize,
}

/// Ports that any worker's client may come for; touched by requests only.
pub(super) type SharedReservations<N> = Arc<Mutex<Reservations<<N as Network>::Bound>>>;

/// One relayed transport address: its socket, and the task that reads it.
struct Relay<S> {
    id: RelayId,
    socket: Rc<S>,
    task: AbortHandle,
}

/// What a worker is made of.
pub(super) struct Parts<N: Network> {
    pub(super) network: N,
    pub(super) server: Server,
    /// A UDP socket where the listener has one, by [`ListenerId`].
    pub(super) listeners: Vec<Option<Rc<N::Socket>>>,
    pub(super) ports: Ports,
    pub(super) reservations: SharedReservations<N>,
    pub(super) addresses: Vec<RelayAddress>,
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
}

impl<N: Network> Worker<N> {
    pub(super) fn new(parts: Parts<N>) -> Rc<Self> {
        Rc::new(Self {
            network: parts.network,
            server: RefCell::new(parts.server),
            batch: RefCell::default(),
            listeners: parts.listeners,
            relays: RefCell::default(),
            connections: RefCell::default(),
            ports: RefCell::new(parts.ports),
            reservations: parts.reservations,
            addresses: parts.addresses,
            shared: parts.shared,
            index: parts.index,
        })
    }

    /// Starts the tasks that read the UDP listeners, and the one that watches the time.
    pub(super) fn start(self: &Rc<Self>) {
        for (index, socket) in self.listeners.iter().enumerate() {
            if let (Some(socket), Ok(index)) = (socket, u16::try_from(index)) {
                tokio::task::spawn_local(Self::listen(self.clone(), ListenerId(index), socket.clone()));
            }
        }
        tokio::task::spawn_local(Self::watch(self.clone()));
    }

    async fn listen(self: Rc<Self>, listener: ListenerId, socket: Rc<N::Socket>) {
        let Ok(server) = socket.local_addr() else { return };
        while socket.readable().await.is_ok() {
            let mut batch = self.batch.borrow_mut();
            batch.clear();
            if socket.try_recv(&mut batch).is_err() {
                continue;
            }
            let now = self.network.now();
            for (packet, client) in batch.packets() {
                let tuple = FiveTuple { client, server, transport: Transport::Udp };
                self.handle_client(packet, Client { tuple, listener, link: 0 }, now);
            }
        }
    }

    /// Reads one relayed transport address for as long as its allocation lives.
    async fn relay(self: Rc<Self>, id: RelayId, socket: Rc<N::Socket>) {
        while socket.readable().await.is_ok() {
            let mut batch = self.batch.borrow_mut();
            batch.clear();
            if socket.try_recv(&mut batch).is_err() {
                continue;
            }
            let now = self.network.now();
            for (packet, from) in batch.packets() {
                self.handle_peer(packet, self.advertised(from), id, now);
            }
        }
    }

    async fn watch(self: Rc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            let now = self.network.now();
            self.server.borrow_mut().handle_timeout(now);
            self.reservations().expire(now);
            self.publish(now);
        }
    }

    /// Takes in one packet of a client, and carries out what the engine says.
    pub(super) fn handle_client(self: &Rc<Self>, packet: &[u8], client: Client, now: Instant) {
        let mut reply = [0; MAX_REPLY];
        let output = self.server.borrow_mut().handle_client(packet, client, now, &mut reply);
        match output {
            Output::ToPeer { relay, peer, data, .. } => self.send_to_peer(relay, peer, data, now),
            Output::Reply(len) => {
                // Who has the answer finds the counters as the answer left them.
                self.publish(now);
                self.send_to_client(&client, [&reply[..len], &[], &[]].map(IoSlice::new));
            }
            Output::Allocate(request) => {
                let len = self.allocate(request, now, &mut reply);
                self.publish(now);
                self.send_to_client(&client, [&reply[..len], &[], &[]].map(IoSlice::new));
            }
            Output::Drop => {}
        }
    }

    /// Ends the allocation of a client whose stream ended.
    pub(super) fn handle_close(&self, client: FiveTuple) {
        self.server.borrow_mut().handle_close(client);
        self.publish(self.network.now());
    }

    /// Whether this client holds an allocation.
    pub(super) fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.server.borrow().allocation_of(client).is_some()
    }

    fn handle_peer(&self, packet: &[u8], from: SocketAddr, relay: RelayId, now: Instant) {
        let delivered = self.server.borrow_mut().handle_peer(packet, from, relay, now);
        if let Some(to) = delivered {
            self.send_to_client(&to.client, to.frame.slices());
        }
    }

    /// To a client of this worker at once, without the kernel; to anyone else through the relay's socket.
    fn send_to_peer(&self, relay: RelayId, peer: SocketAddr, data: &[u8], now: Instant) {
        let hairpin = {
            let server = self.server.borrow();
            server.relay_at(peer).zip(server.relayed(relay))
        };
        if let Some((other, from)) = hairpin {
            return self.handle_peer(data, from, other, now);
        }
        let relays = self.relays.borrow();
        let socket = relays.get(relay.index()).and_then(Option::as_ref).filter(|found| found.id == relay);
        let to = self.bound(peer);
        let parts = [data, &[], &[]].map(IoSlice::new);
        if let Some(found) = socket {
            // A full socket drops: TURN over UDP promises no more, and a queue would only add delay.
            let _ = found.socket.try_send(&[Datagram { to, parts }]);
        }
    }

    fn send_to_client(&self, client: &Client, parts: [IoSlice<'_>; 3]) {
        if client.tuple.transport.is_stream() {
            let connections = self.connections.borrow();
            let connection =
                connections.get(client.link as usize).filter(|found| found.tuple == client.tuple);
            if let Some(connection) = connection {
                connection.send(parts);
            }
        } else if let Some(Some(socket)) = self.listeners.get(usize::from(client.listener.0)) {
            let _ = socket.try_send(&[Datagram { to: client.tuple.client, parts }]);
        }
    }

    fn allocate(
        self: &Rc<Self>,
        request: AllocateRequest,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let mut sockets = [None, None];
        let relayed = self.bind(&request, now, &mut sockets);
        let accepted = self.server.borrow_mut().accept(request, relayed, now, reply);
        for socket in sockets.into_iter().flatten() {
            if let Ok(local) = socket.local_addr()
                && let Some(id) = accepted.relay(AddressFamily::of(local.ip()))
            {
                self.start_relay(id, socket);
            }
        }
        accepted.reply
    }

    fn start_relay(self: &Rc<Self>, id: RelayId, socket: N::Socket) {
        let socket = Rc::new(socket);
        let task = tokio::task::spawn_local(Self::relay(self.clone(), id, socket.clone())).abort_handle();
        let mut relays = self.relays.borrow_mut();
        if relays.len() <= id.index() {
            relays.resize_with(id.index() + 1, || None);
        }
        relays[id.index()] = Some(Relay { id, socket, task });
    }

    /// Binds what an Allocate wants, one socket for each family.
    fn bind(&self, request: &AllocateRequest, now: Instant, sockets: &mut [Option<N::Socket>; 2]) -> Relayed {
        let wants = request.wants();
        if let PortWish::Reserved(token) = wants.port {
            let kept = self.reservations().take(token, request.user(), now);
            let kept = kept.ok_or(Refusal::InsufficientCapacity);
            let relayed = kept.and_then(|bound| self.attach(bound, &mut sockets[0]));
            return match relayed {
                Ok(relayed) if relayed.is_ipv6() => Relayed { v4: None, v6: Some(Ok(relayed)) },
                relayed => Relayed { v4: Some(relayed), v6: None },
            };
        }
        let [v4, v6] = sockets;
        wants.bind(|family| {
            let socket = if family == AddressFamily::V4 { &mut *v4 } else { &mut *v6 };
            let bound = self.bind_family(request, family, now)?;
            self.attach(bound, socket)
        })
    }

    fn bind_family(
        &self,
        request: &AllocateRequest,
        family: AddressFamily,
        now: Instant,
    ) -> Result<N::Bound, Refusal> {
        if self.shared.is_draining() {
            return Err(Refusal::InsufficientCapacity);
        }
        let address = self.addresses.iter().find(|address| AddressFamily::of(address.bind) == family);
        let ip = address.ok_or(Refusal::AddressFamilyNotSupported)?.bind;
        let mut ports = self.ports.borrow_mut();
        let bound = match request.wants().port {
            PortWish::EvenAndNext(token) => ports.bind_pair(&self.network, ip).map(|(even, next)| {
                self.reservations().keep(token, request.user(), next, now);
                even
            }),
            wish => ports.bind(&self.network, ip, wish == PortWish::Even),
        };
        bound.map_err(|error| {
            tracing::warn!(%error, address = %ip, "no relayed port could be bound");
            Refusal::InsufficientCapacity
        })
    }

    /// Makes a bound port a socket of this worker, and says what peers are told of it.
    fn attach(&self, bound: N::Bound, place: &mut Option<N::Socket>) -> Result<SocketAddr, Refusal> {
        let attached = self.network.attach(bound).and_then(|socket| {
            let local = socket.local_addr()?;
            Ok((place.insert(socket), local).1)
        });
        let local = attached.map_err(|error| {
            tracing::warn!(%error, "a relayed port could not be used");
            Refusal::InsufficientCapacity
        })?;
        let own = self.addresses.iter().find(|address| address.bind == local.ip());
        Ok(SocketAddr::new(own.map_or(local.ip(), |own| own.advertise), local.port()))
    }

    fn reservations(&self) -> MutexGuard<'_, Reservations<N::Bound>> {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a peer is reached: a relayed transport address of ours, on the address that it is bound to.
    fn bound(&self, peer: SocketAddr) -> SocketAddr {
        let own = self.addresses.iter().find(|address| address.advertise == peer.ip());
        let moved = own.filter(|address| address.bind != peer.ip() && self.shared.relays.is_live(peer));
        moved.map_or(peer, |address| SocketAddr::new(address.bind, peer.port()))
    }

    /// Who a peer is: a relayed transport address of ours is known by the address that it advertises.
    fn advertised(&self, from: SocketAddr) -> SocketAddr {
        let own =
            self.addresses.iter().find(|address| address.bind == from.ip() && address.advertise != from.ip());
        let moved = own.map(|address| SocketAddr::new(address.advertise, from.port()));
        moved.filter(|&relayed| self.shared.relays.is_live(relayed)).unwrap_or(from)
    }

    /// Frees what was closed, logs what happened, and publishes the counters.
    fn publish(&self, now: Instant) {
        loop {
            // The engine is not borrowed while an event is handled.
            let Some(event) = self.server.borrow_mut().poll_event() else { break };
            match event {
                Event::Opened { client, relayed, user, .. } => {
                    tracing::info!(client = %client.tuple.client, transport = client.tuple.transport.name(),
                        %relayed, user, "allocation opened");
                }
                Event::Closed { relay, client, relayed, user, why, traffic } => {
                    self.free(relay, now);
                    tracing::info!(client = %client.tuple.client, %relayed, user, ?why,
                        packets_to_peers = traffic.packets_to_peers, bytes_to_peers = traffic.bytes_to_peers,
                        packets_to_client = traffic.packets_to_client, bytes_to_client = traffic.bytes_to_client,
                        "allocation closed");
                }
            }
        }
        self.shared.publish(self.index, self.server.borrow().counters());
    }

    fn free(&self, relay: RelayId, now: Instant) {
        let mut relays = self.relays.borrow_mut();
        let Some(slot) = relays.get_mut(relay.index()) else { return };
        if let Some(freed) = slot.take_if(|found| found.id == relay) {
            freed.task.abort();
            if let Ok(address) = freed.socket.local_addr() {
                self.ports.borrow_mut().release(address, now);
            }
        }
    }
}
