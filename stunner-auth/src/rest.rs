//! STUNner's authentication service: the types of its requests and replies, so that a server needs a route and nothing
//! else.
//!
//! ```
//! use stunner_auth::{Environment, config::Config, rest::{Service, answer}};
//!
//! let text = r#"{"version": "v1", "auth": {"type": "ephemeral", "credentials": {"secret": "my-secret"}},
//!     "listeners": [{"name": "default/udp-gateway/udp", "public_address": "192.0.2.1", "protocol": "TURN-UDP"}]}"#;
//! let configs = [Config::parse(text, &Environment::default())?.config];
//! let service = Service { configs: &configs, public_address: None, now: 1_700_000_000 };
//!
//! let reply = answer("/?service=turn&username=alice&ttl=60", &service);
//! assert_eq!(reply.body, concat!(
//!     r#"{"username":"1700000060:alice","password":"GkSCuSf0GCt/wH7UiuEVuBiR1i0=","ttl":60,"#,
//!     r#""uris":["turn:192.0.2.1:3478?transport=udp"]}"#,
//! ));
//! # Ok::<(), stunner_auth::config::ConfigError>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Credentials, IceConfig, IceServer, IceTransportPolicy, Secret,
    config::{Config, Listener},
};

/// How long credentials are good for where the request does not say it, in seconds.
const DEFAULT_TTL: u64 = 86_400;

/// A query longer than this is refused.
const MAX_QUERY: usize = 8192;

/// What a request asks for. `namespace`, `gateway` and `listener` filter: a gateway needs a namespace, and a listener needs
/// both, to count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// `service`: it must be `turn`.
    pub service: String,
    /// `username`: who the credentials are for.
    pub username: String,
    /// `ttl`: how long they are to be good for, in seconds.
    pub ttl: Option<u64>,
    /// `namespace` of Kubernetes.
    pub namespace: Option<String>,
    /// `gateway` in it.
    pub gateway: Option<String>,
    /// `listener` of that.
    pub listener: Option<String>,
    /// `public-addr`: where clients find TURN, whatever is configured.
    pub public_address: Option<String>,
    /// `iceTransportPolicy`; all unless given.
    pub ice_transport_policy: Option<IceTransportPolicy>,
}

/// The reply of `/`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TurnReply {
    /// USERNAME in TURN.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// How long they are good for, in seconds.
    pub ttl: u64,
    /// Where TURN is.
    pub uris: Vec<String>,
}

/// What a service answers from.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// One configuration for each gateway.
    pub configs: &'a [Config],
    /// STUNNER_PUBLIC_ADDR, if it is set: it goes before what listeners say.
    pub public_address: Option<&'a str>,
    /// Seconds since 1970.
    pub now: u64,
}

/// An answer over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// The content.
    pub body: String,
}

