//! The tutorial's deployment: replicas, the page, their Services, their configuration.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use stunner_relay::Transport;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    call::Call,
    leg::Kind,
    net::{Net, PUBLIC, Pod, WEB},
    program::{Dns, Program, binary},
    rules,
    signaling::{HOST, Server, User},
};

/// How long calls are watched to see whether they go on.
const WATCH: Duration = Duration::from_millis(1500);

/// All of it. Programs end before the network does.
pub(crate) struct Cluster {
    /// Where the clients are.
    pub(crate) outside: Runtime,
    pub(crate) replicas: Vec<Program>,
    /// Those that end.
    pub(crate) ending: Vec<Program>,
    dns: Dns,
    web: Program,
    certificate: CertificateDer<'static>,
    /// What replicas are told besides.
    arguments: Vec<&'static str>,
    next: u8,
    directory: Directory,
    pub(crate) net: Net,
}

/// The mounted ConfigMap and Secrets.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Cluster {
    /// The page and so many replicas; `None` where that is not possible.
    pub(crate) fn start(
        name: &str,
        replicas: usize,
        variables: &[(&str, &str)],
        arguments: &[&'static str],
    ) -> Option<Self> {
        let net = Net::new(name)?;
        rules::set_up(&net);
        let path = std::env::temp_dir().join(format!("stunner-cluster-{name}-{}", std::process::id()));
        let directory = Directory(path);
        let certificate = configure(&directory.0, variables);
        let dns = Dns::start(&net, &directory.0);
        let pod = net.pod("web", WEB);
        let key = |name: &str| directory.0.join("keys").join(name).display().to_string();
        let (crt, key) = (key("server.crt"), key("server.key"));
        let web = run(&pod, &directory.0, &["--no-turn", "--tls-cert", &crt, "--tls-key", &key]);
        let entrance = net.entrance("outside");
        let outside = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(entrance)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut cluster = Self {
            outside,
            replicas: Vec::new(),
            ending: Vec::new(),
            dns,
            web,
            certificate,
            arguments: arguments.to_vec(),
            next: 10,
            directory,
            net,
        };
        cluster.add(replicas);
        cluster.web.wait_until_ready(&cluster.net);
        cluster.route();
        Some(cluster)
    }

    /// Starts replicas, and waits until they are ready. Nobody is sent to them yet.
    pub(crate) fn add(&mut self, count: usize) {
        let before = self.replicas.len();
        for _ in 0..count {
            self.next += 1;
            let pod = self.net.pod(&format!("stunner-{}", self.next), Ipv4Addr::new(10, 244, 0, self.next));
            rules::label(&self.net, pod.ip);
            let arguments = ["--no-signaling", "--relay-peers", "stunner-replicas", "--drain-timeout", "120"];
            self.replicas.push(run(&pod, &self.directory.0, &[&arguments, &self.arguments[..]].concat()));
        }
        self.publish();
        for replica in &mut self.replicas[before..] {
            replica.wait_until_ready(&self.net);
        }
    }

    /// Addresses of all replicas, those that end included, are in DNS, as the headless Service has it.
    fn publish(&self) {
        let all = self.replicas.iter().chain(&self.ending).map(|replica| replica.pod.ip);
        self.dns.set(&all.collect::<Vec<_>>());
    }

    /// Has the Service send new clients to all replicas that do not end.
    pub(crate) fn route(&self) {
        rules::route(&self.net, &self.addresses());
    }

    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        self.replicas.iter().map(|replica| replica.pod.ip).collect()
    }

    /// Ends the oldest replicas as Kubernetes does: nobody new is sent to them, and they get a signal.
    pub(crate) fn terminate(&mut self, count: usize) {
        let terminated: Vec<_> = self.replicas.drain(..count).collect();
        self.route();
        for replica in terminated {
            replica.signal("TERM");
            self.ending.push(replica);
        }
    }

    /// How many of those that end have ended; their addresses are gone then.
    pub(crate) fn reap(&mut self) -> usize {
        let all = std::mem::take(&mut self.ending).into_iter();
        let with_end = all.map(|mut replica| (replica.has_ended(), replica));
        let (ended, ending): (Vec<_>, Vec<_>) = with_end.partition(|(ended, _)| *ended);
        self.ending = ending.into_iter().map(|(_, replica)| replica).collect();
        let count = ended.len();
        for (_, mut replica) in ended {
            assert!(replica.ended().success(), "{}", replica.log());
            rules::unlabel(&self.net, replica.pod.ip);
            self.net.forget(replica.pod.ip);
        }
        self.publish();
        count
    }

    /// Kills the oldest replica, and returns its address.
    pub(crate) fn kill(&mut self) -> Ipv4Addr {
        let mut killed = self.replicas.remove(0);
        killed.kill();
        let name = killed.pod.namespace.rsplit('-').next().expect("a number").to_owned();
        self.net.unplug(&format!("stunner-{name}"));
        rules::unlabel(&self.net, killed.pod.ip);
        self.publish();
        self.route();
        self.net.forget(killed.pod.ip);
        killed.pod.ip
    }

    /// Places calls all at once, a fifth of them over TCP and a fifth relayed over IPv6, and waits until they are up.
    pub(crate) fn call(&self, name: &str, count: usize) -> Vec<Call> {
        let placed: Vec<JoinHandle<Call>> = (0..count)
            .map(|number| {
                let kinds = [Kind::UDP, Kind::UDP, Kind::UDP, Kind::V6, Kind::TCP];
                let kind = kinds[number % kinds.len()];
                let call = Call::place(format!("{name}-{number}"), kind, self.certificate.clone());
                self.outside.spawn(call)
            })
            .collect();
        let up = placed.into_iter().filter_map(|call| self.outside.block_on(call).ok());
        up.collect()
    }

    /// Watches calls for a while: how many go on both ways.
    pub(crate) fn going_on(&self, calls: &[Call]) -> usize {
        let counts = || calls.iter().map(Call::counts).collect::<Vec<_>>();
        let before = counts();
        std::thread::sleep(WATCH);
        let goes_on = |(before, after): (&[(u64, u64); 2], &[(u64, u64); 2])| {
            before.iter().zip(after).all(|(before, after)| after.0 >= before.0 + 10)
        };
        before.iter().zip(&counts()).filter(|&pair| goes_on(pair)).count()
    }

    /// TURN over UDP, as a user is told.
    pub(crate) fn server(&self) -> Server {
        let certificate = self.certificate.clone();
        let asked = self
            .outside
            .spawn(async { User::register("somebody", certificate).await.server(Transport::Udp) });
        self.outside.block_on(asked).expect("the page answers")
    }

    /// Ends calls.
    pub(crate) fn hang_up(&self, calls: Vec<Call>) {
        let ended: Vec<_> = calls.into_iter().map(|call| self.outside.spawn(call.hang_up())).collect();
        for call in ended {
            self.outside.block_on(call).expect("it ends");
        }
    }
}

