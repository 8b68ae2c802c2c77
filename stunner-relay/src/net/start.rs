//! How workers begin: sockets that they share a port by, and the thread of each.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::{net::UdpSocket, sync::watch, task::LocalSet};

use super::{
    Network, Phase, RelayAddress, Shared, StartError, TokioNetwork, at,
    builder::Listener,
    marks::Copied,
    ports::Ports,
    stream,
    tokio_network::{bind_listener, bind_tcp},
    worker::{Parts, SharedReservations, Worker},
};
use crate::{Config, ListenerId, Server, Transport};

/// The sockets of one listener: one for each worker.
pub(super) struct Bound {
    pub(super) sockets: Vec<BoundSocket>,
}

pub(super) enum BoundSocket {
    Udp(std::net::UdpSocket),
    Tcp(std::net::TcpListener),
}

impl Bound {
    /// Binds them all, and writes the port that was chosen back to the listener.
    pub(super) fn new(listener: &mut Listener, workers: usize) -> Result<Self, StartError> {
        let mut address = listener.resolve()?;
        let udp = listener.transport == Transport::Udp;
        let shared = workers > 1 && cfg!(unix);
        if shared {
            // Workers share a port by SO_REUSEPORT, and so would a second server: first make sure that nobody has it.
            at(address, BoundSocket::bind(udp, address, false))?;
        }
        let mut sockets = Vec::with_capacity(workers);
        for _ in 0..workers {
            let socket = at(address, BoundSocket::bind(udp, address, shared))?;
            address = at(address, socket.local_addr())?;
            sockets.push(socket);
        }
        listener.address = address.to_string();
        Ok(Self { sockets })
    }
}

impl BoundSocket {
    fn bind(udp: bool, address: SocketAddr, shared: bool) -> io::Result<Self> {
        if udp {
            bind_listener(address, shared).map(Self::Udp)
        } else {
            bind_tcp(address, shared).map(Self::Tcp)
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(socket) => socket.local_addr(),
        }
    }
}

/// What a worker's thread begins with.
pub(super) struct Seed {
    pub(super) listeners: Vec<BoundSocket>,
    pub(super) config: Arc<Config>,
    pub(super) ports: Ports,
    pub(super) addresses: Vec<RelayAddress>,
    pub(super) shared: Arc<Shared>,
    pub(super) reservations: SharedReservations<TokioNetwork>,
    pub(super) max_added_latency: Option<Duration>,
    pub(super) index: usize,
    pub(super) portable: bool,
    pub(super) copied: Copied,
    pub(super) io_uring: bool,
    /// Who waits for the worker to be there, and is told why it has no io_uring where that was refused.
    pub(super) started: mpsc::Sender<io::Result<Option<io::Error>>>,
}

/// A network that makes sockets of listeners, too.
trait Listening: Network<Bound = std::net::UdpSocket> {
    fn listener(&self, socket: std::net::UdpSocket) -> io::Result<Self::Socket>;
}

impl Listening for TokioNetwork {
    fn listener(&self, socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::from_std(socket)
    }
}

#[cfg(target_os = "linux")]
impl Listening for super::LinuxNetwork {
    fn listener(&self, socket: std::net::UdpSocket) -> io::Result<super::LinuxSocket> {
        Self::listener(self, socket)
    }
}

impl Seed {
    /// The whole life of a worker.
    pub(super) fn run(self, mut phases: watch::Receiver<Phase>) {
        let started = self.started.clone();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
            Ok(runtime) => runtime,
            // Nobody who waits any more needs to know.
            Err(error) => return drop(started.send(Err(error))),
        };
        LocalSet::new().block_on(&runtime, async move {
            let begun = self.start_on_best(phases.clone());
            let runs = begun.is_ok();
            if started.send(begun).is_ok() && runs {
                // An error says that the server is gone, which is reason enough to stop.
                let _ = phases.wait_for(|phase| matches!(phase, Phase::Stopped)).await;
            }
        });
    }

    /// Returns why there is no io_uring, where it was refused.
    #[cfg(target_os = "linux")]
    fn start_on_best(self, phases: watch::Receiver<Phase>) -> io::Result<Option<io::Error>> {
        use super::LinuxNetwork;

        if self.portable {
            return self.start(TokioNetwork, phases).map(|()| None);
        }
        let (network, refusal) = if self.io_uring {
            LinuxNetwork::try_io_uring(self.copied)
        } else {
            (LinuxNetwork::without_io_uring(self.copied), None)
        };
        self.start(network, phases).map(|()| refusal)
    }

    #[cfg(not(target_os = "linux"))]
    fn start_on_best(self, phases: watch::Receiver<Phase>) -> io::Result<Option<io::Error>> {
        self.start(TokioNetwork, phases).map(|()| None)
    }

    fn start<N: Listening>(self, network: N, phases: watch::Receiver<Phase>) -> io::Result<()> {
        let mut udp = Vec::new();
        let mut tcp = Vec::new();
        for socket in self.listeners {
            match socket {
                BoundSocket::Udp(socket) => {
                    udp.push(Some(Rc::new(network.listener(socket)?)));
                    tcp.push(None);
                }
                BoundSocket::Tcp(socket) => {
                    udp.push(None);
                    tcp.push(Some(tokio::net::TcpListener::from_std(socket)?));
                }
            }
        }
        let now = network.now();
        let parts = Parts {
            network,
            server: Server::new(self.config, rand::random(), now),
            listeners: udp,
            ports: self.ports,
            reservations: self.reservations,
            addresses: self.addresses,
            max_added_latency: self.max_added_latency,
            max_connections: stream::most_connections(self.shared.mailboxes.len()),
            shared: self.shared,
            index: self.index,
        };
        begin(parts, tcp, phases);
        Ok(())
    }
}

/// Starts the tasks of a worker, which end with the `LocalSet` that they are on.
pub(super) fn begin<N: Network>(
    parts: Parts<N>,
    tcp: Vec<Option<tokio::net::TcpListener>>,
    phases: watch::Receiver<Phase>,
) {
    let worker = Worker::new(parts);
    worker.start();
    tokio::task::spawn_local(drain(worker.clone(), phases));
    for (index, socket) in tcp.into_iter().enumerate() {
        if let (Some(socket), Ok(index)) = (socket, u16::try_from(index)) {
            tokio::task::spawn_local(stream::accept(worker.clone(), ListenerId(index), socket));
        }
    }
}

/// Tells the engine when there is to be no new allocation.
async fn drain<N: Network>(worker: Rc<Worker<N>>, mut phases: watch::Receiver<Phase>) {
    if phases.wait_for(|phase| matches!(phase, Phase::Draining)).await.is_ok() {
        worker.drain();
    }
}
