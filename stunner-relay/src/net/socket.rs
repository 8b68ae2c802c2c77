//! Where packets and time come from: the traits that a worker is generic over.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    ops::Range,
    time::Instant,
};

/// A non-blocking datagram socket that moves many packets at a time.
pub trait DatagramSocket: 'static {
    /// The address it is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits until there may be something to receive.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Receives what is there, as far as the batch has room.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there was nothing; anything else concerns one packet, and the next call goes on.
    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()>;

    /// Sends as many as the kernel takes now, and returns how many. An error concerns the first of them alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel takes none: drop, and count.
    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize>;
}

/// Where sockets and time come from: tokio, or a simulation.
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
    /// Header, data, padding.
    pub parts: [IoSlice<'a>; 3],
}

/// The most packets one turn of a socket takes in, so that others get theirs.
const MAX_PACKETS: usize = 64;

/// The longest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// Room for packets received together, one behind the other.
#[derive(Debug)]
pub struct RecvBatch {
    buffer: Box<[u8]>,
    packets: Vec<(SocketAddr, Range<usize>)>,
    used: usize,
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self {
            buffer: vec![0; MAX_DATAGRAM + MAX_PACKETS * 1_500].into(),
            packets: Vec::with_capacity(MAX_PACKETS),
            used: 0,
        }
    }
}

impl RecvBatch {
    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.used = 0;
    }

    /// Whether another packet of any length fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.packets.len() < MAX_PACKETS && self.buffer.len() - self.used >= MAX_DATAGRAM
    }

    /// Receives one packet with `recv`, which is given a buffer and returns a length and the sender.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        let (len, from) = recv(&mut self.buffer[self.used..])?;
        let end = (self.used + len).min(self.buffer.len());
        self.packets.push((from, self.used..end));
        self.used = end;
        Ok(())
    }

    /// The packets and their senders, in the order of arrival.
    pub fn packets(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.packets.iter().map(|(from, range)| (&self.buffer[range.clone()], *from))
    }
}
