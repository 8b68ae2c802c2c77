//! Where packets and time come from: the traits that a worker is generic over.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::marks::Marks;
use crate::IcmpError;

/// A non-blocking datagram socket that moves many packets at a time.
pub trait DatagramSocket: 'static {
    /// The address it is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits until there may be something to receive.
    fn ready(&self) -> impl Future<Output = io::Result<Ready>>;

    /// Receives what is there, as far as the batch has room.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there was nothing; anything else concerns one packet, and the next call goes on.
    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()>;

    /// How many datagrams the operating system dropped since the socket was made because it was full, as far as it has
    /// told: it does with the next one that comes. A train that came joined counts as one.
    fn dropped(&self) -> u64 {
        0
    }

    /// An ICMP error that came back for a datagram of this socket, and to whom that was sent; `None` when there is none
    /// left, or the operating system tells of none.
    ///
    /// # Errors
    /// What the operating system says.
    fn try_recv_error(&self) -> io::Result<Option<(IcmpError, SocketAddr)>> {
        Ok(None)
    }

    /// Sends as many as the kernel takes now, and returns how many. An error concerns the first of them alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel takes none: drop, and count.
    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize>;
}

/// What a socket has to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// There may be datagrams.
    pub data: bool,
    /// There may be [errors](DatagramSocket::try_recv_error).
    pub error: bool,
}

/// Where sockets and time come from: the operating system, or a simulation.
pub trait Network: 'static {
    /// A port that is held, by whichever worker comes to need it.
    type Bound: Send + 'static;
    /// A socket of one worker.
    type Socket: DatagramSocket;

    /// Binds a relayed transport address.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] asks for another port; any other ends the attempt.
    fn bind_relay(&self, address: SocketAddr) -> io::Result<Self::Bound>;

    /// Makes a bound port a socket of the calling worker.
    ///
    /// # Errors
    /// What the operating system says.
    fn attach(&self, bound: Self::Bound) -> io::Result<Self::Socket>;

    /// The time.
    fn now(&self) -> Instant;
}

/// A datagram to send: its parts stay where they are until the kernel takes them.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// From which of the machine's addresses, where the socket is bound to all of them.
    pub from: Option<IpAddr>,
    /// What its IP header is to say. What cannot see to that ignores it.
    pub marks: Marks,
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
    /// What its IP header said, as far as the network can tell.
    pub marks: Marks,
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
    /// Those of the first; the kernel joins what is marked alike.
    pub(super) marks: Marks,
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
    /// not called.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        self.receive_marked(|slot| recv(slot).map(|(len, from)| (len, from, Marks::default())))
    }

    /// The same, where what the packet's IP header says is known, too.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive_marked(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr, Marks)>,
    ) -> io::Result<()> {
        let start = self.trains.len() * STRIDE;
        let Some(slot) = self.buffer.get_mut(start..start + SLOT) else { return Ok(()) };
        let (len, from, marks) = recv(slot)?;
        self.trains.push(Train { from, to: None, len: len.min(SLOT), stride: SLOT, marks });
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
            packets.map(|data| Packet { data, from: train.from, to: train.to, marks: train.marks })
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
        batch.push(Train { from: sender(1), to: None, len: 10, stride: 4, marks: Marks::default() });

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
