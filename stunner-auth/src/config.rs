//! The part of stunnerd's configuration file that says how clients authenticate and where the listeners are.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::Error;

/// A file larger than this is no configuration.
const MAX_FILE: u64 = 1 << 20;

/// A configuration of version v1alpha1.
#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) version: String,
    pub(crate) auth: Auth,
    #[serde(default)]
    pub(crate) listeners: Option<Vec<Listener>>,
}

#[derive(Deserialize)]
pub(crate) struct Auth {
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) realm: String,
    pub(crate) credentials: Credentials,
}

#[derive(Default, Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) secret: String,
}

#[derive(Deserialize)]
pub(crate) struct Listener {
    #[serde(default)]
    pub(crate) public_address: String,
    #[serde(default)]
    pub(crate) public_port: u16,
    #[serde(default)]
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) protocol: String,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::File { path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE {
            return Err(Error::TooLarge(path.to_owned()));
        }
        Self::parse(&fs::read_to_string(path).map_err(unreadable)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = serde_json::from_str(text)?;
        if config.version == "v1alpha1" { Ok(config) } else { Err(Error::Version(config.version)) }
    }
}
