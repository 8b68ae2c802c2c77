//! TURN credentials, ICE configurations and STUNner's configuration files.
//!
//! * [`SharedSecrets`] makes time-limited credentials for a web application, and checks them for a TURN server.
//! * [`get_ice_config`] makes what a browser is given, from options, configuration file and environment.
//! * [`config`] reads STUNner's configuration files, of every generation.
//! * [`rest`] has the types of STUNner's authentication service.
//! * [`node`] is `@l7mp/stunner-auth-lib` to the letter, for who must not notice a difference.
//!
//! Without the default feature `config` there are credentials only, and no serde.
#![forbid(unsafe_code)]

#[cfg(feature = "config")]
mod auth;
#[cfg(feature = "config")]
pub mod config;
mod credentials;
#[cfg(feature = "config")]
mod environment;
#[cfg(feature = "config")]
mod error;
#[cfg(feature = "config")]
mod ice;
#[cfg(feature = "config")]
pub mod node;
#[cfg(feature = "config")]
mod options;
#[cfg(feature = "config")]
pub mod rest;
mod secret;
#[cfg(feature = "config")]
mod settings;
mod shared;
#[cfg(feature = "config")]
mod uri;

#[cfg(feature = "config")]
pub use auth::{Auth, AuthKind, AuthType, NotAnAuthType};
pub use credentials::{Algorithm, Credentials, password};
#[cfg(feature = "config")]
pub use environment::Environment;
#[cfg(feature = "config")]
pub use error::Error;
#[cfg(feature = "config")]
pub use ice::{
    IceConfig, IceServer, IceTransportPolicy, NotAPolicy, get_ice_config, get_stunner_credentials,
};
#[cfg(feature = "config")]
pub use options::Options;
pub use secret::Secret;
#[cfg(feature = "config")]
pub use settings::Settings;
pub use shared::{Admitted, Denied, SharedSecrets, TimeLimited};
#[cfg(feature = "config")]
pub use uri::TurnUri;

/// The examples of the README, so that they are compiled and run.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../README.md")]
struct Readme;
