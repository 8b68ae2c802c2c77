//! The tutorial's deployment: replicas, the page, their Services, their configuration.

use std::{net::Ipv4Addr, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use stunner_relay::Transport;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    call::{Call, Counts},
    leg::Kind,
    mount::Mount,
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
    pub(crate) web: Program,
    certificate: CertificateDer<'static>,
    /// What replicas are told besides.
    arguments: Vec<&'static str>,
    next: u8,
    pub(crate) mounts: Mounts,
    pub(crate) net: Net,
}

/// What is mounted.
pub(crate) struct Mounts {
    pub(crate) config: Mount,
    pub(crate) secret: Mount,
    keys: Mount,
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
        let (mounts, certificate) = Mounts::new(name, variables);
        let dns = Dns::start(&net);
        let key = |name: &str| mounts.keys.path().join(name).display().to_string();
        let (crt, key) = (key("server.crt"), key("server.key"));
        let pod = net.pod("web", WEB);
        let web = mounts.run(&pod, &["--no-turn", "--tls-cert", &crt, "--tls-key", &key]);
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
            mounts,
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
            self.replicas.push(self.mounts.run(&pod, &[&arguments, &self.arguments[..]].concat()));
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
        let goes_on = |before: &[Counts; 2], after: &[Counts; 2]| {
            before.iter().zip(after).all(|(before, after)| after.received >= before.received + 10)
        };
        before.iter().zip(&counts()).filter(|(before, after)| goes_on(before, after)).count()
    }

    /// TURN over UDP, as a user is told.
    pub(crate) fn server(&self) -> Server {
        let (certificate, name) = (self.certificate.clone(), format!("somebody-{}", rand::random::<u64>()));
        let asked = self
            .outside
            .spawn(async move { User::register(&name, certificate).await.server(Transport::Udp) });
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
pub(crate) fn packets(calls: &[Call]) -> Counts {
    let add = |sum: Counts, side: Counts| Counts {
        received: sum.received + side.received,
        lost: sum.lost + side.lost,
    };
    calls.iter().flat_map(Call::counts).fold(Counts { received: 0, lost: 0 }, add)
}

impl Mounts {
    /// Also returns the page's certificate.
    fn new(name: &str, variables: &[(&str, &str)]) -> (Self, CertificateDer<'static>) {
        let public = PUBLIC.to_string();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([HOST.to_owned(), public.clone()]).expect("a certificate");
        let mount = |kind: &str, files: &[(&str, &str)]| {
            let unique = format!("stunner-cluster-{name}-{kind}-{}", std::process::id());
            Mount::new(std::env::temp_dir().join(unique), files)
        };
        let config = [
            ("STUNNER_PUBLIC_ADDR", &*public),
            ("STUNNER_PUBLIC_PORT", "3478"),
            ("STUNNER_PORT", "3478"),
            ("STUNNER_TRANSPORT_TCP_ENABLE", "1"),
            ("STUNNER_HEALTH_ADDR", "0.0.0.0:8086"),
        ];
        let secret = [("STUNNER_AUTH_TYPE", "longterm"), ("STUNNER_SHARED_SECRET", "a secret of this test")];
        let keys = [("server.crt", &*cert.pem()), ("server.key", &*signing_key.serialize_pem())];
        let mounts = Self {
            config: mount("config", &[&config, variables].concat()),
            secret: mount("secret", &secret),
            keys: mount("keys", &keys),
        };
        (mounts, cert.der().clone())
    }

    /// Starts one half of the program with what is mounted.
    fn run(&self, pod: &Pod, arguments: &[&str]) -> Program {
        let dirs = [&self.config, &self.secret].map(|mount| mount.path().display().to_string());
        let dirs = ["--config-dir", &dirs[0], "--config-dir", &dirs[1]];
        Program::start(pod, &binary(), &[arguments, &dirs].concat())
    }
}
