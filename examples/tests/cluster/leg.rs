//! One side of a call: a TURN client on a real socket, that sends media and counts what comes.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stunner_proto::{attribute::AddressFamily, framing::frame_len};
use stunner_relay::{
    Transport,
    client::{Client, Config, Event, Failure, Lost, MAX_REQUEST, Port, Request, Wanted},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{sleep_until, timeout},
};

use crate::signaling::Server;

/// How a client comes to its server, and how it is relayed.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) transport: Transport,
    pub(crate) family: AddressFamily,
}

impl Kind {
    pub(crate) const UDP: Self = Self { transport: Transport::Udp, family: AddressFamily::V4 };
    pub(crate) const TCP: Self = Self { transport: Transport::Tcp, family: AddressFamily::V4 };
    /// Relayed over IPv6.
    pub(crate) const V6: Self = Self { transport: Transport::Udp, family: AddressFamily::V6 };
}

/// How often media are sent: as a low rate of voice.
const EVERY: Duration = Duration::from_millis(40);

/// How long a packet of media is, its number included.
const MEDIA: usize = 160;

/// How long anything may take that is asked of a server.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a leg has seen of its call.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) received: AtomicU64,
    /// Numbers that were passed over.
    pub(crate) lost: AtomicU64,
    /// Whether the call is to end.
    pub(crate) over: AtomicBool,
}

pub(crate) struct Leg {
    client: Client,
    path: Path,
}

enum Path {
    Udp(UdpSocket),
    /// And what came of a frame that is not whole yet.
    Tcp(TcpStream, Vec<u8>),
}

impl Leg {
    /// Asks a server for an allocation.
    pub(crate) async fn allocate(server: &Server, kind: Kind) -> Result<(Self, SocketAddr), Failure> {
        let Server { address, username, password } = server;
        let (server, Kind { transport, family }) = (*address, kind);
        let path = Path::open(server, transport).await.map_err(|_| Failure::Unreachable)?;
        let local = path.local().expect("an address");
        let mut config = Config::new(username, password);
        config.transport = transport;
        config.wanted = Wanted::One(family, Port::Any);
        let client = Client::new(config, local, server, rand::random(), now()).expect("short names");
        let mut leg = Self { client, path };
        let relayed = leg
            .until(|event| match event {
                Event::Allocated(allocated) => Some(Ok(allocated.relayed(family).expect("it was asked for"))),
                Event::Refused { why, .. } => Some(Err(why)),
                _ => None,
            })
            .await?;
        Ok((leg, relayed))
    }

