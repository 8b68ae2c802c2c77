//! Why there are no credentials or no ICE configuration.

use std::{io, path::PathBuf};

/// What is wrong with the options, the environment or the configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said where the TURN server is.
    #[error("no public address: set STUNNER_PUBLIC_ADDR, or give the address as an option")]
    NoAddress,
    /// An authentication type that does not exist.
    #[error("unknown authentication type '{0}': it is plaintext or longterm")]
    AuthType(String),
    /// A duration that does not begin with a whole number.
    #[error("'{0}' is not a duration in seconds")]
    Duration(String),
    /// The configuration file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is larger than a mebibyte.
    #[error("{} is too large for a configuration", .0.display())]
    TooLarge(PathBuf),
    /// The configuration file is not JSON, or lacks something.
    #[error("the configuration is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of the format.
    #[error("the configuration's version is '{0}', not v1alpha1")]
    Version(String),
    /// No list of listeners.
    #[error("the configuration has no listeners")]
    NoListeners,
}
