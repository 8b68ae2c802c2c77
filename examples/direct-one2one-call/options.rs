//! What can be set, by option and by environment variable, and what comes of both.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use rand::distr::{Alphanumeric, SampleString};
use stunner_auth::{Auth, AuthKind, AuthType, Environment};
use stunner_relay::Cidr;
use tracing_subscriber::EnvFilter;

/// A one-to-one video call in the browser, relayed by a TURN server: all of it in one program.
#[derive(Debug, Parser)]
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
  STUNNER_DURATION               how long credentials are good for, in seconds [default: 86400]
  STUNNER_MIN_PORT, STUNNER_MAX_PORT    relayed ports [default: 49152, 65535]
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
    pub(crate) auth: Auth,
    pub(crate) environment: Environment,
    /// How long time-limited credentials are good for, in seconds.
    pub(crate) duration: u64,
    /// Whether pages show who is online.
    pub(crate) list_users: bool,
    /// The options that stand for what the environment leaves open.
    pub(crate) ice: stunner_auth::Options,
}

impl Settings {
    pub(crate) fn new(options: Options, environment: &Environment) -> Result<Self, String> {
        let (tls, web) = web_address(&options.as_uri)?;
        let ice = defaults(environment, !options.no_turn);
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
            auth,
            environment: environment.clone(),
            duration,
            list_users: !options.hide_users,
            ice,
        })
    }

    /// STUNNER_LOGLEVEL in STUNner's form (`all:DEBUG`), or in tracing's own.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, String> {
        let text = self.environment.get("STUNNER_LOGLEVEL").unwrap_or("all:INFO");
        let levels = text.split(',').map(|level| match level.split_once(':') {
            Some(("all", level)) => level.to_lowercase(),
            Some((target, level)) if !level.starts_with(':') => format!("{target}={}", level.to_lowercase()),
            _ => level.to_owned(),
        });
        let filter = levels.collect::<Vec<_>>().join(",");
        EnvFilter::try_new(&filter)
            .map_err(|error| format!("STUNNER_LOGLEVEL={text}: {error}; write for instance all:DEBUG"))
    }
}

/// What this program does differently from the Node library where nobody says anything: a secret of its own.
fn defaults(environment: &Environment, own_turn: bool) -> stunner_auth::Options {
    let mut options = stunner_auth::Options::new().old_url(true);
    if !own_turn {
        return options;
    }
    let set = |name| environment.get(name).is_some();
    let plaintext = set("STUNNER_USERNAME") || set("STUNNER_PASSWORD") || set("STUNNER_CONFIG_FILENAME");
    if !set("STUNNER_AUTH_TYPE") && !plaintext {
        options.auth_type = Some(AuthType::TimeLimited);
    }
    if !set("STUNNER_SHARED_SECRET") && !set("STUNNER_CONFIG_FILENAME") {
        options.secret = Some(Alphanumeric.sample_string(&mut rand::rng(), 32).into());
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
mod tests {
    use stunner_auth::Secret;

    use super::*;

    fn settings(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
        let arguments = std::iter::once("direct-one2one-call").chain(arguments.iter().copied());
        let options = Options::try_parse_from(arguments).map_err(|error| error.to_string())?;
        Settings::new(options, &variables.iter().copied().collect())
    }

    #[test]
    fn by_default_everything_runs_with_a_secret_of_its_own() {
        let (first, second) = (settings(&[], &[]).unwrap(), settings(&[], &[]).unwrap());
        assert!(first.turn && first.signaling && first.tls);
        assert_eq!((first.web.port(), first.turn_port, first.relay_ports), (8443, 3478, (49_152, 65_535)));
        let secret = |settings: Settings| match settings.auth.kind {
            AuthKind::TimeLimited { secret, .. } => secret,
            AuthKind::Static { .. } | AuthKind::None => Secret::default(),
        };
        let (first, second) = (secret(first), secret(second));
        assert!(first.expose().len() == 32 && first != second);
    }

    #[test]
    fn addresses_of_the_page_are_read_or_refused_with_an_example() {
        for (uri, tls, address) in [
            ("https://0.0.0.0:8443/", true, "0.0.0.0:8443"),
            ("https://localhost:8443/", true, "127.0.0.1:8443"),
            ("http://[::1]:80", false, "[::1]:80"),
            ("https://192.0.2.1", true, "192.0.2.1:443"),
        ] {
            assert_eq!(web_address(uri), Ok((tls, address.parse().unwrap())), "{uri}");
        }
        for uri in
            ["", "8443", "ftp://0.0.0.0/", "https://", "https://0.0.0.0:99999/", "https://nowhere.invalid:1/"]
        {
            assert!(web_address(uri).unwrap_err().contains("https://0.0.0.0:8443/"), "{uri}");
        }
        assert!(settings(&["--as_uri", "https://127.0.0.1:0/"], &[]).is_ok());
    }

    #[test]
    fn a_port_of_kubernetes_is_ignored_and_other_bad_ports_are_errors() {
        let port = |value| settings(&[], &[("STUNNER_PORT", value)]).unwrap().turn_port;
        assert_eq!((port("tcp://10.96.0.1:3478"), port(""), port("5000")), (3478, 3478, 5000));
        assert!(settings(&[], &[("STUNNER_MIN_PORT", "70000")]).is_err());
    }

    #[test]
    fn bad_options_say_what_is_wrong() {
        assert!(settings(&["--allow-peer", "10.0.0.0/40"], &[]).is_err());
        assert!(settings(&["--no-turn", "--no-signaling"], &[]).is_err());
        assert!(settings(&["--tls-cert", "server.crt"], &[]).is_err());
        assert!(settings(&[], &[("STUNNER_AUTH_TYPE", "oauth")]).is_err());
        assert!(settings(&[], &[("STUNNER_CONFIG_FILENAME", "/nowhere/at/all")]).is_err());
        assert!(
            settings(&["--no-signaling"], &[]).err().is_some_and(|why| why.contains("STUNNER_SHARED_SECRET"))
        );
        assert!(settings(&["--no-signaling"], &[("STUNNER_SHARED_SECRET", "s")]).is_ok());
    }

    #[test]
    fn log_levels_are_stunners_or_tracings() {
        let filter = |value| settings(&[], &[("STUNNER_LOGLEVEL", value)]).unwrap().log_filter();
        for good in [
            "all:DEBUG",
            "all:info,stunner_relay:TRACE",
            "debug",
            "stunner_relay=debug",
            "stunner_relay::net=warn",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        assert!(filter("all:=LOUD=").is_err());
    }
}
