//! What the program is to the cluster that it runs in: its replicas, its health, its end, and settings that change.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use stunner_auth::Environment;
use stunner_relay::Cidr;

/// As they are on the command line, where they go before the environment.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterOptions {
    /// Let clients reach the relays of these replicas too: the name of a headless Service, or a range such as 10.244.0.0/16
    /// (repeatable)
    #[arg(long, value_name = "NAME_OR_CIDR")]
    relay_peers: Vec<RelayPeer>,
    /// Send clients that come while this server ends to another one (repeatable: one for IPv4 and one for IPv6)
    #[arg(long, value_name = "ADDR:PORT")]
    alternate_server: Vec<SocketAddr>,
    /// How long calls may go on once the program was asked to end; a second signal ends it at once [default: 3]
    #[arg(long, value_name = "SECONDS")]
    drain_timeout: Option<u64>,
    /// Answer /live and /ready over plain HTTP here, such as 0.0.0.0:8086 [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    health_address: Option<SocketAddr>,
    /// Say that it is ready while calls end, so that kube-proxy forgets none of them; Kubernetes sends nobody new to a pod
    /// that ends, ready or not
    #[arg(long)]
    ready_while_draining: bool,
    /// Ask the program that runs with the same --health-address whether it lives, and exit with 0 or 1
    #[arg(long)]
    check_health: bool,
    /// Read variables from the files of this directory, a mounted ConfigMap or Secret; they go before the environment, and
    /// changes take effect within seconds (repeatable, the last goes first)
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    /// After a change, how long the page goes on giving out the old credentials, so that every TURN server has the new ones
    /// [default: 120]
    #[arg(long, value_name = "SECONDS")]
    rotation_delay: Option<u64>,
}

impl ClusterOptions {
    /// Whether to ask another program, and run nothing.
    pub(crate) fn check_health(&self) -> bool {
        self.check_health
    }

    /// The directories to read variables from; this alone is never read from one of them.
    pub(crate) fn config_dirs(&self, environment: &Environment) -> Result<Vec<PathBuf>, String> {
        list(&self.config_dir, environment, "STUNNER_CONFIG_DIR", "directories")
    }
}

/// What comes of them.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) relay_peers: Vec<RelayPeer>,
    pub(crate) alternate_servers: Vec<SocketAddr>,
    pub(crate) drain_timeout: Duration,
    pub(crate) health: Option<SocketAddr>,
    pub(crate) ready_while_draining: bool,
    pub(crate) rotation_delay: Duration,
    /// Whether settings may change.
    pub(crate) watches: bool,
}

impl Cluster {
    pub(crate) fn new(options: &ClusterOptions, environment: &Environment) -> Result<Self, String> {
        let seconds = |option, name| value(option, environment, name, "a number of seconds");
        let drain = seconds(options.drain_timeout, "STUNNER_DRAIN_TIMEOUT")?;
        let rotation = seconds(options.rotation_delay, "STUNNER_ROTATION_DELAY")?;
        let address = "an address and a port, such as 0.0.0.0:8086";
        let health = value(options.health_address, environment, "STUNNER_HEALTH_ADDR", address)?;
        let ready = environment.switch("STUNNER_READY_WHILE_DRAINING").unwrap_or(false);
        Ok(Self {
            relay_peers: list(
                &options.relay_peers,
                environment,
                "STUNNER_RELAY_PEERS",
                "names of headless Services and ranges such as 10.244.0.0/16",
            )?,
            alternate_servers: list(
                &options.alternate_server,
                environment,
                "STUNNER_ALTERNATE_SERVER",
                "addresses and ports, such as 192.0.2.1:3478",
            )?,
            drain_timeout: Duration::from_secs(drain.unwrap_or(3)),
            health,
            ready_while_draining: options.ready_while_draining || ready,
            rotation_delay: Duration::from_secs(rotation.unwrap_or(120)),
            watches: !options.config_dirs(environment)?.is_empty(),
        })
    }
}

/// Where other replicas are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RelayPeer {
    /// At every address that this name has.
    Name(Box<str>),
    /// Anywhere here.
    Range(Cidr),
}

impl FromStr for RelayPeer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(range) = text.parse() {
            return Ok(Self::Range(range));
        }
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let named = !text.is_empty() && text.len() < 254 && text.bytes().all(letter);
        // What ends in a number is an address with a mistake in it.
        let numeric =
            text.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_ok());
        if named && !numeric {
            Ok(Self::Name(text.into()))
        } else {
            Err("neither the name of a Service nor a range such as 10.244.0.0/16".to_owned())
        }
    }
}

/// What the options say, or else the variable, with commas between.
fn list<T: Clone + FromStr>(
    options: &[T],
    environment: &Environment,
    name: &str,
    expected: &str,
) -> Result<Vec<T>, String> {
    if !options.is_empty() {
        return Ok(options.to_vec());
    }
    let items = environment.get(name).unwrap_or_default().split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items
        .map(|item| {
            item.parse().map_err(|_| format!("{name}: '{item}': write {expected}, with commas between"))
        })
        .collect()
}

/// What the option says, or else the variable.
fn value<T: FromStr>(
    option: Option<T>,
    environment: &Environment,
    name: &str,
    expected: &str,
) -> Result<Option<T>, String> {
    let parse = |text: &str| text.trim().parse().map_err(|_| format!("{name}={text}: write {expected}"));
    match option {
        Some(value) => Ok(Some(value)),
        None => environment.get(name).map(parse).transpose(),
    }
}

/// The environment, and over it what the directories hold.
pub(crate) fn read_dirs<P: AsRef<Path>>(dirs: &[P], below: &Environment) -> Result<Environment, String> {
    dirs.iter().try_fold(below.clone(), |environment, dir| {
        let dir = dir.as_ref();
        let found = Environment::from_dir(dir);
        let found = found.map_err(|error| format!("--config-dir {}: {error}", dir.display()))?;
        Ok(found.over(&environment))
    })
}