/// Packets that arrived and that did not, of all these calls.
pub(crate) fn packets(calls: &[Call]) -> (u64, u64) {
    calls.iter().flat_map(Call::counts).fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

/// Writes what Kubernetes would mount, and returns the page's certificate.
fn configure(directory: &Path, variables: &[(&str, &str)]) -> CertificateDer<'static> {
    let public = PUBLIC.to_string();
    let config =
        [("STUNNER_PUBLIC_ADDR", &*public), ("STUNNER_PUBLIC_PORT", "3478"), ("STUNNER_PORT", "3478")];
    let config = config
        .iter()
        .chain(&[("STUNNER_TRANSPORT_TCP_ENABLE", "1"), ("STUNNER_HEALTH_ADDR", "0.0.0.0:8086")]);
    let secret = [("STUNNER_AUTH_TYPE", "longterm"), ("STUNNER_SHARED_SECRET", "a secret of this test")];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([HOST.to_owned(), public.clone()]).expect("a certificate");
    let (pem, key) = (cert.pem(), signing_key.serialize_pem());
    let keys = [("server.crt", &*pem), ("server.key", &*key)];
    let files = config.chain(variables).map(|file| ("config", file));
    for (mounted, (name, value)) in
        files.chain(secret.iter().map(|file| ("secret", file))).chain(keys.iter().map(|file| ("keys", file)))
    {
        fs::create_dir_all(directory.join(mounted)).expect("a directory");
        fs::write(directory.join(mounted).join(name), value).expect("a file");
    }
    cert.der().clone()
}

/// Starts one half of the program with the mounted configuration.
fn run(pod: &Pod, directory: &Path, arguments: &[&str]) -> Program {
    let path = |name: &str| directory.join(name).display().to_string();
    let (config, secret) = (path("config"), path("secret"));
    let arguments = [arguments, &["--config-dir", &config, "--config-dir", &secret]].concat();
    Program::start(pod, &binary(), &arguments, &[])
}
