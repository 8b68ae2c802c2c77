//! What options, configuration file, environment and defaults come to.

use std::{io, path::Path, str::FromStr};

use crate::{
    Auth, AuthKind, AuthType, Credentials, Environment, Error, IceConfig, IceServer, IceTransportPolicy,
    Options, Secret, TurnUri,
    auth::DEFAULT_REALM,
    config::{Config, Listener, Loaded, Protocol, Warning},
};

/// The configuration file where nobody names another.
const DEFAULT_FILE: &str = "/etc/stunnerd/stunnerd.conf";

/// How long time-limited credentials are good for, in seconds.
const DEFAULT_DURATION: u64 = 86_400;

/// What options, configuration file, environment and defaults come to: all that credentials and ICE configurations are
/// made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How clients authenticate.
    pub auth: Auth,
    /// Who time-limited credentials are for.
    pub user: Option<String>,
    /// How long time-limited credentials are good for, in seconds.
    pub duration: u64,
    /// Which candidates browsers use.
    pub ice_transport_policy: IceTransportPolicy,
    /// The configuration file, where there is one.
    pub config: Option<Config>,
    /// What its author may not have meant.
    pub warnings: Vec<Warning>,
    /// `None` where nobody said where TURN is.
    servers: Option<Vec<TurnUri>>,
    old_url: bool,
}

impl Settings {
    /// Reads the configuration file that was named, or the default one if it is there.
    ///
    /// # Errors
    /// What is wrong with what was given.
    pub fn resolve(options: &Options, environment: &Environment) -> Result<Self, Error> {
        Self::new(options, environment, config_file(options, environment)?)
    }

    /// Options go before the configuration file, and that before environment and defaults. Where there is a file, the
    /// environment knows nothing about authentication.
    ///
    /// # Errors
    /// What is wrong with what was given.
    pub fn new(options: &Options, environment: &Environment, loaded: Option<Loaded>) -> Result<Self, Error> {
        let (config, warnings) =
            loaded.map_or_else(Default::default, |loaded| (Some(loaded.config), loaded.warnings));
        let duration = match options.duration {
            Some(duration) => Some(duration),
            None => variable(environment, "STUNNER_DURATION", "a number of seconds")?,
        };
        let policy = match options.ice_transport_policy {
            Some(policy) => Some(policy),
            None => variable(environment, "STUNNER_ICE_TRANSPORT_POLICY", "relay or all")?,
        };
        Ok(Self {
            auth: auth(options, environment, config.as_ref())?,
            user: options.user.clone(),
            duration: duration.unwrap_or(DEFAULT_DURATION),
            ice_transport_policy: policy.unwrap_or_default(),
            servers: servers(options, environment, config.as_ref())?,
            old_url: options.old_url,
            config,
            warnings,
        })
    }

    /// What a browser is given, with credentials that are good from `now` on, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::NoAddress`].
    pub fn ice_config(&self, now: u64) -> Result<IceConfig, Error> {
        let servers = self.servers()?;
        let credentials = self.credentials(now);
        let username = credentials.as_ref().map_or_else(String::new, |found| found.username.clone());
        let credential = credentials.map_or_else(Secret::default, |found| found.password);
        let server = |urls: &[TurnUri]| IceServer {
            url: self.old_url.then(|| urls[0].to_string()),
            urls: urls.iter().map(TurnUri::to_string).collect(),
            username: username.clone(),
            credential: credential.clone(),
        };
        let at_once = if self.old_url { 1 } else { servers.len().max(1) };
        let ice_servers = servers.chunks(at_once).map(server).collect();
        Ok(IceConfig { ice_servers, ice_transport_policy: self.ice_transport_policy })
    }

    /// Where clients find TURN: nowhere, if there is no listener, or every transport is switched off.
    ///
    /// # Errors
    /// [`Error::NoAddress`] where nobody said it.
    pub fn servers(&self) -> Result<&[TurnUri], Error> {
        self.servers.as_deref().ok_or(Error::NoAddress)
    }

    /// Credentials that are good from `now` on, in seconds since 1970. `None` where nobody has any.
    #[must_use]
    pub fn credentials(&self, now: u64) -> Option<Credentials> {
        self.auth.credentials(self.user.as_deref(), now, self.duration)
    }
}

