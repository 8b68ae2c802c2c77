//! The shell: a TURN server on real sockets, one thread for each core; or on sockets of one's own, on one's own thread.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use stunner_proto::attribute::AddressFamily;
use tokio::sync::watch;

use crate::{Counters, LiveRelays};
use mailbox::Mailbox;
use owners::Owners;

mod announce;
mod batch;
mod bell;
mod bind;
mod builder;
mod company;
mod error;
mod files;
#[cfg(target_os = "linux")]
mod linux;
mod mailbox;
mod marks;
mod outbox;
mod owners;
mod ports;
mod receive;
mod send;
mod socket;
mod start;
mod stream;
#[cfg(test)]
mod testing;
mod tokio_network;
mod worker;

pub use batch::{Packet, RecvBatch};
pub use builder::{Listener, TurnServerBuilder};
pub use error::StartError;
#[cfg(target_os = "linux")]
pub use linux::{LinuxNetwork, LinuxSocket};
pub use marks::Marks;
pub use socket::{Datagram, DatagramSocket, Network, Ready, Volley};
pub use tokio_network::TokioNetwork;

/// A running TURN server. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets calls end first. One that was
/// [started on](TurnServerBuilder::start_on) the caller's thread stops when that comes to it.
#[derive(Debug)]
pub struct TurnServer {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
}

/// Where in its life a server is; the workers follow.
#[derive(Clone, Debug)]
enum Phase {
    Running,
    Draining,
    Stopped,
}

/// A worker that has not been heard of for so long hangs, or is gone.
const PATIENCE: Duration = Duration::from_secs(10);

impl TurnServer {
    /// A server to be: give it a realm, users and listeners, then start it.
    pub fn builder() -> TurnServerBuilder {
        TurnServerBuilder::default()
    }

    /// What it listens on, in the order of the builder, with the ports that were chosen where 0 was asked for; behind them
    /// what [behaviour discovery](TurnServerBuilder::behaviour_discovery) added.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What was counted since the start. Allocations are up to date, the rest is at most a second old.
    #[must_use]
    pub fn stats(&self) -> Counters {
        self.shared.total()
    }

    /// What each worker relays by, as its network [names itself](Network::name): `io_uring` or `epoll` on Linux, `portable`
    /// elsewhere and where that was asked for. At most a second old.
    #[must_use]
    pub fn networks(&self) -> Vec<&'static str> {
        self.shared.reports().map(|report| report.network).collect()
    }

    /// Whether all workers do their work: each was heard of in the last ten seconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the shell is where clocks are read")]
    pub fn is_live(&self) -> bool {
        // Who shares the caller's thread shares the clock of its runtime, which may be paused.
        let now = if self.threads.is_empty() { TokioNetwork.now() } else { Instant::now() };
        self.shared.heard_since(now.checked_sub(PATIENCE))
    }

    /// Takes no more allocations: who asks for one is sent to `alternates` (300, RFC 8489, section 10), or told that there
    /// is no capacity (508) where none is named. Those there are go on, and are refreshed as before. What is named the first
    /// time stays.
    pub fn drain(&self, alternates: &[SocketAddr]) {
        // It is in force when this returns, though workers may still have to hear of it.
        self.shared.draining.get_or_init(|| alternates.into());
        self.phase.send_replace(Phase::Draining);
    }

    /// Waits until there is no allocation.
    pub async fn idle(&self) {
        while self.stats().allocations > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// [Drains](Self::drain) the server, unless it drains already, waits until it is [idle](Self::idle), at most for
    /// `grace`, and stops. Where it was [started on](TurnServerBuilder::start_on) a `LocalSet`, that must run meanwhile.
    pub async fn shutdown(mut self, grace: Duration) {
        self.drain(&[]);
        let _ = tokio::time::timeout(grace, self.idle()).await;
        self.phase.send_replace(Phase::Stopped);
        if self.threads.is_empty() {
            // The worker is on somebody's `LocalSet`, and gone when nobody listens.
            return self.phase.closed().await;
        }
        let threads = std::mem::take(&mut self.threads);
        let _ =
            tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| drop(thread.join()))).await;
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A relayed transport address's IP: the one to bind, and the one that peers are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RelayAddress {
    bind: IpAddr,
    advertise: IpAddr,
}

