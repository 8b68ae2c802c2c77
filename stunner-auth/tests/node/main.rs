//! The functions of the Node library, against what the library itself gave.
//!
//! `recorded.txt` holds its outputs for the cases that [`cases`] lists. To record again, with the package installed:
//!
//! ```text
//! cargo run --example node-cases -- inputs | (cd stunner-auth && node tests/node/run.js PACKAGE) > recorded.txt
//! ```
#![cfg(feature = "config")]

mod cases;
mod replay;

use stunner_auth::{
    Environment,
    node::{Host, Outcome, Value, get_stunner_credentials},
};

/// How many cases there must be.
const ENOUGH: usize = 300;

#[test]
fn every_case_gives_what_the_node_library_gave() {
    let cases = cases::all();
    let outputs = replay::outcomes(&cases);
    let recorded = include_str!("recorded.txt");

    assert!(cases.len() >= ENOUGH);
    for (line, (ours, theirs)) in outputs.lines().zip(recorded.lines()).enumerate() {
        let number: Option<usize> = ours.split(' ').next().and_then(|number| number.parse().ok());
        let case = number.map(|number| cases[number - 1].json());
        assert_eq!(ours, theirs, "line {} of recorded.txt, {case:?}", line + 1);
    }
    assert_eq!(outputs.len(), recorded.len());
    println!("{} cases give what the Node library gave", cases.len());
}

#[test]
fn every_pair_of_values_is_in_some_case() {
    let choices = [vec![0, 1, 2], vec![0, 1], vec![1, 2, 3, 4], vec![0, 5]];
    let rows = cases::pairwise(&choices);

    for (second, others) in choices.iter().enumerate() {
        for (first, ones) in choices.iter().enumerate().take(second) {
            for (one, other) in ones.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
                assert!(rows.iter().any(|row| row[first] == *one && row[second] == *other));
            }
        }
    }
    assert!(rows.len() < 3 * 2 * 4 * 2);
}

/// The credentials for these options, with the files of this machine.
fn credentials(options: &str) -> (Outcome, Vec<String>) {
    let options = Value::parse(options.as_bytes()).expect("JSON");
    let environment = Environment::default();
    let call = get_stunner_credentials(Some(&options), &Host::new(&environment, cases::NOW));
    (call.outcome, call.console.iter().map(|line| line.text().to_owned()).collect())
}

#[test]
fn what_is_not_supported_is_said() {
    for options in [
        r#"{"config_file":3}"#,
        r#"{"config_file":{"href":"file:///x","protocol":"file:"}}"#,
        r#"{"config_file":{"constructor":1}}"#,
        r#"{"config_file":"/nowhere","auth_type":"longterm","algorithm":"sha3-256"}"#,
    ] {
        assert!(matches!(credentials(options).0, Outcome::Unsupported(_)), "{options}");
    }
    assert!(Value::parse("[".repeat(100_000).as_bytes()).is_err_and(|stop| stop.to_string().contains("200")));
}

#[cfg(unix)]
#[test]
fn files_without_end_and_directories_are_not_read() {
    assert!(matches!(credentials(r#"{"config_file":"/dev/zero"}"#).0, Outcome::Unsupported(_)));

    let (outcome, printed) = credentials(r#"{"config_file":"/"}"#);
    assert!(matches!(outcome, Outcome::Value(_)));
    assert!(printed[0].ends_with("Error: EISDIR: illegal operation on a directory, read"), "{printed:?}");
}
