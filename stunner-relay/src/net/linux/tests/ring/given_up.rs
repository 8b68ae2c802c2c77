//! A ring that does not work any more: sockets are read one by one, as where there never was one.

use std::{
    sync::mpsc::{Sender as Tell, channel},
    thread,
};

use tokio::{sync::oneshot, task::LocalSet, time::timeout};

use super::*;

impl Relay {
    /// Waits for something by the socket alone, and hands each packet to `each`.
    async fn read(&mut self, mut each: impl FnMut(Packet<'_>)) {
        let ready = timeout(PATIENCE, self.socket.ready()).await;
        assert!(ready.expect("something comes").expect("it is polled").data);
        self.batch.clear();
        if self.socket.try_recv(&mut self.batch).is_ok() {
            self.batch.packets().for_each(&mut each);
        }
    }

    async fn read_one(&mut self) -> Vec<u8> {
        let mut found = None;
        while found.is_none() {
            self.read(|packet| found = Some(packet.data.to_vec())).await;
        }
        found.expect("it was looked for")
    }
}

#[tokio::test]
async fn who_waits_for_a_ring_is_told_that_it_was_given_up_and_so_is_who_asks_again() {
    let Some(relay) = Relay::new() else { return };
    let Relay { network, socket, mut batch, mut errors, .. } = relay;
    // What is left of trying it out.
    network.receive(&mut batch, &mut errors);
    let waits = async {
        let arrived = timeout(PATIENCE, network.arrived()).await;
        arrived.expect("it is told").expect_err("it is told that it is over");
    };
    let fails = async { network.shared.rings.as_ref().expect("there are some").give_up() };

    assert_eq!(network.name(), "io_uring");
    tokio::join!(waits, fails);

    assert_eq!(network.name(), "epoll");
    assert!(network.arrived().await.is_err());
    assert!(!socket.deliver(TOKEN));
    let bound = network.bind_relay((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    assert!(matches!(network.attach(bound).expect("a socket").socket, Watched::Polled(_)));
}

#[tokio::test]
async fn a_kernel_that_does_not_take_a_socket_is_not_asked_again_and_the_socket_is_polled() {
    let Some(relay) = Relay::new() else { return };
    let bound = relay.network.bind_relay((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let other = relay.network.attach(bound).expect("a socket");
    relay.rings().sever();

    assert!(!other.deliver(TOKEN));

    assert!(timeout(PATIENCE, relay.network.arrived()).await.expect("it is told").is_err());
}

#[tokio::test]
async fn all_peers_are_heard_by_the_first_socket_when_the_ring_was_given_up() {
    let Some(mut relay) = Relay::new() else { return };
    let peers = [socket(V4), socket(V4)];
    for _ in 0..40 {
        relay.send(&[&peers[0], &peers[0]], b"data");
    }

    relay.rings().give_up();
    assert!(relay.network.arrived().await.is_err());
    // What came to the second socket until now is lost.
    assert!(timeout(Duration::from_millis(1), relay.socket.ready()).await.is_err());

    for peer in &peers {
        peer.send_to(b"answer", relay.address).expect("it is sent");
        assert_eq!(relay.read_one().await, b"answer");
    }
    for _ in 0..40 {
        relay.send(&[&peers[0], &peers[1]], b"data");
    }
    assert!(relay.delivered().direct.fd().is_none());
    assert_eq!(received(&peers[1]), (b"data".to_vec(), relay.address));
}

#[tokio::test]
async fn a_busy_peer_gets_no_second_socket_when_nobody_would_read_it() {
    let Some(relay) = Relay::new() else { return };
    let busy = socket(V4);

    relay.rings().give_up();
    for _ in 0..40 {
        relay.send(&[&busy, &busy], b"data");
    }

    assert!((0..80).all(|_| received(&busy) == (b"data".to_vec(), relay.address)));
    assert!(relay.delivered().direct.fd().is_none());
}

#[tokio::test]
async fn what_the_ring_counted_as_dropped_is_not_counted_again() {
    let Some(mut relay) = Relay::new() else { return };
    SockRef::from(relay.socket.socket.get_ref()).set_recv_buffer_size(1).expect("the least that there is");
    let peer = socket(V4);
    // The ring has 128 buffers, and a batch room for fewer.
    (0..1_000).for_each(|_| assert_eq!(peer.send_to(b"data", relay.address).expect("it is sent"), 4));
    while relay.network.dropped() == 0 {
        relay.receive(|_| ()).await;
        peer.send_to(b"data", relay.address).expect("it is sent");
    }

    relay.rings().give_up();
    assert!(relay.network.arrived().await.is_err());
    peer.send_to(b"data", relay.address).expect("it is sent");
    relay.read_one().await;

    assert_eq!(relay.socket.dropped(), 0);
}

/// A server on a thread of its own, whose ring fails when it is told to.
struct Failing {
    address: SocketAddr,
    fail: oneshot::Sender<Tell<()>>,
    _stop: oneshot::Sender<()>,
}

impl Failing {
    /// `None` where there is no ring.
    fn start() -> Option<Self> {
        let (fail, failing) = oneshot::channel::<Tell<()>>();
        let (stop, stopped) = oneshot::channel();
        let (tell, started) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            LocalSet::new().block_on(&runtime.expect("a runtime"), async move {
                let network = LinuxNetwork::with_io_uring();
                let bound = bind_listener((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port");
                let listener = network.listener(bound).expect("a socket");
                let address = listener.local_addr().expect("an address");
                let server = TurnServer::builder()
                    .realm("example.com")
                    .authenticator(StaticUser::new("user", "pass"))
                    .policy(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")))
                    .relay_address(RelayAddress::bind(V4))
                    .start_on(network.clone(), [listener])
                    .expect("a server");
                let rings = network.shared.rings.as_ref();
                tell.send(rings.map(|_| address)).expect("it is waited for");
                if let (Some(rings), Ok(done)) = (rings, failing.await) {
                    rings.give_up();
                    done.send(()).expect("it is waited for");
                }
                let _ = stopped.await;
                drop(server);
            });
        });
        let address = started.recv().expect("it starts")?;
        Some(Self { address, fail, _stop: stop })
    }
}

/// Whether what a peer sends comes to the client, and the other way.
fn talk(client: &Wire, relayed: SocketAddr, peer: &StdUdpSocket) {
    client.send(b"\x40\x00\x00\x04data");
    assert_eq!(received(peer), (b"data".to_vec(), relayed));
    peer.send_to(b"data", relayed).expect("it is sent");
    assert_eq!(client.receive(), b"\x40\x00\x00\x04data");
}

#[test]
fn calls_go_on_and_new_ones_begin_when_the_ring_of_a_worker_fails() {
    let Some(Failing { address, fail, _stop }) = Failing::start() else { return };
    let (first, second) = (connected(address), connected(address));
    let (relayed, nonce) = first.allocate();
    let peers = [socket(V4), socket(V4)];
    first.bind_channel(&nonce, peers[0].local_addr().expect("an address"));
    talk(&first, relayed, &peers[0]);

    let (done, failed) = channel();
    fail.send(done).expect("it is waited for");
    failed.recv().expect("it fails");

    let (also_relayed, nonce) = second.allocate();
    second.bind_channel(&nonce, peers[1].local_addr().expect("an address"));
    talk(&second, also_relayed, &peers[1]);
    talk(&first, relayed, &peers[0]);
}
