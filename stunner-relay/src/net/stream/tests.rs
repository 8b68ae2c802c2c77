//! How long a connection may be idle, by a clock that goes on when everybody waits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use stunner_proto::{
    Class, Message, Method,
    attribute::{
        Data, Lifetime, MobilityTicket, Nonce, RequestedTransport, XorPeerAddress, XorRelayedAddress,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    task::LocalSet,
    time::sleep,
};

use super::*;
use crate::{
    Config, LiveRelays, RelayAddress, RelayOnly, Server, StaticUser,
    net::{
        Shared, TokioNetwork,
        batch::{FRONT, SLOT},
        ports::Ports,
        testing::request,
        worker::Parts,
    },
};

/// More connections than a test makes.
const MANY: usize = 100;

/// A worker that has nobody yet.
fn worker() -> Rc<Worker<TokioNetwork>> {
    worker_of(MANY)
}

/// One that takes so many connections.
fn worker_of(max_connections: usize) -> Rc<Worker<TokioNetwork>> {
    let peers = RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range"));
    let mut config = Config::new("example.com", StaticUser::new("user", "pass"), peers);
    config.mobility = true;
    let worker = Worker::new(Parts {
        network: TokioNetwork,
        server: Server::new(Arc::new(config), [1; 32], TokioNetwork.now()),
        listeners: vec![None],
        ports: Ports::new(49_152..=65_535, [1; 32]),
        reservations: Arc::default(),
        addresses: vec![RelayAddress::bind(Ipv4Addr::LOCALHOST.into())],
        shared: Arc::new(Shared::new(Arc::new(LiveRelays::default()), &[], 1)),
        max_added_latency: None,
        max_connections,
        index: 0,
    });
    worker.start();
    worker
}

/// A connection with a worker that has nobody else.
async fn connected() -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    connect(worker(), listener).await
}

async fn connect(worker: Rc<Worker<TokioNetwork>>, listener: TcpListener) -> TcpStream {
    let server = listener.local_addr().expect("an address");
    tokio::task::spawn_local(accept(worker, ListenerId(0), listener));
    TcpStream::connect(server).await.expect("a connection")
}

/// A frame of a stream that is a message.
async fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    stream.read_exact(&mut bytes).await.expect("the header of a message");
    bytes.resize(20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 0);
    stream.read_exact(&mut bytes[20..]).await.expect("a message");
    bytes
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.expect("it is sent");
    message(stream).await
}

/// An allocation of an hour that its client may come back to, and which this peer may send to; its address.
async fn allocate_for(stream: &mut TcpStream, peer: Option<SocketAddr>) -> SocketAddr {
    let refused = ask(stream, &request(Method::ALLOCATE, None, |message| message)).await;
    let nonce = Message::parse(&refused).expect("a message").require::<Nonce<'_>>().expect("a nonce");
    let allocate = request(Method::ALLOCATE, Some(nonce.as_str()), |message| {
        message
            .attribute(&RequestedTransport::UDP)
            .attribute(&Lifetime(3_600))
            .attribute(&MobilityTicket(&[]))
    });
    let allocated = ask(stream, &allocate).await;
    let allocated = Message::parse(&allocated).expect("a message");
    if let Some(peer) = peer.map(XorPeerAddress) {
        let permit =
            request(Method::CREATE_PERMISSION, Some(nonce.as_str()), |message| message.attribute(&peer));
        ask(stream, &permit).await;
    }
    allocated.require::<XorRelayedAddress>().expect("an address").0
}

async fn allocate(stream: &mut TcpStream) {
    allocate_for(stream, None).await;
}

/// After how long the server closes a connection on which nothing comes.
async fn closed_after(mut stream: TcpStream) -> Duration {
    let start = Instant::now();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    start.elapsed()
}

