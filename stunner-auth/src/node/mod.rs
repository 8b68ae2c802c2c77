//! The functions of `@l7mp/stunner-auth-lib` 0.9.6, to the letter.
//!
//! Each takes what the Node library takes, JavaScript values of any type included, and returns what it does: a value, and
//! the lines that it prints. What it reads from the process (environment, clock, files) is given as a [`Host`]. Nothing
//! here is better than the original; for new programs there is the rest of this crate.
//!
//! ```
//! use stunner_auth::{Environment, node::{Host, Outcome, Value, get_ice_config}};
//!
//! let environment: Environment = [("STUNNER_PUBLIC_ADDR", "192.0.2.1")].into_iter().collect();
//! let host = Host::new(&environment, 1_652_118_264);
//! let options = Value::parse(br#"{"port": "3500", "transport_tcp_enable": "0"}"#)?;
//!
//! let Outcome::Value(config) = get_ice_config(Some(&options), &host).outcome else { panic!() };
//! assert_eq!(config.to_string(), concat!(
//!     r#"{"iceServers":[{"url":"turn:192.0.2.1:3500?transport=udp","username":"user","credential":"pass"},"#,
//!     r#"{"url":"turn:192.0.2.1:3500?transport=tcp","username":"user","credential":"pass"}],"#,
//!     r#""iceTransportPolicy":"relay"}"#,
//! ));
//! # Ok::<(), stunner_auth::node::Stop>(())
//! ```

use std::io;

mod convert;
mod hash;
mod host;
mod json;
mod library;
mod settings;
mod value;

pub use host::Host;
use library::Library;
pub use value::{Text, Value};

/// What a call gave, and what was printed on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What it gave.
    pub outcome: Outcome,
    /// What was printed, in order.
    pub console: Vec<Line>,
}

/// What a call of the Node library ends with.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It returns this.
    Value(Value),
    /// It returns `undefined`.
    Undefined,
    /// It throws an error, whose `toString` is this.
    Throws(String),
    /// Node gives something that this crate cannot tell, for instance because it would take another hash function.
    Unsupported(String),
}

/// Why a step of a call does not return.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stop {
    /// JavaScript throws an error, whose `toString` is this.
    #[error("{0}")]
    Throws(String),
    /// See [`Outcome::Unsupported`].
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// A line that the Node library prints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// With `console.log`.
    Log(String),
    /// With `console.error`.
    Error(String),
}

impl Line {
    /// The text, without a line end.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Log(text) | Self::Error(text)) = self;
        text
    }
}

/// `getIceConfig(options)`; `None` is `undefined`.
#[must_use]
pub fn get_ice_config(options: Option<&Value>, host: &Host<'_>) -> Call {
    let mut library = Library::new(host);
    let result = library.ice_config(options);
    library.ended(result)
}

/// `getStunnerCredentials(options)`; `None` is `undefined`.
#[must_use]
pub fn get_stunner_credentials(options: Option<&Value>, host: &Host<'_>) -> Call {
    let mut library = Library::new(host);
    let result = library.credentials(options);
    library.ended(result)
}

/// `getLongtermForTimeStamp(timeStamp, secret, realm, algorithm, encoding)`; `None` is `undefined`.
#[must_use]
pub fn get_longterm_for_time_stamp(
    time_stamp: Option<&Value>,
    secret: Option<&Value>,
    realm: Option<&Value>,
    algorithm: Option<&Value>,
    encoding: Option<&Value>,
) -> Call {
    let result = hash::longterm(time_stamp, secret, realm, algorithm, encoding);
    Call { outcome: Outcome::from(result.map(Some)), console: Vec::new() }
}

impl From<Result<Option<Value>, Stop>> for Outcome {
    fn from(result: Result<Option<Value>, Stop>) -> Self {
        match result {
            Ok(Some(value)) => Self::Value(value),
            Ok(None) => Self::Undefined,
            Err(Stop::Throws(message)) => Self::Throws(message),
            Err(Stop::Unsupported(what)) => Self::Unsupported(what),
        }
    }
}

/// The error that JavaScript throws for a member of what has none.
fn cannot_read(of: &str, name: &str) -> Stop {
    Stop::Throws(format!("TypeError: Cannot read properties of {of} (reading '{name}')"))
}

/// `base.name`.
fn member<'v>(base: Option<&'v Value>, name: &str) -> Result<Option<&'v Value>, Stop> {
    match base {
        None => Err(cannot_read("undefined", name)),
        Some(Value::Null) => Err(cannot_read("null", name)),
        Some(value) => Ok(value.get(name)),
    }
}

/// What Node says about an argument of a wrong type.
fn received(value: Option<&Value>) -> Result<String, Stop> {
    Ok(match value {
        None => "undefined".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(value)) => format!("type boolean ({value})"),
        Some(Value::Number(value)) if *value == 0.0 && value.is_sign_negative() => {
            "type number (-0)".to_owned()
        }
        Some(Value::Number(value)) => format!("type number ({})", convert::number(*value)),
        Some(Value::String(_)) => "type string".to_owned(),
        Some(Value::Array(_)) => "an instance of Array".to_owned(),
        Some(object) if object.get("constructor").is_some() => {
            return Err(Stop::Unsupported("an object with a member 'constructor' as an argument".to_owned()));
        }
        Some(Value::Object(_)) => "an instance of Object".to_owned(),
    })
}

/// How Node names an error of the file system.
fn file_error(error: &io::Error, path: &str) -> String {
    let (code, text) = match error.kind() {
        io::ErrorKind::IsADirectory => {
            return "Error: EISDIR: illegal operation on a directory, read".to_owned();
        }
        io::ErrorKind::NotFound => ("ENOENT", "no such file or directory"),
        io::ErrorKind::PermissionDenied => ("EACCES", "permission denied"),
        io::ErrorKind::NotADirectory => ("ENOTDIR", "not a directory"),
        io::ErrorKind::InvalidFilename => ("ENAMETOOLONG", "name too long"),
        _ => ("UNKNOWN", "unknown error"),
    };
    format!("Error: {code}: {text}, open '{path}'")
}
