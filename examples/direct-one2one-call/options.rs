//! What can be set, by option and by environment variable, and what comes of both.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use rand::distr::{Alphanumeric, SampleString};
use stunner_auth::{Auth, AuthKind, AuthType, Environment, Secret};
use stunner_relay::Cidr;
use tracing_subscriber::filter::Targets;

mod cluster;

pub(crate) use cluster::{Cluster, RelayPeer, read_dirs};

/// A one-to-one video call in the browser, relayed by a TURN server: all of it in one program.
#[derive(Clone, Debug, Parser)]
#[command(name = "direct-one2one-call", version, after_help = ENVIRONMENT)]
pub(crate) struct Options {
    /// Where the page is served: https://ADDRESS:PORT/, or http:// behind a proxy that ends TLS
    #[arg(long, alias = "as_uri", default_value = "https://0.0.0.0:8443/", value_name = "URL")]
    pub(crate) as_uri: String,
    /// The certificate chain, PEM [default: keys/server.crt if it is there, else one is made]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM [default: keys/server.key]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where a certificate that was made is kept, so that browsers are asked once
    #[arg(long, env = "STUNNER_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Serve the page and the signaling only: TURN runs elsewhere
    #[arg(long, conflicts_with = "no_signaling")]
    pub(crate) no_turn: bool,
    /// Run the TURN server only
    #[arg(long)]
    pub(crate) no_signaling: bool,
    /// Let clients reach these addresses too, besides one another: a range such as 10.0.0.0/8 (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow_peer: Vec<Cidr>,
    /// The address that TURN listens on, without a port: 0.0.0.0 and :: unless given (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) turn_address: Vec<std::net::IpAddr>,
    /// Do not show on the page who is online: callers must know the name
    #[arg(long)]
    pub(crate) hide_users: bool,
    /// Let TURN use the sockets that every system has, on Linux too: slower; where the machine has several addresses, give
    /// --turn-address for each
    #[arg(long)]
    pub(crate) portable: bool,
    /// Let TURN receive and send for relayed addresses by epoll, and not by io_uring, which is what Linux 6.1 or later does
    /// where the container allows it
    #[arg(long)]
    pub(crate) no_io_uring: bool,
    #[command(flatten)]
    pub(crate) cluster: cluster::ClusterOptions,
}