impl RelayAddress {
    /// Binds relayed transport addresses here, and tells peers the same.
    #[must_use]
    pub const fn bind(ip: IpAddr) -> Self {
        Self { bind: ip, advertise: ip }
    }

    /// Tells peers another address: that of a NAT which maps every port to itself.
    #[must_use]
    pub const fn advertise(mut self, ip: IpAddr) -> Self {
        self.advertise = ip;
        self
    }

    /// The address of this machine from which it reaches others, found without sending anything. `None` where there is
    /// no route for this family.
    #[must_use]
    pub fn detect(family: AddressFamily) -> Option<Self> {
        let (any, far): (SocketAddr, SocketAddr) = match family {
            AddressFamily::V4 => (([0; 4], 0).into(), ([192, 0, 2, 1], 9).into()),
            AddressFamily::V6 => (([0; 16], 0).into(), ([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], 9).into()),
        };
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(far).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(Self::bind(ip))
    }

    /// What peers are told.
    #[must_use]
    pub const fn advertised(&self) -> IpAddr {
        self.advertise
    }
}

/// What the workers of a server share. Of this a packet that is relayed touches the live relays and their owners, and a
/// mailbox where it is for another worker's client.
#[derive(Debug)]
struct Shared {
    /// Which servers clients are sent to instead, once nobody new gets in.
    draining: OnceLock<Box<[SocketAddr]>>,
    relays: Arc<LiveRelays>,
    owners: Owners,
    /// One for each worker.
    mailboxes: Box<[Mailbox]>,
    published: Box<[Published]>,
}

/// What one worker has published, on cache lines of its own: nobody waits for another worker to write it.
#[derive(Debug)]
#[repr(align(128))]
struct Published(Mutex<Report>);

#[derive(Clone, Copy, Debug)]
struct Report {
    counters: Counters,
    at: Instant,
    network: &'static str,
}

impl Default for Published {
    #[expect(clippy::disallowed_methods, reason = "the shell is where clocks are read")]
    fn default() -> Self {
        Self(Mutex::new(Report { counters: Counters::default(), at: Instant::now(), network: "starting" }))
    }
}

impl Shared {
    fn new(relays: Arc<LiveRelays>, advertised: &[IpAddr], workers: usize) -> Self {
        Self {
            draining: OnceLock::new(),
            relays,
            owners: Owners::new(advertised, workers),
            mailboxes: std::iter::repeat_with(Mailbox::default).take(workers).collect(),
            published: std::iter::repeat_with(Published::default).take(workers).collect(),
        }
    }

    fn publish(&self, worker: usize, report: Report) {
        if let Some(Published(published)) = self.published.get(worker) {
            *published.lock().unwrap_or_else(PoisonError::into_inner) = report;
        }
    }

    fn total(&self) -> Counters {
        self.reports().fold(Counters::default(), |sum, worker| sum + worker.counters)
    }

    /// Whether every worker has published since; `None` is before there was time.
    fn heard_since(&self, then: Option<Instant>) -> bool {
        then.is_none_or(|then| self.reports().all(|report| report.at >= then))
    }

    fn reports(&self) -> impl Iterator<Item = Report> {
        let read =
            |Published(published): &Published| *published.lock().unwrap_or_else(PoisonError::into_inner);
        self.published.iter().map(read)
    }
}

/// The time of day, for [`SharedSecret`](crate::SharedSecret).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl crate::TimeSource for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the shell is where clocks are read")]
    fn unix_seconds(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

/// Binds `address`, and says so where that fails.
fn at<T>(address: SocketAddr, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::Busy(address),
        _ => StartError::Listen { address, source },
    })
}
