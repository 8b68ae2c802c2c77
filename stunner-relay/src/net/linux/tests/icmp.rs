//! ICMP errors: whichever comes, and whoever sent it, what is for others leaves. They are made here, which takes the right
//! to raw sockets.

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    ring::{Relay, received},
    too_long::WIDE,
    *,
};

/// Where routers tell of errors from.
pub(super) struct Router(pub(super) StdUdpSocket);

impl Router {
    /// `None` where that is not allowed, or there is no IPv6.
    pub(super) fn new(ip: IpAddr) -> Option<Self> {
        StdUdpSocket::bind((ip, 0)).ok()?;
        let (domain, protocol) = match ip {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        match Socket::new(domain, Type::RAW, Some(protocol)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("not tested: no raw sockets are allowed here");
                None
            }
            socket => Some(Self(socket.expect("a raw socket").into())),
        }
    }

    /// Tells of an error about a datagram.
    pub(super) fn tell(&self, error: IcmpError, from: SocketAddr, to: SocketAddr) {
        let message = message(error, from, to);
        let sent = self.0.send_to(&message, SocketAddr::new(from.ip(), 0)).expect("it is sent");
        assert_eq!(sent, message.len());
    }
}

/// An ICMP message about a datagram, as a router makes it.
pub(super) fn message(IcmpError { kind, code, mtu }: IcmpError, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(mtu.to_be_bytes());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.extend([0x45, 0, 0, 100, 0, 1, 0, 0, 64, 17, 0, 0]);
            bytes.extend([from.octets(), to.octets()].concat());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes.extend([0x60, 0, 0, 0, 0, 60, 17, 64]);
            bytes.extend([from.octets(), to.octets()].concat());
        }
        _ => panic!("they are of one family"),
    }
    bytes.extend([from.port().to_be_bytes(), to.port().to_be_bytes(), [0, 60], [0, 0]].concat());
    // That of ICMPv6 is the kernel's work.
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    // The carry of the carry, too.
    let folded = [(); 2].iter().fold(sum, |sum, ()| (sum & 0xFFFF) + (sum >> 16));
    let sum = !u16::try_from(folded).expect("it has few bytes");
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A peer that an error is about, which the datagrams of a test are not for.
fn somebody(ip: IpAddr) -> SocketAddr {
    let ip = if ip.is_ipv4() { "203.0.113.9".parse() } else { "2001:db8::9".parse() };
    SocketAddr::new(ip.expect("an address"), 9)
}

/// All errors of which the kernel tells sockets.
fn errors(ip: IpAddr) -> Vec<IcmpError> {
    let of = |kind, code| IcmpError { kind, code, mtu: 0 };
    if ip.is_ipv4() {
        let unreachable = (0..=15).filter(|&code| code != 4).map(|code| of(3, code));
        unreachable.chain([IcmpError { kind: 3, code: 4, mtu: WIDE }, of(11, 0), of(12, 0)]).collect()
    } else {
        let unreachable = (0..=6).map(|code| of(1, code));
        // The kernel does not believe that there is a way of this width.
        unreachable.chain([IcmpError { kind: 2, code: 0, mtu: 1 << 16 }, of(3, 0), of(4, 1)]).collect()
    }
}

/// A relayed transport address that hears of everything, somebody to send to, and who tells of errors.
fn hearing(ip: IpAddr) -> Option<(LinuxSocket, StdUdpSocket, Router)> {
    let router = Router::new(ip)?;
    let (relay, peer) = relay_at(ip);
    relay.unfragmented(|| ());
    Some((relay, peer, router))
}

/// Has an error wait at a relayed transport address.
async fn fail(relay: &LinuxSocket, router: &Router, error: IcmpError) {
    let own = relay.local_addr().expect("an address");
    router.tell(error, own, somebody(own.ip()));
    assert!(has_error(relay).await, "{error:?}");
}

/// Waits for an error.
pub(super) async fn has_error(relay: &LinuxSocket) -> bool {
    let ready = tokio::time::timeout(PATIENCE, relay.ready()).await;
    ready.is_ok_and(|ready| ready.expect("a socket").error)
}

