//! A directory whose files change, and what clients are told.

use std::{fs, path::Path};

use clap::Parser;
use serde_json::Value;
use stunner_relay::SystemClock;
use tokio::time::advance;

use super::*;
use crate::options::Options;

/// A program that follows a directory of its own.
struct World {
    dir: PathBuf,
    ice: Ice,
    reload: Reload,
}

impl World {
    fn new(name: &str, arguments: &[&str], files: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("stunner-rs-reload-{name}-{}", std::process::id()));
        // A process that was killed may have had the same number.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        files.iter().for_each(|(name, value)| write(&dir, name, value));
        let path = dir.to_str().expect("a path in UTF-8");
        let arguments = [&["direct-one2one-call", "--no-turn", "--config-dir", path][..], arguments].concat();
        let options = Options::parse_from(arguments);
        let process: Environment =
            [("STUNNER_USERNAME", "user"), ("STUNNER_PASSWORD", "first")].into_iter().collect();
        let environment = read_dirs(&[&dir], &process).expect("variables");
        let settings = Settings::new(options, &environment).expect("settings");
        let ice = Ice::new(&settings, None).expect("an address may come yet");
        let users = Users::new(&settings.auth, None, SystemClock);
        let reload = Reload::new(vec![dir.clone()], process, settings, users, Some(ice.clone()));
        Self { dir, ice, reload }
    }

    /// What a client is told after these files have changed.
    fn changed(&mut self, files: &[(&str, &str)]) -> Option<(String, String)> {
        files.iter().for_each(|(name, value)| write(&self.dir, name, value));
        self.reload.look();
        self.told()
    }

    /// The first URL and the password.
    fn told(&self) -> Option<(String, String)> {
        let config = serde_json::to_value(self.ice.config(Some("198.51.100.1"))?).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let server = &config["iceServers"][0];
        Some((text(&server["url"]), text(&server["credential"])))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn write(dir: &Path, name: &str, value: &str) {
    fs::write(dir.join(name), value).expect("a file");
}

fn told(url: &str, password: &str) -> Option<(String, String)> {
    Some((url.to_owned(), password.to_owned()))
}

#[tokio::test]
async fn an_address_that_comes_late_makes_the_program_ready() {
    let mut world = World::new("late", &[], &[("STUNNER_PUBLIC_ADDR", "")]);
    assert!(world.told().is_none() && !world.ice.is_ready());

    let first = world.changed(&[("STUNNER_PUBLIC_ADDR", "203.0.113.1")]);
    assert_eq!(first, told("turn:203.0.113.1:3478?transport=udp", "first"));
    assert!(world.ice.is_ready());

    let named = [
        ("STUNNER_PUBLIC_ADDR", "lb.example.com\n"),
        ("STUNNER_PUBLIC_PORT", "30478"),
        ("STUNNER_TRANSPORT_UDP_ENABLE", "0"),
        ("STUNNER_TRANSPORT_TCP_ENABLE", "1"),
    ];
    assert_eq!(world.changed(&named), told("turn:lb.example.com:30478?transport=tcp", "first"));
}

#[tokio::test]
async fn a_change_that_is_no_good_leaves_the_one_before_in_effect() {
    let mut world = World::new("bad", &[], &[("STUNNER_PUBLIC_ADDR", "203.0.113.1")]);
    let before = world.told();

    for (name, bad, good) in [
        ("STUNNER_PUBLIC_ADDR", "203.0.113.2:3478", "203.0.113.1"),
        ("STUNNER_PUBLIC_PORT", "99999", ""),
        ("STUNNER_AUTH_TYPE", "longterm", "plaintext"),
        ("STUNNER_AUTH_TYPE", "oauth", "plaintext"),
        ("STUNNER_REALM", "example.com", ""),
    ] {
        assert_eq!(world.changed(&[(name, bad)]), before, "{name}={bad}");
        assert_eq!(world.changed(&[(name, good)]), before, "{name}={good}");
    }
    fs::remove_dir_all(&world.dir).expect("it is there");
    world.reload.look();
    assert_eq!(world.told(), before);
}

#[tokio::test(start_paused = true)]
async fn clients_are_given_new_credentials_once_every_server_must_have_them() {
    let mut world =
        World::new("rotate", &["--rotation-delay", "60"], &[("STUNNER_PUBLIC_ADDR", "203.0.113.1")]);
    let url = "turn:203.0.113.1:3478?transport=udp";
    assert_eq!(world.changed(&[("STUNNER_PASSWORD", "second")]), told(url, "first"));
    // Another change meanwhile holds up nothing.
    assert_eq!(
        world.changed(&[("STUNNER_PUBLIC_ADDR", "203.0.113.2")]),
        told("turn:203.0.113.2:3478?transport=udp", "first")
    );
    advance(Duration::from_secs(59)).await;
    assert_eq!(world.changed(&[]).map(|(_, password)| password).as_deref(), Some("first"));
    advance(Duration::from_secs(1)).await;
    assert_eq!(world.changed(&[]).map(|(_, password)| password).as_deref(), Some("second"));
}