/// Whether it took as long, give or take what a timer is late.
fn about(time: Duration, expected: Duration) -> bool {
    time >= expected && time < expected + Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn str_11_a_connection_with_an_allocation_may_be_idle() {
    LocalSet::new()
        .run_until(async {
            let mut stream = connected().await;
            allocate(&mut stream).await;

            sleep(Duration::from_secs(3_000)).await;

            let bound = ask(&mut stream, &request(Method::BINDING, None, |message| message)).await;
            assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_an_allocation_is_closed_after_a_minute() {
    let time = LocalSet::new().run_until(async { closed_after(connected().await).await }).await;

    assert!(about(time, IDLE), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn str_18_half_a_frame_is_not_waited_for_though_there_is_an_allocation() {
    LocalSet::new()
        .run_until(async {
            let mut stream = connected().await;
            allocate(&mut stream).await;

            stream.write_all(b"\x40\x00\x00\x10abc").await.expect("it is sent");
            let time = closed_after(stream).await;

            assert!(about(time, IDLE), "{time:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn str_18_who_sends_byte_by_byte_has_the_same_minute() {
    LocalSet::new()
        .run_until(async {
            let mut stream = connected().await;
            let start = Instant::now();

            for byte in [0x40, 0x00] {
                stream.write_all(&[byte]).await.expect("it is sent");
                sleep(Duration::from_secs(25)).await;
            }
            closed_after(stream).await;

            let time = start.elapsed();
            assert!(about(time, IDLE), "{time:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn str_18_a_frame_that_begins_after_a_silence_has_a_minute_to_come_to_its_end() {
    LocalSet::new()
        .run_until(async {
            let mut stream = connected().await;
            // The kernel knows nothing of virtual time, and would keep the second half back.
            stream.set_nodelay(true).expect("it is a stream");
            allocate(&mut stream).await;
            let binding = request(Method::BINDING, None, |message| message);
            let (first, second) = binding.split_at(10);

            sleep(Duration::from_secs(50)).await;
            stream.write_all(first).await.expect("it is sent");
            sleep(Duration::from_secs(50)).await;

            let bound = ask(&mut stream, second).await;
            assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
            stream.write_all(first).await.expect("it is sent");
            let time = closed_after(stream).await;
            assert!(about(time, IDLE), "{time:?}");
        })
        .await;
}

#[tokio::test]
async fn between_many_frames_of_one_stream_others_have_their_turn() {
    LocalSet::new()
        .run_until(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(1 << 19).expect("a size");
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
            let worker = worker();
            let mut stream = connect(worker.clone(), socket.listen(1).expect("a listener")).await;
            let binding = request(Method::BINDING, None, |message| message);
            ask(&mut stream, &binding).await;
            let answered = || worker.server.borrow().counters().successes;
            let before = answered();

            // Three times what is read at once, less a frame.
            let many = 3 * (FRONT + SLOT) / binding.len() - 1;
            stream.write_all(&binding.repeat(many)).await.expect("it is sent");
            let mut seen = vec![answered() - before];
            while seen.last().is_some_and(|&last| last < many as u64) {
                yield_now().await;
                seen.push(answered() - before);
            }

            assert!(seen.iter().any(|&seen| seen > 0 && seen < many as u64), "{seen:?}");
        })
        .await;
}

#[tokio::test]
async fn str_18_a_long_frame_is_waited_for_where_there_is_an_allocation_and_nowhere_else() {
    LocalSet::new()
        .run_until(async {
            let half = [&b"\x40\x00\xFF\xFF"[..], &[0; MAX_STRANGER]].concat();
            let [mut stranger, mut client] = [connected().await, connected().await];
            allocate(&mut client).await;

            stranger.write_all(&half).await.expect("it is sent");
            client.write_all(&half).await.expect("it is sent");

            assert_eq!(stranger.read(&mut [0; 16]).await.unwrap_or(0), 0);
            let rest = 4 + (1 << 16) - half.len();
            client.write_all(&vec![0; rest]).await.expect("it is sent");
            let bound = ask(&mut client, &request(Method::BINDING, None, |message| message)).await;
            assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
        })
        .await;
}

/// How much waits for a client that asks and does not read, when the worker has done what it can.
async fn waits(worker: &Rc<Worker<TokioNetwork>>, stream: &mut TcpStream) -> usize {
    let binding = request(Method::BINDING, None, |message| message);
    let late = || worker.late.get();
    let before = late();
    while late() == before {
        stream.write_all(&binding.repeat(1_000)).await.expect("it is sent");
        yield_now().await;
    }
    worker.connections.borrow()[0].backlog.borrow().memory()
}

#[tokio::test]
async fn little_waits_for_a_client_without_an_allocation_that_does_not_read() {
    LocalSet::new()
        .run_until(async {
            for (has_allocation, most) in [(false, MAX_STRANGER), (true, MAX_BACKLOG)] {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                let worker = worker();
                let mut stream = connect(worker.clone(), listener).await;
                if has_allocation {
                    allocate(&mut stream).await;
                }

                let waits = waits(&worker, &mut stream).await;

                assert!((most / 2..=most).contains(&waits), "{waits}, {has_allocation}");
            }
        })
        .await;
}

#[tokio::test]
async fn what_comes_for_who_is_gone_does_not_go_to_who_has_the_place_of_that_connection() {
    LocalSet::new()
        .run_until(async {
            let worker = worker();
            let [first, second] = [(); 2].map(|()| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
            let listener = |bound: std::io::Result<std::net::TcpListener>| {
                let bound = bound.expect("a free port");
                bound.set_nonblocking(true).expect("it does not block");
                TcpListener::from_std(bound).expect("a listener")
            };
            let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let permitted = peer.local_addr().ok();
            let mut gone = connect(worker.clone(), listener(first)).await;
            let of_gone = allocate_for(&mut gone, permitted).await;
            drop(gone);
            while !worker.connections.borrow().is_empty() {
                yield_now().await;
            }
            let mut there = connect(worker.clone(), listener(second)).await;
            let of_there = allocate_for(&mut there, permitted).await;

            for (data, to) in [(b"hers", of_there), (b"his!", of_gone)] {
                peer.try_send_to(data, to).expect("it is sent");
            }

            let came = message(&mut there).await;
            let Data(data) = Message::parse(&came).expect("a message").require().expect("data");
            assert_eq!(data, b"hers");
            let next = ask(&mut there, &request(Method::BINDING, None, |message| message)).await;
            assert_eq!(Message::parse(&next).expect("a message").class(), Class::SuccessResponse);
        })
        .await;
}

/// Connections to a worker that takes two, and its address: both have been answered something.
async fn two_of_two(greet: impl AsyncFn(&mut TcpStream)) -> ([TcpStream; 2], SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let server = listener.local_addr().expect("an address");
    let mut first = connect(worker_of(2), listener).await;
    let mut second = TcpStream::connect(server).await.expect("a connection");
    greet(&mut first).await;
    greet(&mut second).await;
    ([first, second], server)
}

async fn bind(stream: &mut TcpStream) {
    let bound = ask(stream, &request(Method::BINDING, None, |message| message)).await;
    assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
}

#[tokio::test]
async fn where_all_places_are_taken_one_without_an_allocation_loses_its_own() {
    LocalSet::new()
        .run_until(async {
            let ([mut first, mut second], server) = two_of_two(bind).await;

            let mut third = TcpStream::connect(server).await.expect("a connection");
            bind(&mut third).await;

            let [mut byte, mut other] = [[0]; 2];
            let (closed, mut left) = tokio::select! {
                read = first.read(&mut byte) => (read, second),
                read = second.read(&mut other) => (read, first),
            };
            assert_eq!(closed.expect("the end of the stream"), 0);
            bind(&mut left).await;
        })
        .await;
}

#[tokio::test]
async fn who_has_an_allocation_loses_no_place() {
    LocalSet::new()
        .run_until(async {
            let ([mut first, mut second], server) = two_of_two(allocate).await;

            let mut third = TcpStream::connect(server).await.expect("a connection");

            assert_eq!(third.read(&mut [0]).await.expect("the end of the stream"), 0);
            bind(&mut first).await;
            bind(&mut second).await;
        })
        .await;
}

#[tokio::test]
async fn however_many_come_at_once_as_many_have_a_place_as_there_are_and_none_for_ever() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let server = listener.local_addr().expect("an address");
            let worker = worker_of(1);
            let _first = connect(worker.clone(), listener).await;
            let come = || std::net::TcpStream::connect(server).expect("a connection");

            let _others = [(); 20].map(|()| come());
            let mut last = TcpStream::connect(server).await.expect("a connection");
            bind(&mut last).await;

            let is_open = |(_, found): &(usize, &Rc<Connection>)| !found.closed.get();
            assert_eq!(worker.connections.borrow().iter().filter(is_open).count(), 1);
            while worker.connections.borrow().len() > 1 {
                yield_now().await;
            }
            bind(&mut TcpStream::connect(server).await.expect("a connection")).await;
            assert_eq!(last.read(&mut [0]).await.expect("the end of the stream"), 0);
        })
        .await;
}
