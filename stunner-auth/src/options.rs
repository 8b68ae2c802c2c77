//! What a caller can say about credentials and ICE servers.

use std::path::PathBuf;

use crate::{Algorithm, AuthType, IceTransportPolicy, Secret, TurnUri, config::Protocol};

/// What a program says itself: it goes before configuration file, environment and defaults.
///
/// ```
/// use stunner_auth::{AuthType, Options};
///
/// let options = Options::new().address("turn.example").auth_type(AuthType::TimeLimited).secret("north").user("alice");
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// STUNNER_CONFIG_FILENAME, or `/etc/stunnerd/stunnerd.conf` if that is there.
    pub config_file: Option<PathBuf>,
    /// STUNNER_PUBLIC_ADDR: where clients find the TURN server. There is no default.
    pub address: Option<String>,
    /// STUNNER_PUBLIC_PORT, or what the listener in the configuration file says, or 3478.
    pub port: Option<u16>,
    /// What the listener in the configuration file says.
    pub protocol: Option<Protocol>,
    /// These servers, in this order, and none of those that the other settings name.
    pub servers: Vec<TurnUri>,
    /// STUNNER_AUTH_TYPE, or static.
    pub auth_type: Option<AuthType>,
    /// STUNNER_REALM, or `stunner.l7mp.io`.
    pub realm: Option<String>,
    /// STUNNER_USERNAME, or `user`.
    pub username: Option<String>,
    /// STUNNER_PASSWORD, or `pass`.
    pub password: Option<Secret>,
    /// STUNNER_SHARED_SECRET, or `my-secret`.
    pub secret: Option<Secret>,
    /// How time-limited passwords are made: SHA-1 unless given.
    pub algorithm: Option<Algorithm>,
    /// STUNNER_DURATION: how long time-limited credentials are good for, in seconds, or 86400.
    pub duration: Option<u64>,
    /// Who the time-limited credentials are for; in nobody's name unless given.
    pub user: Option<String>,
    /// STUNNER_ICE_TRANSPORT_POLICY, or relay.
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// STUNNER_TRANSPORT_UDP_ENABLE, or yes. Without a configuration file only.
    pub transport_udp_enable: Option<bool>,
    /// STUNNER_TRANSPORT_TCP_ENABLE, or no. Without a configuration file only.
    pub transport_tcp_enable: Option<bool>,
    /// Whether each server is on its own, with its address by the old name `url` too, as the Node library has it.
    pub old_url: bool,
}

/// A setter for each option.
macro_rules! setters {
    ($($name:ident: $type:ty),+ $(,)?) => {
        impl Options {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: impl Into<$type>) -> Self {
                    self.$name = Some($name.into());
                    self
                }
            )+
        }
    };
}

setters! {
    config_file: PathBuf,
    address: String,
    port: u16,
    protocol: Protocol,
    auth_type: AuthType,
    realm: String,
    username: String,
    password: Secret,
    secret: Secret,
    algorithm: Algorithm,
    duration: u64,
    user: String,
    ice_transport_policy: IceTransportPolicy,
    transport_udp_enable: bool,
    transport_tcp_enable: bool,
}

impl Options {
    /// Nothing is said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to [`servers`](Self::servers).
    #[must_use]
    pub fn server(mut self, server: TurnUri) -> Self {
        self.servers.push(server);
        self
    }

    /// Sets [`old_url`](Self::old_url).
    #[must_use]
    pub fn old_url(mut self, old_url: bool) -> Self {
        self.old_url = old_url;
        self
    }
}
