//! From settings to threads that run.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::{Arc, mpsc},
    thread,
};

use stunner_proto::attribute::{AddressFamily, AlternateDomain};
use tokio::sync::watch;

use super::{Listener, TurnServerBuilder};
use crate::{
    Authenticator, Config, Credential, Discovery, Identity, LiveRelays, Transport,
    net::{
        Phase, RelayAddress, Shared, StartError, TokioNetwork, TurnServer,
        announce::{announce_buffers, announce_network},
        files,
        ports::Ports,
        start::{Bound, Seed},
        worker::SharedReservations,
    },
};

impl TurnServerBuilder {
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
        announce_buffers(&bound);
        let config = Arc::new(config);
        let (phase, phases) = watch::channel(Phase::Running);
        let (started, starts) = mpsc::channel();
        let mut server =
            TurnServer { shared: shared.clone(), listeners: self.listeners, phase, threads: Vec::new() };
        for index in 0..workers {
            let seed = Seed {
                listeners: bound.iter_mut().filter_map(|bound| bound.sockets.pop()).collect(),
                config: config.clone(),
                ports: ports_of(&self.ports, &shared, index, workers),
                addresses: self.addresses.clone(),
                shared: shared.clone(),
                reservations: reservations.clone(),
                max_added_latency: self.max_added_latency,
                index,
                portable: self.portable,
                copied: self.copied,
                // What comes would wake a thread that rests, each time.
                io_uring: self.io_uring && self.max_added_latency.is_none(),
                started: started.clone(),
            };
            let phases = phases.clone();
            let thread = thread::Builder::new().name(format!("turn-{index}")).spawn(move || seed.run(phases));
            server.threads.push(thread.map_err(StartError::Worker)?);
        }
        drop(started);
        let ended = |_| Err(io::Error::other("a worker has ended"));
        let refusals = (0..workers).map(|_| starts.recv().unwrap_or_else(ended));
        let refusals = refusals.filter_map(Result::transpose).collect::<io::Result<Vec<_>>>();
        announce_network(&server.networks(), &refusals.map_err(StartError::Worker)?);
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
        self.check_values()?;
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

    /// Checks what can be told without a socket.
    pub(super) fn check_values(&self) -> Result<(), StartError> {
        if self.realm.is_empty() || self.realm.chars().count() > 127 {
            return Err(StartError::BadRealm);
        }
        if self.ports.is_empty() || *self.ports.start() == 0 {
            return Err(StartError::BadPorts(*self.ports.start(), *self.ports.end()));
        }
        Ok(())
    }

    pub(super) fn config(&mut self, relays: Arc<LiveRelays>) -> Result<Config, StartError> {
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

/// Where one of several workers looks for relayed ports.
fn ports_of(range: &RangeInclusive<u16>, shared: &Shared, index: usize, workers: usize) -> Ports {
    Ports::new(range.clone(), rand::random()).knowing(shared.relays.clone()).of_worker(index, workers)
}

/// Knows no user.
struct Nobody;

impl Authenticator for Nobody {
    fn credentials(&self, _: &Identity<'_>, _: &mut dyn FnMut(Credential) -> bool) {}
}
