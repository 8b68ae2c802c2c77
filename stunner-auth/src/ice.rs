//! What a browser is given: ICE servers and their credentials.

use std::{net::Ipv6Addr, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Environment, Error, Options,
    config::{Auth, Config, Listener},
    options::first,
    password,
};

/// An `RTCConfiguration`, as `new RTCPeerConnection` takes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceConfig {
    /// The servers, UDP before TCP.
    #[serde(rename = "iceServers")]
    pub ice_servers: Vec<IceServer>,
    /// `relay` or `all`.
    #[serde(rename = "iceTransportPolicy")]
    pub ice_transport_policy: String,
}

/// An `RTCIceServer`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceServer {
    /// `turn:HOST:PORT?transport=PROTOCOL`.
    pub url: String,
    /// The same, by the name that the standard has today; the Node library writes `url` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<String>,
    /// USERNAME in TURN.
    pub username: String,
    /// The password.
    pub credential: String,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("url", &self.url)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What a TURN client authenticates with.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct StunnerCredentials {
    /// USERNAME in TURN.
    pub username: String,
    /// The password.
    pub credential: String,
    /// REALM in TURN.
    pub realm: String,
}

impl std::fmt::Debug for StunnerCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StunnerCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The ICE configuration that the Node library's `getIceConfig` gives for the same options and environment.
///
/// ```
/// use stunner_auth::{Environment, Options, get_ice_config};
///
/// let environment: Environment = [("STUNNER_PUBLIC_ADDR", "203.0.113.1")].into_iter().collect();
/// let config = get_ice_config(&Options::default(), &environment, 1_652_118_264)?;
/// assert_eq!(config.ice_servers[0].url, "turn:203.0.113.1:3478?transport=udp");
/// # Ok::<(), stunner_auth::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoAddress`] where the Node library returns `undefined`, [`Error::AuthType`] where it throws.
pub fn get_ice_config(options: &Options, environment: &Environment, now: u64) -> Result<IceConfig, Error> {
    if let Ok(config) = read_config(options, environment)
        && let Ok(found) = from_listeners(&config, options, environment, now)
    {
        return Ok(found);
    }
    let option = |option: &Option<String>| option.clone().filter(|text| !text.is_empty());
    let address =
        option(&options.address).or_else(|| environment.get("STUNNER_PUBLIC_ADDR").map(str::to_owned));
    let address = address.ok_or(Error::NoAddress)?;
    let port = first(options.port.as_deref(), environment.get("STUNNER_PUBLIC_PORT"), "3478");
    let udp =
        options.transport_udp_enable.or(environment.switch("STUNNER_TRANSPORT_UDP_ENABLE")).unwrap_or(true);
    let tcp =
        options.transport_tcp_enable.or(environment.switch("STUNNER_TRANSPORT_TCP_ENABLE")).unwrap_or(false);
    let credentials = get_stunner_credentials(options, environment, now)?;
    let transports = [(udp, "udp"), (tcp, "tcp")].into_iter().filter(|(enabled, _)| *enabled);
    let servers = transports.map(|(_, transport)| credentials.server(&address, port, transport)).collect();
    Ok(IceConfig { ice_servers: servers, ice_transport_policy: policy(options, environment) })
}

/// The credentials that the Node library's `getStunnerCredentials` gives for the same options and environment. `now` is
/// in seconds since 1970.
///
/// # Errors
/// [`Error::AuthType`] and [`Error::Duration`].
pub fn get_stunner_credentials(
    options: &Options,
    environment: &Environment,
    now: u64,
) -> Result<StunnerCredentials, Error> {
    Ok(AuthSettings::resolve(options, environment)?.credentials(now))
}

/// How clients authenticate: what a TURN server and whoever makes its users' credentials must agree about.
#[derive(Clone)]
#[non_exhaustive]
pub struct AuthSettings {
    /// The domain of the credentials.
    pub realm: String,
    /// Which credentials.
    pub kind: AuthKind,
}

/// Which credentials are in use.
#[derive(Clone)]
pub enum AuthKind {
    /// One username and password for everybody: `plaintext`, or `static`.
    Plaintext {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// The username is the second at which it expires, the password its HMAC: `longterm`, or `ephemeral`.
    Longterm {
        /// What the HMAC is made with.
        secret: String,
        /// How long credentials are good for, in seconds.
        duration: i64,
    },
}

impl std::fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthSettings").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl AuthSettings {
    /// From the configuration file where there is a good one, else from options, environment and defaults.
    ///
    /// # Errors
    /// [`Error::AuthType`] and [`Error::Duration`].
    pub fn resolve(options: &Options, environment: &Environment) -> Result<Self, Error> {
        if let Ok(config) = read_config(options, environment)
            && let Ok(found) = Self::from(Source::File(&config.auth), options, environment)
        {
            return Ok(found);
        }
        Self::from(Source::Environment, options, environment)
    }

    /// Credentials that are good from `now` on, in seconds since 1970.
    #[must_use]
    pub fn credentials(&self, now: u64) -> StunnerCredentials {
        let realm = self.realm.clone();
        match &self.kind {
            AuthKind::Plaintext { username, password } => {
                StunnerCredentials { username: username.clone(), credential: password.clone(), realm }
            }
            AuthKind::Longterm { secret, duration } => {
                let username = now.saturating_add_signed(*duration).to_string();
                let credential = password(&username, &secret.as_str().into()).expose().to_owned();
                StunnerCredentials { username, credential, realm }
            }
        }
    }

