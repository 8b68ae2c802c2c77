//! A socket that always has something keeps nobody from their turn.
#![cfg(all(feature = "tokio", target_os = "linux"))]

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    rc::Rc,
    time::{Duration, Instant},
};

use stunner_proto::{
    Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{RequestedTransport, XorPeerAddress, XorRelayedAddress},
};
use stunner_relay::{
    RelayAddress, RelayOnly, TurnServer,
    net::{Datagram, DatagramSocket, LinuxNetwork, Network, Ready, RecvBatch, TokioNetwork},
};
use tokio::{
    task::{LocalSet, yield_now},
    time::timeout,
};

/// More packets than are received in one turn, and no more than wait in a socket of any system.
const MANY: usize = 200;

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_nonblocking(true).expect("it does not block");
    socket
}

/// A server in this thread, and a client that knows it.
fn start<N: Network>(network: N, listener: N::Socket) -> (TurnServer, UdpSocket) {
    let (client, address) = (socket(), listener.local_addr().expect("an address"));
    client.connect(address).expect("it is there");
    let server = TurnServer::builder()
        .unauthenticated()
        .policy(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")))
        .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
        .start_on(network, [listener]);
    (server.expect("a server on loopback"), client)
}

fn start_portable() -> (TurnServer, UdpSocket) {
    start(TokioNetwork, tokio::net::UdpSocket::from_std(socket()).expect("a socket"))
}

fn start_linux(network: LinuxNetwork) -> (TurnServer, UdpSocket) {
    let listener = network.listener(socket()).expect("a socket");
    start(network, listener)
}

/// One after another, each with a server on another network.
async fn on_each_network(test: impl AsyncFn(TurnServer, UdpSocket)) {
    for network in 0..3 {
        LocalSet::new()
            .run_until(async {
                let (server, client) = match network {
                    0 => start_portable(),
                    1 => start_linux(LinuxNetwork::default()),
                    _ => start_linux(LinuxNetwork::with_io_uring()),
                };
                test(server, client).await;
            })
            .await;
    }
}

fn request(method: Method, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let request = MessageBuilder::new(Class::Request, method, TransactionId([1; 12]), &mut bytes);
    let len = build(request).finish().expect("it fits");
    bytes.truncate(len);
    bytes
}

async fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).expect("it is sent");
    let mut bytes = [0; 512];
    let answer = async {
        loop {
            match client.recv(&mut bytes) {
                Ok(len) => return len,
                Err(_) => yield_now().await,
            }
        }
    };
    let len = timeout(PATIENCE, answer).await.expect("an answer");
    bytes[..len].to_vec()
}

/// How much has come by the end of each turn in which something has, until all has.
async fn by_turn(mut came: impl FnMut() -> usize) -> Vec<usize> {
    let mut seen = vec![0];
    let all = async {
        while seen.last().is_some_and(|&last| last < MANY) {
            yield_now().await;
            seen.push(came());
            seen.dedup();
        }
    };
    timeout(PATIENCE, all).await.expect("all of it comes in time");
    seen
}

/// The same of what comes to a client.
async fn received_by_turn(client: &UdpSocket) -> Vec<usize> {
    let mut count = 0;
    by_turn(|| {
        count += std::iter::from_fn(|| client.recv(&mut [0; 512]).ok()).count();
        count
    })
    .await
}

fn has_a_turn_between(seen: &[usize]) -> bool {
    seen.iter().any(|&count| count > 0 && count < MANY)
}

#[tokio::test]
async fn between_many_packets_of_one_listener_others_have_their_turn() {
    on_each_network(async |_server, client| {
        let binding = request(Method::BINDING, |message| message);
        (0..MANY).for_each(|_| assert_eq!(client.send(&binding).expect("it is sent"), binding.len()));

        let seen = received_by_turn(&client).await;

        assert!(has_a_turn_between(&seen), "{seen:?}");
    })
    .await;
}

#[tokio::test]
async fn between_many_packets_of_one_relayed_transport_address_others_have_their_turn() {
    on_each_network(async |_server, client| {
        let peer = socket();
        let there = XorPeerAddress(peer.local_addr().expect("an address"));
        let allocate = request(Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
        let allocated = ask(&client, &allocate).await;
        let permit = request(Method::CREATE_PERMISSION, |message| message.attribute(&there));
        ask(&client, &permit).await;
        let allocated = Message::parse(&allocated).expect("a message");
        let XorRelayedAddress(relayed) = allocated.require().expect("an address");
        (0..MANY).for_each(|_| assert_eq!(peer.send_to(b"data", relayed).expect("it is sent"), 4));

        let seen = received_by_turn(&client).await;

        assert!(has_a_turn_between(&seen), "{seen:?}");
    })
    .await;
}

/// What comes to it cannot be received, one packet after the other.
struct Failing(Rc<Cell<usize>>);

impl DatagramSocket for Failing {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([192, 0, 2, 1], 3478).into())
    }

    async fn ready(&self) -> io::Result<Ready> {
        if self.0.get() < MANY {
            Ok(Ready { data: true, error: false })
        } else {
            std::future::pending().await
        }
    }

    fn try_recv(&self, _: &mut RecvBatch) -> io::Result<()> {
        self.0.set(self.0.get() + 1);
        Err(ErrorKind::ConnectionReset.into())
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        Ok(datagrams.len())
    }
}

struct Nowhere;

impl Network for Nowhere {
    type Bound = ();
    type Socket = Failing;

    fn bind_relay(&self, _: SocketAddr) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn attach(&self, (): ()) -> io::Result<Failing> {
        Err(ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        TokioNetwork.now()
    }
}

#[tokio::test]
async fn between_many_packets_that_cannot_be_received_others_have_their_turn() {
    LocalSet::new()
        .run_until(async {
            let failed = Rc::new(Cell::new(0));
            let server = TurnServer::builder()
                .unauthenticated()
                .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
                .start_on(Nowhere, [Failing(failed.clone())]);
            let _server = server.expect("a server in memory");

            let seen = by_turn(|| failed.get()).await;

            assert!(has_a_turn_between(&seen), "{seen:?}");
        })
        .await;
}
