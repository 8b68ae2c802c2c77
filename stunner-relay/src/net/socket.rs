//! Where packets and time come from: the traits that a worker is generic over.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use crate::IcmpError;

/// A non-blocking datagram socket that moves many packets at a time: a listener, or a relayed transport address.
///
/// What a worker may rely on, and an implementation has to keep:
///
/// * All calls come from the worker's thread, one at a time, and from within its runtime. While a future of
///   [`ready`](Self::ready) waits, the other methods may be called.
/// * No call blocks: the worker does nothing else meanwhile. The future of [`ready`](Self::ready) alone waits.
/// * One task waits for a socket. It calls [`ready`](Self::ready), then [`try_recv_error`](Self::try_recv_error) where there
///   is an error, then [`try_recv`](Self::try_recv), and begins anew.
/// * Dropping the socket closes it: what waits in it is lost, and its address can be bound again.
///
/// A socket of this kind is often another one and something about it:
///
/// ```
/// use std::{cell::Cell, future::Future, io, net::SocketAddr};
/// use stunner_relay::net::{Datagram, DatagramSocket, Ready, RecvBatch};
///
/// /// Loses every third datagram that it is to send.
/// struct Lossy<S>(S, Cell<usize>);
///
/// impl<S: DatagramSocket> DatagramSocket for Lossy<S> {
///     fn local_addr(&self) -> io::Result<SocketAddr> {
///         self.0.local_addr()
///     }
///
///     fn ready(&self) -> impl Future<Output = io::Result<Ready>> {
///         self.0.ready()
///     }
///
///     fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
///         self.0.try_recv(batch)
///     }
///
///     fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
///         let Self(socket, sent) = self;
///         for (index, datagram) in datagrams.iter().enumerate() {
///             if (sent.get() + 1) % 3 > 0 {
///                 match socket.try_send(std::slice::from_ref(datagram)) {
///                     // What went before it is sent. The error comes again with the next call.
///                     Err(_) if index > 0 => return Ok(index),
///                     result => result?,
///                 };
///             }
///             sent.set(sent.get() + 1);
///         }
///         Ok(datagrams.len())
///     }
/// }
/// ```
///
/// A whole network in memory, without another socket in it, is `examples/in-memory-network`.
pub trait DatagramSocket: 'static {
    /// The address it is bound to: always the same one, with the port that was chosen where 0 was asked for. Of a listener
    /// on all addresses of the machine, the IP address is unspecified.
    ///
    /// # Errors
    /// What the operating system says. No server starts on a listener that does not know it, and an allocation with such a
    /// relayed transport address is refused (508).
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits until there may be something to receive: at once, where something is there already.
    ///
    /// It may be ready for nothing, since that costs no more than a call in vain. It must not be ready again and again for
    /// nothing, nor may it ever wait while there is something: whatever has come since [`try_recv`](Self::try_recv) last
    /// emptied the socket, or was left by it for want of room, makes it ready.
    ///
    /// The future is dropped wherever it waits when the allocation ends; nothing is lost by that, as it takes nothing out.
    /// A task that is always ready keeps others from running: what is not made of tokio's sockets or channels, which see
    /// to it, has to yield from time to time, for instance by tokio's `coop::consume_budget`.
    ///
    /// # Errors
    /// There will never be anything to receive any more. Nobody waits for this socket again; it can still send, and goes
    /// with its allocation or with the server.
    fn ready(&self) -> impl Future<Output = io::Result<Ready>>;

    /// Receives what is there, as far as the batch has room, behind what is in it. There is room when this is called.
    ///
    /// Datagrams are whole and in the order in which they came. An empty one is one. What is left for want of room is there
    /// for the next call.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there was nothing; anything else concerns one packet, and the next call goes on.
    /// Only when nothing was received: what is in the batch with an error is never looked at.
    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()>;

    /// How many datagrams the operating system dropped since the socket was made because it was full, as far as it has
    /// told: it does with the next one that comes. A train that came joined counts as one. It never becomes less; it is
    /// asked for behind [`try_recv`](Self::try_recv).
    fn dropped(&self) -> u64 {
        0
    }

    /// An ICMP error that came back for a datagram of this socket, and to whom that was sent; `None` when there is none
    /// left, or the operating system tells of none. It is called until then, and of relayed transport addresses only.
    ///
    /// # Errors
    /// What the operating system says; those that are left may wait for the next time.
    fn try_recv_error(&self) -> io::Result<Option<(IcmpError, SocketAddr)>> {
        Ok(None)
    }

    /// Sends as many as the kernel takes now, and returns how many: at least one, those at the beginning, each of them
    /// whole. It is given at least one, and 64 at most.
    ///
    /// The bytes are borrowed for the time of the call, mostly from the batch of what was received. What is to be sent later
    /// must be copied.
    ///
    /// # Errors
    /// They say that nothing was sent. [`io::ErrorKind::WouldBlock`] when the kernel takes none: all of them are dropped, and
    /// nobody waits for room, since a queue would only add delay. Any other error concerns the first of them alone, which
    /// is dropped; the others are tried at once, in another call.
    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize>;
}