/// Takes the errors that there are.
fn told(relay: &LinuxSocket) -> Vec<(IcmpError, SocketAddr)> {
    std::iter::from_fn(|| relay.try_recv_error().expect("a socket")).collect()
}

#[tokio::test]
async fn every_error_that_the_kernel_makes_of_icmp_may_be_of_another_datagram() {
    for (relay, _, router) in [V4, V6].into_iter().filter_map(hearing) {
        for error in errors(relay.local_addr().expect("an address").ip()) {
            fail(&relay, &router, error).await;

            let made = SockRef::from(relay.socket.get_ref()).take_error().expect("a socket");
            assert!(retry::may_be_of_another(&made.expect("an error waits")), "{error:?}");
            told(&relay);
        }
    }
}

#[tokio::test]
async fn an_icmp_error_about_one_peer_loses_no_datagram_to_another_and_is_told() {
    for (relay, peer, router) in [V4, V6].into_iter().filter_map(hearing) {
        let to = peer.local_addr().expect("an address");
        for error in errors(to.ip()) {
            fail(&relay, &router, error).await;

            let sent = relay.try_send(&[datagram(to, b"data", Marks::default())]);

            assert_eq!(sent.expect("it is sent"), 1, "{error:?}");
            assert_eq!(received(&peer).0, b"data");
            assert_eq!(told(&relay), [(error, somebody(to.ip()))]);
        }
    }
}

#[tokio::test]
async fn no_icmp_error_switches_trains_or_marks_off() {
    let marks = Marks { traffic_class: 0xB8, ..Marks::default() };
    for (relay, peer, router) in [V4, V6].into_iter().filter_map(hearing) {
        let to = peer.local_addr().expect("an address");
        let train = [datagram(to, b"data", marks); 3];
        assert_eq!(relay.try_send(&train).expect("they are sent"), 3);
        let takes = relay.shared.takes.get();
        for error in errors(to.ip()) {
            fail(&relay, &router, error).await;

            assert_eq!(relay.try_send(&train).expect("they are sent"), 3, "{error:?}");

            assert_eq!(relay.shared.takes.get(), takes, "{error:?}");
            told(&relay);
        }
    }
}

#[tokio::test]
async fn by_the_ring_an_icmp_error_about_one_peer_loses_no_datagram_to_another_and_is_told() {
    let (Some(router), Some(mut relay)) = (Router::new(V4), Relay::new()) else { return };
    // By the ring, too: so the error waits when the datagram is sent, of which the ring would take it before.
    let router = relay.another(router.0);
    let peer = socket(V4);
    let to = peer.local_addr().expect("an address");
    relay.socket.unfragmented(|| ());
    let before = relay.socket.shared.takes.get();
    for error in errors(V4) {
        let message = message(error, relay.address, somebody(V4));
        let message = datagram(SocketAddr::new(V4, 0), &message, Marks::default());

        let data = datagram(to, b"data", Marks::default());
        relay.volley(&[(&router, &[message]), (&relay.socket, &[data])]);

        assert_eq!(received(&peer), (b"data".to_vec(), relay.address), "{error:?}");
        relay.error().await;
        assert_eq!(told(&relay.socket), [(error, somebody(V4))]);
    }
    assert_eq!(relay.socket.shared.takes.get(), before);
}

#[tokio::test]
async fn by_the_ring_an_icmp_error_about_a_busy_peer_loses_no_datagram_to_it_and_is_told() {
    let (Some(router), Some(mut relay)) = (Router::new(V4), Relay::new()) else { return };
    let router = relay.another(router.0);
    let busy = socket(V4);
    let to = busy.local_addr().expect("an address");
    relay.socket.unfragmented(|| ());
    (0..40).for_each(|_| relay.send(&[&busy, &busy], b"busy"));
    assert!((0..80).all(|_| received(&busy).0 == b"busy"));
    for error in errors(V4) {
        let message = message(error, relay.address, to);
        let message = datagram(SocketAddr::new(V4, 0), &message, Marks::default());

        let data = datagram(to, b"data", Marks::default());
        relay.volley(&[(&router, &[message]), (&relay.socket, &[data])]);

        assert_eq!(received(&busy), (b"data".to_vec(), relay.address), "{error:?}");
        relay.error().await;
        assert_eq!(told(&relay.socket), [(error, to)]);
    }
}
