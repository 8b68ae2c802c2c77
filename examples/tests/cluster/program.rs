//! The programs of the cluster, as child processes in their pods.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::net::{DNS, Net, Pod, v6};

/// A running program; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) pod: Pod,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a program in a pod.
    pub(crate) fn start(pod: &Pod, program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &pod.namespace])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().expect("an output"), log.clone());
        keep(child.stderr.take().expect("an output"), log.clone());
        Self { child, pod: pod.clone(), log }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("it is free").clone()
    }

    /// The status of its health endpoint, as the kubelet gets it.
    pub(crate) fn status(&self, net: &Net, path: &str) -> Option<u16> {
        net.inside("router", || status(self.pod.ip, path))
    }

    /// Waits until it says so.
    pub(crate) fn says(&self, words: &str) {
        for _ in 0..200 {
            if self.log().contains(words) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not say {words:?}: {}", self.log());
    }

    pub(crate) fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.child.id().to_string()];
        assert!(Command::new("kill").args(arguments).status().expect("there is kill").success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Ends it as a machine does that loses its power.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.ended();
    }

    /// Waits until it is ready, as the kubelet does.
    pub(crate) fn wait_until_ready(&mut self, net: &Net) {
        let ip = self.pod.ip;
        for _ in 0..600 {
            assert!(!self.has_ended(), "{ip}: {}", self.log());
            if self.status(net, "/ready") == Some(200) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{ip} is never ready: {}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() && std::env::var_os("STUNNER_CLUSTER_LOG").is_some() {
            eprintln!("--- {} ---\n{}", self.pod.namespace, self.log());
        }
    }
}

fn keep(output: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("it is free");
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// The status of a health endpoint.
fn status(ip: Ipv4Addr, path: &str) -> Option<u16> {
    let patience = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((ip, 8086)), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// Where cargo puts examples, beside the directory of this test.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let binary =
        test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("examples/direct-one2one-call");
    assert!(binary.exists(), "build it first: cargo build -p stunner-examples --example direct-one2one-call");
    binary
}

/// The name server of the cluster: it knows the addresses of the headless Service.
pub(crate) struct Dns {
    program: Program,
    hosts: PathBuf,
}

impl Dns {
    pub(crate) fn start(net: &Net) -> Self {
        let pod = net.pod("dns", DNS);
        let hosts = std::env::temp_dir().join(format!("{}-hosts", pod.namespace));
        fs::write(&hosts, "").expect("a file");
        let (listen, hosts_file) =
            (format!("--listen-address={DNS}"), format!("--addn-hosts={}", hosts.display()));
        let arguments = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--local=/cluster.local/",
            "--local-ttl=1",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
            "--bind-interfaces",
            &listen,
            &hosts_file,
        ];
        Self { program: Program::start(&pod, Path::new("dnsmasq"), &arguments), hosts }
    }

    /// These are the replicas from now on.
    pub(crate) fn set(&self, replicas: &[Ipv4Addr]) {
        let name = "stunner-replicas.default.svc.cluster.local";
        let line = |&ip: &Ipv4Addr| format!("{ip} {name}\n{} {name}\n", v6(ip));
        // From one moment on: an earlier signal may have it read at any time.
        let new = self.hosts.with_extension("new");
        fs::write(&new, replicas.iter().map(line).collect::<String>()).expect("a file");
        fs::rename(new, &self.hosts).expect("it is there");
        self.program.signal("HUP");
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.hosts);
    }
}