/// What a socket has to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// There may be datagrams.
    pub data: bool,
    /// There may be [errors](DatagramSocket::try_recv_error). Nobody takes those of a listener.
    pub error: bool,
}

/// Where sockets and time come from: the operating system, or a simulation.
///
/// [`TurnServerBuilder::start_on`](super::TurnServerBuilder::start_on) starts a server on one. A worker has its network for
/// itself, and calls it from its thread and its runtime. Nothing here may block.
pub trait Network: 'static {
    /// A port that is held, by whichever worker comes to need it: nobody else can bind it until this is dropped, or the
    /// socket that was made of it. What comes to it meanwhile may be lost.
    type Bound: Send + 'static;
    /// A socket of one worker.
    type Socket: DatagramSocket;

    /// Binds a relayed transport address: one of the server's relay addresses, and a port of its range.
    ///
    /// Ports are drawn at random, and all of them tried before it is given up; so do not take long over one.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] asks for another port; any other ends the attempt, and the client is told that there is
    /// no capacity (508).
    fn bind_relay(&self, address: SocketAddr) -> io::Result<Self::Bound>;

    /// Makes a bound port a socket of the calling worker. It keeps its address.
    ///
    /// # Errors
    /// What the operating system says. The client is told that there is no capacity (508).
    fn attach(&self, bound: Self::Bound) -> io::Result<Self::Socket>;

    /// The time: by what the engine counts lifetimes. It never goes back. It has to go as tokio's clock goes, whose timer
    /// wakes the worker once a second to look for what has expired: tokio's own `Instant` is best, since it is virtual where
    /// that is.
    ///
    /// It is asked once for a batch, not for a packet.
    fn now(&self) -> Instant;

    /// What a worker that starts draws its secrets and its ports from, asked for once for each. Random unless a simulation
    /// is to take the same course again: who knows it can make the server's nonces.
    fn seed(&self) -> [u8; 32] {
        rand::random()
    }
}

/// A datagram to send: its parts stay where they are until the kernel takes them.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// From which of the machine's addresses, where the socket is bound to all of them.
    pub from: Option<IpAddr>,
    /// Whether routers on the way must not cut it in pieces. What cannot see to that ignores it.
    pub dont_fragment: bool,
    /// Header, data, padding.
    pub parts: [IoSlice<'a>; 3],
}

impl Datagram<'_> {
    /// How many bytes it is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there is nothing in it; an empty datagram is sent all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A packet of a [`RecvBatch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// What was received.
    pub data: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of the machine's addresses, where the socket is bound to all of them and can tell.
    pub to: Option<IpAddr>,
}

/// The longest datagram there is, and the longest train of datagrams that came as one.
pub(super) const SLOT: usize = 1 << 16;

/// From one place to the next: no power of two, or the beginnings of all packets would share a few sets of every cache.
const STRIDE: usize = SLOT + 5 * 64;

/// How much one turn takes in at most before it is sent.
pub(super) const SLOTS: usize = 32;

/// Room for packets that are received together.
#[derive(Debug)]
pub struct RecvBatch {
    buffer: Box<[u8]>,
    trains: Vec<Train>,
}

