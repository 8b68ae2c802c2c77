//! A client's socket: packets out, packets in, and how long to wait for them.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    iter,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};
use stunner_proto::{Class, framing::frame_len};

use crate::{
    message::Answer,
    report::{Outcome, fail},
};

/// How long an answer may take, over UDP with a request sent anew every half second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The first retransmission timeout (RFC 8489, section 6.2.1).
const RTO: Duration = Duration::from_millis(500);

/// The next port of a client, below those that systems give away.
static PORTS: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(10_000..28_000)));

/// The clock.
#[expect(clippy::disallowed_methods, reason = "the checks wait for real sockets")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, RefCell<Vec<u8>>),
}

/// A socket of its own, connected to the server.
pub(crate) struct Wire {
    link: Link,
    quiet: Duration,
    /// What came while something else was waited for.
    stash: RefCell<VecDeque<Vec<u8>>>,
    /// Transaction IDs of requests that were sent more than once: a slow server answers each time.
    repeated: RefCell<Vec<[u8; 12]>>,
}

impl Wire {
    /// Over UDP, or over TCP; from a port of the system's choice with 0.
    pub(crate) fn open(server: SocketAddr, tcp: bool, port: u16, quiet: Duration) -> Outcome<Self> {
        let link = if tcp { connect_tcp(server, port) } else { connect_udp(server, port) };
        match link {
            Ok(link) => Ok(Self { link, quiet, stash: RefCell::default(), repeated: RefCell::default() }),
            Err(error) => fail("a socket to the server", error.to_string()),
        }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        let local = match &self.link {
            Link::Udp(socket) => socket.local_addr(),
            Link::Tcp(stream, _) => stream.local_addr(),
        };
        local.expect("a connected socket has an address")
    }

    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.link, Link::Tcp(..))
    }

    /// Sends a packet. What the kernel says about it shows in what comes back, or does not.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = match &self.link {
            Link::Udp(socket) => socket.send(bytes).map(drop),
            Link::Tcp(stream, _) => (&*stream).write_all(bytes),
        };
    }

    /// The next packet, if one comes in time.
    pub(crate) fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let stashed = self.stash.borrow_mut().pop_front();
        stashed.or_else(|| {
            let end = now() + limit;
            let mut packets = iter::from_fn(|| self.read(end.saturating_duration_since(now())));
            packets.find(|packet| !self.is_repetition(packet))
        })
    }

    /// Whether this is another answer to a request that was sent more than once.
    fn is_repetition(&self, packet: &[u8]) -> bool {
        let repeated = self.repeated.borrow();
        Answer::parse(packet).is_some_and(|answer| {
            is_response(&answer) && repeated.contains(&answer.message().transaction_id().0)
        })
    }

    /// The next packet, which must come.
    pub(crate) fn expect(&self, what: &str) -> Outcome<Vec<u8>> {
        self.receive(PATIENCE).map_or_else(|| fail(what, "nothing"), Ok)
    }

    /// Forgets what came while something else was waited for.
    pub(crate) fn forget(&self) {
        self.stash.borrow_mut().clear();
    }

    /// That nothing comes for a while.
    pub(crate) fn stays_silent(&self) -> Outcome {
        match self.receive(self.quiet) {
            None => Ok(()),
            Some(bytes) => fail("no answer", describe(&bytes)),
        }
    }

    /// That nothing comes back for a packet.
    pub(crate) fn drops(&self, bytes: &[u8]) -> Outcome {
        self.send(bytes);
        self.stays_silent()
    }

    /// The answer to a request, by its transaction ID.
    pub(crate) fn ask(&self, request: &[u8]) -> Outcome<Answer> {
        self.answer(request)?.map_or_else(|| fail("an answer", "none"), Ok)
    }

    /// The answer to a request, if there is one.
    pub(crate) fn answer(&self, request: &[u8]) -> Outcome<Option<Answer>> {
        let end = now() + PATIENCE;
        let (mut again, mut sent) = (now(), 0);
        loop {
            let time = now();
            if time >= end {
                return Ok(None);
            }
            if time >= again {
                self.send(request);
                sent += 1;
                again = if self.is_stream() { end } else { time + RTO };
            }
            let Some(packet) = self.read(again.min(end).saturating_duration_since(time)) else {
                continue;
            };
            match Answer::parse(&packet).filter(|answer| answers(answer, request)) {
                Some(answer) => {
                    let id = answer.message().transaction_id().0;
                    self.repeated.borrow_mut().extend((sent > 1).then_some(id));
                    return Ok(Some(answer));
                }
                None if self.is_repetition(&packet) => {}
                None => self.stash.borrow_mut().push_back(packet),
            }
        }
    }

    /// Lets the connection end with a reset, so that its port is free at once.
    pub(crate) fn reset(&self) {
        if let Link::Tcp(stream, _) = &self.link {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether the server has closed the stream.
    pub(crate) fn is_closed(&self) -> bool {
        let Link::Tcp(stream, _) = &self.link else { return false };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        match (&*stream).read(&mut [0; 4096]) {
            Ok(length) => length == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Bytes of the stream as they come, after it has stopped to carry messages.
    pub(crate) fn raw(&self, length: usize) -> Vec<u8> {
        let end = now() + PATIENCE;
        let Link::Tcp(stream, buffer) = &self.link else { return Vec::new() };
        let mut buffer = buffer.borrow_mut();
        while buffer.len() < length && now() < end {
            let mut piece = [0; 4096];
            let _ = stream.set_read_timeout(Some(self.quiet));
            match (&*stream).read(&mut piece) {
                Ok(0) => break,
                Ok(length) => buffer.extend(&piece[..length]),
                Err(_) => {}
            }
        }
        std::mem::take(&mut *buffer)
    }

    fn read(&self, limit: Duration) -> Option<Vec<u8>> {
        let limit = limit.max(Duration::from_millis(1));
        match &self.link {
            Link::Udp(socket) => {
                let mut buffer = vec![0; 66_000];
                socket.set_read_timeout(Some(limit)).ok()?;
                let length = socket.recv(&mut buffer).ok()?;
                buffer.truncate(length);
                Some(buffer)
            }
            Link::Tcp(stream, buffer) => read_frame(stream, &mut buffer.borrow_mut(), now() + limit),
        }
    }
}

/// The next frame of a stream, with its padding.
fn read_frame(stream: &TcpStream, buffer: &mut Vec<u8>, end: Instant) -> Option<Vec<u8>> {
    loop {
        if let Ok(Some(length)) = frame_len(buffer)
            && length <= buffer.len()
        {
            return Some(buffer.drain(..length).collect());
        }
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            return None;
        }
        let mut piece = [0; 16_384];
        stream.set_read_timeout(Some(left)).ok()?;
        match (&*stream).read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => buffer.extend(&piece[..length]),
        }
    }
}

/// From a port that no check had before: a server may remember what came from there.
fn connect_udp(server: SocketAddr, port: u16) -> std::io::Result<Link> {
    let ip: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let mut socket = UdpSocket::bind((ip, port));
    if port == 0 {
        let unused = || UdpSocket::bind((ip, PORTS.fetch_add(1, Ordering::Relaxed)));
        socket = iter::repeat_with(unused).take(1_000).find(Result::is_ok).unwrap_or(socket);
    }
    let socket = socket?;
    socket.connect(server)?;
    Ok(Link::Udp(socket))
}

fn connect_tcp(server: SocketAddr, port: u16) -> std::io::Result<Link> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], port).into() } else { ([0; 16], port).into() };
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if port != 0 {
        socket.set_reuse_address(true)?;
        socket.bind(&any.into())?;
    }
    socket.connect_timeout(&server.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    Ok(Link::Tcp(socket.into(), RefCell::default()))
}

/// Whether a message is a response to these bytes: its class and transaction ID.
fn answers(answer: &Answer, request: &[u8]) -> bool {
    is_response(answer) && request.get(8..20) == Some(&answer.message().transaction_id().0)
}

fn is_response(answer: &Answer) -> bool {
    matches!(answer.message().class(), Class::SuccessResponse | Class::ErrorResponse)
}

/// A packet in a few words.
pub(crate) fn describe(bytes: &[u8]) -> String {
    match Answer::parse(bytes) {
        Some(answer) => answer.to_string(),
        None if bytes.first().is_some_and(|first| (0x40..0x80).contains(first)) => {
            format!("ChannelData of {} bytes", bytes.len())
        }
        None => format!("{} bytes that are no message", bytes.len()),
    }
}
