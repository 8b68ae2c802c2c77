//! Containers run here as the manifests have them: their arguments, their variables, what is mounted.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{
    manifests::{Manifests, Workload},
    program,
};

/// How long a container may take to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container of a workload; it is stopped when this is dropped.
struct Container {
    child: Child,
    lines: Receiver<String>,
    directory: PathBuf,
    health: u16,
}

impl Container {
    /// Starts it, and waits until it says this.
    fn start(manifests: &Manifests, name: &str, words: &str) -> Self {
        let workload = manifests.workload(name);
        let directory = mount(manifests, &workload);
        loop {
            let (turn, health) = (free_port(), free_port());
            fs::write(directory.join("config/STUNNER_PORT"), turn.to_string()).expect("a file");
            let mut child = command(&workload, &directory, health).spawn().expect("the example is built");
            let lines = lines(child.stdout.take().expect("an output"));
            let mut container = Self { child, lines, directory: directory.clone(), health };
            if container.says(words) {
                return container;
            }
            let mut error = String::new();
            container.child.stderr.take().expect("an output").read_to_string(&mut error).expect("text");
            // Somebody else took a port in between.
            assert!(error.contains("in use"), "{error}");
        }
    }

    /// Reads until it says this; `false` where it ends without.
    fn says(&mut self, words: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("it does not say {words:?}"),
            }
        }
    }

    /// The status and the text of one of its probes.
    fn probe(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.health)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let request = format!("GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        (head.split(' ').nth(1).expect("a status").to_owned(), body.trim().to_owned())
    }

    /// Ends it as Kubernetes does.
    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("there is kill").success());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

/// Writes what Kubernetes would mount, and the page's keys where the image looks for them.
fn mount(manifests: &Manifests, workload: &Workload<'_>) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pod-{}", workload.name));
    let _ = fs::remove_dir_all(&directory);
    for name in ["config", "auth", "keys"] {
        fs::create_dir_all(directory.join(name)).expect("a directory");
    }
    for (key, value) in manifests.config_maps.iter().flat_map(|map| map.data.iter().flatten()) {
        fs::write(directory.join("config").join(key), value).expect("a file");
    }
    fs::write(directory.join("auth/STUNNER_SHARED_SECRET"), "a secret of a test").expect("a file");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(directory.join("keys/server.crt"), made.cert.pem()).expect("a file");
    fs::write(directory.join("keys/server.key"), made.signing_key.serialize_pem()).expect("a file");
    directory
}

/// The container's command, with this machine's directories and free ports.
fn command(workload: &Workload<'_>, directory: &Path, health: u16) -> Command {
    let here = |volume| directory.join(volume).to_str().expect("a path in UTF-8").to_owned();
    let arguments = workload.arguments().iter().map(|argument| {
        argument
            .replace(workload.mount("config"), &here("config"))
            .replace(workload.mount("auth"), &here("auth"))
            .replace("0.0.0.0:8443", "127.0.0.1:0")
    });
    let mut command = Command::new(program::binary());
    command.args(arguments).env_clear().envs(workload.variables());
    command.env("STUNNER_HEALTH_ADDR", format!("127.0.0.1:{health}"));
    command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A port that is free over UDP and over TCP.
fn free_port() -> u16 {
    loop {
        let port =
            UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

fn answer(status: &str, text: &str) -> (String, String) {
    (status.to_owned(), text.to_owned())
}

#[test]
fn a_replica_is_ready_when_it_relays_and_ends_when_it_has_drained() {
    let mut stunner = Container::start(&Manifests::base(), "stunner", "TURN on udp");
    assert_eq!(stunner.probe("/live"), answer("200", "live"));
    assert_eq!(stunner.probe("/ready"), answer("200", "ready"));

    stunner.terminate();

    assert!(stunner.says("drained: all allocations have ended"));
    assert!(stunner.child.wait().expect("it is our child").success());
}

#[test]
fn the_page_is_ready_once_it_knows_where_turn_is() {
    let mut server = Container::start(&Manifests::base(), "webrtc-server", "https://127.0.0.1:");
    assert_eq!(server.probe("/live"), answer("200", "live"));
    assert_eq!(server.probe("/ready"), answer("503", "STUNNER_PUBLIC_ADDR is not known yet"));

    // From one moment on: a file that is not written yet would be a change, too.
    let (new, config) = (server.directory.join("new"), server.directory.join("config"));
    fs::write(&new, "203.0.113.10").expect("a file");
    fs::rename(new, config.join("STUNNER_PUBLIC_ADDR")).expect("it is there");

    assert!(server.says("the configuration has changed"));
    assert_eq!(server.probe("/ready"), answer("200", "ready"));
}
