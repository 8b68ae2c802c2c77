//! Where packets and time come from: the traits that a worker is generic over.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{batch::RecvBatch, marks::Marks};
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

    /// Asks the [network](Network::arrived) to tell what comes to this socket, as `token`'s. Where it does not, which is what
    /// `false` says, each socket is waited for by itself.
    fn deliver(&self, token: usize) -> bool {
        let _ = token;
        false
    }

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

    /// Sends what the kernel takes. A full socket drops: TURN over UDP promises no more, and a queue would only add delay.
    fn send_all(&self, mut datagrams: &[Datagram<'_>]) {
        while !datagrams.is_empty() {
            let sent = match self.try_send(datagrams) {
                Ok(sent) => sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It concerns the first of them alone, such as a peer that told us before that nobody listens there.
                Err(_) => 1,
            };
            datagrams = datagrams.get(sent..).unwrap_or_default();
        }
    }
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

    /// Waits until there may be something to [receive](Self::receive) for sockets that it [delivers](DatagramSocket::deliver)
    /// for.
    fn arrived(&self) -> impl Future<Output = io::Result<()>> {
        std::future::pending()
    }

    /// Receives what came to sockets that it delivers for, as far as the batch has room, by
    /// [`RecvBatch::receive_marked`]. Adds to `errors` the tokens of sockets that have [errors](DatagramSocket::try_recv_error)
    /// to tell.
    fn receive(&self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        let _ = (batch, errors);
    }

    /// How many datagrams the operating system dropped of all sockets that it delivers for, or did.
    fn dropped(&self) -> u64 {
        0
    }

    /// Sends what leaves by several sockets, and drops what the operating system does not take.
    fn send(&self, volleys: &[Volley<'_, Self::Socket>]) {
        for volley in volleys {
            volley.socket.send_all(volley.datagrams);
        }
    }

    /// The time.
    fn now(&self) -> Instant;
}

/// Datagrams that leave by one socket.
#[derive(Debug)]
pub struct Volley<'a, S> {
    /// The socket.
    pub socket: &'a S,
    /// In the order in which they leave.
    pub datagrams: &'a [Datagram<'a>],
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
