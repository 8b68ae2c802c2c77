//! What is to be checked, from the command line.

use std::time::Duration;

use clap::{ArgGroup, Parser};
use stunner_auth::SharedSecrets;
use stunner_proto::uri::{Host, Scheme, StunnerUri, Transport, Uri, percent_decoded};
use stunner_relay::{SystemClock, TimeSource};

/// How long credentials that are made here are good for, in seconds.
const LIFETIME: u64 = 3600;

/// Checks a TURN server step by step, and says what is wrong and what to do.
#[derive(Debug, Parser)]
#[command(name = "turncheck", version, after_long_help = HELP)]
#[command(group(ArgGroup::new("key").args(["password", "secret"])))]
pub(crate) struct Options {
    /// The server: turn:HOST:PORT?transport=udp, turns:HOST:PORT?transport=tcp, or turn://USER:PASSWORD@HOST:PORT
    #[arg(value_name = "URI")]
    uri: String,
    /// The user name
    #[arg(short, long, env = "TURN_USER", value_name = "NAME")]
    user: Option<String>,
    /// The password
    #[arg(short, long, env = "TURN_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The server's shared secret: time-limited credentials are made with it, for --user where one is given
    #[arg(short, long, env = "TURN_SECRET", value_name = "SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Go on where the certificate is not trusted
    #[arg(long)]
    insecure: bool,
    /// Reach the server over IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Reach the server over IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Ask for an IPv6 relayed address
    #[arg(long)]
    relay_ipv6: bool,
    /// How many packets measure the round trip
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    packets: u16,
    /// How many seconds a step waits for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Where to ask for the time, over HTTP [default: port 80 of the server]
    #[arg(long, value_name = "HOST:PORT")]
    clock: Option<String>,
    /// Print one JSON object in place of lines
    #[arg(long)]
    pub(crate) json: bool,
}

const HELP: &str = "\
Passwords on the command line can be seen in the list of processes: the environment is better.

Certificates are checked against those that the system trusts; SSL_CERT_FILE names others.

Exit status:
  0  all is well
  1  a step failed; the advice is at the end
  2  the command line is wrong, or asks for what cannot be checked

Examples:
  turncheck 'turn:turn.example.com:3478?transport=udp' --user alice --password secret
  turncheck 'turns:turn.example.com:5349?transport=tcp' --secret north --json
  TURN_PASSWORD=secret turncheck 'turn:192.0.2.1?transport=tcp' --user alice";

/// What is to be done.
pub(crate) struct Plan {
    /// The server's URI, without credentials.
    pub(crate) uri: String,
    /// The name or the address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) transport: stunner_relay::Transport,
    pub(crate) username: String,
    pub(crate) password: String,
    /// Whether the credentials were made here.
    pub(crate) made: bool,
    pub(crate) insecure: bool,
    /// Whether servers of IPv4 and of IPv6 are looked at.
    pub(crate) families: [bool; 2],
    pub(crate) relay_ipv6: bool,
    pub(crate) packets: u16,
    pub(crate) timeout: Duration,
    pub(crate) clock: Option<String>,
    pub(crate) json: bool,
}

impl Plan {
    /// Reads the URI, and makes credentials where a secret is given.
    pub(crate) fn new(options: Options) -> Result<Self, String> {
        let (uri, transport, own) = server(&options.uri)?;
        let host = match uri.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => decoded(name)?,
        };
        let (username, password) = credentials(&options, own)?;
        Ok(Self {
            uri: uri.to_string(),
            host,
            port: uri.port_or_default(),
            transport,
            username,
            password,
            made: options.secret.is_some(),
            insecure: options.insecure,
            families: [!options.ipv6, !options.ipv4],
            relay_ipv6: options.relay_ipv6,
            packets: options.packets,
            timeout: Duration::from_secs(options.timeout),
            clock: options.clock,
            json: options.json,
        })
    }
}

/// User and password.
type Credentials = (String, String);

/// What a URI says: the server, how it is reached, and the credentials of STUNner's form.
fn server(text: &str) -> Result<(Uri<'_>, stunner_relay::Transport, Option<Credentials>), String> {
    let bad = |why: &dyn std::fmt::Display| format!("{}: {why}; {EXAMPLE}", redacted(text));
    let (uri, transport, own) = if text.contains("://") {
        let whole = StunnerUri::parse(text).map_err(|why| bad(&why))?;
        let own = (decoded(whole.username)?, decoded(whole.password)?);
        (whole.server, whole.transport(), Some(own))
    } else {
        let uri = Uri::parse(text).map_err(|why| bad(&why))?;
        (uri, uri.transports().first().copied(), None)
    };
    if !matches!(uri.scheme, Scheme::Turn | Scheme::Turns) {
        return Err(bad(&"a STUN server relays nothing"));
    }
    let transport = match transport.ok_or_else(|| bad(&"an unknown transport"))? {
        Transport::Udp => stunner_relay::Transport::Udp,
        Transport::Tcp => stunner_relay::Transport::Tcp,
        Transport::Tls => stunner_relay::Transport::Tls,
        Transport::Dtls => return Err(format!("{uri}: {DTLS}")),
    };
    Ok((uri, transport, own))
}

