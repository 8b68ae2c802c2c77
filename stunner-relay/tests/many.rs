//! As many allocations as a process can have, and one more.
#![cfg(all(feature = "tokio", target_os = "linux"))]

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    process::Command,
    time::Duration,
};

use stunner_proto::{
    Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{ErrorCode, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};
use stunner_relay::{Listener, RelayAddress, RelayOnly, TurnServer};

/// The variable that a process of fewer files has.
const FEW_FILES: &str = "STUNNER_TEST_FEW_FILES";

/// What this process has open besides allocations, in all its tests.
const OTHERS: usize = 500;

/// A server whose relayed ports are none that the kernel chooses for clients, and whose workers have few files, however
/// many cores there are.
fn server(io_uring: bool) -> TurnServer {
    TurnServer::builder()
        .io_uring(io_uring)
        .unauthenticated()
        .policy(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")))
        .listen(Listener::udp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
        .relay_ports(10_000..=32_767)
        .workers(NonZeroUsize::new(2).expect("two"))
        .start()
        .expect("a server on loopback")
}

/// The soft limit of open files, or the hard one.
fn file_limit(column: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("that of files");
    line.split_whitespace().nth(column).and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX)
}

/// A client with an IP address of its own, so that its five-tuple was nobody's before.
fn client(server: &TurnServer, number: usize) -> UdpSocket {
    let [high, low] = u16::try_from(number).expect("a small number").to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0)).expect("a socket");
    socket.connect(server.listeners()[0].address()).expect("it is there");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    socket
}

fn ask(
    client: &UdpSocket,
    method: Method,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut bytes = [0; 512];
    let message = build(MessageBuilder::new(Class::Request, method, TransactionId([1; 12]), &mut bytes));
    let len = message.finish().expect("it fits");
    client.send(&bytes[..len]).expect("it is sent");
    let len = client.recv(&mut bytes).expect("an answer");
    bytes[..len].to_vec()
}

/// The relayed transport address, or the code of the error.
fn allocate(client: &UdpSocket) -> Result<SocketAddr, u16> {
    let answer = ask(client, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
    let answer = Message::parse(&answer).expect("a message");
    match answer.require::<XorRelayedAddress>() {
        Ok(relayed) => Ok(relayed.0),
        Err(_) => Err(answer.require::<ErrorCode<'_>>().expect("an error").code()),
    }
}

/// Whether what a peer sends to the relayed transport address reaches the client.
fn relays(client: &UdpSocket, relayed: SocketAddr, peer: &UdpSocket) -> bool {
    let there = peer.local_addr().expect("an address");
    let permitted =
        ask(client, Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress(there)));
    assert_eq!(Message::parse(&permitted).expect("a message").class(), Class::SuccessResponse);
    peer.send_to(b"hello", relayed).expect("it is sent");
    let mut bytes = [0; 512];
    let len = client.recv(&mut bytes).expect("a Data indication");
    bytes[..len].windows(5).any(|window| window == b"hello")
}

/// Runs a test of this binary alone, in a process whose limits of files a shell has set.
fn with_limit(limit: &str, test: &str) {
    let script = format!("ulimit {limit} && exec \"$0\" --exact {test} --nocapture");
    let binary = std::env::current_exe().expect("this binary");
    let ran = Command::new("sh").args(["-c", &script]).arg(binary).env(FEW_FILES, "1").output();
    let output = ran.expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn has_few_files() -> bool {
    std::env::var_os(FEW_FILES).is_some()
}

#[test]
fn one_process_has_nearly_as_many_allocations_as_it_may_have_files() {
    for io_uring in [true, false] {
        let server = server(io_uring);
        let count = file_limit(1).saturating_sub(OTHERS).clamp(1, 19_000);

        for number in 1..count {
            assert!(allocate(&client(&server, number)).is_ok(), "{number}, io_uring: {io_uring}");
        }
        let last = client(&server, count);
        let relayed = allocate(&last).expect("an allocation");

        assert_eq!(server.stats().allocations, count as u64);
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        assert!(relays(&last, relayed, &peer));
    }
}

#[test]
fn a_server_raises_the_limit_of_open_files_that_it_was_started_with() {
    if !has_few_files() {
        return with_limit("-Sn 64", "a_server_raises_the_limit_of_open_files_that_it_was_started_with");
    }
    assert_eq!(file_limit(0), 64);
    let server = server(true);

    assert_eq!(file_limit(0), file_limit(1));
    assert!((0..100).all(|number| allocate(&client(&server, number)).is_ok()));
}

#[test]
fn without_files_there_is_no_capacity_and_those_it_has_are_served() {
    if !has_few_files() {
        return with_limit("-n 200", "without_files_there_is_no_capacity_and_those_it_has_are_served");
    }
    for io_uring in [true, false] {
        let server = server(io_uring);
        // They need files, too: all are there before the first allocation.
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let first = client(&server, 0);
        let one_more: Vec<_> = (1..=10).map(|number| client(&server, number)).collect();
        let relayed = allocate(&first).expect("an allocation");
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }

        for client in &one_more {
            assert_eq!(allocate(client), Err(508), "io_uring: {io_uring}");
        }

        assert_eq!(server.stats().allocations, 1);
        assert!(relays(&first, relayed, &peer));
        drop(taken);
        assert!(allocate(&one_more[0]).is_ok());
    }
}
