//! Runs a case as this crate does, and writes what it gives as `run.js` writes what the Node library gives.

use std::{fmt::Write, fs, io, path::Path};

use stunner_auth::{
    Environment,
    node::{
        Call, Host, Line, Outcome, Stop, Value, get_ice_config, get_longterm_for_time_stamp,
        get_stunner_credentials,
    },
};

use crate::cases::{Case, NOW};

/// What each case gives: a line for its outcome, and one for each printed line. A line that was printed before is written
/// as its number, to be short.
pub(crate) fn outcomes(cases: &[Case]) -> String {
    let mut text = String::new();
    let mut known = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let call = run(case);
        let outcome = match &call.outcome {
            Outcome::Value(value) => format!("value {value}"),
            Outcome::Undefined => "undefined".to_owned(),
            Outcome::Throws(message) => format!("throws {}", one_line(message)),
            Outcome::Unsupported(what) => format!("unsupported {what}"),
        };
        writeln!(text, "{} {outcome}", index + 1).expect("a text grows");
        for line in call.console {
            let kind = if matches!(line, Line::Log(_)) { "log" } else { "error" };
            let printed = format!("{kind} {}", one_line(line.text()));
            match known.iter().position(|line| *line == printed) {
                Some(number) => writeln!(text, " #{number}"),
                None => writeln!(text, " #{} {printed}", known.len()),
            }
            .expect("a text grows");
            if !known.contains(&printed) {
                known.push(printed);
            }
        }
    }
    text
}

fn run(case: &Case) -> Call {
    let options = Value::parse(case.options.as_bytes()).expect("the options are JSON");
    let variables: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&case.env).expect("variables are texts");
    let environment: Environment = variables.into_iter().collect();
    let host = Host::new(&environment, NOW).files(read);
    match case.function {
        "ice-config" => get_ice_config(Some(&options), &host),
        "credentials" => get_stunner_credentials(Some(&options), &host),
        "parse" => parse(&options),
        _ => {
            let argument = |name| options.get(name);
            let (secret, realm) = (argument("secret"), argument("realm"));
            let (algorithm, encoding) = (argument("algorithm"), argument("encoding"));
            get_longterm_for_time_stamp(argument("timeStamp"), secret, realm, algorithm, encoding)
        }
    }
}

/// `JSON.parse(text)`.
fn parse(text: &Value) -> Call {
    let Value::String(text) = text else { unreachable!("it is made of text") };
    let outcome = match Value::parse(text.to_utf8().as_bytes()) {
        Ok(value) => Outcome::Value(value),
        Err(Stop::Throws(message)) => Outcome::Throws(message),
        Err(Stop::Unsupported(what)) => Outcome::Unsupported(what),
    };
    Call { outcome, console: Vec::new() }
}

/// Files of this package; outside of it there are none.
fn read(path: &str) -> io::Result<Vec<u8>> {
    if Path::new(path).is_absolute() {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

/// Text without control characters.
fn one_line(text: &str) -> String {
    let shown = |character: char| match character {
        '\0'..' ' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    text.chars().map(shown).collect()
}
