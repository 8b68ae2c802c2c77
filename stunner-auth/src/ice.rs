//! What a browser is given: ICE servers and their credentials.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Credentials, Environment, Error, Options, Secret, Settings};

/// An `RTCConfiguration`, as `new RTCPeerConnection` takes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceConfig {
    /// The servers.
    #[serde(rename = "iceServers")]
    pub ice_servers: Vec<IceServer>,
    /// Which candidates a browser uses.
    #[serde(rename = "iceTransportPolicy")]
    pub ice_transport_policy: IceTransportPolicy,
}

/// An `RTCIceServer`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IceServer {
    /// One of `urls`, by the name that the standard had before; nothing unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// TURN URIs of one server.
    pub urls: Vec<String>,
    /// USERNAME in TURN; empty where nobody has credentials.
    pub username: String,
    /// The password.
    pub credential: Secret,
}

/// Which candidates a browser uses.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTransportPolicy {
    /// Relayed ones only.
    #[default]
    Relay,
    /// All.
    All,
    /// What was once between the two; browsers know it no more.
    Public,
}

/// A text that is no [`IceTransportPolicy`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("relay, all or public")]
pub struct NotAPolicy;

impl FromStr for IceTransportPolicy {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        match text {
            "relay" => Ok(Self::Relay),
            "all" => Ok(Self::All),
            "public" => Ok(Self::Public),
            _ => Err(NotAPolicy),
        }
    }
}

/// An ICE configuration with fresh credentials, from options, configuration file, environment and defaults, in this order.
/// `now` is in seconds since 1970.
///
/// ```
/// use stunner_auth::{Environment, Options, get_ice_config};
///
/// let environment: Environment = [("STUNNER_TRANSPORT_TCP_ENABLE", "1")].into_iter().collect();
/// let config = get_ice_config(&Options::new().address("203.0.113.1"), &environment, 1_652_118_264)?;
/// assert_eq!(config.ice_servers[0].urls, [
///     "turn:203.0.113.1:3478?transport=udp",
///     "turn:203.0.113.1:3478?transport=tcp",
/// ]);
/// # Ok::<(), stunner_auth::Error>(())
/// ```
///
/// # Errors
/// What is wrong with what was given. A configuration file that was named and cannot be used is an error, too.
pub fn get_ice_config(options: &Options, environment: &Environment, now: u64) -> Result<IceConfig, Error> {
    Settings::resolve(options, environment)?.ice_config(now)
}

/// Fresh TURN credentials, from the same sources; `None` where nobody has any.
///
/// # Errors
/// What is wrong with what was given.
pub fn get_stunner_credentials(
    options: &Options,
    environment: &Environment,
    now: u64,
) -> Result<Option<Credentials>, Error> {
    Ok(Settings::resolve(options, environment)?.credentials(now))
}
