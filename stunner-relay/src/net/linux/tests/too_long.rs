//! What is too long for its way: the DF bit, what ICMP says of it, and what the kernel says at once.

use socket2::{Domain, Protocol, Socket, Type};
use stunner_proto::attribute::{DontFragment, Icmp};

use super::{
    icmp::{Router, has_error},
    ring::{Relay, received},
    *,
};

/// More than a datagram can have, and what the kernel does not even try.
static TOO_LONG: [u8; 65_535] = [0; 65_535];

const WHOLE: Marks = Marks { traffic_class: 0, hop_limit: None, dont_fragment: true };

/// A way that is said to be too narrow, and is as wide as loopback: what the kernel remembers of it does not matter.
pub(super) const WIDE: u32 = 65_535;

const fn narrow(mtu: u32) -> IcmpError {
    IcmpError { kind: 3, code: 4, mtu }
}

/// Whether the next datagram from this port has the DF bit.
fn has_df(wire: &StdUdpSocket, port: u16) -> bool {
    let mut bytes = [0; 2_048];
    loop {
        let len = wire.recv(&mut bytes).expect("a datagram");
        // Behind 20 bytes of an IPv4 header.
        if bytes[20..22] == port.to_be_bytes() {
            assert!(bytes[..len].ends_with(b"data"), "{:02x?}", &bytes[..len]);
            return bytes[6] & 0x40 != 0;
        }
    }
}

#[tokio::test]
async fn xlt_03_and_04_on_the_wire_a_datagram_has_the_df_bit_where_it_was_asked_for_and_not_otherwise() {
    let wire = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return eprintln!("not tested: no raw sockets are allowed here");
        }
        wire => wire.expect("a raw socket"),
    };
    // Few others send to this address of loopback.
    let peer = StdUdpSocket::bind((Ipv4Addr::new(127, 77, 0, 1), 0)).expect("an address of loopback");
    let to = peer.local_addr().expect("an address");
    wire.bind(&to.into()).expect("the same one");
    wire.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let wire = StdUdpSocket::from(wire);
    let (relay, _) = relay();
    let own = relay.local_addr().expect("an address");

    for whole in [false, true, false, true, true, false] {
        let marks = Marks { dont_fragment: whole, ..Marks::default() };
        assert_eq!(relay.try_send(&[datagram(to, b"data", marks)]).expect("it is sent"), 1);

        assert_eq!(has_df(&wire, own.port()), whole);
    }
}

#[test]
fn icm_01_who_asked_for_the_df_bit_is_told_where_the_way_is_too_narrow() {
    let Some(router) = Router::new(V4) else { return };
    let call = over_udp();
    let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };
    let peer = call.peer.local_addr().expect("an address");
    let mut bytes = [0; 128];
    let send = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([2; 12]), &mut bytes);
    let send = send.attribute(&XorPeerAddress(peer)).attribute(&DontFragment).attribute(&Data(b"data"));
    let len = send.finish().expect("it fits");
    client.send(&bytes[..len]).expect("it is sent");
    // It has left.
    marks(&call.peer);

    router.tell(narrow(WIDE), call.relayed, peer);

    let told = call.client.receive();
    let told = Message::parse(&told).expect("a message");
    assert_eq!((told.class(), told.method()), (Class::Indication, Method::DATA));
    assert_eq!(told.require::<XorPeerAddress>().ok(), Some(XorPeerAddress(peer)));
    assert_eq!(told.require::<Icmp>().ok(), Some(Icmp { kind: 3, code: 4, data: WIDE }));
}

#[tokio::test]
async fn what_icmp_says_of_a_datagram_with_the_df_bit_is_told_though_its_peer_has_a_socket_of_its_own() {
    let Some(router) = Router::new(V4) else { return };
    for first in [true, false] {
        let Some(mut relay) = Relay::new() else { return };
        let busy = socket(V4);
        let to = busy.local_addr().expect("an address");
        let ask = || relay.socket.try_send(&[datagram(to, b"whole", WHOLE)]).expect("it is sent");
        if first {
            ask();
        }
        (0..40).for_each(|_| relay.send(&[&busy, &busy], b"data"));
        if !first {
            ask();
        }

        router.tell(narrow(WIDE), relay.address, to);

        relay.error().await;
        assert_eq!(relay.socket.try_recv_error().expect("a socket"), Some((narrow(WIDE), to)));
    }
}

#[tokio::test]
async fn a_packet_that_is_too_big_for_a_way_of_ipv6_is_told() {
    let Some(router) = Router::new(V6) else { return };
    let (relay, peer) = relay_at(V6);
    let (own, to) = (relay.local_addr().expect("an address"), peer.local_addr().expect("an address"));
    // The kernel does not believe that there is a way of this width: nobody else's datagrams are shorter for it.
    let error = IcmpError { kind: 2, code: 0, mtu: 1 << 16 };

    router.tell(error, own, to);

    assert!(has_error(&relay).await);
    assert_eq!(relay.try_recv_error().expect("a socket"), Some((error, to)));
}

