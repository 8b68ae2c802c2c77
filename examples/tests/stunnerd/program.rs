//! The program under test, as a child process on a free port.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use crate::example::{binary, limit, output};

/// How long the program may take to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `stunnerd`; it is stopped when this is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// Where it listens.
    pub(crate) port: u16,
    /// What it said until now, as far as somebody waited for it.
    pub(crate) log: String,
}

impl Program {
    /// Starts it with a file of which `$STUNNER_PORT` is the port, and waits until it relays.
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(&["-c", file(text).to_str().expect("a path in UTF-8")], "all:INFO")
    }

    /// The same with other arguments, in which `PORT` is the port.
    pub(crate) fn start_with(arguments: &[&str], levels: &str) -> Self {
        loop {
            let port = free_port();
            let arguments = arguments.iter().map(|argument| argument.replace("PORT", &port.to_string()));
            let mut child = Command::new(binary("stunnerd"))
                .args(arguments)
                .args(["-l", levels])
                .env("STUNNER_PORT", port.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts");
            let lines = lines(child.stdout.take().expect("an output"));
            let mut program = Self { child, lines, port, log: String::new() };
            if program.says("relaying") {
                return program;
            }
            let mut error = String::new();
            let mut stderr = program.child.stderr.take().expect("an output");
            stderr.read_to_string(&mut error).expect("text");
            // Somebody else took the port in between.
            assert!(error.contains("in use"), "{error}");
        }
    }

    /// Waits for a line that has these words; `false` where the program ends without it.
    pub(crate) fn says(&mut self, words: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log += &format!("{line}\n");
                    if line.contains(words) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("it does not say {words:?}"),
            }
        }
    }

    /// Asks it to end, as Kubernetes does (`TERM`) or a keyboard (`INT`).
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let status = Command::new("kill").args([&signal, &self.child.id().to_string()]).status();
        assert!(status.expect("there is kill").success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let _limit = limit(&self.child);
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("stunnerd"));
    output(command.args(arguments).env_remove("STUNNER_PORT")).expect("the program starts")
}

/// A new file of this text.
pub(crate) fn file(text: &str) -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stunnerd-{}-{number}", std::process::id()));
    fs::write(&path, text).expect("a file");
    path
}

/// Lines of an output, as they come.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        // All of it is read, so that the program never waits, even if nobody wants it.
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// A port that is free over UDP and over TCP.
fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