/// Why a request is refused. Its text is what the service answers.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing to answer from.
    NoConfig,
    /// A parameter has a value that it cannot have.
    Query {
        /// What was asked for: `TURN` or `ICE`.
        of: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// No listener passes the filters and has an address.
    NoListener(&'static str),
    /// Neither `/` nor `/ice`.
    NotFound,
}

impl Refusal {
    /// The status of HTTP.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NoConfig => 500,
            Self::Query { .. } => 400,
            Self::NoListener(_) | Self::NotFound => 404,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig => f.write_str("no STUNner configuration available"),
            Self::Query { of, problem } => write!(f, "could not generate {of} auth token: {problem:?}"),
            Self::NoListener("ICE") => f.write_str("could not generate ICE config: no valid listener found"),
            Self::NoListener(of) => write!(f, "could not generate {of} auth token: no valid listener found"),
            Self::NotFound => f.write_str("not found"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Answers a GET request, given its path and query.
#[must_use]
pub fn answer(path_and_query: &str, service: &Service<'_>) -> Answer {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let body = match path {
        "/" => Query::parse(query, "TURN").and_then(|query| service.turn(&query)).map(|reply| json(&reply)),
        "/ice" => Query::parse(query, "ICE").and_then(|query| service.ice(&query)).map(|reply| json(&reply)),
        _ => Err(Refusal::NotFound),
    };
    match body {
        Ok(body) => Answer { status: 200, content_type: "application/json; charset=UTF-8", body },
        Err(refusal) => Answer {
            status: refusal.status(),
            content_type: "text/plain; charset=utf-8",
            body: refusal.to_string(),
        },
    }
}

fn json(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).expect("texts, numbers and lists are JSON")
}

impl Query {
    /// Reads what follows the question mark of a URL. Parameters that nothing is known of are passed over.
    ///
    /// # Errors
    /// [`Refusal::Query`], in the name of what was asked `of`: `TURN` or `ICE`.
    pub fn parse(text: &str, of: &'static str) -> Result<Self, Refusal> {
        let wrong = |problem: String| Refusal::Query { of, problem };
        if text.len() > MAX_QUERY {
            return Err(wrong("the query is too long".to_owned()));
        }
        let mut query = Self::default();
        for (name, value) in text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let value = decoded(value).ok_or_else(|| wrong(format!("{name} is no text")))?;
            let filled = Some(value.clone()).filter(|value| !value.is_empty());
            match name {
                "service" => query.service = value,
                "username" => query.username = value,
                "ttl" => {
                    let ttl = filled.map(|value| value.parse()).transpose();
                    query.ttl = ttl.map_err(|_| wrong("ttl is no number of seconds".to_owned()))?;
                }
                "namespace" => query.namespace = filled,
                "gateway" => query.gateway = filled,
                "listener" => query.listener = filled,
                "public-addr" => query.public_address = filled,
                "iceTransportPolicy" => {
                    let policy = filled.map(|value| value.parse()).transpose();
                    query.ice_transport_policy = policy
                        .map_err(|_| wrong("iceTransportPolicy is not all, relay or public".to_owned()))?;
                }
                _ => {}
            }
        }
        if query.service == "turn" { Ok(query) } else { Err(wrong("service is not turn".to_owned())) }
    }

    /// Whether a listener passes the filters. Only those of STUNner's operator do: `NAMESPACE/GATEWAY/LISTENER`.
    fn admits(&self, listener: &Listener) -> bool {
        let mut parts = listener.name.split('/');
        let (Some(namespace), Some(gateway), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let passes =
            |filter: &Option<String>, name: &str| filter.as_deref().is_none_or(|wanted| wanted == name);
        match (&self.namespace, &self.gateway) {
            (None, _) => true,
            (wanted, None) => passes(wanted, namespace),
            (wanted, in_it) => {
                passes(wanted, namespace) && passes(in_it, gateway) && passes(&self.listener, name)
            }
        }
    }
}

impl Service<'_> {
    /// Credentials for the first gateway that has a listener to match.
    ///
    /// # Errors
    /// [`Refusal::NoConfig`] and [`Refusal::NoListener`].
    pub fn turn(&self, query: &Query) -> Result<TurnReply, Refusal> {
        let mut found = self.matching(query)?;
        let (config, uris) = found.next().ok_or(Refusal::NoListener("TURN"))?;
        let Credentials { username, password, .. } = self.credentials(config, query);
        Ok(TurnReply { username, password, ttl: query.ttl.unwrap_or(DEFAULT_TTL), uris })
    }

    /// An ICE server for each gateway that has a listener to match.
    ///
    /// # Errors
    /// [`Refusal::NoConfig`] and [`Refusal::NoListener`].
    pub fn ice(&self, query: &Query) -> Result<IceConfig, Refusal> {
        let server = |(config, urls): (&Config, Vec<String>)| {
            let Credentials { username, password, .. } = self.credentials(config, query);
            IceServer { url: None, urls, username, credential: password }
        };
        let ice_servers: Vec<_> = self.matching(query)?.map(server).collect();
        if ice_servers.is_empty() {
            return Err(Refusal::NoListener("ICE"));
        }
        let ice_transport_policy = query.ice_transport_policy.unwrap_or(IceTransportPolicy::All);
        Ok(IceConfig { ice_servers, ice_transport_policy })
    }

    /// The gateways that have a listener to match, and where those listeners are.
    fn matching<'s>(
        &'s self,
        query: &'s Query,
    ) -> Result<impl Iterator<Item = (&'s Config, Vec<String>)>, Refusal> {
        if self.configs.is_empty() {
            return Err(Refusal::NoConfig);
        }
        let host = query.public_address.as_deref().or(self.public_address);
        let uri =
            move |listener: &Listener| host.map_or_else(|| listener.uri(), |host| listener.uri_at(host));
        let uris = move |config: &Config| -> Vec<String> {
            let listeners = config.listeners.iter().filter(|listener| query.admits(listener));
            listeners.filter_map(uri).map(|uri| uri.to_string()).collect()
        };
        Ok(self.configs.iter().map(move |config| (config, uris(config))).filter(|(_, uris)| !uris.is_empty()))
    }

    /// Empty ones where nobody has any.
    fn credentials(&self, config: &Config, query: &Query) -> Credentials {
        let lifetime = query.ttl.unwrap_or(DEFAULT_TTL);
        let none = || Credentials {
            username: String::new(),
            password: Secret::default(),
            realm: config.auth.realm.clone(),
        };
        config.auth.credentials(Some(&query.username), self.now, lifetime).unwrap_or_else(none)
    }
}

/// A value of a query, without its escapes. `None` where they make no text.
fn decoded(value: &str) -> Option<String> {
    percent_decoded(&value.replace('+', " "))
}

/// A text without its escapes.
pub(crate) fn percent_decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                let digit = |at: usize| char::from(digits[at]).to_digit(16);
                bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
                rest = tail;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}
