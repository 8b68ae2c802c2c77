//! What leaves by one relayed transport address leaves in order, and by that address, whatever the ring does.

use super::{
    ring::{Relay, received},
    *,
};

/// Where nobody listens for as long as the socket is held: who sends there hears of it at once.
fn nowhere() -> (StdUdpSocket, SocketAddr) {
    let held = socket(V4);
    turn_away(&held);
    let address = held.local_addr().expect("an address");
    (held, address)
}

/// Another socket of the same ring, and a datagram that it has to send to somebody.
fn besides(relay: &Relay) -> (LinuxSocket, StdUdpSocket) {
    (relay.another(StdUdpSocket::bind((V4, 0)).expect("a socket")), socket(V4))
}

fn plain(to: SocketAddr, data: &[u8]) -> Datagram<'_> {
    datagram(to, data, Marks::default())
}

#[tokio::test]
async fn what_leaves_by_one_socket_keeps_its_order_though_an_icmp_error_comes_in_between() {
    let Some(relay) = Relay::new() else { return };
    let (other, beside) = besides(&relay);
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    let filler = [plain(beside.local_addr().expect("an address"), b"other")];
    let (_held, nowhere) = nowhere();

    relay.volley(&[
        (&relay.socket, &[plain(nowhere, b"lost")]),
        (&other, &filler),
        (&relay.socket, &[plain(to, b"first")]),
        (&other, &filler),
        (&relay.socket, &[plain(to, b"second")]),
    ]);

    assert_eq!([received(&peer).0, received(&peer).0], [&b"first"[..], b"second"]);
    assert_eq!([received(&beside).0, received(&beside).0], [b"other", b"other"]);
}

#[tokio::test]
async fn several_datagrams_of_a_socket_do_not_overtake_one_that_was_before_them() {
    let Some(relay) = Relay::new() else { return };
    let (other, beside) = besides(&relay);
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    let filler = [plain(beside.local_addr().expect("an address"), b"other")];

    relay.volley(&[
        (&relay.socket, &[plain(to, b"first")]),
        (&other, &filler),
        (&relay.socket, &[plain(to, b"second"), plain(to, b"third")]),
    ]);

    let all = [received(&peer).0, received(&peer).0, received(&peer).0];
    assert_eq!(all, [&b"first"[..], b"second", b"third"]);
    assert_eq!(received(&beside).0, b"other");
}

#[tokio::test]
async fn a_peer_that_becomes_busy_in_the_middle_of_a_volley_has_all_in_order() {
    let Some(relay) = Relay::new() else { return };
    let (other, beside) = besides(&relay);
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    let filler = [plain(beside.local_addr().expect("an address"), b"other")];
    let numbers: Vec<_> = (0..60_u8).map(|number| [number]).collect();
    let datagrams: Vec<_> = numbers.iter().map(|number| [plain(to, number)]).collect();

    let pairs = datagrams.iter().flat_map(|datagram| [(&relay.socket, &datagram[..]), (&other, &filler[..])]);
    relay.volley(&pairs.collect::<Vec<_>>());

    assert!(numbers.iter().all(|number| received(&peer) == (number.to_vec(), relay.address)));
}

#[tokio::test]
async fn the_socket_of_another_network_sends_by_itself() {
    let (Some(relay), Some(foreign)) = (Relay::new(), Relay::new()) else { return };
    let peers = [socket(V4), socket(V4)];
    let [first, second] = peers.each_ref().map(|peer| plain(peer.local_addr().expect("an address"), b"data"));

    relay.volley(&[(&foreign.socket, &[first]), (&relay.socket, &[second])]);

    assert_eq!(received(&peers[0]), (b"data".to_vec(), foreign.address));
    assert_eq!(received(&peers[1]), (b"data".to_vec(), relay.address));
}
