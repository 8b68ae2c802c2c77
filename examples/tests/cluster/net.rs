//! Nodes of a cluster as network namespaces: pods that are routed, the world outside, and a router between them.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces of other runs are told by the process that made them.
const PREFIX: &str = "stunner-cluster-";

/// The gateway of every pod, as some container networks have it.
const GATEWAY: &str = "169.254.1.1";
const GATEWAY_V6: &str = "fe80::1";

/// The one address of the Services.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Where the pod of DNS is.
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);

/// Where the pod of the page is.
pub(crate) const WEB: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 3);

/// A network that is gone when this is dropped.
pub(crate) struct Net {
    prefix: String,
    /// The namespaces that were made.
    made: Mutex<Vec<String>>,
}

/// Where a pod lives.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) ip: Ipv4Addr,
}

/// The other address that a pod has.
pub(crate) fn v6(ip: Ipv4Addr) -> Ipv6Addr {
    let [.., last] = ip.octets();
    Ipv6Addr::new(0xFD00, 0x244, 0, 0, 0, 0, 0, last.into())
}

impl Net {
    /// The router and the world outside; `None` where namespaces are not to be had, after saying so.
    pub(crate) fn new(name: &str) -> Option<Self> {
        remove_what_others_left();
        let net = Self { prefix: format!("{PREFIX}{}-{name}-", std::process::id()), made: Mutex::default() };
        if let Err(error) = net.namespace("router").and_then(|()| net.try_programs()) {
            let root = rustix::process::getuid().is_root();
            assert!(
                !root || std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "root in CI must be able to run this: {error}"
            );
            println!(
                "SKIPPED: {error}; this test needs root, network namespaces, and the programs ip, nft, conntrack and dnsmasq"
            );
            return None;
        }
        net.namespace("outside").expect("a namespace, as the one before");
        let (router, outside) = (net.name("router"), net.name("outside"));
        for command in [
            format!("-n {router} link set lo up"),
            format!("-n {router} addr add {PUBLIC}/32 dev lo"),
            format!("-n {router} link add outside type veth peer name eth0 netns {outside}"),
            format!("-n {router} addr add 198.51.100.1/24 dev outside"),
            format!("-n {router} link set outside up"),
            format!("-n {outside} addr add 198.51.100.2/24 dev eth0"),
            format!("-n {outside} link set eth0 up"),
            format!("-n {outside} link set lo up"),
            format!("-n {outside} route add default via 198.51.100.1"),
        ] {
            ip(&command).expect("a link");
        }
        net.inside("router", || {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("it forwards");
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("it forwards");
        });
        Some(net)
    }

    /// Whether there is all that is needed here.
    fn try_programs(&self) -> io::Result<()> {
        self.rules("list ruleset")?;
        for program in ["conntrack", "dnsmasq"] {
            output(Command::new(program).arg("--version"), "")?;
        }
        Ok(())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn namespace(&self, name: &str) -> io::Result<()> {
        ip(&format!("netns add {}", self.name(name)))?;
        self.made.lock().expect("it is free").push(self.name(name));
        Ok(())
    }

    /// A pod with an address of its own, whose programs find names where [`DNS`] is.
    pub(crate) fn pod(&self, name: &str, address: Ipv4Addr) -> Pod {
        self.namespace(name).expect("a namespace");
        let (router, pod, address_v6) = (self.name("router"), self.name(name), v6(address));
        for command in [
            format!("-n {router} link add {name} type veth peer name eth0 netns {pod}"),
            format!("-n {router} addr add {GATEWAY}/32 dev {name}"),
            format!("-n {router} addr add {GATEWAY_V6}/64 dev {name} nodad"),
            format!("-n {router} link set {name} up"),
            format!("-n {pod} addr add {address}/32 dev eth0"),
            format!("-n {pod} addr add {address_v6}/128 dev eth0 nodad"),
            format!("-n {pod} link set eth0 up"),
            format!("-n {pod} link set lo up"),
            format!("-n {pod} route add {GATEWAY} dev eth0 scope link"),
            format!("-n {pod} route add default via {GATEWAY}"),
            format!("-n {pod} route add default via {GATEWAY_V6} dev eth0"),
            format!("-n {router} route add {address}/32 dev {name}"),
            format!("-n {router} route add {address_v6}/128 dev {name}"),
        ] {
            ip(&command).expect("a link");
        }
        let resolv = format!(
            "nameserver {DNS}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
        );
        fs::create_dir_all(netns(&pod)).expect("a directory");
        fs::write(netns(&pod).join("resolv.conf"), resolv).expect("a file");
        Pod { namespace: pod, ip: address }
    }

    /// Takes a pod's link away, with all that is on it.
    pub(crate) fn unplug(&self, name: &str) {
        ip(&format!("-n {} link del {name}", self.name("router"))).expect("the link is there");
    }

    /// Forgets who was sent to an address that is gone, as kube-proxy does.
    pub(crate) fn forget(&self, address: Ipv4Addr) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name("router"), "conntrack", "-D", "--reply-src"]);
        // It is an error to it that there was nobody.
        let _ = output(command.arg(address.to_string()), "");
    }

    /// Runs something in a namespace, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, name: &str, run: impl FnOnce() -> T + Send) -> T {
        let name = self.name(name);
        thread::scope(|scope| {
            let ran = scope.spawn(move || {
                enter(&name);
                run()
            });
            ran.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What a thread does first that is to live outside.
    pub(crate) fn entrance(&self, name: &str) -> impl Fn() + Send + Sync + 'static {
        let name = self.name(name);
        move || enter(&name)
    }

    /// Has the router's packet filter take rules, all or none.
    pub(crate) fn rules(&self, rules: &str) -> io::Result<String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name("router"), "nft", "-f", "-"]);
        output(&mut command, rules)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in self.made.get_mut().expect("it is free").drain(..) {
            remove(&name);
        }
    }
}

/// Moves this thread.
fn enter(name: &str) {
    let file = File::open(Path::new("/run/netns").join(name)).expect("the namespace is there");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
}

/// What `ip netns exec` puts in the place of /etc.
fn netns(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

fn remove(name: &str) {
    // What is gone is gone.
    let _ = ip(&format!("netns del {name}"));
    let _ = fs::remove_dir_all(netns(name));
}

/// Runs that were killed could not clean up.
fn remove_what_others_left() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&name);
        }
    }
}

fn ip(arguments: &str) -> io::Result<String> {
    output(Command::new("ip").args(arguments.split(' ')), "")
}

/// What a program says to this input, if it ends well.
fn output(command: &mut Command, input: &str) -> io::Result<String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
    child.stdin.take().expect("a pipe").write_all(input.as_bytes())?;
    let done = child.wait_with_output()?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim())))
    }
}
