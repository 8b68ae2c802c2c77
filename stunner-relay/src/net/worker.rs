//! All that belongs to one core: an engine, its listeners, its relayed transport addresses and its clients' streams.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use slab::Slab;
use tokio::task::{AbortHandle, yield_now};

use super::{
    RelayAddress, Report, Shared,
    batch::{Buffer, RecvBatch},
    bell::Bell,
    company::Company,
    files::Complaints,
    marks::Marks,
    outbox::Outbox,
    ports::{Ports, Reservations},
    send::Listener,
    socket::{DatagramSocket, Network},
    stream::Connection,
};
use crate::{Client, Counters, Event, FiveTuple, ListenerId, MAX_REPLY, Output, RelayId, Server};

/// How often expired allocations are looked for and counters are published.
const TICK: Duration = Duration::from_secs(1);

/// What one thread runs. Its parts are borrowed for the time of one call only, never across an `await`.
pub(super) struct Worker<N: Network> {
    pub(super) network: N,
    pub(super) server: RefCell<Server>,
    /// What was received in this turn of the loop. What is to be sent of it stays where it is until it is sent.
    pub(super) batch: RefCell<RecvBatch>,
    pub(super) outbox: RefCell<Outbox>,
    /// Wakes the task that sends.
    pub(super) bell: Bell,
    /// Where responses are written.
    pub(super) reply: RefCell<Box<[u8; MAX_REPLY]>>,
    pub(super) listeners: Vec<Option<Listener<N::Socket>>>,
    pub(super) relays: RefCell<Vec<Option<Relay<N::Socket>>>>,
    pub(super) connections: RefCell<Slab<Rc<Connection>>>,
    pub(super) ports: RefCell<Ports>,
    pub(super) reservations: SharedReservations<N>,
    pub(super) addresses: Vec<RelayAddress>,
    pub(super) shared: Arc<Shared>,
    /// Where packets may wait for one another.
    pub(super) company: Option<RefCell<Company>>,
    pub(super) complaints: Complaints,
    /// How many packets the operating system dropped, of all sockets that there are and were.
    pub(super) dropped: Cell<u64>,
    /// How many packets between workers had no room in a mailbox, or came too late.
    lost: Cell<u64>,
    /// How many frames were dropped because a client on a stream reads too slowly.
    pub(super) late: Cell<u64>,
    /// How many connections there may be.
    pub(super) max_connections: usize,
    pub(super) index: usize,
}

/// Ports that any worker's client may come for; touched by requests only.
pub(super) type SharedReservations<N> = Arc<Mutex<Reservations<<N as Network>::Bound>>>;

/// One relayed transport address: its socket, and the task that reads it.
pub(super) struct Relay<S> {
    pub(super) id: RelayId,
    pub(super) socket: Rc<S>,
    /// What reads it, where the network does not tell what comes to it.
    pub(super) task: Option<AbortHandle>,
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
    pub(super) max_added_latency: Option<Duration>,
    pub(super) max_connections: usize,
    pub(super) index: usize,
}

impl<N: Network> Worker<N> {
    pub(super) fn new(parts: Parts<N>) -> Rc<Self> {
        let now = parts.network.now();
        Rc::new(Self {
            network: parts.network,
            server: RefCell::new(parts.server),
            batch: RefCell::default(),
            outbox: RefCell::default(),
            bell: Bell::default(),
            reply: RefCell::new(Box::new([0; MAX_REPLY])),
            listeners: parts.listeners.into_iter().map(|socket| socket.map(Listener::new)).collect(),
            relays: RefCell::default(),
            connections: RefCell::default(),
            ports: RefCell::new(parts.ports),
            reservations: parts.reservations,
            addresses: parts.addresses,
            shared: parts.shared,
            company: parts.max_added_latency.map(|most| RefCell::new(Company::new(most, now))),
            complaints: Complaints::default(),
            dropped: Cell::new(0),
            lost: Cell::new(0),
            late: Cell::new(0),
            max_connections: parts.max_connections,
            index: parts.index,
        })
    }

    /// Starts the tasks that read the UDP listeners, the one that sends, and the one that watches the time.
    pub(super) fn start(self: &Rc<Self>) {
        self.publish(self.network.now());
        for (index, listener) in self.listeners.iter().enumerate() {
            if let (Some(listener), Ok(index)) = (listener, u16::try_from(index)) {
                let socket = listener.socket.clone();
                tokio::task::spawn_local(Self::listen(self.clone(), ListenerId(index), socket));
            }
        }
        tokio::task::spawn_local(Self::arrivals(self.clone()));
        tokio::task::spawn_local(Self::send(self.clone()));
        if self.shared.mailboxes.len() > 1 {
            tokio::task::spawn_local(Self::collect(self.clone()));
        }
        tokio::task::spawn_local(Self::watch(self.clone()));
    }

