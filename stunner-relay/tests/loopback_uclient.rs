//! TURN over real sockets, by a client that is not ours: coturn's `turnutils_uclient`, where it is installed.
#![cfg(feature = "tokio")]

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, UdpSocket},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use stunner_relay::{Listener, RelayAddress, RelayOnly, StaticUser, TurnServer, TurnServerBuilder};

/// How long a run of uclient may take.
const PATIENCE: Duration = Duration::from_secs(120);

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What it relays by: io_uring where there is one, epoll, and the sockets of every system.
type Sockets = fn(TurnServerBuilder) -> TurnServerBuilder;

const SOCKETS: [(&str, Sockets); 3] = [
    ("io_uring", |builder| builder),
    ("epoll", |builder| builder.io_uring(false)),
    ("portable", TurnServerBuilder::portable),
];

/// A relay-only server on loopback; `open` lets clients reach other programs there too.
fn server(open: bool, sockets: Sockets) -> TurnServer {
    let range = "127.0.0.0/8".parse().expect("a range");
    let policy = if open { RelayOnly::new().allow(range) } else { RelayOnly::new() };
    sockets(TurnServer::builder())
        .realm("example.com")
        .authenticator(StaticUser::new("user", "pass"))
        .policy(policy)
        .wide_channels()
        .listen(Listener::udp("127.0.0.1:0"))
        .listen(Listener::tcp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(LOCALHOST))
        .start()
        .expect("a server on loopback")
}

/// Sends back whatever it is sent, on a port and on the next one, where uclient expects RTCP. Returns the first.
fn echo() -> u16 {
    loop {
        let first = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
        let port = first.local_addr().expect("an address").port();
        let Some(Ok(next)) = port.checked_add(1).map(|next| UdpSocket::bind((LOCALHOST, next))) else {
            continue;
        };
        for socket in [first, next] {
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..len], from);
                }
            });
        }
        return port;
    }
}

/// Kills a process that is not done in time, which is when the sender that this returns is dropped.
fn limit(process: u32) -> Sender<()> {
    let (done, is_done) = channel();
    thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status();
            eprintln!("uclient does not end, and is killed: {killed:?}");
        }
    });
    done
}

/// Runs uclient with these arguments, and returns how many messages it sent and how many it missed.
fn uclient(arguments: &[&str], server: &TurnServer, transport: usize) -> Option<(u64, u64)> {
    let port = server.listeners()[transport].address().rsplit(':').next().expect("a port").to_owned();
    let child = Command::new("turnutils_uclient")
        .args(["-u", "user", "-w", "pass", "-n", "100", "-m", "4", "-l", "170", "-z", "5", "-p", &port])
        .args(arguments)
        .arg("127.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("CI").is_none(), "turnutils_uclient must be installed where CI is set");
        eprintln!("turnutils_uclient is not installed: nothing was tested");
        return None;
    };
    let _limit = limit(child.id());
    let mut sent = None;
    let mut lost = None;
    let mut log = String::new();
    for line in BufReader::new(child.stdout.take().expect("an output")).lines().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("tot_send_msgs=") {
            sent = rest.split(',').next().and_then(|number| number.trim().parse().ok());
        }
        if let Some((_, rest)) = line.split_once("Total lost packets") {
            lost = rest.trim().split(' ').next().and_then(|number| number.parse().ok());
        }
        log.push_str(&line);
        log.push('\n');
    }
    let status = child.wait().expect("uclient ends");
    assert!(status.success(), "{status}: {log}");
    Some((sent.unwrap_or_else(|| panic!("{log}")), lost.unwrap_or_else(|| panic!("{log}"))))
}

/// Asserts that uclient sent something and lost nothing.
fn loses_nothing(arguments: &[&str], transport: usize) {
    for (name, sockets) in SOCKETS {
        loses_nothing_on(arguments, transport, name, sockets);
    }
}

fn loses_nothing_on(arguments: &[&str], transport: usize, name: &str, sockets: Sockets) {
    let open = !arguments.contains(&"-y");
    let server = server(open, sockets);
    let peer_port = echo().to_string();
    let mut all = arguments.to_vec();
    if open {
        all.extend(["-e", "127.0.0.1", "-r", &peer_port]);
    }
    if let Some((sent, lost)) = uclient(&all, &server, transport) {
        assert!(sent >= 400, "{sent} sent");
        assert_eq!(lost, 0, "of {sent}, {name}; {:?}", server.stats());
    }
}

const UDP: usize = 0;
const TCP: usize = 1;

#[test]
fn uclient_loses_nothing_over_udp_with_channels() {
    loses_nothing(&[], UDP);
}

#[test]
fn uclient_loses_nothing_over_udp_with_send_indications() {
    loses_nothing(&["-s"], UDP);
}

#[test]
fn uclient_loses_nothing_over_tcp_with_channels() {
    loses_nothing(&["-t"], TCP);
}

#[test]
fn uclient_loses_nothing_over_tcp_with_send_indications() {
    loses_nothing(&["-t", "-s"], TCP);
}

#[test]
fn uclient_loses_nothing_from_client_to_client_over_udp_with_channels() {
    loses_nothing(&["-y"], UDP);
}

#[test]
fn uclient_loses_nothing_from_client_to_client_over_udp_with_send_indications() {
    loses_nothing(&["-y", "-s"], UDP);
}

#[test]
fn uclient_loses_nothing_from_client_to_client_over_tcp_with_channels() {
    loses_nothing(&["-y", "-t"], TCP);
}

#[test]
fn uclient_loses_nothing_from_client_to_client_over_tcp_with_send_indications() {
    loses_nothing(&["-y", "-t", "-s"], TCP);
}