/// A file that was named must be there and be good; the default one must be good if it is there.
fn config_file(options: &Options, environment: &Environment) -> Result<Option<Loaded>, Error> {
    let variable = || environment.get("STUNNER_CONFIG_FILENAME").map(Path::new);
    if let Some(path) = options.config_file.as_deref().or_else(variable) {
        return Config::read(path, environment).map(Some);
    }
    match Config::read(DEFAULT_FILE, environment) {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn auth(options: &Options, environment: &Environment, config: Option<&Config>) -> Result<Auth, Error> {
    let text = |name: &str| environment.get(name).filter(|_| config.is_none());
    let file = config.map(|config| &config.auth);
    let kind = match (options.auth_type, file.map(|auth| &auth.kind)) {
        (Some(kind), _) => kind,
        (None, Some(AuthKind::Static { .. })) => AuthType::Static,
        (None, Some(AuthKind::TimeLimited { .. })) => AuthType::TimeLimited,
        (None, Some(AuthKind::None)) => AuthType::None,
        (None, None) => {
            variable(environment, "STUNNER_AUTH_TYPE", "static, ephemeral or none")?.unwrap_or_default()
        }
    };
    let realm = options.realm.as_deref().or(file.map(|auth| auth.realm.as_str())).or(text("STUNNER_REALM"));
    let kind = match kind {
        AuthType::None => AuthKind::None,
        AuthType::Static => {
            let file = match file.map(|auth| &auth.kind) {
                Some(AuthKind::Static { username, password }) => Some((username.as_str(), password)),
                _ => None,
            };
            let username = options.username.as_deref().or(file.map(|file| file.0));
            let password = options.password.as_ref().or(file.map(|file| file.1)).cloned();
            AuthKind::Static {
                username: username.or(text("STUNNER_USERNAME")).unwrap_or("user").to_owned(),
                password: secret(password, text("STUNNER_PASSWORD"), "pass"),
            }
        }
        AuthType::TimeLimited => {
            let (own, algorithm) = match file.map(|auth| &auth.kind) {
                Some(AuthKind::TimeLimited { secret, algorithm }) => (Some(secret), Some(*algorithm)),
                _ => (None, None),
            };
            let own = options.secret.as_ref().or(own).cloned();
            AuthKind::TimeLimited {
                secret: secret(own, text("STUNNER_SHARED_SECRET"), "my-secret"),
                algorithm: options.algorithm.or(algorithm).unwrap_or_default(),
            }
        }
    };
    Ok(Auth { realm: realm.unwrap_or(DEFAULT_REALM).to_owned(), kind })
}

fn secret(found: Option<Secret>, variable: Option<&str>, default: &str) -> Secret {
    found.unwrap_or_else(|| variable.unwrap_or(default).into())
}

fn servers(
    options: &Options,
    environment: &Environment,
    config: Option<&Config>,
) -> Result<Option<Vec<TurnUri>>, Error> {
    if !options.servers.is_empty() {
        return Ok(Some(options.servers.clone()));
    }
    let address = options.address.as_deref().filter(|address| !address.is_empty());
    let public = environment.get("STUNNER_PUBLIC_ADDR");
    if let Some(config) = config {
        let servers = config.listeners.iter().map(|listener| server(listener, address, public, options));
        let found: Vec<_> = servers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        return Ok(if found.is_empty() && !config.listeners.is_empty() { None } else { Some(found) });
    }
    let Some(host) = address.or(public) else { return Ok(None) };
    let port = match options.port {
        Some(port) => Some(port),
        None => variable(environment, "STUNNER_PUBLIC_PORT", "a port from 1 to 65535")?,
    };
    let switch = |option: Option<bool>, name, default| option.or(environment.switch(name)).unwrap_or(default);
    let udp = switch(options.transport_udp_enable, "STUNNER_TRANSPORT_UDP_ENABLE", true);
    let tcp = switch(options.transport_tcp_enable, "STUNNER_TRANSPORT_TCP_ENABLE", false);
    let protocols = [(udp, Protocol::Udp), (tcp, Protocol::Tcp)].into_iter().filter(|(enabled, _)| *enabled);
    protocols
        .map(|(_, protocol)| uri(options.protocol.unwrap_or(protocol), host, port.unwrap_or(3478)))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Where clients find a listener; `None` where nobody said it.
fn server(
    listener: &Listener,
    address: Option<&str>,
    public: Option<&str>,
    options: &Options,
) -> Result<Option<TurnUri>, Error> {
    let own = || (!listener.address.is_unspecified()).then(|| listener.address.to_string());
    let host = address.or(listener.public_address.as_deref()).or(public).map(str::to_owned).or_else(own);
    let Some(host) = host else { return Ok(None) };
    let port = options.port.or(listener.public_port).unwrap_or(listener.port);
    uri(options.protocol.unwrap_or(listener.protocol), &host, port).map(Some)
}

fn uri(protocol: Protocol, host: &str, port: u16) -> Result<TurnUri, Error> {
    TurnUri::new(protocol, host, port).ok_or_else(|| Error::Setting {
        name: "STUNNER_PUBLIC_ADDR",
        value: host.to_owned(),
        expected: "an address or a host name, without a port".to_owned(),
    })
}

/// The value of a variable that is not empty.
fn variable<T: FromStr>(
    environment: &Environment,
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, Error> {
    let parse = |text: &str| {
        text.trim().parse().map_err(|_| Error::Setting {
            name,
            value: text.to_owned(),
            expected: expected.to_owned(),
        })
    };
    environment.get(name).map(parse).transpose()
}