/// Datagrams of one sender that the kernel joined: each has `stride` bytes, but the last, which may have fewer.
#[derive(Clone, Debug)]
pub(super) struct Train {
    pub(super) from: SocketAddr,
    pub(super) to: Option<IpAddr>,
    pub(super) len: usize,
    pub(super) stride: usize,
}

impl Default for RecvBatch {
    fn default() -> Self {
        // Pages that no packet was ever received into cost nothing.
        Self { buffer: vec![0; SLOTS * STRIDE].into(), trains: Vec::with_capacity(SLOTS) }
    }
}

impl RecvBatch {
    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.trains.clear();
    }

    /// Whether another packet of any length fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.trains.len() < SLOTS
    }

    /// Receives one packet with `recv`, which is given a buffer and returns a length and the sender. Without room it is
    /// not called. The buffer has room for the longest datagram, and what was there before in it.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        let start = self.trains.len() * STRIDE;
        let Some(slot) = self.buffer.get_mut(start..start + SLOT) else { return Ok(()) };
        let (len, from) = recv(slot)?;
        self.trains.push(Train { from, to: None, len: len.min(SLOT), stride: SLOT });
        Ok(())
    }

    /// The places for what comes next, in which [`push`](Self::push) expects it in order.
    #[cfg(target_os = "linux")]
    pub(super) fn vacant(&mut self) -> impl ExactSizeIterator<Item = &mut [u8]> {
        let places = self.buffer[self.trains.len() * STRIDE..].chunks_exact_mut(STRIDE);
        places.map(|place| &mut place[..SLOT])
    }

    /// Takes in what was received into the next vacant place.
    #[cfg(target_os = "linux")]
    pub(super) fn push(&mut self, train: Train) {
        debug_assert!(self.has_room() && train.len <= SLOT && train.stride > 0);
        self.trains.push(train);
    }

    /// The packets, in the order of arrival.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets_from(0)
    }

    /// How many places are taken: [`packets_from`](Self::packets_from) there gives what is received after this.
    pub(super) fn taken(&self) -> usize {
        self.trains.len()
    }

    /// The packets that are in a place and in those behind it.
    pub(super) fn packets_from(&self, place: usize) -> impl Iterator<Item = Packet<'_>> {
        let slots = self.buffer.chunks_exact(STRIDE).zip(&self.trains).skip(place);
        slots.flat_map(|(slot, train)| {
            let bytes = &slot[..train.len];
            let empty = train.len == 0;
            let packets = bytes.chunks(train.stride).chain(empty.then_some(bytes));
            packets.map(|data| Packet { data, from: train.from, to: train.to })
        })
    }

    /// All of its room, of which packets are parts.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(port: u16) -> SocketAddr {
        ([198, 51, 100, 1], port).into()
    }

    #[test]
    fn packets_come_back_in_order_and_an_empty_one_is_one() {
        let mut batch = RecvBatch::default();
        for (port, text) in [(1, &b"first"[..]), (2, b""), (3, b"third")] {
            let received = batch.receive(|slot| {
                slot[..text.len()].copy_from_slice(text);
                Ok((text.len(), sender(port)))
            });
            assert!(received.is_ok());
        }

        let packets: Vec<_> = batch.packets().map(|packet| (packet.from.port(), packet.data)).collect();

        assert_eq!(packets, [(1, &b"first"[..]), (2, b""), (3, b"third")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_train_comes_apart_where_its_datagrams_were_joined() {
        let mut batch = RecvBatch::default();
        batch.vacant().next().unwrap()[..10].copy_from_slice(b"aaaabbbbcc");
        batch.push(Train { from: sender(1), to: None, len: 10, stride: 4 });

        let packets: Vec<_> = batch.packets().map(|packet| packet.data).collect();

        assert_eq!(packets, [&b"aaaa"[..], b"bbbb", b"cc"]);
    }

    #[test]
    fn a_full_batch_takes_no_more() {
        let mut batch = RecvBatch::default();
        while batch.has_room() {
            batch.receive(|_| Ok((1, sender(1)))).unwrap();
        }

        batch.receive(|_| panic!("there is no room")).unwrap();

        assert_eq!(batch.packets().count(), SLOTS);
    }
}
