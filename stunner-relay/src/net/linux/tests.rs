//! What the IP header of a relayed packet says (RFC 8656, sections 14 and 15), as the kernel of who receives it tells.

use std::{
    io::{IoSlice, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use socket2::SockRef;
use stunner_proto::{
    ChannelNumber, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{Data, Nonce, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};

use super::*;
use crate::{Listener, PeerPolicy, RelayOnly, StaticUser, TurnServer, net::testing::request};

mod dropped;

/// DSCP 46 without ECN, both kinds of ECT, congestion, and DSCP 46 with congestion.
const MARKS: [u32; 5] = [0xB8, 0x01, 0x02, 0x03, 0xBB];

/// A client of either kind.
enum Wire {
    Udp(StdUdpSocket),
    Tcp(TcpStream),
}

impl Wire {
    fn send(&self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(bytes).expect("it is sent"), bytes.len()),
            Self::Tcp(stream) => {
                let mut stream = stream;
                stream.write_all(bytes).expect("it is sent");
            }
        }
    }

    fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 2_048];
        match self {
            Self::Udp(socket) => {
                let len = socket.recv(&mut bytes).expect("an answer");
                bytes.truncate(len);
            }
            Self::Tcp(stream) => {
                let mut stream = stream;
                stream.read_exact(&mut bytes[..20]).expect("the header of an answer");
                let len = 20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                stream.read_exact(&mut bytes[20..len]).expect("an answer");
                bytes.truncate(len);
            }
        }
        bytes
    }

    fn mark(&self, mark: u32) {
        let marked = match self {
            Self::Udp(socket) => SockRef::from(socket).set_tos_v4(mark),
            Self::Tcp(stream) => SockRef::from(stream).set_tos_v4(mark),
        };
        marked.expect("a mark");
    }

    /// A request, and the answer to it.
    fn ask(
        &self,
        method: Method,
        nonce: Option<&str>,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        self.send(&request(method, nonce, build));
        self.receive()
    }
}

/// A client that has channel 0x4000 with a peer, over a server of the operating system.
struct Call {
    client: Wire,
    peer: StdUdpSocket,
    relayed: SocketAddr,
    nonce: String,
    server: TurnServer,
}

fn socket() -> StdUdpSocket {
    let socket = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    SockRef::from(&socket).set_recv_tos_v4(true).expect("the kernel tells");
    socket
}

fn call(listener: Listener, connect: impl FnOnce(SocketAddr) -> Wire) -> Call {
    call_by(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")), listener, connect)
}

fn call_by(policy: impl PeerPolicy, listener: Listener, connect: impl FnOnce(SocketAddr) -> Wire) -> Call {
    let server = TurnServer::builder()
        .realm("example.com")
        .authenticator(StaticUser::new("user", "pass"))
        .policy(policy)
        .listen(listener)
        .start()
        .expect("a server on loopback");
    let client = connect(server.listeners()[0].address().parse().expect("an address"));
    let peer = socket();
    let refused = client.ask(Method::ALLOCATE, None, |message| message);
    let nonce = Message::parse(&refused).expect("a message").require::<Nonce<'_>>().expect("a nonce");
    let known = Some(nonce.as_str());
    let allocated =
        client.ask(Method::ALLOCATE, known, |message| message.attribute(&RequestedTransport::UDP));
    let allocated = Message::parse(&allocated).expect("a message");
    let XorRelayedAddress(relayed) = allocated.require().expect("a relayed transport address");
    let to = XorPeerAddress(peer.local_addr().expect("an address"));
    let number = ChannelNumber::new(0x4000).expect("a number");
    let bound = client.ask(Method::CHANNEL_BIND, known, |message| message.attribute(&number).attribute(&to));
    assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
    Call { client, peer, relayed, server, nonce: nonce.as_str().to_owned() }
}

fn over_udp() -> Call {
    call(Listener::udp("127.0.0.1:0"), connected)
}

fn connected(server: SocketAddr) -> Wire {
    let socket = socket();
    socket.connect(server).expect("it is there");
    Wire::Udp(socket)
}

fn over_tcp() -> Call {
    call(Listener::tcp("127.0.0.1:0"), |server| {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        Wire::Tcp(stream)
    })
}

/// DSCP and ECN of the next datagram.
fn mark(socket: &StdUdpSocket) -> u8 {
    socket.peek(&mut [0; 64]).expect("a datagram");
    let mut receiver = Receiver::default();
    let mut batch = RecvBatch::default();
    assert_eq!(receiver.receive(socket.as_raw_fd(), &mut batch, 32).expect("it is there").messages, 1);
    let tos = receiver.control().tos().expect("the kernel tells of it");
    assert!(batch.packets().any(|packet| packet.data.ends_with(b"data")));
    tos
}

impl Call {
    /// The marks of what comes out at the peer when the client marks what it sends: ChannelData, and a Send indication.
    fn marks_at_peer(&self, given: u32) -> [u8; 2] {
        self.client.mark(given);
        let mut bytes = [0; 64];
        let to = XorPeerAddress(self.peer.local_addr().expect("an address"));
        let send = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([2; 12]), &mut bytes);
        let len = send.attribute(&to).attribute(&Data(b"data")).finish().expect("it fits");
        [&b"\x40\x00\x00\x04data"[..], &bytes[..len]].map(|packet| {
            self.client.send(packet);
            mark(&self.peer)
        })
    }
}