    fn from(source: Source<'_>, options: &Options, environment: &Environment) -> Result<Self, Error> {
        let value = |option: &Option<String>, file: fn(&Auth) -> &str, variable: &str, default: &str| {
            let found = match source {
                Source::File(auth) => Some(file(auth)).filter(|value| !value.is_empty()),
                Source::Environment => environment.get(variable),
            };
            first(option.as_deref(), found, default).to_owned()
        };
        let kind =
            value(&options.auth_type, |auth| &auth.kind, "STUNNER_AUTH_TYPE", "plaintext").to_lowercase();
        let realm = value(&options.realm, |auth| &auth.realm, "STUNNER_REALM", "stunner.l7mp.io");
        let kind = match kind.as_str() {
            "plaintext" | "static" => AuthKind::Plaintext {
                username: value(
                    &options.username,
                    |auth| &auth.credentials.username,
                    "STUNNER_USERNAME",
                    "user",
                ),
                password: value(
                    &options.password,
                    |auth| &auth.credentials.password,
                    "STUNNER_PASSWORD",
                    "pass",
                ),
            },
            "longterm" | "ephemeral" | "timewindowed" => {
                let text = first(options.duration.as_deref(), environment.get("STUNNER_DURATION"), "86400");
                let secret = value(
                    &options.secret,
                    |auth| &auth.credentials.secret,
                    "STUNNER_SHARED_SECRET",
                    "my-secret",
                );
                AuthKind::Longterm { secret, duration: duration(text)? }
            }
            _ => return Err(Error::AuthType(kind)),
        };
        Ok(Self { realm, kind })
    }
}

/// Whether a configuration file is one that counts. A broken one is passed over silently otherwise, as the Node library
/// does it.
///
/// # Errors
/// What is wrong with the file.
pub fn check_config_file(path: &Path) -> Result<(), Error> {
    Config::read(path).map(drop)
}

/// The same for the text of a configuration file.
///
/// # Errors
/// What is wrong with the text.
pub fn check_config(text: &str) -> Result<(), Error> {
    Config::parse(text).map(drop)
}

/// Where what the options leave open comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a Auth),
    Environment,
}

/// The whole number that a text begins with, as JavaScript's `parseInt` reads it; zero counts as the default.
fn duration(text: &str) -> Result<i64, Error> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    match text[..sign + digits].parse() {
        Ok(0) => Ok(86_400),
        Ok(seconds) => Ok(seconds),
        Err(_) => Err(Error::Duration(text.to_owned())),
    }
}

fn from_listeners(
    config: &Config,
    options: &Options,
    environment: &Environment,
    now: u64,
) -> Result<IceConfig, Error> {
    let credentials = AuthSettings::from(Source::File(&config.auth), options, environment)?.credentials(now);
    let listeners = config.listeners.as_deref().ok_or(Error::NoListeners)?;
    let server = |listener: &Listener| {
        let address = Some(listener.public_address.as_str()).filter(|address| !address.is_empty());
        let address =
            first(options.address.as_deref(), address.or(environment.get("STUNNER_PUBLIC_ADDR")), "");
        if address.is_empty() {
            return Err(Error::NoAddress);
        }
        let own = [listener.public_port, listener.port]
            .into_iter()
            .find(|&port| port != 0)
            .map(|port| port.to_string());
        let port = own.as_deref().or(environment.get("STUNNER_PUBLIC_PORT"));
        let port = first(options.port.as_deref(), port, "3478");
        let protocol = Some(listener.protocol.as_str()).filter(|protocol| !protocol.is_empty());
        let protocol = protocol.or(environment.get("STUNNER_PROTOCOL"));
        let transport = first(options.protocol.as_deref(), protocol, "udp").to_lowercase();
        Ok(credentials.server(address, port, &transport))
    };
    let ice_servers = listeners.iter().map(server).collect::<Result<_, _>>()?;
    Ok(IceConfig { ice_servers, ice_transport_policy: policy(options, environment) })
}

fn policy(options: &Options, environment: &Environment) -> String {
    let variable = environment.get("STUNNER_ICE_TRANSPORT_POLICY");
    first(options.ice_transport_policy.as_deref(), variable, "relay").to_owned()
}

fn read_config(options: &Options, environment: &Environment) -> Result<Config, Error> {
    let variable = environment.get("STUNNER_CONFIG_FILENAME");
    let path = first(options.config_file.as_deref(), variable, "/etc/stunnerd/stunnerd.conf");
    Config::read(Path::new(path))
}

impl StunnerCredentials {
    /// An ICE server with these credentials; an IPv6 address gets its brackets.
    #[must_use]
    pub fn server(&self, host: &str, port: &str, transport: &str) -> IceServer {
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        let url = format!("turn:{host}:{port}?transport={transport}");
        IceServer {
            urls: Some(url.clone()),
            url,
            username: self.username.clone(),
            credential: self.credential.clone(),
        }
    }
}
