//! STUNner's configuration files, of every generation.
//!
//! ```
//! use stunner_auth::{Environment, config::{Config, Protocol}};
//!
//! let text = "
//! version: v1
//! auth: {type: static, credentials: {username: $USER_NAME, password: pa$$word}}
//! listeners:
//!   - {name: udp, protocol: turn-udp, port: 3478, routes: [media]}
//! clusters:
//!   - {name: media, endpoints: ['203.0.113.0/24:<10000-20000>']}
//! ";
//! let environment: Environment = [("USER_NAME", "alice")].into_iter().collect();
//! let loaded = Config::parse(text, &environment)?;
//!
//! assert_eq!(loaded.config.listeners[0].protocol, Protocol::Udp);
//! assert!(loaded.config.clusters[0].permits([203, 0, 113, 9].into(), 10_000));
//! assert!(loaded.warnings.is_empty());
//! # Ok::<(), stunner_auth::config::ConfigError>(())
//! ```

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use zeroize::Zeroizing;

mod admin;
mod cluster;
pub(crate) mod cursor;
mod document;
mod endpoint;
mod error;
mod expand;
mod listener;
mod one_line;

pub use admin::{Admin, HttpEndpoint, License, Offload};
pub use cluster::{Cluster, Endpoints, PeerProtocol};
pub use endpoint::{Endpoint, NotAnEndpoint, PortRange, Prefix};
pub use error::{ConfigError, Location, Problem, Warning};
pub use listener::{Listener, NotAProtocol, PemSource, Protocol, Tls};
pub use one_line::NotAUri;

use crate::{Auth, AuthKind, Environment, Error};
use cursor::{Context, Cursor, Fields};
use document::Document;

/// A file larger than this, in bytes, is no configuration.
pub const MAX_FILE: usize = 1 << 20;

/// The cluster that every listener of a v0.9 file routes to: that generation lets clients reach every peer.
pub const EVERY_PEER: &str = "every-peer";

/// What a TURN gateway is told: the same types for every generation of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How the file was written.
    pub generation: Generation,
    /// Logs, metrics, health and limits.
    pub admin: Admin,
    /// How clients authenticate.
    pub auth: Auth,
    /// Where clients come in. Names are unique.
    pub listeners: Vec<Listener>,
    /// Which peers they may reach. Names are unique.
    pub clusters: Vec<Cluster>,
}

/// A generation of the file.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Generation {
    /// Version `v1alpha1` with everything under `static`, and no clusters.
    V0_9,
    /// Version `v1alpha1`.
    V1Alpha1,
    /// Version `v1`.
    V1,
}

/// A configuration, and what its author may not have meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was accepted and may not be what was meant.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads a configuration in JSON or YAML. `$NAME` and `${NAME}` stand for variables of `environment`; in a username,
    /// a password, a secret or a key they do so only where they are all of it, so that other secrets may have a `$` in
    /// them.
    ///
    /// # Errors
    /// What is wrong, and where: by path such as `listeners[1].port`, and by line and column.
    pub fn parse(text: &str, environment: &Environment) -> Result<Loaded, ConfigError> {
        let document = Document::parse(text)?;
        let context = Context::new(&document, environment);
        let config = read(&Cursor::root(&context).fields()?)?;
        Ok(Loaded { config, warnings: context.into_warnings() })
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Config`].
    pub fn read(path: impl AsRef<Path>, environment: &Environment) -> Result<Loaded, Error> {
        let path = path.as_ref();
        let mut text = Zeroizing::new(String::new());
        let limit = MAX_FILE as u64 + 1;
        File::open(path)
            .and_then(|file| file.take(limit).read_to_string(&mut text))
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        Self::parse(&text, environment).map_err(|source| Error::Config { path: path.to_owned(), source })
    }

    /// The cluster of a name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// The clusters that a listener routes to.
    pub fn clusters_of<'a>(&'a self, listener: &'a Listener) -> impl Iterator<Item = &'a Cluster> {
        listener.routes.iter().filter_map(|name| self.cluster(name))
    }

    /// Whether this is what STUNner's operator sends before there is a configuration, and after it was deleted.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        let dummy =
            |username: &str, password: &str| (username, password) == ("dummy-username", "dummy-password");
        self.listeners.is_empty()
            && self.clusters.is_empty()
            && matches!(&self.auth.kind, AuthKind::Static { username, password } if dummy(username, password.expose()))
    }
}

fn read(top: &Fields<'_>) -> Result<Config, ConfigError> {
    let nested = top.field("static");
    let generation = match (top.text("version")?.as_deref(), &nested) {
        (Some("v1alpha1"), Some(_)) => Generation::V0_9,
        (Some("v1alpha1"), None) => Generation::V1Alpha1,
        (Some("v1"), None) => Generation::V1,
        (Some("v1"), Some(nested)) => return Err(nested.wrong("no 'static' in version v1")),
        (Some(_), _) => return Err(top.at("version").wrong("v1alpha1 or v1")),
        (None, _) => return Err(top.missing("version", "v1alpha1 or v1")),
    };
    let nested = nested.map(|nested| nested.fields()).transpose()?;
    let body = nested.as_ref().unwrap_or(top);
    let fields = top.child("admin")?;
    let admin = admin::read(&fields, generation)?;
    let mut realm = fields.filled("realm")?;
    if generation != Generation::V0_9 && realm.take().is_some() {
        fields.ignored("realm", "the realm is read from auth");
    }
    fields.end();
    let auth = crate::auth::read(body, generation, realm)?;
    let mut listeners = Vec::new();
    for item in body.items("listeners")? {
        listeners.push(listener::read(&item, generation)?);
    }
    unique(body, "listeners", listeners.iter().map(|listener| listener.name.as_str()))?;
    let clusters = if generation == Generation::V0_9 {
        listeners.iter_mut().for_each(|listener| listener.routes = vec![EVERY_PEER.to_owned()]);
        vec![Cluster::every_peer(EVERY_PEER)]
    } else {
        top.items("clusters")?.iter().map(cluster::read).collect::<Result<_, _>>()?
    };
    check_routes(body, top, &listeners, &clusters)?;
    if let Some(nested) = &nested {
        nested.end();
    }
    top.end();
    Ok(Config { generation, admin, auth, listeners, clusters })
}

/// Every cluster has a name of its own; a route that leads nowhere is told.
fn check_routes(
    body: &Fields<'_>,
    top: &Fields<'_>,
    listeners: &[Listener],
    clusters: &[Cluster],
) -> Result<(), ConfigError> {
    let names = unique(top, "clusters", clusters.iter().map(|cluster| cluster.name.as_str()))?;
    for (index, listener) in listeners.iter().enumerate() {
        for route in listener.routes.iter().filter(|route| !names.contains(route.as_str())) {
            body.at("listeners").index(index).at("routes").warn(Problem::NoCluster(route.clone()));
        }
    }
    Ok(())
}

fn unique<'a>(
    fields: &Fields<'_>,
    list: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<&'a str>, ConfigError> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(fields.at(list).index(index).at("name").wrong("a name that no other has"));
        }
    }
    Ok(seen)
}
