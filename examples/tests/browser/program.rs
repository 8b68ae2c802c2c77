//! The program under test, as a child process on free ports.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A running `direct-one2one-call`; it is stopped when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
    pub(crate) turn_port: u16,
    /// What it said before the address of its page.
    pub(crate) log: String,
}

impl Program {
    /// Starts it with these environment variables, and waits until it says where the page is.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1", environment, &[])
    }

    /// The same on another address, with more options.
    pub(crate) fn start_at(address: &str, environment: &[(&str, &str)], options: &[&str]) -> Self {
        Self::spawn(Command::new(binary()), address, environment, options)
    }

    /// The same in a network namespace.
    pub(crate) fn start_in(namespace: &str, address: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(binary());
        Self::spawn(command, address, environment, &[])
    }

    fn spawn(mut command: Command, address: &str, environment: &[(&str, &str)], options: &[&str]) -> Self {
        let state = std::env::temp_dir().join(format!("stunner-rs-test-{}", std::process::id()));
        command
            .args(["--as-uri", &format!("https://{address}:0/"), "--turn-address", address])
            .arg("--state-dir")
            .arg(state)
            .args(options)
            .stdout(Stdio::piped());
        // Somebody else may take the port in between.
        let started = (0..3).find_map(|_| {
            let port = free_port();
            command.env("STUNNER_PORT", port.to_string()).envs(environment.iter().copied());
            Self::started(&mut command, port)
        });
        started.expect("an address of the page")
    }

    /// `None` where it ends before it says where the page is.
    fn started(command: &mut Command, turn_port: u16) -> Option<Self> {
        let mut child =
            command.spawn().expect("the example is built: cargo build --example direct-one2one-call");
        let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines().map_while(Result::ok);
        let mut program = Self { child, url: String::new(), turn_port, log: String::new() };
        program.url = lines.find_map(|line| {
            program.log += &format!("{line}\n");
            line.trim().starts_with("https://").then(|| line.trim().to_owned())
        })?;
        // The rest is the log, which must go somewhere.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        Some(program)
    }

    /// The address and the port of the page.
    pub(crate) fn web(&self) -> SocketAddr {
        let host = self.url.trim_start_matches("https://").trim_end_matches('/');
        host.replace("localhost", "127.0.0.1").parse().expect("an address")
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
