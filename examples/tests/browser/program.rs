//! The program under test, as a child process on free ports.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A running `direct-one2one-call`; it is stopped when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// Starts it with these environment variables, and waits until it says where the page is.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let state = std::env::temp_dir().join(format!("stunner-rs-test-{}", std::process::id()));
        let mut child = Command::new(binary())
            .args(["--as-uri", "https://127.0.0.1:0/", "--turn-address", "127.0.0.1"])
            .arg("--state-dir")
            .arg(state)
            .env("STUNNER_PORT", free_port().to_string())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built: cargo build --example direct-one2one-call");
        let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines().map_while(Result::ok);
        let url = lines.find_map(|line| line.trim().starts_with("https://").then(|| line.trim().to_owned()));
        // The rest is the log, which must go somewhere.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        Self { child, url: url.expect("an address of the page") }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts examples, beside the directory of this test.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    target.join("examples").join("direct-one2one-call")
}

/// A port that is free over UDP and over TCP.
fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
