//! A worker's receiving: from its listeners and from relayed transport addresses, a batch at a time.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    rc::Rc,
    time::Instant,
};

use tokio::task::{AbortHandle, yield_now};

use super::{
    batch::{Arrival, Packet},
    marks::Marks,
    socket::{DatagramSocket, Network},
    worker::Worker,
};
use crate::{Client, FiveTuple, ListenerId, RelayId, Transport};

/// So many ICMP errors of one relayed transport address are told in one turn.
const MAX_ERRORS: usize = 16;

impl<N: Network> Worker<N> {
    /// Reads one UDP listener for as long as the worker lives.
    pub(super) async fn listen(self: Rc<Self>, id: ListenerId, socket: Rc<N::Socket>) {
        let Ok(own) = socket.local_addr() else { return };
        let mut dropped = 0;
        let error = loop {
            let ready = match socket.ready().await {
                Ok(ready) => ready,
                Err(error) => break error,
            };
            let more_errors = ready.error && pass_over_errors(&*socket);
            let more_data = ready.data && self.hear(id, own, &*socket, &mut dropped);
            if more_errors || more_data {
                yield_now().await;
            }
        };
        tracing::error!(%error, listener = %own, "a listener receives nothing any more");
    }

    /// Works through a batch of what clients have sent to a listener. Says whether there may be more: whoever waits has a turn
    /// before that, or a flood would keep the worker from everything else.
    fn hear(self: &Rc<Self>, id: ListenerId, own: SocketAddr, socket: &N::Socket, dropped: &mut u64) -> bool {
        let mut batch = self.batch.borrow_mut();
        self.make_room(&mut batch);
        let place = batch.taken();
        if let Err(error) = socket.try_recv(&mut batch) {
            return leaves_more(&error);
        }
        let more = !batch.has_room();
        self.count_dropped(dropped, socket.dropped());
        let now = self.network.now();
        for Arrival { packet: Packet { data, from, to, marks }, buffer, .. } in batch.arrivals(place) {
            let server = SocketAddr::new(to.unwrap_or(own.ip()), own.port());
            let tuple = FiveTuple { client: from, server, transport: Transport::Udp };
            self.handle_client(data, Client { tuple, listener: id, link: 0 }, marks, now, buffer);
        }
        // Most of it is for peers, each by another socket: waiting would bring nothing together.
        self.flush_batch(&mut batch);
        self.rest();
        more
    }

    /// Reads one relayed transport address for as long as its allocation lives.
    async fn relay(self: Rc<Self>, id: RelayId, socket: Rc<N::Socket>) {
        let mut dropped = 0;
        let error = loop {
            let ready = match socket.ready().await {
                Ok(ready) => ready,
                Err(error) => break error,
            };
            let more_errors = ready.error && self.take_errors(id, &*socket, self.network.now());
            let more_data = ready.data && self.hear_peers(id, &*socket, &mut dropped);
            if more_errors || more_data {
                yield_now().await;
            }
        };
        tracing::error!(%error, "a relayed transport address receives nothing any more");
    }

    /// Works through a batch of what peers have sent to a relayed transport address, and says whether there may be more.
    fn hear_peers(&self, id: RelayId, socket: &N::Socket, dropped: &mut u64) -> bool {
        let mut batch = self.batch.borrow_mut();
        self.make_room(&mut batch);
        let place = batch.taken();
        if let Err(error) = socket.try_recv(&mut batch) {
            return leaves_more(&error);
        }
        let more = !batch.has_room();
        self.count_dropped(dropped, socket.dropped());
        let now = self.network.now();
        for Arrival { packet: Packet { data, from, marks, .. }, buffer, .. } in batch.arrivals(place) {
            self.handle_peer(data, self.advertised(from), id, marks, now, buffer);
        }
        self.flush_soon(&mut batch);
        more
    }

    /// Reads all relayed transport addresses that the network delivers for, and when it does not any more, has each read by
    /// itself.
    pub(super) async fn arrivals(self: Rc<Self>) {
        let error = self.read_arrivals().await;
        tracing::error!(%error, "the network delivers no more: relayed transport addresses are read one by one");
        for relay in self.relays.borrow_mut().iter_mut().flatten() {
            relay.task.get_or_insert_with(|| self.read(relay.id, relay.socket.clone()));
        }
    }

    /// Starts the task that reads one relayed transport address.
    pub(super) fn read(self: &Rc<Self>, id: RelayId, socket: Rc<N::Socket>) -> AbortHandle {
        tokio::task::spawn_local(Self::relay(self.clone(), id, socket)).abort_handle()
    }

    /// Works through what the network delivers until it cannot any more, and returns why.
    async fn read_arrivals(&self) -> io::Error {
        let (mut dropped, mut errors) = (0, Vec::new());
        loop {
            if let Err(error) = self.network.arrived().await {
                return error;
            }
            let mut batch = self.batch.borrow_mut();
            self.make_room(&mut batch);
            let place = batch.taken();
            self.network.receive(&mut batch, &mut errors);
            self.count_dropped(&mut dropped, self.network.dropped());
            let now = self.network.now();
            for token in errors.drain(..) {
                if let Some((id, socket)) = self.relay_at(token) {
                    self.take_errors(id, &*socket, now);
                }
            }
            for Arrival { packet: Packet { data, from, marks, .. }, token, buffer } in batch.arrivals(place) {
                let relay = self.relays.borrow().get(token).and_then(|found| Some(found.as_ref()?.id));
                if let Some(id) = relay {
                    self.handle_peer(data, self.advertised(from), id, marks, now, buffer);
                }
            }
            self.flush_soon(&mut batch);
        }
    }

    fn relay_at(&self, index: usize) -> Option<(RelayId, Rc<N::Socket>)> {
        self.relays.borrow().get(index)?.as_ref().map(|found| (found.id, found.socket.clone()))
    }

    /// Adds what the operating system dropped of a socket since `before`, so that it stays counted when the socket is gone.
    fn count_dropped(&self, before: &mut u64, total: u64) {
        self.dropped.set(self.dropped.get() + total.saturating_sub(*before));
        *before = total;
    }

    /// Tells the client of ICMP errors that came back to its relayed transport address, and says whether there may be more.
    fn take_errors(&self, id: RelayId, socket: &N::Socket, now: Instant) -> bool {
        // Who sends many of them must not keep the worker from everything else.
        for _ in 0..MAX_ERRORS {
            let Ok(Some((error, peer))) = socket.try_recv_error() else { return false };
            let reply = &mut **self.reply.borrow_mut();
            let peer = self.advertised(peer);
            let told = self.server.borrow_mut().handle_icmp(error, peer, id, now, reply);
            if let Some((client, len)) = told {
                self.send_to_client(&client, Marks::default(), [&reply[..len], &[], &[]].map(IoSlice::new));
            }
        }
        true
    }
}

/// Whether there may be more behind what could not be received: an error other than that there is nothing concerns one packet.
fn leaves_more(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
}

/// A listener hears of no errors, unless its maker asked for that. They are nobody's, and taken out all the same: it would be
/// ready for them for ever. Says whether there may be more.
fn pass_over_errors(socket: &impl DatagramSocket) -> bool {
    (0..MAX_ERRORS).all(|_| matches!(socket.try_recv_error(), Ok(Some(_))))
}
