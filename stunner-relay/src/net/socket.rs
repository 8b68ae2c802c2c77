//! Where packets and time come from: the traits that a worker is generic over.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{batch::RecvBatch, marks::Marks};
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
    /// A task that is always ready keeps others from running. The worker yields where a batch is full; what is ready again and
    /// again for less has to yield from time to time itself, for instance by tokio's `coop::consume_budget`: tokio's sockets
    /// do not see to that where they are waited for by their `readable` or `ready`.
    ///
    /// # Errors
    /// There will never be anything to receive any more. Nobody waits for this socket again; it can still send, and goes
    /// with its allocation or with the server.
    fn ready(&self) -> impl Future<Output = io::Result<Ready>>;

    /// Asks the [network](Network::arrived) to tell what comes to this socket, as `token`'s, and also what has come before.
    /// It is asked of a relayed transport address once, before anything else. Where the network does not tell, which is
    /// what `false` says, each socket is waited for by itself; where it does, [`ready`](Self::ready) and
    /// [`try_recv`](Self::try_recv) are not called, unless the network has said that it tells [no more](Network::arrived).
    fn deliver(&self, token: usize) -> bool {
        let _ = token;
        false
    }

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
    /// left, or the operating system tells of none. It is called until then, at some time after [`ready`](Self::ready) has said
    /// that there is one; what a listener has to tell is nobody's.
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

/// Sends what the kernel takes. A full socket drops: TURN over UDP promises no more, and a queue would only add delay.
pub(super) fn send_all(socket: &impl DatagramSocket, mut datagrams: &[Datagram<'_>]) {
    while !datagrams.is_empty() {
        let sent = match socket.try_send(datagrams) {
            Ok(sent) => sent.max(1),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // It concerns the first of them alone, such as a peer that told us before that nobody listens there.
            Err(_) => 1,
        };
        datagrams = datagrams.get(sent..).unwrap_or_default();
    }
}

/// What a socket has to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// There may be datagrams.
    pub data: bool,
    /// There may be [errors](DatagramSocket::try_recv_error). Those of a listener are taken out, and told nobody.
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

    /// What it calls itself where a server tells by [what it relays](super::TurnServer::networks). It may change.
    fn name(&self) -> &'static str {
        "custom"
    }

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

    /// Waits until there may be something to [receive](Self::receive) for sockets that it [delivers](DatagramSocket::deliver)
    /// for; what is said of [`ready`](DatagramSocket::ready) holds for it, too. A network that delivers for none need not
    /// know of this.
    ///
    /// # Errors
    /// It will never deliver anything any more. The error is logged, and the network is not asked again: all of its sockets
    /// are waited for by [`ready`](DatagramSocket::ready) from then on, and must be received from by
    /// [`try_recv`](DatagramSocket::try_recv); those that are made later say `false` when they are asked to be
    /// [delivered](DatagramSocket::deliver) for.
    fn arrived(&self) -> impl Future<Output = io::Result<()>> {
        std::future::pending()
    }

    /// Receives what came to sockets that it delivers for, as far as the batch has room, by
    /// [`RecvBatch::receive_marked`]. Adds to `errors` the tokens of sockets that have [errors](DatagramSocket::try_recv_error)
    /// to tell. What came to a socket that was dropped since is not told.
    fn receive(&self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        let _ = (batch, errors);
    }

    /// How many datagrams the operating system dropped of all sockets that it delivers for, or did.
    fn dropped(&self) -> u64 {
        0
    }

    /// Sends what leaves by several sockets, at most 64 datagrams, and drops what is not taken now.
    fn send(&self, volleys: &[Volley<'_, Self::Socket>]) {
        for volley in volleys {
            send_all(volley.socket, volley.datagrams);
        }
    }

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