const ENVIRONMENT: &str = "\
Environment:
  STUNNER_PUBLIC_ADDR            where clients find TURN [default: the host by which they reached the page]
  STUNNER_PUBLIC_PORT            the port that they use [default: STUNNER_PORT]
  STUNNER_PORT                   the port that TURN listens on; ignored unless it is a number [default: 3478]
  STUNNER_TRANSPORT_UDP_ENABLE   0 leaves TURN over UDP out of what clients are told [default: 1]
  STUNNER_TRANSPORT_TCP_ENABLE   1 tells clients about TURN over TCP too [default: 1 with this program's own TURN]
  STUNNER_ICE_TRANSPORT_POLICY   relay or all [default: relay]
  STUNNER_REALM                  [default: stunner.l7mp.io]
  STUNNER_AUTH_TYPE              plaintext (static) or longterm (ephemeral) [default: longterm]
  STUNNER_USERNAME, STUNNER_PASSWORD    of plaintext [default: user, pass]
  STUNNER_SHARED_SECRET          of longterm [default: made at start]
  STUNNER_SHARED_SECRET_PREVIOUS accepted too, so that replicas which start after a change know what was given out before
  STUNNER_DURATION               how long credentials are good for, in seconds [default: 86400]
  STUNNER_MIN_PORT, STUNNER_MAX_PORT    relayed ports [default: 49152, 65535]
  STUNNER_PORTABLE               1 is --portable
  STUNNER_IO_URING               0 is --no-io-uring [default: 1]
  STUNNER_RELAY_PEERS            --relay-peers, with commas between them
  STUNNER_ALTERNATE_SERVER       --alternate-server, with commas between them
  STUNNER_DRAIN_TIMEOUT          --drain-timeout
  STUNNER_HEALTH_ADDR            --health-address
  STUNNER_READY_WHILE_DRAINING   1 is --ready-while-draining
  STUNNER_CONFIG_DIR             --config-dir, with commas between them
  STUNNER_ROTATION_DELAY         --rotation-delay
  STUNNER_CONFIG_FILENAME        stunnerd's configuration file: credentials and listeners are taken from it
  STUNNER_LOGLEVEL               all:INFO, all:DEBUG, ... or a filter such as stunner_relay=debug [default: all:INFO]";

/// What the program runs with.
pub(crate) struct Settings {
    pub(crate) turn: bool,
    pub(crate) signaling: bool,
    pub(crate) tls: bool,
    pub(crate) web: SocketAddr,
    pub(crate) tls_files: Option<(PathBuf, PathBuf)>,
    pub(crate) state_dir: PathBuf,
    pub(crate) allow_peer: Vec<Cidr>,
    pub(crate) turn_address: Vec<std::net::IpAddr>,
    pub(crate) turn_port: u16,
    pub(crate) relay_ports: (u16, u16),
    /// Whether TURN uses the sockets that every system has.
    pub(crate) portable: bool,
    /// Whether it may use io_uring.
    pub(crate) io_uring: bool,
    pub(crate) auth: Auth,
    /// What TURN accepts besides, and nobody is given any more.
    pub(crate) previous: Option<Auth>,
    pub(crate) environment: Environment,
    /// How long time-limited credentials are good for, in seconds.
    pub(crate) duration: u64,
    /// Whether pages show who is online.
    pub(crate) list_users: bool,
    /// What it is to the cluster that it runs in.
    pub(crate) cluster: Cluster,
    /// The options that stand for what the environment leaves open.
    pub(crate) ice: stunner_auth::Options,
    given: Given,
}

/// What settings are made of, besides the environment.
#[derive(Clone)]
struct Given {
    options: Options,
    /// Made once, so that it stays what it is while other settings change.
    own_secret: Secret,
}

impl Settings {
    pub(crate) fn new(options: Options, environment: &Environment) -> Result<Self, String> {
        let own_secret = Alphanumeric.sample_string(&mut rand::rng(), 32).into();
        Self::of(Given { options, own_secret }, environment)
    }

    /// The same options in another environment.
    pub(crate) fn again(&self, environment: &Environment) -> Result<Self, String> {
        Self::of(self.given.clone(), environment)
    }

    fn of(given: Given, environment: &Environment) -> Result<Self, String> {
        let options = given.options.clone();
        let (tls, web) = web_address(&options.as_uri)?;
        let ice = defaults(environment, (!options.no_turn).then_some(&given.own_secret));
        let resolved =
            stunner_auth::Settings::resolve(&ice, environment).map_err(|error| error.to_string())?;
        let (auth, duration) = (resolved.auth, resolved.duration);
        if matches!(auth.kind, AuthKind::None) && !options.no_turn {
            return Err("authentication type none: TURN needs credentials, unless --no-turn".to_owned());
        }
        if matches!(auth.kind, AuthKind::TimeLimited { .. }) && options.no_signaling && ice.secret.is_some() {
            tracing::debug!(duration, "a secret nobody else knows");
            return Err("--no-signaling needs credentials that others know: set STUNNER_SHARED_SECRET, or STUNNER_AUTH_TYPE=plaintext with STUNNER_USERNAME and STUNNER_PASSWORD".into());
        }
        let default_files = || Some((PathBuf::from("keys/server.crt"), PathBuf::from("keys/server.key")));
        let found = default_files().filter(|(certificate, key)| certificate.exists() && key.exists());
        Ok(Self {
            turn: !options.no_turn,
            signaling: !options.no_signaling,
            tls,
            web,
            tls_files: options.tls_cert.zip(options.tls_key).or(found),
            state_dir: options.state_dir.unwrap_or_else(state_dir),
            allow_peer: options.allow_peer,
            turn_address: options.turn_address,
            turn_port: number(environment, "STUNNER_PORT").ok().flatten().unwrap_or(3478),
            relay_ports: (
                number(environment, "STUNNER_MIN_PORT")?.unwrap_or(49_152),
                number(environment, "STUNNER_MAX_PORT")?.unwrap_or(65_535),
            ),
            portable: options.portable || environment.switch("STUNNER_PORTABLE").unwrap_or(false),
            io_uring: !options.no_io_uring && environment.switch("STUNNER_IO_URING").unwrap_or(true),
            previous: previous(&auth, environment),
            auth,
            environment: environment.clone(),
            duration,
            list_users: !options.hide_users,
            cluster: Cluster::new(&options.cluster, environment)?,
            ice,
            given,
        })
    }

    /// STUNNER_LOGLEVEL in STUNner's form (`all:DEBUG`), or in tracing's own.
    pub(crate) fn log_filter(&self) -> Result<Targets, String> {
        let text = self.environment.get("STUNNER_LOGLEVEL").unwrap_or("all:INFO");
        let levels = text.split(',').map(|level| match level.split_once(':') {
            Some(("all", level)) => level.to_lowercase(),
            Some((target, level)) if !level.starts_with(':') => format!("{target}={}", level.to_lowercase()),
            _ => level.to_owned(),
        });
        let filter = levels.collect::<Vec<_>>().join(",");
        filter
            .parse::<Targets>()
            .map_err(|error| format!("STUNNER_LOGLEVEL={text}: {error}; write for instance all:DEBUG"))
    }
}

/// Credentials as they were made before the secret was changed.
fn previous(auth: &Auth, environment: &Environment) -> Option<Auth> {
    let AuthKind::TimeLimited { algorithm, .. } = auth.kind else { return None };
    let secret = environment.get("STUNNER_SHARED_SECRET_PREVIOUS")?.into();
    Some(Auth { realm: auth.realm.clone(), kind: AuthKind::TimeLimited { secret, algorithm } })
}

/// What this program, if it runs TURN, does differently from the Node library where nobody says anything: a secret of its
/// own.
fn defaults(environment: &Environment, own_secret: Option<&Secret>) -> stunner_auth::Options {
    let mut options = stunner_auth::Options::new().old_url(true);
    let Some(own_secret) = own_secret else { return options };
    let set = |name| environment.get(name).is_some();
    let plaintext = set("STUNNER_USERNAME") || set("STUNNER_PASSWORD") || set("STUNNER_CONFIG_FILENAME");
    if !set("STUNNER_AUTH_TYPE") && !plaintext {
        options.auth_type = Some(AuthType::TimeLimited);
    }
    if !set("STUNNER_SHARED_SECRET") && !set("STUNNER_CONFIG_FILENAME") {
        options.secret = Some(own_secret.clone());
    }
    if environment.switch("STUNNER_TRANSPORT_TCP_ENABLE").is_none() {
        options.transport_tcp_enable = Some(true);
    }
    options
}

/// Whether to serve TLS, and where.
fn web_address(uri: &str) -> Result<(bool, SocketAddr), String> {
    let error = || {
        format!(
            "--as-uri {uri}: write https://ADDRESS:PORT/, such as https://0.0.0.0:8443/ or https://[::]:8443/"
        )
    };
    let (tls, rest) = match uri.split_once("://").ok_or_else(error)? {
        ("https", rest) => (true, rest),
        ("http", rest) => (false, rest),
        _ => return Err(error()),
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.replace("localhost", "127.0.0.1");
    let with_port = if tls { format!("{host}:443") } else { format!("{host}:80") };
    host.parse().or_else(|_| with_port.parse()).map(|address| (tls, address)).map_err(|_| error())
}

/// A port. Kubernetes sets variables such as STUNNER_PORT=tcp://10.0.0.1:3478 by itself, which are no ports.
fn number(environment: &Environment, name: &str) -> Result<Option<u16>, String> {
    let parse =
        |text: &str| text.parse().map_err(|_| format!("{name}={text}: this is not a port from 1 to 65535"));
    environment.get(name).map(parse).transpose()
}

fn state_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    base.unwrap_or_else(std::env::temp_dir).join("stunner-rs")
}

#[cfg(test)]
mod tests;
