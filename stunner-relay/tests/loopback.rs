//! TURN over real sockets by a client whose codec is stun_codec, not ours.
#![cfg(feature = "tokio")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId, define_attribute_enums,
    rfc5389::{
        attributes::{ErrorCode, MessageIntegrity, Nonce, Realm, Username, XorMappedAddress},
        methods::BINDING,
    },
    rfc5766::{
        attributes::{Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress},
        methods::{ALLOCATE, CREATE_PERMISSION, REFRESH},
    },
};
use stunner_relay::{
    Listener, RelayAddress, RelayOnly, StartError, StaticUser, TurnServer, TurnServerBuilder,
};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        ErrorCode,
        MessageIntegrity,
        Nonce,
        Realm,
        Username,
        XorMappedAddress,
        Lifetime,
        RequestedTransport,
        XorPeerAddress,
        XorRelayAddress
    ]
);

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn server() -> TurnServer {
    builder().start().expect("a server on loopback")
}

/// The same server twice: with io_uring, where there is one, and without.
fn servers() -> [TurnServer; 2] {
    [true, false].map(|on| builder().io_uring(on).start().expect("a server on loopback"))
}

fn builder() -> TurnServerBuilder {
    TurnServer::builder()
        .realm("example.com")
        .authenticator(StaticUser::new("user", "pass"))
        .policy(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")))
        .listen(Listener::udp("127.0.0.1:0"))
        .listen(Listener::tcp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(LOCALHOST))
}

fn address(server: &TurnServer, listener: usize) -> SocketAddr {
    server.listeners()[listener].address().parse().expect("an address")
}

/// A connection to the server.
fn stream(server: &TurnServer) -> TcpStream {
    let stream = TcpStream::connect(address(server, 1)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// A port where nobody listens, and nobody else can: the socket that has it hears somebody else only.
#[cfg(target_os = "linux")]
fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
    socket.connect((Ipv4Addr::new(127, 0, 0, 2), 9)).expect("an address");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// A client over UDP.
struct Client {
    socket: UdpSocket,
    nonce: Option<Nonce>,
    last: u8,
}

impl Client {
    fn new(server: &TurnServer) -> Self {
        let socket = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
        socket.connect(address(server, 0)).expect("it is there");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket, nonce: None, last: 0 }
    }

    fn ask(&mut self, method: Method, attributes: Vec<Attribute>) -> Message<Attribute> {
        self.last += 1;
        let mut message = Message::new(MessageClass::Request, method, TransactionId::new([self.last; 12]));
        attributes.into_iter().for_each(|attribute| message.add_attribute(attribute));
        if let Some(nonce) = &self.nonce {
            let user = Username::new("user".into()).expect("a name");
            let realm = Realm::new("example.com".into()).expect("a realm");
            message.add_attribute(user.clone());
            message.add_attribute(realm.clone());
            message.add_attribute(nonce.clone());
            let integrity = MessageIntegrity::new_long_term_credential(&message, &user, &realm, "pass");
            message.add_attribute(integrity.expect("an integrity"));
        }
        self.socket.send(&encode(message)).expect("it is sent");
        let mut buffer = [0; 2048];
        let len = self.socket.recv(&mut buffer).expect("an answer");
        let answer = decode(&buffer[..len]);
        assert_eq!(answer.transaction_id().as_bytes(), &[self.last; 12]);
        answer
    }

    fn allocate(&mut self) -> SocketAddr {
        let transport = || vec![RequestedTransport::new(17).into()];
        let refused = self.ask(ALLOCATE, transport());
        assert_eq!(refused.get_attribute::<ErrorCode>().map(ErrorCode::code), Some(401));
        self.nonce = refused.get_attribute::<Nonce>().cloned();
        let answer = self.ask(ALLOCATE, transport());
        assert_eq!(answer.class(), MessageClass::SuccessResponse);
        answer.get_attribute::<XorRelayAddress>().expect("a relayed address").address()
    }
}

fn encode(message: Message<Attribute>) -> Vec<u8> {
    MessageEncoder::new().encode_into_bytes(message).expect("bytes")
}

fn decode(bytes: &[u8]) -> Message<Attribute> {
    MessageDecoder::new().decode_from_bytes(bytes).expect("STUN").expect("a message")
}

#[test]
fn binding_is_answered_over_udp() {
    let server = server();
    let mut client = Client::new(&server);

    let answer = client.ask(BINDING, vec![]);

    let mapped = answer.get_attribute::<XorMappedAddress>().expect("an address").address();
    assert_eq!(mapped, client.socket.local_addr().expect("an address"));
}

#[test]
fn binding_is_answered_over_tcp_however_it_is_cut() {
    let server = server();
    let mut stream = stream(&server);
    let bytes = encode(Message::new(MessageClass::Request, BINDING, TransactionId::new([1; 12])));

    for byte in [&bytes[..], &bytes].concat() {
        stream.write_all(&[byte]).expect("it is sent");
    }

    let mut answers = [0; 64];
    stream.read_exact(&mut answers).expect("two answers");
    let mapped = decode(&answers[32..]).get_attribute::<XorMappedAddress>().expect("an address").address();
    assert_eq!(mapped, stream.local_addr().expect("an address"));
}

#[test]
fn a_stream_that_begins_with_tls_is_closed() {
    let server = server();
    let mut stream = stream(&server);

    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC").expect("it is sent");

    match stream.read(&mut [0; 16]) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_peers_data_reach_the_client_once_they_are_permitted() {
    for server in servers() {
        let mut client = Client::new(&server);
        let relayed = client.allocate();
        let peer = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
        let peer_address = peer.local_addr().expect("an address");

        let permitted = client.ask(CREATE_PERMISSION, vec![XorPeerAddress::new(peer_address).into()]);
        assert_eq!(permitted.class(), MessageClass::SuccessResponse);
        peer.send_to(b"hello", relayed).expect("it is sent");

        let mut buffer = [0; 256];
        let len = client.socket.recv(&mut buffer).expect("a Data indication");
        assert_eq!(buffer[..2], [0x00, 0x17]);
        assert!(buffer[..len].windows(5).any(|window| window == b"hello"));
    }
}

/// DATA with these bytes for a peer, as a Send indication carries it. The codec of this test does not know the method.
fn send_indication(peer: SocketAddr, data: [u8; 4]) -> Vec<u8> {
    let SocketAddr::V4(peer) = peer else { panic!("an IPv4 address") };
    let cookie = [0x21, 0x12, 0xA4, 0x42];
    let mut bytes = vec![0x00, 0x16, 0x00, 0x14];
    bytes.extend_from_slice(&cookie);
    bytes.extend_from_slice(&[7; 12]);
    bytes.extend_from_slice(&[0x00, 0x12, 0x00, 0x08, 0x00, 0x01]);
    bytes.extend_from_slice(&(peer.port() ^ 0x2112).to_be_bytes());
    bytes.extend(peer.ip().octets().iter().zip(cookie).map(|(byte, mask)| byte ^ mask));
    bytes.extend_from_slice(&[0x00, 0x13, 0x00, 0x04]);
    bytes.extend_from_slice(&data);
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn icm_01_a_port_where_nobody_listens_is_told_and_the_next_peer_is_reached_all_the_same() {
    let icmp = [0x80, 0x04, 0x00, 0x08, 0x00, 0x00, 3, 3, 0, 0, 0, 0];
    for server in servers() {
        let mut client = Client::new(&server);
        client.allocate();
        let peer = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
        let there = peer.local_addr().expect("an address");
        let (_held, nobody) = nobody();
        client.ask(CREATE_PERMISSION, vec![XorPeerAddress::new(there).into()]);

        for to in [nobody, there] {
            client.socket.send(&send_indication(to, *b"data")).expect("it is sent");
        }

        let mut buffer = [0; 256];
        let len = client.socket.recv(&mut buffer).expect("a Data indication");
        assert_eq!(buffer[..2], [0x00, 0x17]);
        assert!(buffer[..len].windows(12).any(|window| window == icmp), "{:02x?}", &buffer[..len]);
        peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let (len, _) = peer.recv_from(&mut buffer).expect("the data");
        assert_eq!(&buffer[..len], b"data");
    }
}

#[test]
fn the_socket_of_a_deleted_allocation_is_freed() {
    for server in servers() {
        let mut client = Client::new(&server);
        let relayed = client.allocate();
        assert_eq!(server.stats().allocations, 1);
        assert!(UdpSocket::bind(relayed).is_err());

        let zero = Lifetime::new(Duration::ZERO).expect("a lifetime");
        client.ask(REFRESH, vec![zero.into()]);

        assert_eq!(server.stats().allocations, 0);
        // The task that held it ends at its next turn.
        assert!((0..1000).any(|_| {
            std::thread::yield_now();
            client.ask(BINDING, vec![]);
            UdpSocket::bind(relayed).is_ok()
        }));
    }
}

#[test]
fn a_busy_port_is_told_by_its_address() {
    let first = server();
    let busy = address(&first, 0);

    let second = TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .listen(Listener::udp(busy))
        .start();

    assert!(matches!(second.err(), Some(StartError::Busy(found)) if found == busy));
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let builder = || TurnServer::builder().authenticator(StaticUser::new("user", "pass"));
    let local = || Listener::udp("127.0.0.1:0");

    assert!(matches!(builder().start().err(), Some(StartError::NoListener)));
    assert!(matches!(TurnServer::builder().listen(local()).start().err(), Some(StartError::NoAuthenticator)));
    assert!(matches!(
        builder().listen(Listener::udp("nowhere")).start().err(),
        Some(StartError::BadAddress(_))
    ));
    let elsewhere = RelayAddress::bind(IpAddr::from([203, 0, 113, 99]));
    assert!(matches!(
        builder().listen(local()).relay_address(elsewhere).start().err(),
        Some(StartError::Relay { .. })
    ));
    assert!(matches!(
        builder().listen(local()).relay_ports(0..=9).start().err(),
        Some(StartError::BadPorts(0, 9))
    ));
    assert!(matches!(builder().listen(local()).realm("").start().err(), Some(StartError::BadRealm)));
}

#[test]
fn a_server_of_stun_only_needs_no_users_and_answers_nothing_but_binding() {
    let builder = TurnServer::builder().stun_only().listen(Listener::udp("127.0.0.1:0"));
    let server = builder.start().expect("a server on loopback");
    let mut client = Client::new(&server);
    let allocate = Message::new(MessageClass::Request, ALLOCATE, TransactionId::new([9; 12]));
    client.socket.send(&encode(allocate)).expect("it is sent");

    let first_answer = client.ask(BINDING, vec![]);

    assert_eq!(first_answer.class(), MessageClass::SuccessResponse);
}

#[test]
fn what_has_no_setter_can_be_configured_all_the_same() {
    let server = TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .realm("example.com")
        .listen(Listener::udp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(LOCALHOST))
        .configure(|config| config.max_allocations = 0)
        .start()
        .expect("a server on loopback");
    let mut client = Client::new(&server);
    let refused = client.ask(ALLOCATE, vec![RequestedTransport::new(17).into()]);
    client.nonce = refused.get_attribute::<Nonce>().cloned();

    let answer = client.ask(ALLOCATE, vec![RequestedTransport::new(17).into()]);

    assert_eq!(answer.get_attribute::<ErrorCode>().map(ErrorCode::code), Some(508));
}

/// The code of Allocate for a new client, 0 for success; where it is sent to instead.
fn allocate_anew(server: &TurnServer) -> u16 {
    let mut client = Client::new(server);
    let ask = |client: &mut Client| client.ask(ALLOCATE, vec![RequestedTransport::new(17).into()]);
    client.nonce = ask(&mut client).get_attribute::<Nonce>().cloned();
    ask(&mut client).get_attribute::<ErrorCode>().map_or(0, ErrorCode::code)
}

#[test]
fn while_it_drains_calls_go_on_and_nobody_new_gets_in() {
    for (alternates, code) in [(vec![], 508), (vec![SocketAddr::from(([192, 0, 2, 9], 3478))], 300)] {
        let server = server();
        let mut client = Client::new(&server);
        client.allocate();

        server.drain(&alternates);

        // It holds for every worker at once.
        assert!((0..8).all(|_| allocate_anew(&server) == code), "{code}");
        for method in [REFRESH, CREATE_PERMISSION] {
            let peer = XorPeerAddress::new(SocketAddr::from((LOCALHOST, 5000)));
            let answer = client.ask(method, vec![peer.into()]);
            assert_eq!(answer.class(), MessageClass::SuccessResponse, "{method:?}");
        }
        assert!(server.is_live());
    }
}

#[tokio::test]
async fn a_server_is_idle_once_its_last_allocation_ends() {
    let server = server();
    let mut client = Client::new(&server);
    client.allocate();
    let idle = |within| tokio::time::timeout(within, server.idle());
    assert!(idle(Duration::from_millis(200)).await.is_err());

    let lifetime = Lifetime::new(Duration::ZERO).expect("a lifetime");
    client.ask(REFRESH, vec![lifetime.into()]);

    assert!(idle(PATIENCE).await.is_ok());
}

#[tokio::test]
async fn shutdown_ends_the_server_and_frees_its_ports() {
    let server = server();
    let listener = address(&server, 0);

    server.shutdown(Duration::ZERO).await;

    assert!(UdpSocket::bind(listener).is_ok());
}