/// Those of the options, before those of the URI.
fn credentials(options: &Options, own: Option<Credentials>) -> Result<Credentials, String> {
    if let Some(secret) = &options.secret {
        let secrets = SharedSecrets::new(secret.as_str());
        let made = secrets.issue(options.user.as_deref(), "", SystemClock.unix_seconds(), LIFETIME);
        return Ok((made.username, made.password.expose().to_owned()));
    }
    match (&options.user, &options.password, own) {
        (Some(user), Some(password), _) => Ok((user.clone(), password.clone())),
        (None, None, Some(own)) => Ok(own),
        _ => Err("give --user and --password, or --secret".to_owned()),
    }
}

fn decoded(text: &str) -> Result<String, String> {
    String::from_utf8(percent_decoded(text).collect()).map_err(|_| format!("{text}: this is not UTF-8"))
}

/// A URI as it may be printed: without the user and the password.
fn redacted(uri: &str) -> String {
    match (uri.split_once("://"), uri.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => uri.to_owned(),
    }
}

const EXAMPLE: &str = "write for instance turn:192.0.2.1:3478?transport=udp";

const DTLS: &str = "DTLS cannot be checked yet; ?transport=tcp checks the same server over TLS";

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let arguments = std::iter::once("turncheck").chain(arguments.iter().copied());
        Plan::new(Options::try_parse_from(arguments).map_err(|error| error.to_string())?)
    }

    fn refused(arguments: &[&str]) -> String {
        plan(arguments).err().unwrap_or_else(|| panic!("{arguments:?} is no plan"))
    }

    #[test]
    fn a_uri_says_host_port_and_transport() {
        for (uri, host, port, transport) in [
            ("turn:turn.example.com", "turn.example.com", 3478, "udp"),
            ("turn:192.0.2.1:5000?transport=tcp", "192.0.2.1", 5000, "tcp"),
            ("turns:[2001:db8::1]", "2001:db8::1", 5349, "tls"),
        ] {
            let plan = plan(&[uri, "--user", "u", "--password", "p"]).unwrap();
            assert_eq!(
                (plan.host.as_str(), plan.port, plan.transport.name()),
                (host, port, transport),
                "{uri}"
            );
        }
    }

    #[test]
    fn credentials_come_from_the_uri_or_the_options() {
        let own = plan(&["turn://alice:p%40ss@192.0.2.1:3478?transport=udp"]).unwrap();
        let given = plan(&["turn://alice:hidden@192.0.2.1", "--user", "bob", "--password", "s"]).unwrap();

        assert_eq!((own.username.as_str(), own.password.as_str()), ("alice", "p@ss"));
        assert_eq!((given.username.as_str(), given.password.as_str()), ("bob", "s"));
        assert_eq!(own.uri, "turn:192.0.2.1:3478?transport=udp");
    }

    #[test]
    fn a_secret_makes_time_limited_credentials() {
        let plan = plan(&["turn:192.0.2.1", "--secret", "north", "--user", "alice"]).unwrap();

        let made =
            SharedSecrets::new("north").verify(&plan.username, &plan.password, SystemClock.unix_seconds());
        assert_eq!(made, Ok("alice"));
    }

    #[test]
    fn what_cannot_be_checked_is_said_and_no_password_with_it() {
        let dtls = refused(&["turns:192.0.2.1?transport=udp", "--user", "u", "--password", "p"]);
        let bad = refused(&["turn://u:hidden@192.0.2.1:99999"]);

        assert!(dtls.contains("DTLS cannot be checked yet; ?transport=tcp checks"), "{dtls}");
        assert!(bad.contains("turn://...@192.0.2.1:99999") && !bad.contains("hidden"), "{bad}");
        for uri in ["", "192.0.2.1", "turn:", "stun:192.0.2.1", "turn:192.0.2.1?transport=sctp"] {
            let why = refused(&[uri, "--user", "u", "--password", "p"]);
            assert!(why.contains("turn:192.0.2.1:3478?transport=udp"), "{uri}: {why}");
        }
    }

    #[test]
    fn credentials_must_be_whole() {
        for arguments in [&["turn:192.0.2.1"][..], &["turn:192.0.2.1", "--user", "u"]] {
            assert_eq!(refused(arguments), "give --user and --password, or --secret");
        }
        let both = refused(&["turn:192.0.2.1", "--user", "u", "--password", "p", "--secret", "s"]);
        assert!(both.contains("cannot be used with"), "{both}");
    }
}
