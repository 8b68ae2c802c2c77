//! From settings to a running server.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::Arc,
    thread,
    time::Duration,
};

use stunner_proto::attribute::AddressFamily;
use tokio::sync::watch;

use super::{
    Phase, RelayAddress, Shared, TokioNetwork, TurnServer,
    start::{Bound, Seed},
    worker::SharedReservations,
};
use crate::{Authenticator, Config, Credential, DefaultPolicy, Identity, LiveRelays, PeerPolicy, Transport};

/// Something to listen on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    pub(super) transport: Transport,
    pub(super) address: String,
}

impl Listener {
    /// TURN over UDP, for instance on `0.0.0.0:3478` or `[::]:3478`.
    #[must_use]
    pub fn udp(address: impl ToString) -> Self {
        Self { transport: Transport::Udp, address: address.to_string() }
    }

    /// TURN over TCP.
    #[must_use]
    pub fn tcp(address: impl ToString) -> Self {
        Self { transport: Transport::Tcp, address: address.to_string() }
    }

    /// Which of the two it is.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn resolve(&self) -> Result<SocketAddr, StartError> {
        let found = self.address.to_socket_addrs().ok().and_then(|mut found| found.next());
        found.ok_or_else(|| StartError::BadAddress(self.address.clone()))
    }
}

