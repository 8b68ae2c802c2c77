//! A worker's sending: to clients, to peers, and from one client to another without the kernel.

use std::{
    io::IoSlice,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Instant,
};

use arrayvec::ArrayVec;
use tokio::task::yield_now;

use super::{
    batch::{Buffer, Buffers, Part, RecvBatch},
    mailbox::{Letter, Mail},
    marks::Marks,
    outbox::{FromRelay, MAX_SENT},
    socket::{Datagram, DatagramSocket, Network, Volley, send_all},
    worker::Worker,
};
use crate::{Client, RelayId};

/// Packets of other workers that are delivered in one turn.
const MAX_COLLECTED: usize = 256;

/// A UDP listener.
pub(super) struct Listener<S> {
    pub(super) socket: Rc<S>,
    /// Whether it listens on all addresses of the machine.
    is_everywhere: bool,
    port: u16,
}

impl<S: DatagramSocket> Listener<S> {
    pub(super) fn new(socket: Rc<S>) -> Self {
        let own = socket.local_addr().ok();
        Self {
            socket,
            is_everywhere: own.is_none_or(|own| own.ip().is_unspecified()),
            port: own.map_or(0, |own| own.port()),
        }
    }

    fn serves(&self, address: SocketAddr) -> bool {
        self.port == address.port()
            && self.socket.local_addr().is_ok_and(|own| {
                own.ip() == address.ip() || self.is_everywhere && own.is_ipv4() == address.is_ipv4()
            })
    }
}

impl<N: Network> Worker<N> {
    /// To a client of this worker at once, to another worker's by its mailbox, both without the kernel; to anyone else
    /// through the relay's socket. What has no hop left goes nowhere; it was counted as what a full socket drops is.
    pub(super) fn send_to_peer(
        &self,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
        marks: Marks,
        now: Instant,
        buffer: Buffer<'_>,
    ) {
        let Some(marks) = marks.relayed() else { return };
        let hairpin = {
            let server = self.server.borrow();
            server.relay_at(peer).zip(server.relayed(relay))
        };
        if let Some((other, from)) = hairpin {
            // Nobody sees the DF bit of what comes in, and here neither.
            let marks = Marks { dont_fragment: false, ..marks };
            return self.handle_peer(data, from, other, marks, now, buffer);
        }
        let part = buffer.part(data);
        if let Some(data) = &part
            && self.post(relay, peer, marks, data)
        {
            return;
        }
        let to = self.bound(peer);
        match part {
            Some(part) => self.outbox.borrow_mut().push_peer(relay, to, part, marks),
            None => {
                let parts = [data, &[], &[]].map(IoSlice::new);
                let datagrams = &[Datagram { to, from: None, marks, parts }];
                self.send_from_relays(&[FromRelay { relay, datagrams }]);
            }
        }
    }

    /// Puts data for another worker's relayed transport address aside for the flush, and says whether it is one.
    ///
    /// There is no network in between: nothing is cut in pieces, and DONT-FRAGMENT has nothing to forbid.
    fn post(&self, relay: RelayId, peer: SocketAddr, marks: Marks, data: &Part) -> bool {
        let owner = self.shared.owners.of(peer).filter(|&owner| owner != self.index);
        let Some(owner) = owner else { return false };
        let from = self.server.borrow().relayed(relay);
        if let Some(from) = from {
            // As between two clients of one worker, nobody sees the DF bit.
            let marks = Marks { dont_fragment: false, ..marks };
            let letter = Letter { from, to: peer, marks, data: data.clone() };
            self.outbox.borrow_mut().push_letter(owner, letter);
        }
        from.is_some()
    }

    /// Hands clients of this worker what others have for them.
    pub(super) async fn collect(self: Rc<Self>) {
        let Some(mailbox) = self.shared.mailboxes.get(self.index) else { return };
        let mut mail = Mail::default();
        loop {
            mailbox.collect(&mut mail).await;
            for (turn, letters) in mail.letters.chunks(MAX_COLLECTED).enumerate() {
                if turn > 0 {
                    yield_now().await;
                }
                self.deliver(letters, &mail.bytes);
            }
        }
    }

    fn deliver(&self, letters: &[Letter], bytes: &[u8]) {
        // What waits is in another buffer than these packets.
        self.flush_batch(&mut self.batch.borrow_mut());
        let now = self.network.now();
        for Letter { from, to, marks, data } in letters {
            let relay = self.server.borrow().relay_at(*to);
            match relay {
                Some(relay) => {
                    self.handle_peer(bytes.part(data), *from, relay, *marks, now, Buffer::only(bytes));
                }
                None => self.count_lost(1),
            }
        }
        self.flush_counted(bytes);
        self.rest();
    }

    /// Answers a client, behind what else waits. Who has the answer finds the counters as the answer left them.
    pub(super) fn respond(&self, client: &Client, response: &[u8], now: Instant) {
        self.publish(now);
        self.outbox.borrow_mut().push_response(client, self.source(client), response);
    }

    /// Sends what all tasks of a turn have collected, behind the last of them: so that packets which came to many
    /// relayed transport addresses go to their clients in one call.
    pub(super) async fn send(self: Rc<Self>) {
        loop {
            self.bell.rung().await;
            self.flush_batch(&mut self.batch.borrow_mut());
            if let Some(company) = &self.company {
                // The whole thread waits, on purpose: what would wake it is what it waits for.
                std::thread::sleep(company.borrow_mut().wait(self.network.now()));
            }
        }
    }

