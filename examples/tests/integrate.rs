//! The programs of docs/integrate.md make the ICE configuration that `stunner-auth` makes.
#![cfg(unix)]

use std::process::Command;

use serde_json::Value;
use stunner_auth::{Environment, Options, get_ice_config};
use stunner_relay::{SystemClock, TimeSource};

const DOCUMENT: &str = include_str!("../../docs/integrate.md");

const VARIABLES: [(&str, &str); 6] = [
    ("STUNNER_PUBLIC_ADDR", "203.0.113.10"),
    ("STUNNER_PUBLIC_PORT", "3479"),
    ("STUNNER_AUTH_TYPE", "longterm"),
    ("STUNNER_SHARED_SECRET", "a secret: ä$\"'"),
    ("STUNNER_DURATION", "3600"),
    ("STUNNER_TRANSPORT_TCP_ENABLE", "1"),
];

/// The block of a language in which there is this text.
fn block(language: &str, text: &str) -> &'static str {
    let mut blocks = DOCUMENT.split("\n```").filter_map(|block| block.split_once('\n'));
    let block = blocks.find(|(name, block)| *name == language && block.contains(text));
    block.unwrap_or_else(|| panic!("there is {language}")).1
}

/// What a program prints; `None` where there is none, which CI does not allow.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(program).args(arguments).envs(VARIABLES).output() else {
        assert!(std::env::var_os("CI").is_none(), "there must be {program} where CI is set");
        eprintln!("there is no {program}: nothing was tested");
        return None;
    };
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Holds what was printed against the library, for the same second.
fn is_what_the_library_makes(printed: &str) {
    let printed: Value = serde_json::from_str(printed).expect("JSON");
    let username = printed["iceServers"][0]["username"].as_str().expect("a username");
    let expires: u64 = username.split(':').next().and_then(|first| first.parse().ok()).expect("a time");
    let (made, now) = (expires - 3600, SystemClock.unix_seconds());
    assert!(made <= now && now - made < 60, "{made} is not {now}");
    let environment: Environment = VARIABLES.into_iter().collect();

    let ice = get_ice_config(&Options::new().user("alice"), &environment, made).expect("a configuration");

    assert_eq!(printed, serde_json::to_value(ice).expect("JSON"));
}

#[test]
fn a_shell_makes_what_the_library_makes() {
    let printed = run("sh", &["-euc", block("sh", "credential=")]);
    printed.iter().for_each(|printed| is_what_the_library_makes(printed));
}

#[test]
fn python_makes_what_the_library_makes() {
    let printed = run("python3", &["-c", block("python", "credential")]);
    printed.iter().for_each(|printed| is_what_the_library_makes(printed));
}

#[test]
fn node_makes_what_the_library_makes() {
    let printed = run("node", &["--input-type=module", "-e", block("js", "credential")]);
    printed.iter().for_each(|printed| is_what_the_library_makes(printed));
}

#[test]
fn the_page_is_javascript() {
    let page = block("javascript", "RTCPeerConnection");
    run("node", &["-e", "new Function(process.argv[1])", page]);
}
