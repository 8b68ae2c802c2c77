//! What a caller can say about credentials and ICE servers, and where the rest comes from.

use std::collections::BTreeMap;

/// What the Node library takes as options: what is `None` or empty comes from the environment, then from a default.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// STUNNER_CONFIG_FILENAME, or `/etc/stunnerd/stunnerd.conf`.
    pub config_file: Option<String>,
    /// STUNNER_PUBLIC_ADDR: where clients find the TURN server. There is no default.
    pub address: Option<String>,
    /// STUNNER_PUBLIC_PORT, or 3478.
    pub port: Option<String>,
    /// STUNNER_PROTOCOL, or what the listener in the configuration file says.
    pub protocol: Option<String>,
    /// STUNNER_AUTH_TYPE: `plaintext` (also `static`) or `longterm` (also `ephemeral`, `timewindowed`).
    pub auth_type: Option<String>,
    /// STUNNER_REALM, or `stunner.l7mp.io`.
    pub realm: Option<String>,
    /// STUNNER_USERNAME, or `user`.
    pub username: Option<String>,
    /// STUNNER_PASSWORD, or `pass`.
    pub password: Option<String>,
    /// STUNNER_SHARED_SECRET, or `my-secret`.
    pub secret: Option<String>,
    /// STUNNER_DURATION: seconds, or 86400.
    pub duration: Option<String>,
    /// STUNNER_ICE_TRANSPORT_POLICY, or `relay`.
    pub ice_transport_policy: Option<String>,
    /// STUNNER_TRANSPORT_UDP_ENABLE, or yes.
    pub transport_udp_enable: Option<bool>,
    /// STUNNER_TRANSPORT_TCP_ENABLE, or no.
    pub transport_tcp_enable: Option<bool>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("auth_type", &self.auth_type)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Environment variables: given as a map, so that a test has its own.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process whose names begin with `STUNNER_`. Values that are not text are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let text = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        text.filter(|(name, _)| name.starts_with("STUNNER_")).collect()
    }

    /// The value of a variable; `None` where it is not set, or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable, the empty one included; `None` where it is not set.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A switch: `0` is off, nothing is nothing, and anything else is on, `false` included.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.0.get(name).map(|value| !matches!(value.as_str(), "" | "0"))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The option, else the variable, else the default; what is empty counts as absent.
pub(crate) fn first<'a>(option: Option<&'a str>, variable: Option<&'a str>, default: &'a str) -> &'a str {
    option.filter(|text| !text.is_empty()).or(variable).unwrap_or(default)
}