    /// Has what is to be sent out of the batch sent at the end of the turn.
    pub(super) fn flush_soon(&self, batch: &mut RecvBatch) {
        if self.outbox.borrow().is_empty() {
            batch.clear();
        } else {
            self.bell.ring();
        }
    }

    /// Makes sure that something can be received.
    pub(super) fn make_room(&self, batch: &mut RecvBatch) {
        if !batch.has_room() {
            self.flush_batch(batch);
        }
    }

    /// Sends what waits in the batch, and empties it.
    pub(super) fn flush_batch(&self, batch: &mut RecvBatch) {
        self.flush_counted(batch);
        batch.clear();
    }

    /// The same of any buffers, where the packets in them may have waited for company.
    fn flush_counted(&self, buffers: &(impl Buffers + ?Sized)) {
        if let Some(company) = &self.company {
            company.borrow_mut().sent(self.outbox.borrow().len());
        }
        self.flush(buffers);
    }

    /// Lets the task that sends run, which makes a busy worker rest.
    pub(super) fn rest(&self) {
        if self.company.is_some() {
            self.bell.ring();
        }
    }

    /// Sends what was collected while the packets of these buffers were worked through.
    pub(super) fn flush(&self, buffers: &(impl Buffers + ?Sized)) {
        self.outbox.borrow_mut().flush(
            buffers,
            |worker, letters| {
                let refused = self.shared.mailboxes.get(worker).map(|mailbox| mailbox.post(letters, buffers));
                self.count_lost(refused.unwrap_or_default());
            },
            |listener, datagrams| {
                if let Some(Some(listener)) = self.listeners.get(usize::from(listener)) {
                    send_all(&*listener.socket, datagrams);
                }
            },
            |client, frames| self.send_to_stream(client, frames),
            |runs| self.send_from_relays(runs),
        );
    }

    /// At most [`MAX_SENT`] runs.
    fn send_from_relays(&self, runs: &[FromRelay<'_>]) {
        let relays = self.relays.borrow();
        let volley = |&FromRelay { relay, datagrams }| {
            let found = relays.get(relay.index())?.as_ref().filter(|found| found.id == relay)?;
            Some(Volley { socket: &*found.socket, datagrams })
        };
        let volleys: ArrayVec<_, MAX_SENT> = runs.iter().filter_map(volley).collect();
        self.network.send(&volleys);
    }

    fn send_to_stream(&self, client: &Client, frames: &[[IoSlice<'_>; 3]]) {
        let connections = self.connections.borrow();
        let found = connections.get(client.link as usize).filter(|found| found.tuple == client.tuple);
        if let Some(connection) = found {
            let is_stranger = || !self.has_allocation(&client.tuple);
            self.count_late(connection.send(frames, is_stranger));
        }
    }

    pub(super) fn send_to_client(&self, client: &Client, marks: Marks, parts: [IoSlice<'_>; 3]) {
        if client.tuple.transport.is_stream() {
            self.send_to_stream(client, &[parts]);
        } else if let Some(Some(listener)) = self.listeners.get(usize::from(client.listener.0)) {
            let datagram = Datagram { to: client.tuple.client, from: self.source(client), marks, parts };
            send_all(&*listener.socket, &[datagram]);
        }
    }

    /// Answers over UDP from one of the listeners' addresses.
    pub(super) fn send_from(&self, from: SocketAddr, to: SocketAddr, reply: &[u8]) {
        let is_from = |listener: &&Listener<N::Socket>| listener.serves(from);
        if let Some(listener) = self.listeners.iter().flatten().find(is_from) {
            let source = listener.is_everywhere.then_some(from.ip());
            let parts = [reply, &[], &[]].map(IoSlice::new);
            send_all(&*listener.socket, &[Datagram { to, from: source, marks: Marks::default(), parts }]);
        }
    }

    /// The address that a client knows the server by, where the listener has all of them.
    pub(super) fn source(&self, client: &Client) -> Option<IpAddr> {
        let listener = self.listeners.get(usize::from(client.listener.0))?.as_ref()?;
        let ip = client.tuple.server.ip();
        (listener.is_everywhere && !ip.is_unspecified()).then_some(ip)
    }

    /// Where a peer is reached: a relayed transport address of ours, on the address that it is bound to.
    fn bound(&self, peer: SocketAddr) -> SocketAddr {
        let own = self.addresses.iter().find(|address| address.advertise == peer.ip());
        let moved = own.filter(|address| address.bind != peer.ip() && self.shared.relays.is_live(peer));
        moved.map_or(peer, |address| SocketAddr::new(address.bind, peer.port()))
    }

    /// Who a peer is: a relayed transport address of ours is known by the address that it advertises.
    pub(super) fn advertised(&self, from: SocketAddr) -> SocketAddr {
        let own =
            self.addresses.iter().find(|address| address.bind == from.ip() && address.advertise != from.ip());
        let moved = own.map(|address| SocketAddr::new(address.advertise, from.port()));
        moved.filter(|&relayed| self.shared.relays.is_live(relayed)).unwrap_or(from)
    }
}

#[cfg(test)]
mod tests;
