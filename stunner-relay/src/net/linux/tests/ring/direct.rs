//! A busy peer, and the second socket that is connected to it.

use std::os::fd::BorrowedFd;

use super::*;

/// What tells the second socket from the first.
const MARK: u8 = 0xB8;

fn peer() -> StdUdpSocket {
    socket(V4)
}

impl Relay {
    /// Makes a peer a busy one, and marks what leaves by the socket that is connected to it.
    fn be_busy_with(&self, peer: &StdUdpSocket) {
        for _ in 0..40 {
            self.send(&[peer, peer], b"data");
        }
        (0..80).for_each(|_| assert_eq!(marks(peer).traffic_class, 0));
        self.mark_second();
    }

    #[expect(unsafe_code, reason = "there is only a number of the second socket")]
    fn mark_second(&self) {
        let fd = self.delivered().direct.fd().expect("there is a second socket");
        // SAFETY: the socket is open for as long as nobody else is busier.
        let second = unsafe { BorrowedFd::borrow_raw(fd) };
        mark(&SockRef::from(&second), MARK);
    }
}

#[tokio::test]
async fn a_busy_peer_has_a_socket_of_its_own_and_all_peers_are_heard_at_the_same_address() {
    let Some(mut relay) = Relay::new() else { return };
    let (busy, other, third) = (
        socket(Ipv4Addr::LOCALHOST.into()),
        socket(Ipv4Addr::LOCALHOST.into()),
        socket(Ipv4Addr::LOCALHOST.into()),
    );

    for _ in 0..40 {
        relay.send(&[&busy, &busy], b"data");
    }
    relay.send(&[&other, &busy], b"data");

    assert!((0..81).all(|_| received(&busy) == (b"data".to_vec(), relay.address)));
    assert_eq!(received(&other), (b"data".to_vec(), relay.address));
    assert!(relay.delivered().direct.fd().is_some());
    for peer in [&busy, &other, &third] {
        peer.send_to(b"answer", relay.address).expect("it is sent");
        assert_eq!(relay.receive_one().await, (b"answer".to_vec(), peer.local_addr().expect("an address")));
    }
}

#[tokio::test]
async fn another_peer_that_becomes_the_busy_one_is_reached_and_heard() {
    let Some(mut relay) = Relay::new() else { return };
    let peers = [socket(Ipv4Addr::LOCALHOST.into()), socket(Ipv4Addr::LOCALHOST.into())];

    for peer in [&peers[0], &peers[1], &peers[0]] {
        for _ in 0..40 {
            relay.send(&[peer, peer], b"data");
        }
        assert!((0..80).all(|_| received(peer) == (b"data".to_vec(), relay.address)));
        for peer in &peers {
            peer.send_to(b"answer", relay.address).expect("it is sent");
            assert_eq!(relay.receive_one().await.1, peer.local_addr().expect("an address"));
        }
    }
}

#[tokio::test]
async fn the_port_of_a_socket_that_is_gone_is_free_at_once_with_that_of_its_busy_peer() {
    let Some(relay) = Relay::new() else { return };
    let busy = socket(Ipv4Addr::LOCALHOST.into());
    for _ in 0..40 {
        relay.send(&[&busy, &busy], b"data");
    }

    let Relay { network, socket, address, .. } = relay;
    drop(socket);

    assert!(network.bind_relay(address).is_ok());
}

#[tokio::test]
async fn a_datagram_that_is_alone_in_its_turn_leaves_by_the_socket_of_its_busy_peer_too() {
    let Some(relay) = Relay::new() else { return };
    let busy = peer();
    relay.be_busy_with(&busy);

    relay.send_alone(busy.local_addr().expect("an address"), b"data");
    relay.send(&[&busy, &busy], b"data");

    assert_eq!([(); 3].map(|()| marks(&busy).traffic_class), [MARK; 3]);
}

#[tokio::test]
async fn a_train_for_a_busy_peer_leaves_by_the_socket_that_single_datagrams_leave_by() {
    let Some(relay) = Relay::new() else { return };
    let busy = peer();
    relay.be_busy_with(&busy);

    relay.send_train(&busy, b"data");

    assert_eq!([(); 2].map(|()| marks(&busy).traffic_class), [MARK; 2]);
}

#[tokio::test]
async fn what_leaves_by_two_sockets_comes_in_the_order_in_which_it_was_sent() {
    let Some(relay) = Relay::new() else { return };
    let (busy, other) = (peer(), peer());
    let address = busy.local_addr().expect("an address");

    relay.be_busy_with(&busy);
    let mut sent = Vec::new();
    for number in 0..40 {
        relay.send_alone(address, &[number, 0]);
        relay.send(&[&other, &busy], &[number, 1]);
        relay.send_train(&busy, &[number, 2]);
        sent.extend([0, 1, 2, 2].map(|kind| vec![number, kind]));
    }

    assert_eq!(sent.iter().map(|_| received(&busy).0).collect::<Vec<_>>(), sent);
}

#[tokio::test]
async fn without_a_ring_to_send_by_a_busy_peer_has_its_socket_all_the_same() {
    let Some(relay) = Relay::new() else { return };
    relay.rings().lose_sending();
    let busy = peer();
    relay.be_busy_with(&busy);

    relay.send(&[&busy, &busy], b"data");

    assert_eq!([(); 2].map(|()| marks(&busy).traffic_class), [MARK; 2]);
}

#[tokio::test]
async fn a_socket_that_the_ring_does_not_find_among_its_files_sends_by_itself() {
    let Some(relay) = Relay::new() else { return };
    let peers = [peer(), peer()];
    relay.rings().lose_file(relay.socket.registered().expect("the rings know it"));

    relay.send(&[&peers[0], &peers[1]], b"data");

    assert!(peers.iter().all(|peer| received(peer) == (b"data".to_vec(), relay.address)));
    assert!(relay.rings().sends());
}

#[tokio::test]
async fn an_error_of_a_datagram_before_costs_a_busy_peer_no_other() {
    let Some(mut relay) = Relay::new() else { return };
    let busy = peer();
    relay.be_busy_with(&busy);
    let address = busy.local_addr().expect("an address");

    turn_away(&busy);
    relay.send_alone(address, b"nobody is there");
    busy.connect(relay.address).expect("an address");
    relay.send_alone(address, b"data");

    assert_eq!(received(&busy).0, b"data");
    while relay.errors.is_empty() {
        relay.receive(|_| panic!("nothing was sent")).await;
    }
    assert_eq!(relay.socket.try_recv_error().expect("it is asked").map(|(_, to)| to), Some(address));
}

#[tokio::test]
async fn of_peers_that_are_busy_at_once_each_turn_gives_one_a_socket() {
    let Some(relay) = Relay::new() else { return };
    let sockets = [(); 3].map(|()| relay.another(relay.network.bind_relay((V4, 0).into()).expect("a port")));
    let to = peer().local_addr().expect("an address");
    let parts = [&b"data"[..], &[], &[]].map(IoSlice::new);
    let datagram = [Datagram { to, from: None, marks: Marks::default(), parts }];
    let turn = || {
        relay.volley(&sockets.each_ref().map(|socket| (socket, &datagram[..])));
        let second = |socket: &&LinuxSocket| matches!(&socket.socket, Watched::Delivered(delivered) if delivered.direct.fd().is_some());
        sockets.iter().filter(second).count()
    };

    let seconds: Vec<_> = (0..35).map(|_| turn()).collect();

    assert_eq!(seconds[30..], [0, 1, 2, 3, 3]);
}
