//! A whole configuration in one line: a TURN URI with a user in it.

use super::{Admin, Cluster, Config, EVERY_PEER, Generation, HttpEndpoint, Listener, Protocol};
use crate::{Auth, AuthKind, auth::DEFAULT_REALM};

/// A text that is no such URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected turn://USER:PASSWORD@ADDRESS:PORT?transport=udp, or turns:// and tcp")]
pub struct NotAUri;

impl Config {
    /// What `stunnerd turn://USER:PASSWORD@ADDRESS:PORT?transport=PROTOCOL` means: one listener, one user, and every peer.
    /// The transport is `udp`, `tcp`, `tls` or `dtls`; with `turns`, `tcp` means TLS and `udp` means DTLS. Without a port it
    /// is 3478, or 443 with TLS and DTLS, whose certificate is for the server to make.
    ///
    /// ```
    /// use stunner_auth::config::{Config, Protocol};
    ///
    /// let config = Config::from_uri("turn://user:pa%40ss@192.0.2.1?transport=tcp")?;
    /// assert_eq!((config.listeners[0].protocol, config.listeners[0].port), (Protocol::Tcp, 3478));
    /// # Ok::<(), stunner_auth::config::NotAUri>(())
    /// ```
    ///
    /// # Errors
    /// [`NotAUri`]. It does not repeat the text, which holds a password.
    pub fn from_uri(uri: &str) -> Result<Self, NotAUri> {
        let (scheme, rest) = uri.split_once("://").ok_or(NotAUri)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, "transport=udp"));
        let transport = query.strip_prefix("transport=").ok_or(NotAUri)?;
        let protocol: Protocol = transport.parse().map_err(|_| NotAUri)?;
        let protocol = match (scheme, protocol) {
            ("turn", protocol) => protocol,
            ("turns", Protocol::Udp | Protocol::Dtls) => Protocol::Dtls,
            ("turns", Protocol::Tcp | Protocol::Tls) => Protocol::Tls,
            _ => return Err(NotAUri),
        };
        let (user, address) = rest.rsplit_once('@').ok_or(NotAUri)?;
        let (username, password) = user.split_once(':').ok_or(NotAUri)?;
        let decoded = |text| crate::rest::percent_decoded(text).ok_or(NotAUri);
        let kind = AuthKind::Static { username: decoded(username)?, password: decoded(password)?.into() };

        let address = address.strip_suffix('/').unwrap_or(address);
        let default_port = if protocol.is_secure() { 443 } else { 3478 };
        let address = match address.parse::<std::net::SocketAddr>() {
            Ok(address) => address,
            Err(_) => format!("{address}:{default_port}").parse().map_err(|_| NotAUri)?,
        };
        if address.port() == 0 {
            return Err(NotAUri);
        }
        let mut listener = Listener::new("default-listener", protocol);
        (listener.address, listener.port) = (address.ip(), address.port());
        listener.routes = vec![EVERY_PEER.to_owned()];
        let mut config = Self::new(Auth { realm: DEFAULT_REALM.to_owned(), kind });
        config.listeners.push(listener);
        config.clusters.push(Cluster::every_peer(EVERY_PEER));
        Ok(config)
    }

    /// A configuration of version `v1` without listeners and clusters.
    #[must_use]
    pub fn new(auth: Auth) -> Self {
        let admin = Admin {
            name: "default-stunnerd".to_owned(),
            log_level: "all:INFO".to_owned(),
            metrics_endpoint: None,
            healthcheck_endpoint: Some(HttpEndpoint::health()),
            user_quota: None,
            offload_engine: super::Offload::None,
            offload_interfaces: Vec::new(),
            license: None,
        };
        Self { generation: Generation::V1, admin, auth, listeners: Vec::new(), clusters: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(uri: &str) -> String {
        let listener = Config::from_uri(uri).expect(uri).listeners.remove(0);
        format!("{} {} {}", listener.protocol, listener.address, listener.port)
    }

    #[test]
    fn scheme_and_transport_say_the_protocol_and_the_protocol_the_port() {
        for (uri, expected) in [
            ("turn://u:p@192.0.2.1:3500?transport=udp", "TURN-UDP 192.0.2.1 3500"),
            ("turn://u:p@192.0.2.1", "TURN-UDP 192.0.2.1 3478"),
            ("turn://u:p@[2001:db8::1]?transport=tcp", "TURN-TCP 2001:db8::1 3478"),
            ("turn://u:p@192.0.2.1?transport=tls", "TURN-TLS 192.0.2.1 443"),
            ("turns://u:p@192.0.2.1?transport=tcp", "TURN-TLS 192.0.2.1 443"),
            ("turns://u:p@192.0.2.1/?transport=udp", "TURN-DTLS 192.0.2.1 443"),
        ] {
            assert_eq!(listener(uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_user_is_the_one_in_the_uri_and_every_peer_is_permitted() {
        let config = Config::from_uri("turn://al%3Aice:p%40+@192.0.2.1").unwrap();

        let AuthKind::Static { username, password } = &config.auth.kind else { panic!() };
        assert_eq!((username.as_str(), password.expose()), ("al:ice", "p@+"));
        let mut clusters = config.clusters_of(&config.listeners[0]);
        assert!(clusters.next().is_some_and(|cluster| cluster.permits([203, 0, 113, 1].into(), 1)));
    }

    #[test]
    fn what_is_no_such_uri_is_refused_without_its_password() {
        for uri in [
            "",
            "turn:u:hidden@192.0.2.1",
            "http://u:hidden@192.0.2.1",
            "turn://192.0.2.1",
            "turn://u@192.0.2.1",
            "turn://u:hidden@turn.example",
            "turn://u:hidden@192.0.2.1:0",
            "turn://u:hidden@192.0.2.1?transport=sctp",
            "turn://u:hid%den@192.0.2.1",
        ] {
            let error = Config::from_uri(uri).expect_err(uri);
            assert!(!error.to_string().contains("hid"));
        }
    }
}
