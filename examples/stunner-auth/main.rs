//! TURN credentials and ICE configurations on the command line, exactly as the Node library makes them.
//!
//! ```text
//! STUNNER_PUBLIC_ADDR=192.0.2.1 cargo run --example stunner-auth -- ice-config
//! ```
//!
//! What to try next: `STUNNER_AUTH_TYPE=longterm`; a configuration file in `STUNNER_CONFIG_FILENAME`; options on standard
//! input, as `--help` shows them.

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use stunner_auth::{
    Environment,
    node::{
        Call, Host, Outcome, Value, get_ice_config, get_longterm_for_time_stamp, get_stunner_credentials,
    },
};
use stunner_relay::{SystemClock, TimeSource};

/// TURN credentials and ICE configurations, exactly as @l7mp/stunner-auth-lib makes them.
#[derive(Parser)]
#[command(name = "stunner-auth", version, after_help = HELP)]
struct Arguments {
    /// What to make
    function: Function,
}

#[derive(Clone, Copy, ValueEnum)]
enum Function {
    /// getIceConfig(options)
    IceConfig,
    /// getStunnerCredentials(options)
    Credentials,
    /// getLongtermForTimeStamp(timeStamp, secret, realm, algorithm, encoding), which are the options
    Longterm,
}

const HELP: &str = r#"Standard input is nothing, or a JSON object of which every member can be missing:
  {"options": {...}, "env": {...}, "now": SECONDS}
Without env the environment of the process counts, and without now its clock.

By hand:
  STUNNER_PUBLIC_ADDR=192.0.2.1 stunner-auth ice-config
  echo '{"options": {"auth_type": "longterm", "secret": "s"}}' | stunner-auth credentials
  echo '{"options": {"timeStamp": 1652173256, "secret": "my-secret", "realm": "stunner.l7mp.io",
    "algorithm": "sha1", "encoding": "base64"}}' | stunner-auth longterm

Exit status:
  0  the result is printed, as JSON
  2  standard input is not as it should be
  3  the Node library returns undefined
  4  the Node library throws an error, which is printed on standard error
  5  the Node library returns something that is not supported here"#;

fn main() -> ExitCode {
    let function = Arguments::parse().function;
    let mut input = Vec::new();
    if !std::io::stdin().is_terminal()
        && let Err(error) = std::io::stdin().read_to_end(&mut input)
    {
        eprintln!("standard input: {error}");
        return ExitCode::from(2);
    }
    let call = match Input::parse(&input) {
        Ok(input) => input.call(function),
        Err(problem) => {
            eprintln!("standard input: {problem}");
            return ExitCode::from(2);
        }
    };
    call.console.iter().for_each(|line| eprintln!("{}", line.text()));
    let (status, text) = status(&call.outcome);
    if status == 0 {
        println!("{text}");
    } else if !text.is_empty() {
        eprintln!("{text}");
    }
    ExitCode::from(status)
}

/// The exit status, and what is printed.
fn status(outcome: &Outcome) -> (u8, String) {
    match outcome {
        Outcome::Value(value) => (0, value.to_string()),
        Outcome::Undefined => (3, String::new()),
        Outcome::Throws(message) => (4, message.clone()),
        Outcome::Unsupported(what) => (5, format!("not supported: {what}")),
    }
}

/// What a call is made with.
struct Input {
    options: Option<Value>,
    environment: Environment,
    now: u64,
}

impl Input {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
        let input = Value::parse(bytes).map_err(|error| error.to_string())?;
        if !matches!(input, Value::Object(_)) {
            return Err("this is no JSON object".to_owned());
        }
        let environment = match input.get("env") {
            None => Environment::from_process(),
            Some(Value::Object(variables)) => variables
                .iter()
                .map(|(name, value)| match value {
                    Value::String(value) => Ok((name.to_utf8(), value.to_utf8())),
                    _ => Err(format!("env.{} is no string", name.to_utf8())),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("env is no object".to_owned()),
        };
        let now = match input.get("now") {
            None => SystemClock.unix_seconds(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the number is in the range of what it becomes"
            )]
            Some(Value::Number(now)) if (0.0..1e15).contains(now) => *now as u64,
            Some(_) => return Err("now is no number of seconds".to_owned()),
        };
        Ok(Self { options: input.get("options").cloned(), environment, now })
    }

    fn call(&self, function: Function) -> Call {
        let host = Host::new(&self.environment, self.now);
        let options = self.options.as_ref();
        let argument = |name| options.and_then(|options| options.get(name));
        match function {
            Function::IceConfig => get_ice_config(options, &host),
            Function::Credentials => get_stunner_credentials(options, &host),
            Function::Longterm => get_longterm_for_time_stamp(
                argument("timeStamp"),
                argument("secret"),
                argument("realm"),
                argument("algorithm"),
                argument("encoding"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: Function, input: &str) -> (u8, String) {
        status(&Input::parse(input.as_bytes()).expect("an input").call(function).outcome)
    }

    #[test]
    fn an_ice_configuration_is_printed_as_node_prints_it() {
        let input =
            r#"{"options":{"config_file":"/nowhere"},"env":{"STUNNER_PUBLIC_ADDR":"192.0.2.1"},"now":0}"#;

        assert_eq!(
            run(Function::IceConfig, input),
            (0, r#"{"iceServers":[{"url":"turn:192.0.2.1:3478?transport=udp","username":"user","credential":"pass"}],"iceTransportPolicy":"relay"}"#.to_owned())
        );
    }

    #[test]
    fn credentials_count_from_now() {
        let input = r#"{"options":{"auth_type":"longterm","duration":5},"env":{},"now":1652173251.9}"#;

        assert_eq!(
            run(Function::Credentials, input),
            (0, r#"{"username":"1652173256","credential":"CguKE5jD1SnJajHjrQEwyx+pHBk=","realm":"stunner.l7mp.io"}"#.to_owned())
        );
    }

    #[test]
    fn undefined_and_errors_have_a_status_of_their_own() {
        assert_eq!(
            run(Function::IceConfig, r#"{"options":{"config_file":"/nowhere"},"env":{}}"#),
            (3, String::new())
        );
        let (status, message) = run(Function::Longterm, r#"{"options":{"algorithm":"none","secret":""}}"#);
        assert_eq!((status, message.as_str()), (4, "TypeError: Invalid digest: none"));
        let (status, _) = run(Function::Longterm, r#"{"options":{"algorithm":"sha3-256","secret":""}}"#);
        assert_eq!(status, 5);
    }

    #[test]
    fn no_input_is_an_empty_object() {
        assert!(Input::parse(b" \n").is_ok_and(|input| input.options.is_none()));
    }

    #[test]
    fn what_is_no_input_is_refused() {
        for input in ["{", "[]", r#"{"env":[]}"#, r#"{"env":{"A":1}}"#, r#"{"now":-1}"#, r#"{"now":"1"}"#] {
            assert!(Input::parse(input.as_bytes()).is_err(), "{input}");
        }
    }
}
