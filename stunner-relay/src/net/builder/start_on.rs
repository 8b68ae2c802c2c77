//! A server on sockets that somebody else makes, on somebody else's thread.

use std::{num::NonZeroUsize, rc::Rc, sync::Arc};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{LocalSet, spawn_local},
};

use super::{Listener, TurnServerBuilder};
use crate::{
    Counters, LiveRelays, RelayAddress, Server, Transport,
    net::{
        DatagramSocket, Network, Phase, Report, Shared, StartError, TurnServer,
        ports::Ports,
        start::{Bound, BoundSocket, begin},
        stream::most_connections,
        worker::{Parts, SharedReservations},
    },
};

impl TurnServerBuilder {
    /// Starts one worker on the [`LocalSet`] of the calling task, with a listener for each of `sockets`; relayed transport
    /// addresses are sockets of `network`. There are no threads, and no clock but [`Network::now`] and tokio's timer: a
    /// network of one's own and a runtime whose clock is paused make a server in virtual time.
    ///
    /// [Listeners](TurnServer::listeners) over UDP are these sockets, in their order, and not to be told to
    /// [`listen`](Self::listen), which is for TCP here: such listeners, if there are any, are bound as by
    /// [`start`](Self::start), and come behind. Nothing else is asked of the operating system. Therefore the
    /// [relay address](Self::relay_address) must be named, and nobody looks whether it exists; the limit of open files stays
    /// as it is. DONT-FRAGMENT is unknown to the server, unless [`configure`](Self::configure) says that the sockets can do
    /// it ([`Config::dont_fragment`](crate::Config::dont_fragment)). With [`max_added_latency`](Self::max_added_latency) the
    /// calling thread rests, and all that is on it. For behaviour discovery, hand over the sockets of all four addresses, and
    /// set [`Config::discovery`](crate::Config::discovery).
    ///
    /// The server works while its `LocalSet` runs, and ends with that; the runtime needs its timer, and for TCP its I/O. Where
    /// the handle is dropped, the worker, its sockets and its allocations go when the `LocalSet` comes to its turn;
    /// [`shutdown`](TurnServer::shutdown) waits for that.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use stunner_relay::{RelayAddress, StaticUser, TurnServer, net::TokioNetwork};
    /// use tokio::{net::UdpSocket, task::LocalSet};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// LocalSet::new().block_on(&runtime, async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
    ///     let server = TurnServer::builder()
    ///         .authenticator(StaticUser::new("user", "pass"))
    ///         .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
    ///         .start_on(TokioNetwork, [socket])?;
    ///     println!("listens on {}", server.listeners()[0].address());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do about it. The sockets are closed then.
    ///
    /// # Panics
    /// Outside of a [`LocalSet`], as [`spawn_local`] does.
    pub fn start_on<N: Network>(
        mut self,
        network: N,
        sockets: impl IntoIterator<Item = N::Socket>,
    ) -> Result<TurnServer, StartError> {
        self.check_on_sockets()?;
        let tcp = std::mem::take(&mut self.listeners);
        let (mut udp, mut streams) = (Vec::new(), Vec::new());
        for socket in sockets {
            let own = socket.local_addr().map_err(StartError::Worker)?;
            self.listeners.push(Listener::udp(own));
            udp.push(Some(Rc::new(socket)));
            streams.push(None);
        }
        for mut listener in tcp {
            streams.extend(bind_tcp(&mut listener)?.map(Some));
            self.listeners.push(listener);
        }
        if self.listeners.is_empty() {
            return Err(StartError::NoListener);
        }
        let advertised: Vec<_> = self.addresses.iter().map(RelayAddress::advertised).collect();
        let relays = Arc::new(LiveRelays::new(&advertised));
        // Whether sockets can keep datagrams whole is for whoever makes them to say.
        self.portable = true;
        let config = self.config(relays.clone())?;
        let shared = Arc::new(Shared::new(relays, &advertised, 1));
        let now = network.now();
        shared.publish(0, Report { counters: Counters::default(), at: now, network: network.name() });
        let parts = Parts {
            server: Server::new(Arc::new(config), network.seed(), now),
            ports: Ports::new(self.ports, network.seed()).knowing(shared.relays.clone()),
            network,
            listeners: udp,
            reservations: SharedReservations::<N>::default(),
            addresses: self.addresses,
            shared: shared.clone(),
            max_added_latency: self.max_added_latency,
            max_connections: most_connections(1),
            index: 0,
        };
        let (phase, phases) = watch::channel(Phase::Running);
        spawn(parts, streams, phases);
        Ok(TurnServer { shared, listeners: self.listeners, phase, threads: Vec::new() })
    }

    /// Checks the settings, without a socket and without looking at the machine.
    fn check_on_sockets(&self) -> Result<(), StartError> {
        self.check_values()?;
        let is_udp = |listener: &Listener| listener.transport == Transport::Udp;
        if self.listeners.iter().any(is_udp) {
            return Err(StartError::NotOnSockets("a UDP listener"));
        }
        if self.second.is_some() {
            return Err(StartError::NotOnSockets("behaviour_discovery()"));
        }
        if self.workers.is_some_and(|workers| workers > NonZeroUsize::MIN) {
            return Err(StartError::NotOnSockets("more than one of workers()"));
        }
        if self.addresses.is_empty() { Err(StartError::NoRelayAddress) } else { Ok(()) }
    }
}

/// Binds a listener over TCP.
fn bind_tcp(listener: &mut Listener) -> Result<Option<TcpListener>, StartError> {
    match Bound::new(listener, 1)?.sockets.pop() {
        Some(BoundSocket::Tcp(socket)) => TcpListener::from_std(socket).map(Some).map_err(StartError::Worker),
        _ => Ok(None),
    }
}

/// Runs a worker on the calling task's `LocalSet`, until the server is gone. Its tasks have a set of their own, so that
/// they all end at once.
fn spawn<N: Network>(parts: Parts<N>, streams: Vec<Option<TcpListener>>, mut phases: watch::Receiver<Phase>) {
    let tasks = LocalSet::new();
    {
        let _entered = tasks.enter();
        begin(parts, streams, phases.clone());
    }
    spawn_local(async move {
        let _ = tasks.run_until(phases.wait_for(|phase| matches!(phase, Phase::Stopped))).await;
        // Before the last receiver goes, which tells that all is gone.
        drop(tasks);
    });
}