    pub(super) fn count_late(&self, frames: usize) {
        self.late.set(self.late.get() + frames as u64);
    }

    /// Adds packets between workers that get nowhere.
    pub(super) fn count_lost(&self, packets: usize) {
        self.lost.set(self.lost.get() + packets as u64);
    }

    async fn watch(self: Rc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            let now = self.network.now();
            self.reservations().expire(now);
            while self.expire(now) {
                yield_now().await;
            }
        }
    }

    /// Ends some of what has expired, and says whether there is more.
    fn expire(&self, now: Instant) -> bool {
        self.server.borrow_mut().handle_timeout(now);
        self.publish(now);
        self.server.borrow().poll_timeout().is_some_and(|next| next <= now)
    }

    /// Takes in one packet of a client, which is part of a buffer, and carries out what the engine says. What is to be
    /// sent out of the buffer waits for a flush.
    pub(super) fn handle_client(
        self: &Rc<Self>,
        packet: &[u8],
        client: Client,
        marks: Marks,
        now: Instant,
        buffer: Buffer<'_>,
    ) {
        let reply = &mut **self.reply.borrow_mut();
        let output = self.server.borrow_mut().handle_client(packet, client, now, reply);
        match output {
            Output::ToPeer { relay, peer, data, dont_fragment } => {
                let marks = Marks { dont_fragment: dont_fragment || marks.dont_fragment, ..marks };
                self.send_to_peer(relay, peer, data, marks, now, buffer);
            }
            Output::Reply(len) => {
                self.respond(&client, &reply[..len], now);
            }
            Output::ReplyFrom { from, to, len } => self.send_from(from, to, &reply[..len]),
            Output::Allocate(request) => {
                let len = self.allocate(request, now, reply);
                self.respond(&client, &reply[..len], now);
            }
            // Relaying of connections is off: the engine asks for none.
            Output::Drop | Output::Connect(_) | Output::Splice { .. } => {}
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

    pub(super) fn handle_peer(
        &self,
        packet: &[u8],
        from: SocketAddr,
        relay: RelayId,
        marks: Marks,
        now: Instant,
        buffer: Buffer<'_>,
    ) {
        let delivered = self.server.borrow_mut().handle_peer(packet, from, relay, now);
        let Some(to) = delivered else { return };
        let is_stream = to.client.tuple.transport.is_stream();
        let Some(marks) = (if is_stream { Some(Marks::default()) } else { marks.relayed() }) else { return };
        match buffer.part(to.frame.data()) {
            Some(part) if is_stream => self.outbox.borrow_mut().push_stream(&to.client, &to.frame, part),
            Some(part) => {
                let from = self.source(&to.client);
                self.outbox.borrow_mut().push_client(&to.client, from, &to.frame, part, marks);
            }
            None => self.send_to_client(&to.client, marks, to.frame.slices()),
        }
    }

    /// Frees what was closed, logs what happened, and publishes the counters.
    pub(super) fn publish(&self, now: Instant) {
        loop {
            // The engine is not borrowed while an event is handled.
            let Some(event) = self.server.borrow_mut().poll_event() else { break };
            match event {
                Event::Opened { client, relayed, user, .. } => {
                    tracing::info!(client = %client.tuple.client, transport = client.tuple.transport.name(),
                        %relayed, user, "allocation opened");
                }
                Event::Disconnected { .. } => {}
                Event::Closed { relay, client, relayed, user, why, traffic } => {
                    self.free(relay, relayed, now);
                    tracing::info!(client = %client.tuple.client, %relayed, user, ?why,
                        packets_to_peers = traffic.packets_to_peers, bytes_to_peers = traffic.bytes_to_peers,
                        packets_to_client = traffic.packets_to_client, bytes_to_client = traffic.bytes_to_client,
                        "allocation closed");
                }
            }
        }
        let counters = Counters {
            dropped_by_kernel: self.dropped.get(),
            dropped_between_workers: self.lost.get(),
            dropped_on_streams: self.late.get(),
            ..self.server.borrow().counters()
        };
        self.shared.publish(self.index, Report { counters, at: now, network: self.network.name() });
    }

    fn free(&self, relay: RelayId, relayed: SocketAddr, now: Instant) {
        let mut relays = self.relays.borrow_mut();
        let Some(slot) = relays.get_mut(relay.index()) else { return };
        if let Some(freed) = slot.take_if(|found| found.id == relay) {
            // As long as the socket is open, nobody else can get the port.
            self.shared.owners.set(relayed, None);
            freed.task.iter().for_each(AbortHandle::abort);
            if let Ok(address) = freed.socket.local_addr() {
                self.ports.borrow_mut().release(address, now);
            }
        }
    }
}
