//! TURN credentials and ICE configurations, compatible with `@l7mp/stunner-auth-lib`.
//!
//! A time-limited credential, as TURN servers with a shared secret check it:
//!
//! ```
//! let username = "1700000000:alice";
//! assert_eq!(stunner_auth::expires(username), Some(1_700_000_000));
//! assert_eq!(stunner_auth::password(username, b"north"), "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "config")]
mod config;
mod credentials;
#[cfg(feature = "config")]
mod error;
#[cfg(feature = "config")]
mod ice;
#[cfg(feature = "config")]
mod options;

pub use credentials::{expires, password};
#[cfg(feature = "config")]
pub use error::Error;
#[cfg(feature = "config")]
pub use ice::{
    AuthKind, AuthSettings, IceConfig, IceServer, StunnerCredentials, check_config, check_config_file,
    get_ice_config, get_stunner_credentials,
};
#[cfg(feature = "config")]
pub use options::{Environment, Options};
