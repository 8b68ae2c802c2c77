//! What the Node library reads from its process.

use std::{fs::File, io};

use super::{Stop, Value, convert, file_error, received};
use crate::Environment;

/// A file that is larger than this is not read.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file, given its name.
type Read<'a> = dyn Fn(&str) -> io::Result<Vec<u8>> + 'a;

/// Environment, clock and files of a call.
pub struct Host<'a> {
    pub(super) environment: &'a Environment,
    pub(super) now: u64,
    read: Box<Read<'a>>,
}

impl<'a> Host<'a> {
    /// This machine's files, and the rest as given: `now` is in seconds since 1970.
    #[must_use]
    pub fn new(environment: &'a Environment, now: u64) -> Self {
        Self { environment, now, read: Box::new(read_file) }
    }

    /// Other files than this machine's.
    #[must_use]
    pub fn files(mut self, read: impl Fn(&str) -> io::Result<Vec<u8>> + 'a) -> Self {
        self.read = Box::new(read);
        self
    }

    /// `JSON.parse(fs.readFileSync(name))`.
    pub(super) fn read_json(&self, name: &Value) -> Result<Value, Stop> {
        let Value::String(path) = name else { return Err(no_path(name)?) };
        let path = path.to_utf8();
        if path.contains('\0') {
            let message =
                "The argument 'path' must be a string, Uint8Array, or URL without null bytes. Received";
            let shown = inspected(&path);
            return Err(Stop::Throws(format!("TypeError [ERR_INVALID_ARG_VALUE]: {message} {shown}")));
        }
        let bytes = (self.read)(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::FileTooLarge {
                Stop::Unsupported(format!("a file of more than {MAX_FILE} bytes"))
            } else {
                Stop::Throws(file_error(&error, &path))
            }
        })?;
        Value::parse(&bytes)
    }
}

/// What Node throws for a file name that is no string. Numbers are file descriptors, which are not read here.
fn no_path(name: &Value) -> Result<Stop, Stop> {
    match name {
        Value::Number(number) if number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX) => {
            if *number > 0.0 {
                return Err(Stop::Unsupported(
                    "a file descriptor as the name of the configuration file".to_owned(),
                ));
            }
            let range = "It must be >= 0 && <= 2147483647. Received";
            let number = convert::number(*number);
            Ok(Stop::Throws(format!("RangeError: The value of \"fd\" is out of range. {range} {number}")))
        }
        Value::Object(_) if name.get("href").is_some() => {
            Err(Stop::Unsupported("a URL as the name of the configuration file".to_owned()))
        }
        _ => {
            let message =
                "The \"path\" argument must be of type string or an instance of Buffer or URL. Received";
            let what = received(Some(name))?;
            Ok(Stop::Throws(format!("TypeError [ERR_INVALID_ARG_TYPE]: {message} {what}")))
        }
    }
}

/// A string as Node's `util.inspect` shows it.
fn inspected(text: &str) -> String {
    let quote = match (text.contains('\''), text.contains('"'), text.contains('`')) {
        (false, ..) => '\'',
        (true, false, _) => '"',
        (true, true, false) => '`',
        (true, true, true) => '\'',
    };
    let mut shown = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            '\u{8}' => shown.push_str("\\b"),
            '\u{c}' => shown.push_str("\\f"),
            '\u{b}' => shown.push_str("\\v"),
            '\\' => shown.push_str("\\\\"),
            '\'' if quote == '\'' => shown.push_str("\\'"),
            control @ ('\0'..' ' | '\u{7f}'..='\u{9f}') => {
                shown.push_str(&format!("\\x{:02X}", u32::from(control)));
            }
            other => shown.push(other),
        }
    }
    shown.push(quote);
    shown
}

fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path)?, MAX_FILE + 1), &mut bytes)?;
    if bytes.len() as u64 > MAX_FILE { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
