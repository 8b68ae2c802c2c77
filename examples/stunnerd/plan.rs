//! What a configuration comes to: what can be served, and what is refused.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
};

use stunner_auth::{
    AuthKind,
    config::{
        Cluster, Config, Endpoints, HttpEndpoint, Listener, Offload, PeerProtocol, PortRange, Protocol,
    },
};
use tracing_subscriber::filter::Targets;

use crate::{levels::Levels, options::Options, source::Source};

/// What is wrong with a configuration, or may be, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    path: String,
    message: String,
}

impl Fault {
    /// The path is empty where the message has it.
    pub(crate) fn new(path: &str, message: &str) -> Self {
        Self { path: path.to_owned(), message: message.to_owned() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that can be served.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) levels: Targets,
    /// The addresses that listeners have, one of each family at most.
    pub(crate) relay_addresses: Vec<IpAddr>,
    pub(crate) relay_ports: Option<PortRange>,
    /// How many threads relay; one for each core where it is not said.
    pub(crate) workers: Option<NonZeroUsize>,
    /// Whether they may use io_uring.
    pub(crate) io_uring: bool,
    pub(crate) warnings: Vec<Fault>,
}

/// Why a configuration cannot be served.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) warnings: Vec<Fault>,
    pub(crate) errors: Vec<Fault>,
}

impl Plan {
    /// Checks everything, so that everything can be told at once.
    pub(crate) fn new(mut source: Source, options: &Options) -> Result<Self, Faults> {
        let mut faults = Faults { warnings: std::mem::take(&mut source.warnings), errors: Vec::new() };
        let config = &source.config;
        let levels = match options.levels() {
            Some(text) => faults.levels("--log", text),
            None => faults.levels("admin.loglevel", &config.admin.log_level),
        };
        let workers =
            options.udp_thread_num.map(|n| NonZeroUsize::new(n.into()).unwrap_or(NonZeroUsize::MIN));
        if config.admin.user_quota.is_some() && workers != Some(NonZeroUsize::MIN) {
            faults.warn("admin.user_quota", "each thread counts by itself: with -u 1 it is exact");
        }
        faults.admin(config);
        if !(1..=MAX_REALM).contains(&config.auth.realm.chars().count()) {
            faults.error(source.realm(), "expected 1 to 127 characters");
        }
        config.clusters.iter().enumerate().for_each(|(index, cluster)| faults.cluster(index, cluster));
        if config.listeners.is_empty() {
            faults.error(source.listeners(), "expected at least one listener, found nothing");
        }
        if config.listeners.len() > MAX_LISTENERS {
            faults.error(source.listeners(), &format!("expected at most {MAX_LISTENERS} listeners"));
        }
        let mut common = Common::default();
        for (index, listener) in config.listeners.iter().enumerate() {
            faults.listener(&source, index, listener);
            common.add(&source, index, listener, &mut faults);
        }
        match levels {
            Some(levels) if faults.errors.is_empty() => Ok(Self {
                levels,
                workers,
                io_uring: !options.no_io_uring,
                relay_addresses: common.addresses.into_iter().flatten().map(|(_, ip)| ip).collect(),
                relay_ports: common.ports.map(|(_, ports)| ports),
                warnings: faults.warnings,
                config: source.config,
            }),
            _ => Err(faults),
        }
    }
}

impl Faults {
    fn error(&mut self, path: &str, message: &str) {
        self.errors.push(Fault::new(path, message));
    }

    fn warn(&mut self, path: &str, message: &str) {
        self.warnings.push(Fault::new(path, message));
    }

    fn levels(&mut self, path: &str, text: &str) -> Option<Targets> {
        match Levels::parse(text) {
            Ok(levels) => {
                for name in levels.unknown {
                    self.warn(
                        path,
                        &format!("nothing is logged under {name:?}: write all, turn or stunnerd"),
                    );
                }
                Some(levels.targets)
            }
            Err(expected) => {
                self.error(path, &expected);
                None
            }
        }
    }