    /// Opens a channel to a peer; who is refused asks again, as often as it is told to.
    pub(crate) async fn reach(&mut self, peer: SocketAddr, tries: u32) -> Result<(), Failure> {
        let mut refused = None;
        for _ in 0..tries {
            self.client.bind(peer, now()).expect("it is possible");
            let answer = self.until(|event| match event {
                Event::Bound { .. } => Some(Ok(())),
                Event::Refused { request: Request::Channel(..), why } => Some(Err(why)),
                _ => None,
            });
            match answer.await {
                Ok(()) => return Ok(()),
                Err(why) => refused = Some(why),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(refused.expect("at least one try"))
    }

    /// Sends media to the peer and counts what comes, until the call is over or the allocation is lost.
    pub(crate) async fn talk(mut self, peer: SocketAddr, seen: Arc<Seen>) -> Result<(), Lost> {
        let mut number = 0_u64;
        let mut expected = 0;
        let mut next = now();
        loop {
            let media = self.step(next).await;
            if let Some(received) = media.filter(|data| data.len() == MEDIA) {
                let came = u64::from_be_bytes(received[..8].try_into().expect("8 bytes"));
                seen.received.fetch_add(1, Ordering::Relaxed);
                seen.lost.fetch_add(came.saturating_sub(expected), Ordering::Relaxed);
                expected = expected.max(came + 1);
            }
            while let Some(event) = self.client.poll_event() {
                if let Event::Lost(why) = event {
                    return Err(why);
                }
            }
            if seen.over.load(Ordering::Relaxed) {
                self.close().await;
                return Ok(());
            }
            if now() >= next {
                next += EVERY;
                let mut data = vec![0; MEDIA];
                data[..8].copy_from_slice(&number.to_be_bytes());
                number += 1;
                self.send(&data, peer).await;
            }
        }
    }

    /// Sends data, if the client may.
    pub(crate) async fn send(&mut self, data: &[u8], peer: SocketAddr) {
        if let Ok(frame) = self.client.send(data, peer) {
            let frame = frame.to_vec();
            self.path.send(&frame, self.client.five_tuple().server).await;
        }
    }

    /// Waits for data for so long.
    pub(crate) async fn hears(&mut self, within: Duration) -> Option<Vec<u8>> {
        let end = now() + within;
        while now() < end {
            if let Some(data) = self.step(end).await {
                return Some(data);
            }
        }
        None
    }

    /// Gives the allocation back.
    pub(crate) async fn close(&mut self) {
        self.client.close(now());
        let closed = self.until(|event| matches!(event, Event::Closed | Event::Lost(_)).then_some(()));
        // A server that is gone does not answer.
        let _ = timeout(Duration::from_secs(3), closed).await;
    }

    /// Goes on until something has happened.
    async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let waited = timeout(PATIENCE, async {
            loop {
                while let Some(event) = self.client.poll_event() {
                    if let Some(found) = wanted(event) {
                        return found;
                    }
                }
                self.step(now() + PATIENCE).await;
            }
        });
        waited.await.expect("the server answers in time")
    }

    /// Sends what is to be sent, and waits for a packet, or this time, or one of the client's own. Returns a peer's data.
    async fn step(&mut self, until: Instant) -> Option<Vec<u8>> {
        self.client.handle_timeout(now());
        let mut buffer = [0; MAX_REQUEST];
        while let Some(transmit) = self.client.poll_transmit(now(), &mut buffer) {
            self.path.send(&buffer[..transmit.len], transmit.to).await;
        }
        let until = self.client.poll_timeout().map_or(until, |at| at.min(until));
        let server = self.client.five_tuple().server;
        tokio::select! {
            (packet, from) = self.path.receive() => {
                let received = self.client.handle_input(&packet, from.unwrap_or(server), now())?;
                Some(received.data.to_vec())
            }
            () = sleep_until(until.into()) => None,
        }
    }
}

impl Path {
    async fn open(server: SocketAddr, transport: Transport) -> io::Result<Self> {
        if transport == Transport::Udp {
            UdpSocket::bind("0.0.0.0:0").await.map(Self::Udp)
        } else {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok(Self::Tcp(stream, Vec::new()))
        }
    }

    fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        }
    }

    /// An error is a packet that is lost, as the client will notice.
    async fn send(&mut self, packet: &[u8], to: SocketAddr) {
        match self {
            Self::Udp(socket) => drop(socket.send_to(packet, to).await),
            Self::Tcp(stream, _) => drop(stream.write_all(packet).await),
        }
    }

    /// The next packet, and whom a datagram is from; none ever, where the connection is gone. What was read stays if the
    /// caller does not wait.
    async fn receive(&mut self) -> (Vec<u8>, Option<SocketAddr>) {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 2048];
                loop {
                    if let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                        buffer.truncate(len);
                        return (buffer, Some(from));
                    }
                }
            }
            Self::Tcp(stream, pending) => loop {
                if let Ok(Some(len)) = frame_len(pending)
                    && pending.len() >= len
                {
                    let rest = pending.split_off(len);
                    return (std::mem::replace(pending, rest), None);
                }
                match stream.read_buf(pending).await {
                    Ok(1..) => {}
                    _ => std::future::pending().await,
                }
            },
        }
    }
}

/// The time, which is real here.
#[expect(clippy::disallowed_methods, reason = "sockets are real, and so is time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
