//! From settings to a running server.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::Arc,
    thread,
    time::Duration,
};

use stunner_proto::attribute::{AddressFamily, AlternateDomain};
use tokio::sync::watch;

use super::{
    Phase, RelayAddress, Shared, StartError, TokioNetwork, TurnServer,
    announce::announce,
    files,
    ports::Ports,
    start::{Bound, Seed},
    worker::SharedReservations,
};
use crate::{
    Authenticator, Config, Credential, DefaultPolicy, Discovery, Identity, LiveRelays, OAuth, PeerPolicy,
    Transport,
};

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
    unauthenticated: bool,
    second: Option<SocketAddr>,
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
            unauthenticated: false,
            second: None,
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

    /// The ports of relayed transport addresses: 49152 to 65535 by default. Each worker looks in a part of its own first,
    /// and then in the others'.
    pub fn relay_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = ports;
        self
    }

    /// How many threads relay: as many as there are cores by default, and one with [mobility](Self::mobility).
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

    /// Serves who shows no credentials, too. **That is an open relay**, for whoever can reach it:
    /// [`Config::unauthenticated`] says when it is right. No authenticator is needed.
    pub fn unauthenticated(mut self) -> Self {
        self.unauthenticated = true;
        self
    }

    /// Offers SHA-256 alone for the keys of credentials; browsers know MD5 only, as of today.
    pub fn sha256_only(self) -> Self {
        self.configure(|config| config.sha256_only = true)
    }

    /// Lets in, besides, who has a token of an authorization server (RFC 7635).
    pub fn oauth(self, oauth: OAuth) -> Self {
        self.configure(|config| config.oauth = Some(Arc::new(oauth)))
    }

    /// Lets allocations follow their clients to other addresses (RFC 8016). Such a server has one worker: a client that
    /// has moved would come to another one, which does not know it.
    pub fn mobility(self) -> Self {
        self.configure(|config| config.mobility = true)
    }

    /// Tells clients about the NATs before them (RFC 5780), by a second address of this machine with another port than
    /// the first UDP listener's: it listens on both ports of both addresses then. The first listener must name its
    /// address, and the second one be of the same family.
    pub fn behaviour_discovery(mut self, second: SocketAddr) -> Self {
        self.second = Some(second);
        self
    }

    /// Sends clients to another server instead of allocating (300, RFC 8489, section 10). One of each family is told.
    pub fn alternate_server(self, server: SocketAddr) -> Self {
        self.configure(move |config| config.alternates.push(server))
    }

    /// The name in the certificate of [other servers](Self::alternate_server), where it is not this server's own.
    pub fn alternate_domain(self, domain: &str) -> Self {
        let domain = domain.to_owned();
        self.configure(move |config| config.alternate_domain = Some(domain))
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
    /// saves CPU time: docs/performance.md tells how much at 400 microseconds. Off by default; only what goes to or from
    /// clients over UDP begins a wait.
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
    /// Each allocation is an open file. On Linux the process's limit of these is raised first as far as it may be without
    /// privileges, the soft limit to the hard one, and stays so; programs that it starts afterwards inherit that.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do about it. Nothing runs then.
    pub fn start(mut self) -> Result<TurnServer, StartError> {
        self.check()?;
        files::raise_limit();
        let advertised: Vec<IpAddr> = self.addresses.iter().map(RelayAddress::advertised).collect();
        let relays = Arc::new(LiveRelays::new(&advertised));
        let mut config = self.config(relays.clone())?;
        let workers = self.count_workers(&config)?;
        let shared = Arc::new(Shared::new(relays, &advertised, workers));
        let reservations = SharedReservations::<TokioNetwork>::default();
        let mut bound = self.bind(&mut config, workers)?;
        announce(&bound, self.portable);
        let config = Arc::new(config);
        let (phase, phases) = watch::channel(Phase::Running);
        let mut server =
            TurnServer { shared: shared.clone(), listeners: self.listeners, phase, threads: Vec::new() };
        for index in 0..workers {
            let seed = Seed {
                listeners: bound.iter_mut().filter_map(|bound| bound.sockets.pop()).collect(),
                config: config.clone(),
                ports: Ports::new(self.ports.clone(), rand::random()).of_worker(index, workers),
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

    /// Binds what it listens on, and the three others that behaviour discovery needs.
    fn bind(&mut self, config: &mut Config, workers: usize) -> Result<Vec<Bound>, StartError> {
        let mut bound = Vec::with_capacity(self.listeners.len());
        for listener in &mut self.listeners {
            bound.push(Bound::new(listener, workers)?);
        }
        let Some(second) = self.second else { return Ok(bound) };
        let first = self.listeners.iter().find(|listener| listener.transport == Transport::Udp);
        let primary = first.ok_or(StartError::NoListener)?.resolve()?;
        let fits = !primary.ip().is_unspecified()
            && !second.ip().is_unspecified()
            && primary.is_ipv4() == second.is_ipv4()
            && primary.ip() != second.ip()
            && primary.port() != second.port();
        if !fits {
            return Err(StartError::BadAlternate(second, primary));
        }
        let mut listen = |address: SocketAddr| {
            let mut listener = Listener::udp(address);
            bound.push(Bound::new(&mut listener, workers)?);
            let address = listener.resolve();
            self.listeners.push(listener);
            address
        };
        let alternate = listen(second)?;
        listen(SocketAddr::new(alternate.ip(), primary.port()))?;
        listen(SocketAddr::new(primary.ip(), alternate.port()))?;
        config.discovery = Some(Discovery { primary, alternate });
        Ok(bound)
    }

    fn count_workers(&self, config: &Config) -> Result<usize, StartError> {
        match self.workers.map(NonZeroUsize::get) {
            Some(workers) if workers > 1 && config.mobility => Err(StartError::Mobility(workers)),
            Some(workers) => Ok(workers),
            None if config.mobility => Ok(1),
            None => Ok(thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        }
    }

    /// Checks the settings and fills in what was left open.
    fn check(&mut self) -> Result<(), StartError> {
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
        Ok(())
    }

    fn config(&mut self, relays: Arc<LiveRelays>) -> Result<Config, StartError> {
        let nobody =
            || (self.stun_only || self.unauthenticated).then(|| Arc::new(Nobody) as Arc<dyn Authenticator>);
        let authenticator = self.authenticator.clone().or_else(nobody).ok_or(StartError::NoAuthenticator)?;
        let mut config = Config::shared(&self.realm, authenticator, self.policy.clone());
        config.software.clone_from(&self.software);
        config.max_allocations_per_user = self.quota;
        config.wide_channels = self.wide_channels;
        config.stun_only = self.stun_only;
        config.unauthenticated = self.unauthenticated;
        config.dont_fragment = cfg!(target_os = "linux") && !self.portable;
        self.changes.drain(..).for_each(|change| change(&mut config));
        // It is this server's, and what its relayed transport addresses are.
        config.relays = relays;
        match &config.alternate_domain {
            Some(domain) if AlternateDomain::new(domain).is_err() => {
                Err(StartError::BadAlternateDomain(domain.clone()))
            }
            _ => Ok(config),
        }
    }
}

/// Knows no user.
struct Nobody;

impl Authenticator for Nobody {
    fn credentials(&self, _: &Identity<'_>, _: &mut dyn FnMut(Credential) -> bool) {}
}
