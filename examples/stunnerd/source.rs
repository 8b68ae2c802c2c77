//! Where the configuration is read from: a file, or TURN URIs.

use std::path::Path;

use stunner_auth::{
    Environment,
    config::{Config, Generation},
};

use crate::{options::Options, plan::Fault};

/// A configuration, and how messages name its parts.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Fault>,
    names: Names,
}

#[derive(Clone, Copy, Debug)]
enum Names {
    File,
    /// Of v0.9, which has listeners and authentication one level deeper.
    OldFile,
    Uris,
}

impl Source {
    /// Reads what the command line names.
    pub(crate) fn read(options: &Options, environment: &Environment) -> Result<Self, Fault> {
        match &options.config {
            Some(path) => Self::file(path, environment),
            None => Self::uris(&options.uris),
        }
    }

    fn file(path: &Path, environment: &Environment) -> Result<Self, Fault> {
        let text = path.to_string_lossy();
        let path = match text.split_once("://") {
            Some(("file", path)) => Path::new(path),
            Some(_) => return Err(Fault::new("--config", REMOTE)),
            None if !path.exists() && (text == "k8s" || text.parse::<std::net::SocketAddr>().is_ok()) => {
                return Err(Fault::new("--config", REMOTE));
            }
            None => path,
        };
        let loaded = Config::read(path, environment).map_err(|error| match error {
            stunner_auth::Error::Config { source, .. } => Fault::new("", &source.to_string()),
            other => Fault::new("--config", &other.to_string()),
        })?;
        let warnings = loaded.warnings.iter().map(|warning| Fault::new("", &warning.to_string())).collect();
        Ok(Self::of(loaded.config, warnings))
    }

    /// What a file holds.
    pub(crate) fn of(config: Config, warnings: Vec<Fault>) -> Self {
        let names = if config.generation == Generation::V0_9 { Names::OldFile } else { Names::File };
        Self { config, warnings, names }
    }

    /// One configuration of several URIs, which have one user.
    pub(crate) fn uris(uris: &[String]) -> Result<Self, Fault> {
        let mut whole: Option<Config> = None;
        for (index, uri) in uris.iter().enumerate() {
            let fault = |message: &str| Fault::new(&format!("argument {}", index + 1), message);
            let mut config = Config::from_uri(uri).map_err(|error| fault(&error.to_string()))?;
            match &mut whole {
                None => {
                    // URIs ask for no health, and cannot.
                    config.admin.healthcheck_endpoint = None;
                    whole = Some(config);
                }
                Some(whole) if whole.auth != config.auth => {
                    return Err(fault("expected the user and the password of argument 1"));
                }
                Some(whole) => {
                    for listener in &mut config.listeners {
                        listener.name = format!("{}-{}", listener.name, index + 1);
                    }
                    whole.listeners.append(&mut config.listeners);
                }
            }
        }
        let config = whole.ok_or_else(|| Fault::new("arguments", "expected a TURN URI"))?;
        Ok(Self { config, warnings: Vec::new(), names: Names::Uris })
    }

    /// How to name a part of a listener.
    pub(crate) fn listener(&self, index: usize, field: &str) -> String {
        match self.names {
            Names::File => format!("listeners[{index}].{field}"),
            Names::OldFile => format!("static.listeners[{index}].{field}"),
            Names::Uris => format!("argument {}: {field}", index + 1),
        }
    }

    /// How to name the listeners.
    pub(crate) fn listeners(&self) -> &'static str {
        if matches!(self.names, Names::OldFile) { "static.listeners" } else { "listeners" }
    }

    /// How to name the realm.
    pub(crate) fn realm(&self) -> &'static str {
        if matches!(self.names, Names::OldFile) { "admin.realm" } else { "auth.realm" }
    }
}

const REMOTE: &str = "configurations are read from files only, not from STUNner's operator";

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(uris: &[&str]) -> Result<Source, String> {
        let uris: Vec<_> = uris.iter().map(ToString::to_string).collect();
        Source::uris(&uris).map_err(|fault| fault.to_string())
    }

    fn file(path: &str) -> String {
        Source::file(Path::new(path), &Environment::default()).expect_err(path).to_string()
    }

    #[test]
    fn several_uris_are_several_listeners() {
        let source = uris(&["turn://u:p@0.0.0.0:5000", "turn://u:p@0.0.0.0:5000?transport=tcp"]).unwrap();

        let names: Vec<_> = source.config.listeners.iter().map(|listener| listener.name.as_str()).collect();
        assert_eq!(names, ["default-listener", "default-listener-2"]);
        assert_eq!(source.config.clusters_of(&source.config.listeners[1]).count(), 1);
        assert_eq!(source.listener(1, "port"), "argument 2: port");
    }

    #[test]
    fn uris_of_two_users_are_refused_without_their_passwords() {
        let error = uris(&["turn://u:p@0.0.0.0", "turn://u:hidden@0.0.0.0?transport=tcp"]).unwrap_err();
        assert_eq!(error, "argument 2: expected the user and the password of argument 1");

        let error = uris(&["turn://u:hidden@host"]).unwrap_err();
        assert!(error.starts_with("argument 1: expected turn://USER:PASSWORD@ADDRESS:PORT"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for origin in ["http://10.0.0.1:13478", "wss://operator/api", "k8s", "10.0.0.1:13478"] {
            assert_eq!(file(origin), format!("--config: {REMOTE}"), "{origin}");
        }
        assert!(file("/nowhere/at/all").starts_with("--config: cannot read /nowhere/at/all: "));
        assert!(file("file:///nowhere/at/all").starts_with("--config: cannot read /nowhere/at/all: "));
    }
}
