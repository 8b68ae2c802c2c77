//! What is wrong with a configuration file, and where.

use std::fmt;

/// What is wrong with a configuration file, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Which value, such as `listeners[1].port`. Empty where the text as a whole cannot be read.
    pub path: String,
    /// Where it is in the text.
    pub location: Option<Location>,
    /// What was expected there, and what was found.
    pub message: String,
}

/// A place in a text. Lines and columns are counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column: of the beginning in YAML, of the end in JSON.
    pub column: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match self.location {
            Some(Location { line, column }) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Something in a configuration file that is accepted, and may not be what its author meant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warning {
    /// Which value, such as `admin.colour`.
    pub path: String,
    /// What about it.
    pub problem: Problem,
}

/// Why there is a [`Warning`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing has this name.
    UnknownKey,
    /// A variable that is not set; it counts as empty.
    Unset(String),
    /// Known, but without effect here: why.
    Ignored(&'static str),
    /// Nobody gave a user; the generation's own, which everybody knows, is used.
    DefaultUser,
    /// A route to a cluster that does not exist.
    NoCluster(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.problem {
            Problem::UnknownKey => f.write_str("unknown key, ignored"),
            Problem::Unset(name) => write!(f, "the variable {name} is not set"),
            Problem::Ignored(why) => write!(f, "ignored: {why}"),
            Problem::DefaultUser => f.write_str("no username and password: user1 and passwd1 are used"),
            Problem::NoCluster(name) => write!(f, "there is no cluster '{name}'"),
        }
    }
}