#[tokio::test]
async fn what_the_kernel_finds_too_long_is_no_error_of_a_peer_and_wakes_nobody_twice() {
    for marks in [Marks::default(), WHOLE] {
        let (relay, peer) = relay();
        let to = peer.local_addr().expect("an address");

        let error = relay.try_send(&[datagram(to, &TOO_LONG, marks)]).expect_err("it is too long");

        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert!(has_error(&relay).await);
        assert_eq!(relay.try_recv_error().expect("a socket"), None);
        // Long enough to see that nothing comes.
        assert!(tokio::time::timeout(Duration::from_millis(50), relay.ready()).await.is_err());
    }
}

#[tokio::test]
async fn what_the_kernel_finds_too_long_is_taken_out_of_the_queue_of_a_socket_of_the_ring_once() {
    let Some(mut relay) = Relay::new() else { return };
    let other = relay.another(StdUdpSocket::bind((V4, 0)).expect("a socket"));
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    let data = [datagram(to, b"data", Marks::default())];
    for marks in [Marks::default(), WHOLE] {
        let long = [datagram(to, &TOO_LONG, marks)];

        relay.volley(&[(&relay.socket, &long), (&other, &data), (&other, &data)]);

        relay.error().await;
        assert_eq!(relay.socket.try_recv_error().expect("a socket"), None);
        let left = receive::take_error(relay.socket.fd()).expect_err("nothing is left");
        assert_eq!(left.kind(), io::ErrorKind::WouldBlock);
        assert!(relay.is_quiet().await);
    }
}

/// A relayed transport address, and a peer to which the way is narrow: the kernel remembers for minutes what is said here
/// of this address of loopback.
fn narrowed(last: u8) -> Option<(LinuxSocket, StdUdpSocket)> {
    let router = Router::new(V4)?;
    let peer = StdUdpSocket::bind((Ipv4Addr::new(127, 77, 0, last), 0)).expect("an address of loopback");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let (relay, _) = relay();
    let own = relay.local_addr().expect("an address");
    router.tell(narrow(600), own, peer.local_addr().expect("an address"));
    Some((relay, peer))
}

/// Whether so many datagrams of this length come.
fn come(peer: &StdUdpSocket, count: usize, len: usize) -> bool {
    (0..count).all(|_| peer.recv(&mut [0; 2_048]).expect("a datagram") == len)
}

#[tokio::test]
async fn a_train_that_is_too_long_for_the_way_arrives_and_the_next_ones_are_trains() {
    let Some((relay, peer)) = narrowed(2) else { return };
    let to = peer.local_addr().expect("an address");
    let before = relay.shared.takes.get();

    let marks = Marks { traffic_class: 0xB8, ..Marks::default() };
    send_all(&relay, &[datagram(to, &[7; 1_200], marks); 3]);

    assert!(come(&peer, 3, 1_200));
    assert_eq!(relay.shared.takes.get(), before);
}

#[tokio::test]
async fn a_train_that_is_too_long_for_the_way_and_has_marks_that_are_refused_arrives_without_them() {
    let Some((relay, peer)) = narrowed(3) else { return };
    let to = peer.local_addr().expect("an address");
    let before = relay.shared.takes.get();

    // No kernel takes a hop limit of 0.
    let marks = Marks { hop_limit: Some(0), ..Marks::default() };
    send_all(&relay, &[datagram(to, &[7; 1_200], marks); 3]);

    assert!(come(&peer, 3, 1_200));
    assert_eq!(relay.shared.takes.get(), Takes { marks: false, ..before });
}

#[tokio::test]
async fn a_datagram_with_the_df_bit_is_sent_whatever_the_kernel_believes_of_the_way() {
    let Some((relay, peer)) = narrowed(4) else { return };
    let to = peer.local_addr().expect("an address");

    assert_eq!(relay.try_send(&[datagram(to, &[7; 1_200], WHOLE)]).expect("it is sent"), 1);

    assert!(come(&peer, 1, 1_200));
}

#[tokio::test]
async fn a_datagram_that_nobody_can_have_does_not_switch_off_the_train_behind_it() {
    let (relay, peer) = relay();
    let data = |to| datagram(to, b"data", Marks::default());
    let to = peer.local_addr().expect("an address");
    let before = relay.shared.takes.get();

    send_all(&relay, &[data(SocketAddr::new(V4, 0)), data(to), data(to)]);

    assert_eq!([received(&peer).0, received(&peer).0], [b"data", b"data"]);
    assert_eq!(relay.shared.takes.get(), before);
}

#[tokio::test]
async fn datagrams_that_wait_for_others_with_another_df_bit_are_no_error() {
    let Some(mut relay) = Relay::new() else { return };
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    let both = [datagram(to, b"whole", WHOLE), datagram(to, b"data", Marks::default())];

    assert_eq!(relay.socket.try_send(&both).expect("it is sent"), 1);

    assert!(relay.is_quiet().await);
}
