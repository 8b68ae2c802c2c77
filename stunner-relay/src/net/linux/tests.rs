//! What the IP header of a relayed packet says (RFC 8656, sections 13 to 16), as the kernel of who receives it tells.

use std::{
    io::{IoSlice, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream},
    time::Duration,
};

use socket2::SockRef;
use stunner_proto::{
    ChannelNumber, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        AddressFamily, Data, Nonce, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
        XorRelayedAddress,
    },
};

use super::*;
use crate::{
    Listener, RelayAddress, RelayOnly, StaticUser, TurnServer, TurnServerBuilder,
    net::{marks::Marks, testing::request, tokio_network::bind_listener},
};

mod dropped;
mod hops;
mod icmp;
mod listener;
mod marks;
mod order;
mod refused;
mod ring;
mod too_long;

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

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

    /// Sets DSCP and ECN of what is sent from now on.
    fn mark(&self, traffic_class: u8) {
        match self {
            Self::Udp(socket) => mark(&SockRef::from(socket), traffic_class),
            Self::Tcp(stream) => mark(&SockRef::from(stream), traffic_class),
        }
    }

    /// A relayed transport address, and the nonce that it was got with.
    fn allocate(&self) -> (SocketAddr, String) {
        let refused = self.ask(Method::ALLOCATE, None, |message| message);
        let refused = Message::parse(&refused).expect("a message");
        let nonce = refused.require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
        let ask = |family: AddressFamily| {
            let allocated = self.ask(Method::ALLOCATE, Some(&nonce), |message| {
                message.attribute(&RequestedTransport::UDP).attribute(&RequestedAddressFamily(family))
            });
            let allocated = Message::parse(&allocated).expect("a message");
            allocated.require().ok().map(|XorRelayedAddress(relayed)| relayed)
        };
        let relayed = ask(AddressFamily::V4).or_else(|| ask(AddressFamily::V6));
        (relayed.expect("a relayed transport address"), nonce)
    }

    fn bind_channel(&self, nonce: &str, peer: SocketAddr) {
        let number = ChannelNumber::new(0x4000).expect("a number");
        let bound = self.ask(Method::CHANNEL_BIND, Some(nonce), |message| {
            message.attribute(&number).attribute(&XorPeerAddress(peer))
        });
        assert_eq!(Message::parse(&bound).expect("a message").class(), Class::SuccessResponse);
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

/// A socket whose kernel tells what IP headers say.
fn socket(ip: IpAddr) -> StdUdpSocket {
    let socket = StdUdpSocket::bind((ip, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    assert!(sys::tell_traffic_class(&socket) && sys::tell_hop_limit(&socket));
    socket
}

/// Has a socket hear somebody else only: nobody listens on its port, and nobody else can have it.
fn turn_away(socket: &StdUdpSocket) {
    socket.connect((Ipv4Addr::new(127, 0, 0, 2), 9)).expect("an address");
}

/// Sets DSCP and ECN of what a socket sends from now on.
fn mark(socket: &SockRef<'_>, traffic_class: u8) {
    let is_v4 = socket.local_addr().expect("an address").is_ipv4();
    let mark = traffic_class.into();
    let marked = if is_v4 { socket.set_tos_v4(mark) } else { socket.set_tclass_v6(mark) };
    marked.expect("a mark");
}

/// A server on loopback that relays by one family, which is the peer's.
fn builder(listener: Listener, relay: IpAddr) -> TurnServerBuilder {
    let policy = RelayOnly::new();
    let policy = policy.allow("127.0.0.0/8".parse().expect("a range"));
    TurnServer::builder()
        .realm("example.com")
        .authenticator(StaticUser::new("user", "pass"))
        .policy(policy.allow("::1/128".parse().expect("a range")))
        .relay_address(RelayAddress::bind(relay))
        .listen(listener)
}

/// The same, with io_uring and without.
fn builders(listener: &Listener, relay: IpAddr) -> [TurnServerBuilder; 2] {
    [true, false].map(|on| builder(listener.clone(), relay).io_uring(on))
}

fn call(builder: TurnServerBuilder, connect: impl FnOnce(SocketAddr) -> Wire) -> Call {
    let server = builder.start().expect("a server on loopback");
    let client = connect(server.listeners()[0].address().parse().expect("an address"));
    let (relayed, nonce) = client.allocate();
    let peer = socket(relayed.ip());
    client.bind_channel(&nonce, peer.local_addr().expect("an address"));
    Call { client, peer, relayed, nonce, server }
}

fn over_udp() -> Call {
    call(builder(Listener::udp("127.0.0.1:0"), V4), connected)
}

fn connected(server: SocketAddr) -> Wire {
    let socket = socket(server.ip());
    socket.connect(server).expect("it is there");
    Wire::Udp(socket)
}

fn over_tcp() -> [Call; 2] {
    let connected = |server| {
        let stream = TcpStream::connect::<SocketAddr>(server).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Wire::Tcp(stream)
    };
    builders(&Listener::tcp("127.0.0.1:0"), V4).map(|builder| call(builder, connected))
}

/// The marks of the next datagram, which ends with `data`.
fn marks(socket: &StdUdpSocket) -> Marks {
    socket.peek(&mut [0; 64]).expect("a datagram");
    let mut batch = RecvBatch::default();
    let received = Receiver::default().receive(socket.as_raw_fd(), &mut batch, 1).expect("it is there");
    assert_eq!(received.messages, 1);
    let packet = batch.packets().next().expect("a packet");
    assert!(packet.data.ends_with(b"data"), "{:02x?}", packet.data);
    packet.marks
}

impl Call {
    /// The same data for the peer: as ChannelData, and in a Send indication.
    fn to_peer(&self) -> [Vec<u8>; 2] {
        let mut bytes = vec![0; 128];
        let to = XorPeerAddress(self.peer.local_addr().expect("an address"));
        let send = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([2; 12]), &mut bytes);
        let len = send.attribute(&to).attribute(&Data(b"data")).finish().expect("it fits");
        bytes.truncate(len);
        [b"\x40\x00\x00\x04data".to_vec(), bytes]
    }

    /// The marks of what comes out at the peer when the client sends it both.
    fn at_peer(&self) -> [Marks; 2] {
        self.to_peer().map(|packet| {
            self.client.send(&packet);
            marks(&self.peer)
        })
    }

    /// The marks of what comes out at the client when `socket`, a peer's, sends data.
    fn at_client(&self, socket: &StdUdpSocket) -> Marks {
        let Wire::Udp(client) = &self.client else { panic!("it is over UDP") };
        assert_eq!(socket.send_to(b"data", self.relayed).expect("it is sent"), 4);
        marks(client)
    }
}

#[test]
fn xlt_05_data_of_a_client_over_tcp_leave_with_neither_dscp_nor_ecn() {
    for call in over_tcp() {
        for given in [0xB8, 0x01, 0x02, 0x03, 0xBB] {
            call.client.mark(given);
            assert_eq!(call.at_peer().map(|marks| marks.traffic_class), [0; 2], "{given:#04x}");
        }
    }
}

/// A relayed transport address, and somebody to send to.
fn relay() -> (LinuxSocket, StdUdpSocket) {
    relay_at(V4)
}

fn relay_at(ip: IpAddr) -> (LinuxSocket, StdUdpSocket) {
    let network = LinuxNetwork::default();
    let bound = network.bind_relay((ip, 0).into()).expect("a free port");
    (network.attach(bound).expect("a socket"), socket(ip))
}

/// A datagram in one piece.
fn datagram(to: SocketAddr, data: &[u8], marks: Marks) -> Datagram<'_> {
    Datagram { to, from: None, marks, parts: [data, &[], &[]].map(IoSlice::new) }
}

#[tokio::test]
async fn trains_are_sent_where_the_kernel_knows_how_to_cut_them_and_nowhere_else() {
    let (relay, peer) = relay();

    assert_eq!(relay.shared.takes.get().trains, sys::knows_cutting(&peer));
}

#[tokio::test]
async fn xlt_04_and_05_datagrams_may_be_cut_on_their_way_unless_it_was_asked_for() {
    let (relay, peer) = relay();
    let to = peer.local_addr().expect("an address");
    assert!(sys::may_fragment(relay.socket.get_ref()));

    for dont_fragment in [false, true, false] {
        let parts = [&b"data"[..], &[], &[]].map(IoSlice::new);
        let marks = Marks { dont_fragment, ..Marks::default() };
        assert_eq!(relay.try_send(&[Datagram { to, from: None, marks, parts }]).expect("it is sent"), 1);
        assert!(sys::may_fragment(relay.socket.get_ref()));
    }
}

#[tokio::test]
async fn xlt_04_what_goes_to_clients_may_be_cut_on_its_way() {
    let bound = bind_listener((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port");
    let listener = LinuxNetwork::default().listener(bound).expect("a socket");

    assert!(sys::may_fragment(listener.socket.get_ref()));
}

#[tokio::test]
async fn xlt_03_where_it_was_asked_for_a_datagram_has_the_df_bit() {
    let (relay, _) = relay();

    assert!(!relay.unfragmented(|| sys::may_fragment(relay.socket.get_ref())));
    assert!(sys::may_fragment(relay.socket.get_ref()));
}

/// Makes a file descriptor another file's, so that whatever is asked of it fails.
#[expect(unsafe_code, reason = "the standard library does not do this to files that somebody else has")]
pub(super) fn sever(fd: RawFd) {
    let null = std::fs::File::open("/dev/null").expect("it is there");
    // SAFETY: both descriptors are open, and `fd` stays what it is: open, and its owner's.
    let severed = unsafe { libc::dup2(null.as_raw_fd(), fd) };
    assert_eq!(severed, fd);
}
