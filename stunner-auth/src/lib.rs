//! TURN credentials and ICE configurations, compatible with `@l7mp/stunner-auth-lib`.
//!
//! Time-limited credentials, made by a web application and checked by a TURN server: see [`SharedSecrets`].
#![forbid(unsafe_code)]

#[cfg(feature = "config")]
mod config;
mod credentials;
#[cfg(feature = "config")]
mod error;
#[cfg(feature = "config")]
mod ice;
#[cfg(feature = "config")]
pub mod node;
#[cfg(feature = "config")]
mod options;
mod secret;
mod shared;

pub use credentials::{Algorithm, Credentials, password};
#[cfg(feature = "config")]
pub use error::Error;
#[cfg(feature = "config")]
pub use ice::{
    AuthKind, AuthSettings, IceConfig, IceServer, StunnerCredentials, check_config, check_config_file,
    get_ice_config, get_stunner_credentials,
};
#[cfg(feature = "config")]
pub use options::{Environment, Options};
pub use secret::Secret;
pub use shared::{Denied, SharedSecrets, TimeLimited};
