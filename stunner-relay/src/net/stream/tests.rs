//! How long a connection may be idle, by a clock that goes on when everybody waits.

use std::{net::Ipv4Addr, sync::Arc};

use stunner_proto::{
    Class, Message, Method,
    attribute::{Lifetime, Nonce, RequestedTransport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
    time::sleep,
};

use super::*;
use crate::{
    Config, LiveRelays, RelayAddress, RelayOnly, Server, StaticUser,
    net::{Shared, TokioNetwork, ports::Ports, testing::request, worker::Parts},
};

/// A connection with a worker that has nobody else.
async fn connected() -> TcpStream {
    let config = Config::new("example.com", StaticUser::new("user", "pass"), RelayOnly::new());
    let worker = Worker::new(Parts {
        network: TokioNetwork,
        server: Server::new(Arc::new(config), [1; 32], TokioNetwork.now()),
        listeners: vec![None],
        ports: Ports::new(49_152..=65_535, [1; 32]),
        reservations: Arc::default(),
        addresses: vec![RelayAddress::bind(Ipv4Addr::LOCALHOST.into())],
        shared: Arc::new(Shared::new(Arc::new(LiveRelays::default()), &[], 1)),
        max_added_latency: None,
        index: 0,
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let server = listener.local_addr().expect("an address");
    worker.start();
    tokio::task::spawn_local(accept(worker, ListenerId(0), listener));
    TcpStream::connect(server).await.expect("a connection")
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.expect("it is sent");
    let mut bytes = vec![0; 20];
    stream.read_exact(&mut bytes).await.expect("the header of an answer");
    bytes.resize(20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 0);
    stream.read_exact(&mut bytes[20..]).await.expect("an answer");
    bytes
}

/// An allocation of an hour.
async fn allocate(stream: &mut TcpStream) {
    let refused = ask(stream, &request(Method::ALLOCATE, None, |message| message)).await;
    let nonce = Message::parse(&refused).expect("a message").require::<Nonce<'_>>().expect("a nonce");
    let request = request(Method::ALLOCATE, Some(nonce.as_str()), |message| {
        message.attribute(&RequestedTransport::UDP).attribute(&Lifetime(3_600))
    });
    let allocated = ask(stream, &request).await;
    assert_eq!(Message::parse(&allocated).expect("a message").class(), Class::SuccessResponse);
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