#[test]
fn xlt_01_and_02_data_of_a_client_and_of_a_peer_over_udp_leave_with_neither_dscp_nor_ecn() {
    let call = over_udp();
    let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };

    for given in MARKS {
        assert_eq!(call.marks_at_peer(given), [0; 2], "{given:#04x}");
        SockRef::from(&call.peer).set_tos_v4(given).expect("a mark");
        call.peer.send_to(b"data", call.relayed).expect("it is sent");
        assert_eq!(mark(client), 0, "{given:#04x}");
    }
}

#[test]
fn xlt_05_data_of_a_client_over_tcp_leave_with_neither_dscp_nor_ecn() {
    let call = over_tcp();

    for given in MARKS {
        assert_eq!(call.marks_at_peer(given), [0; 2], "{given:#04x}");
    }
}

/// A relayed transport address, and somebody to send to.
fn relay() -> (LinuxSocket, StdUdpSocket) {
    let network = LinuxNetwork::default();
    let bound = network.bind_relay((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    (network.attach(bound).expect("a socket"), socket())
}

#[tokio::test]
async fn xlt_04_and_05_datagrams_may_be_cut_on_their_way_unless_it_was_asked_for() {
    let (relay, peer) = relay();
    let to = peer.local_addr().expect("an address");
    assert!(sys::may_fragment(relay.socket.get_ref()));

    for dont_fragment in [false, true, false] {
        let parts = [&b"data"[..], &[], &[]].map(IoSlice::new);
        assert_eq!(
            relay.try_send(&[Datagram { to, from: None, dont_fragment, parts }]).expect("it is sent"),
            1
        );
        assert!(sys::may_fragment(relay.socket.get_ref()));
    }
}

#[tokio::test]
async fn xlt_03_where_it_was_asked_for_a_datagram_has_the_df_bit() {
    let (relay, _) = relay();

    assert!(!relay.unfragmented(|| sys::may_fragment(relay.socket.get_ref())));
    assert!(sys::may_fragment(relay.socket.get_ref()));
}

#[tokio::test]
async fn xlt_08_time_to_live_and_hop_limit_are_the_systems_whatever_was_sent() {
    let (relay, peer) = relay();
    let parts = [&b"data"[..], &[], &[]].map(IoSlice::new);
    let to = peer.local_addr().expect("an address");
    relay.try_send(&[Datagram { to, from: None, dont_fragment: true, parts }]).expect("it is sent");
    let ours = SockRef::from(relay.socket.get_ref()).ttl_v4().expect("a time to live");
    assert_eq!(ours, SockRef::from(&socket()).ttl_v4().expect("a time to live"));

    let network = LinuxNetwork::default();
    let six = (std::net::Ipv6Addr::LOCALHOST, 0);
    // Where there is no IPv6 nothing is relayed by it.
    let (Ok(bound), Ok(fresh)) = (network.bind_relay(six.into()), StdUdpSocket::bind(six)) else { return };
    let relay = network.attach(bound).expect("a socket");
    let ours = SockRef::from(relay.socket.get_ref()).unicast_hops_v6().expect("a hop limit");
    assert_eq!(ours, SockRef::from(&fresh).unicast_hops_v6().expect("a hop limit"));
}

#[test]
fn a_mark_of_whoever_sends_is_seen() {
    let (from, to) = (socket(), socket());

    for given in MARKS {
        SockRef::from(&from).set_tos_v4(given).expect("a mark");
        from.send_to(b"data", to.local_addr().expect("an address")).expect("it is sent");
        assert_eq!(u32::from(mark(&to)), given);
    }
}
