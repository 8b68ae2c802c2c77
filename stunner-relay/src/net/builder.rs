//! The settings of a server.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use super::{RelayAddress, StartError, marks::Copied};
use crate::{Authenticator, Config, DefaultPolicy, OAuth, PeerPolicy, Transport};

mod launch;
mod start_on;

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

/// The settings of a [`TurnServer`](super::TurnServer) to be.
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
    copied: Copied,
    io_uring: bool,
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
            copied: Copied::default(),
            io_uring: true,
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
    ///
    /// As many ports are kept for it under reservation tokens, on all workers together.
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
    /// rests before it looks for more, and does in one go what it would have woken up for many times. It costs latency, and
    /// saves CPU time where [`io_uring`](Self::io_uring) is not to be had; with this setting it is not used, since it would
    /// wake the worker for each packet. docs/performance.md tells how much at 400 microseconds. Off by default.
    pub fn max_added_latency(mut self, latency: Duration) -> Self {
        self.max_added_latency = Some(latency);
        self
    }

    /// Sends all packets as best effort and without ECN, whatever came in: the alternate behaviour of RFC 8656, section 14. By
    /// default, on Linux and unless [`portable`](Self::portable), what is relayed from UDP to UDP keeps both: clients choose
    /// the DSCP that their packets leave with, and a network that trusts them less marks anew at its border. To be told of
    /// both costs about a tenth of a microsecond for each packet (docs/performance.md).
    pub fn best_effort(mut self) -> Self {
        self.copied.traffic_class = false;
        self
    }

    /// Takes one from the hop limit (TTL) of what is relayed from UDP to UDP, as a router does, and drops what has none left,
    /// which ends whatever goes round between relays and tunnels. Nothing comes of it elsewhere than on Linux, or with
    /// [`portable`](Self::portable). Off by default, so that hop limits are the system's: it costs more than a tenth of a
    /// microsecond for each packet (docs/performance.md), and no ICMP error tells the sender of what was dropped, for which a
    /// server would need privileges.
    pub fn decrement_hop_limit(mut self) -> Self {
        self.copied.hop_limit = true;
        self
    }

    /// Uses the sockets that every operating system has, a system call for each packet, on Linux too.
    ///
    /// They are not told of ICMP errors, and DONT-FRAGMENT is refused with 420. Nor do they know which address a packet came
    /// to: what listens on 0.0.0.0 or :: answers from the address that the routing table picks, and a client that asked
    /// another one drops the answer. A machine with several addresses needs a listener on each.
    pub fn portable(mut self) -> Self {
        self.portable = true;
        self
    }

    /// Whether relayed transport addresses are received and sent by io_uring on Linux, which saves CPU time: on by default.
    ///
    /// It takes Linux 6.1 or later. Where the kernel or the container refuses it, epoll is used, and the log says at the start
    /// why. Nothing comes of it with [`portable`](Self::portable) and [`max_added_latency`](Self::max_added_latency), nor with
    /// [`start_on`](Self::start_on), whose network is the caller's: that is what `LinuxNetwork::with_io_uring` is for.
    pub fn io_uring(mut self, on: bool) -> Self {
        self.io_uring = on;
        self
    }
}