    fn admin(&mut self, config: &Config) {
        let admin = &config.admin;
        if admin.metrics_endpoint.is_some() {
            self.error("admin.metrics_endpoint", "metrics are not served yet: leave it out");
        }
        match &admin.healthcheck_endpoint {
            None => {}
            Some(endpoint) if is_default_health(endpoint) => {
                self.warn(
                    "admin.healthcheck_endpoint",
                    "health is not served yet: nothing listens on port 8086",
                );
            }
            Some(_) => self.error("admin.healthcheck_endpoint", "health is not served yet: set it to \"\""),
        }
        match admin.offload_engine {
            Offload::None => {}
            Offload::Auto => self.warn("admin.offload_engine", "the kernel relays nothing yet"),
            Offload::Xdp | Offload::Tc => {
                self.error("admin.offload_engine", "the kernel relays nothing yet: set it to None or Auto");
            }
        }
        if admin.license.is_some() {
            self.warn("admin.license_config", "nothing here needs a license");
        }
    }

    fn cluster(&mut self, index: usize, cluster: &Cluster) {
        if matches!(cluster.endpoints, Endpoints::StrictDns(_)) {
            self.error(&format!("clusters[{index}].type"), "STRICT_DNS is not served yet: only STATIC is");
        }
        if cluster.protocol == PeerProtocol::Tcp {
            self.error(
                &format!("clusters[{index}].protocol"),
                "peers are not reached over TCP yet: only UDP is served",
            );
        }
    }

    fn listener(&mut self, source: &Source, index: usize, listener: &Listener) {
        let protocol = listener.protocol;
        if protocol.is_secure() {
            let message = format!("{protocol} is not served yet: only TURN-UDP and TURN-TCP are");
            self.error(&source.listener(index, "protocol"), &message);
        }
        let ip = listener.address.to_canonical();
        if ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
            self.error(&source.listener(index, "address"), "expected an address that peers can send to");
        }
        let lists_nobody = source.config.clusters_of(listener).next().is_none();
        if lists_nobody && source.config.auth.kind != AuthKind::None {
            let message = "clients of this listener reach nobody: no cluster is routed to";
            self.warn(&source.listener(index, "routes"), message);
        }
    }
}

/// What listeners have in common, and who said so first.
#[derive(Debug, Default)]
struct Common {
    sockets: HashMap<(Protocol, u16), usize>,
    addresses: [Option<(usize, IpAddr)>; 2],
    ports: Option<(usize, PortRange)>,
}

impl Common {
    fn add(&mut self, source: &Source, index: usize, listener: &Listener, faults: &mut Faults) {
        let Listener { protocol, port, .. } = *listener;
        let first = *self.sockets.entry((protocol, port)).or_insert(index);
        if first != index {
            let message = format!("{} has {protocol} on port {port} already", source.listener(first, "port"));
            faults.error(&source.listener(index, "port"), &message);
        }
        let ip = listener.address.to_canonical();
        let address = &mut self.addresses[usize::from(ip.is_ipv6())];
        let (first, other) = *address.get_or_insert((index, ip));
        if ip.is_unspecified() {
            address.take_if(|(first, _)| *first == index);
        } else if ip != other {
            let message = format!(
                "expected {other}, as {} says: all relay from one",
                source.listener(first, "address")
            );
            faults.error(&source.listener(index, "address"), &message);
        }
        if let Some(ports) = listener.relay_ports {
            let (first, other) = *self.ports.get_or_insert((index, ports));
            if ports != other {
                let path = source.listener(first, "min_relay_port");
                let message =
                    format!("expected {other}, as {path} says: all share their ports, found {ports}");
                faults.error(&source.listener(index, "min_relay_port"), &message);
            }
        }
    }
}

/// What version v1 asks for where nobody says anything.
fn is_default_health(endpoint: &HttpEndpoint) -> bool {
    (endpoint.host.as_str(), endpoint.port, endpoint.path.as_str()) == ("", 8086, "/")
}

/// As many characters fit into REALM (RFC 8489, section 14.9).
const MAX_REALM: usize = 127;

/// More listeners than this are a mistake.
const MAX_LISTENERS: usize = 1000;

#[cfg(test)]
mod tests;
