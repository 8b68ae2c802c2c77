//! Why there are no credentials or no ICE configuration.

use std::{io, path::PathBuf};

use crate::config::ConfigError;

/// What is wrong with the options, the environment or the configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said where the TURN server is.
    #[error("no public address: set STUNNER_PUBLIC_ADDR, or give the address as an option")]
    NoAddress,
    /// A variable or an option has a value that it cannot have.
    #[error("{name}={value:?}: expected {expected}")]
    Setting {
        /// The variable, or the option's name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: String,
    },
    /// The configuration file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file says something wrong.
    #[error("{}: {source}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// What, and where.
        source: ConfigError,
    },
}