/// Why a server could not be started, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing to listen on.
    #[error("no listener: a TURN server needs at least one, such as Listener::udp(\"0.0.0.0:3478\")")]
    NoListener,
    /// Nobody could use it.
    #[error("no authenticator: say who may use the server, for instance with StaticUser::new")]
    NoAuthenticator,
    /// Not an address.
    #[error("'{0}' is not an address to listen on; write one such as 0.0.0.0:3478 or [::]:3478")]
    BadAddress(String),
    /// Another program has the port.
    #[error("{0} is in use by another program: stop that one, or choose another port")]
    Busy(SocketAddr),
    /// The operating system refuses a listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operating system refuses a relay address.
    #[error("cannot relay from {ip}: {source}; give an address of this machine")]
    Relay {
        /// Which.
        ip: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// The range of ports is empty or begins with 0.
    #[error("relay ports {0}-{1}: give a range such as 49152-65535")]
    BadPorts(u16, u16),
    /// The realm does not fit its attribute.
    #[error("the realm must have 1 to 127 characters")]
    BadRealm,
    /// A thread could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// What a caller does to the engine's settings.
type Change = Box<dyn FnOnce(&mut Config)>;

/// The settings of a [`TurnServer`] to be.
#[must_use]
pub struct TurnServerBuilder {
    realm: String,
    software: Option<String>,
    authenticator: Option<Arc<dyn Authenticator>>,
    policy: Arc<dyn PeerPolicy>,
    listeners: Vec<Listener>,
    addresses: Vec<RelayAddress>,
    ports: RangeInclusive<u16>,
    workers: Option<NonZeroUsize>,
    quota: Option<usize>,
    wide_channels: bool,
    stun_only: bool,
    portable: bool,
    max_added_latency: Option<Duration>,
    changes: Vec<Change>,
}

impl Default for TurnServerBuilder {
    fn default() -> Self {
        Self {
            realm: "stunner.l7mp.io".to_owned(),
            software: None,
            authenticator: None,
            policy: Arc::new(DefaultPolicy::new()),
            listeners: Vec::new(),
            addresses: Vec::new(),
            ports: 49_152..=65_535,
            workers: None,
            quota: None,
            wide_channels: false,
            stun_only: false,
            portable: false,
            max_added_latency: None,
            changes: Vec::new(),
        }
    }
}

impl TurnServerBuilder {
    /// The domain of the credentials: `stunner.l7mp.io` by default.
    pub fn realm(mut self, realm: &str) -> Self {
        realm.clone_into(&mut self.realm);
        self
    }

    /// What SOFTWARE says; nothing by default.
    pub fn software(mut self, software: &str) -> Self {
        self.software = Some(software.to_owned());
        self
    }

    /// Who may use the server. There is no default.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Which peers clients may reach: public addresses and one another by default.
    pub fn policy(mut self, policy: impl PeerPolicy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Listens here too.
    pub fn listen(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Relays from this address: one for IPv4 and one for IPv6. By default those from which this machine reaches others.
    pub fn relay_address(mut self, address: RelayAddress) -> Self {
        self.addresses.push(address);
        self
    }

    /// The ports of relayed transport addresses: 49152 to 65535 by default.
    pub fn relay_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = ports;
        self
    }

    /// How many threads relay: as many as there are cores by default.
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How many allocations one user may have on one worker; no limit by default.
    pub fn user_quota(mut self, allocations: usize) -> Self {
        self.quota = Some(allocations);
        self
    }

    /// Accepts channel numbers 0x5000 to 0x7FFF too, which RFC 8656 reserves and older clients use, coturn's among them.
    pub fn wide_channels(mut self) -> Self {
        self.wide_channels = true;
        self
    }

    /// Answers Binding requests and nothing else. No authenticator is needed.
    pub fn stun_only(mut self) -> Self {
        self.stun_only = true;
        self
    }

    /// Changes what has no setter here: lifetimes, limits, bandwidth, and whatever else a [`Config`] has. It is done last,
    /// in the order of the calls.
    ///
    /// ```
    /// use stunner_relay::{Bandwidth, TurnServer};
    ///
    /// let builder = TurnServer::builder().configure(|config| {
    ///     config.max_allocations_per_source = Some(100);
    ///     config.allocation_bandwidth = Some(Bandwidth::new(1_000_000));
    /// });
    /// # drop(builder);
    /// ```
    pub fn configure(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Lets packets of a busy worker wait for one another, for so long at most: where a dozen packets come in that time, it
    /// rests before it looks for more, and does in one go what it would have woken up for many times. It costs latency and
    /// saves CPU time: docs/performance.md tells how much. Off by default; 200 to 1,000 microseconds are sensible.
    pub fn max_added_latency(mut self, latency: Duration) -> Self {
        self.max_added_latency = Some(latency);
        self
    }

    /// Uses the sockets that every operating system has, a system call for each packet, on Linux too.
    pub fn portable(mut self) -> Self {
        self.portable = true;
        self
    }

    /// Binds everything and starts the workers.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do about it. Nothing runs then.
    pub fn start(mut self) -> Result<TurnServer, StartError> {
        let workers = self.check()?;
        let advertised: Vec<IpAddr> = self.addresses.iter().map(RelayAddress::advertised).collect();
        let relays = Arc::new(LiveRelays::new(&advertised));
        let config = Arc::new(self.config(relays.clone())?);
        let shared = Arc::new(Shared::new(relays, workers));
        let reservations = SharedReservations::<TokioNetwork>::default();
        let mut bound = Vec::with_capacity(self.listeners.len());
        for listener in &mut self.listeners {
            bound.push(Bound::new(listener, workers)?);
        }
        let (phase, phases) = watch::channel(Phase::Running);
        let mut server =
            TurnServer { shared: shared.clone(), listeners: self.listeners, phase, threads: Vec::new() };
        for index in 0..workers {
            let seed = Seed {
                listeners: bound.iter_mut().filter_map(|bound| bound.sockets.pop()).collect(),
                config: config.clone(),
                ports: self.ports.clone(),
                addresses: self.addresses.clone(),
                shared: shared.clone(),
                reservations: reservations.clone(),
                max_added_latency: self.max_added_latency,
                index,
                portable: self.portable,
            };
            let phases = phases.clone();
            let thread = thread::Builder::new().name(format!("turn-{index}")).spawn(move || seed.run(phases));
            server.threads.push(thread.map_err(StartError::Worker)?);
        }
        Ok(server)
    }

    /// Checks the settings and fills in what was left open. Returns the number of workers.
    fn check(&mut self) -> Result<usize, StartError> {
        if self.listeners.is_empty() {
            return Err(StartError::NoListener);
        }
        if self.realm.is_empty() || self.realm.chars().count() > 127 {
            return Err(StartError::BadRealm);
        }
        if self.ports.is_empty() || *self.ports.start() == 0 {
            return Err(StartError::BadPorts(*self.ports.start(), *self.ports.end()));
        }
        if self.addresses.is_empty() {
            let families = [AddressFamily::V4, AddressFamily::V6];
            self.addresses = families.into_iter().filter_map(RelayAddress::detect).collect();
        }
        if self.addresses.is_empty() {
            self.addresses.push(RelayAddress::bind(IpAddr::from([127, 0, 0, 1])));
        }
        for address in &self.addresses {
            let ip = address.bind;
            std::net::UdpSocket::bind((ip, 0)).map_err(|source| StartError::Relay { ip, source })?;
        }
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(self.workers.map_or_else(cores, NonZeroUsize::get))
    }

    fn config(&mut self, relays: Arc<LiveRelays>) -> Result<Config, StartError> {
        let nobody = || self.stun_only.then(|| Arc::new(Nobody) as Arc<dyn Authenticator>);
        let authenticator = self.authenticator.clone().or_else(nobody).ok_or(StartError::NoAuthenticator)?;
        let mut config = Config::shared(&self.realm, authenticator, self.policy.clone());
        config.software.clone_from(&self.software);
        config.max_allocations_per_user = self.quota;
        config.wide_channels = self.wide_channels;
        config.stun_only = self.stun_only;
        config.dont_fragment = cfg!(target_os = "linux") && !self.portable;
        self.changes.drain(..).for_each(|change| change(&mut config));
        // It is this server's, and what its relayed transport addresses are.
        config.relays = relays;
        Ok(config)
    }
}

/// Knows no user.
struct Nobody;

impl Authenticator for Nobody {
    fn credentials(&self, _: &Identity<'_>, _: &mut dyn FnMut(Credential) -> bool) {}
}
