//! A server as a process of its own, whose CPU time and memory the operating system tells.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stunner_relay::{Listener, RelayAddress, RelayOnly, StaticUser, TurnServer};

use super::{PASSWORD, REALM, RELAY_PORTS, USER, client};

/// The argument with which a benchmark is executed again, to be the server.
const SERVE: &str = "--serve";

/// Where servers listen: below [`RELAY_PORTS`], so that no relayed transport address is in the way.
const FIRST_PORT: u16 = 10_000;

/// The unit of times in `/proc/PID/stat`: a hundredth of a second on every architecture that Linux has here.
const TICK_NS: u64 = 10_000_000;

/// A running server; it ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

/// CPU time of a process since its start, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    /// Of all its threads, to the nanosecond where the kernel keeps scheduler statistics.
    total: u64,
    user: u64,
    system: u64,
}

impl CpuTime {
    /// User and system time since `earlier`. Their sum is exact; how it is shared comes from ticks.
    pub(crate) fn since(self, earlier: Self) -> (f64, f64) {
        let part = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let (user, system) = (part(self.user, earlier.user), part(self.system, earlier.system));
        let total = part(self.total, earlier.total);
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        (total * share, total * (1.0 - share))
    }
}

impl Process {
    /// Starts this program again as a server of ours, where packets may wait for one another for some microseconds.
    pub(crate) fn ours(workers: u16, added_latency: u32, io_uring: bool) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Self::start(|port| {
            let mut command = Command::new(program);
            command.args([SERVE, &port.to_string(), &workers.to_string(), &added_latency.to_string()]);
            command.arg(io_uring.to_string());
            command
        })
    }

    /// Starts a server on this port, and waits until it answers there over UDP and TCP.
    pub(crate) fn start(command: impl FnOnce(u16) -> Command) -> io::Result<Self> {
        let port = free_port()?;
        let mut command = command(port);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut process = Self { child, address };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        for _ in 0..500 {
            if let Some(status) = process.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended at once: {status}")));
            }
            socket.send_to(&client::binding([1; 12]), address)?;
            if socket.recv(&mut [0; 256]).is_ok() && TcpStream::connect(address).is_ok() {
                return Ok(process);
            }
        }
        Err(io::Error::other("the server does not answer"))
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        let id = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name of the program is in parentheses, and may contain anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else { return Err(unreadable("stat")) };
        let (user, system) = (user * TICK_NS, system * TICK_NS);
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let times = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total += times.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(CpuTime { total: if total > 0 { total } else { user + system }, user, system })
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kibibytes = number.and_then(|number| number.parse::<u64>().ok());
        kibibytes.map(|number| number * 1024).ok_or_else(|| unreadable("status"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unreadable(file: &str) -> io::Error {
    io::Error::other(format!("/proc/PID/{file} cannot be read"))
}

/// A port that is free for UDP and for TCP; each call tries others first.
fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 5_000).unwrap_or(0);
    for _ in 0..1_000 {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + own.wrapping_add(next) % (*RELAY_PORTS.start() - FIRST_PORT);
        let address = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Allows this process, and the servers that it starts, as many open files as the system permits. Returns how many.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let raised = getrlimit(Resource::Nofile).current;
    raised.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// Is the server, where this process was started to be one, and returns when its parent has gone.
pub(crate) fn serve_if_asked() -> io::Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, serve, port, workers, latency, io_uring] = arguments.as_slice() else { return Ok(false) };
    if serve != SERVE {
        return Ok(false);
    }
    let number = |text: &str| text.parse().map_err(io::Error::other);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number(port)?));
    let everyone = "127.0.0.0/8".parse().map_err(io::Error::other)?;
    let latency = Duration::from_micros(latency.parse().map_err(io::Error::other)?);
    let mut server = TurnServer::builder()
        .io_uring(io_uring.parse().map_err(io::Error::other)?)
        .realm(REALM)
        .authenticator(StaticUser::new(USER, PASSWORD))
        .policy(RelayOnly::new().allow(everyone))
        .listen(Listener::udp(address))
        .listen(Listener::tcp(address))
        .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
        .relay_ports(RELAY_PORTS)
        .workers(workers.parse().map_err(io::Error::other)?);
    if !latency.is_zero() {
        server = server.max_added_latency(latency);
    }
    let server = server.start().map_err(io::Error::other)?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(server);
    Ok(true)
}
