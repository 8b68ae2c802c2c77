//! Clients of different workers of one server.
#![cfg(all(feature = "tokio", target_os = "linux"))]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use stunner_proto::{
    ChannelData, ChannelNumber, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        EvenPort, Lifetime, RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
    },
};
use stunner_relay::{Listener, PeerPolicy, RelayAddress, RelayOnly, Transport, TurnServer, Verdict};

/// Each client has one channel at most.
const CHANNEL: ChannelNumber = ChannelNumber::MIN;

/// The first port of the second of two workers' slices.
const MIDDLE: u16 = 57_344;

/// More data than a UDP datagram can carry, by which they would have to leave the process.
const TOO_LONG: usize = 65_535;

/// Whom the policy of [`Gate`] thinks about for as long as the test wants.
const SLOW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

/// With io_uring and without, which is how a worker is woken up for other things than what others have for it.
const BOTH: [bool; 2] = [true, false];

fn server(policy: impl PeerPolicy, io_uring: bool) -> TurnServer {
    TurnServer::builder()
        .io_uring(io_uring)
        .unauthenticated()
        .policy(policy)
        .listen(Listener::udp("127.0.0.1:0"))
        .listen(Listener::tcp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()))
        .workers(NonZeroUsize::new(2).expect("two"))
        .start()
        .expect("a server on loopback")
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A client with an allocation.
struct Client {
    wire: Wire,
    requests: u8,
    relayed: SocketAddr,
}

impl Client {
    /// A client of whichever worker the kernel chooses.
    fn new(server: &TurnServer, transport: Transport) -> Self {
        let patience = Some(Duration::from_secs(60));
        let wire = if transport == Transport::Udp {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            socket.connect(server.listeners()[0].address()).expect("it is there");
            socket.set_read_timeout(patience).expect("a time-out");
            Wire::Udp(socket)
        } else {
            let stream = TcpStream::connect(server.listeners()[1].address()).expect("a connection");
            stream.set_read_timeout(patience).expect("a time-out");
            Wire::Tcp(stream)
        };
        let mut client = Self { wire, requests: 0, relayed: (Ipv4Addr::UNSPECIFIED, 0).into() };
        client.allocate(|message| message);
        client
    }

    /// A client of this worker, which its relayed transport address tells.
    fn of(worker: usize, server: &TurnServer, transport: Transport) -> Self {
        // The others are kept, so that none of them comes again.
        let mut others = Vec::new();
        for _ in 0..64 {
            let client = Self::new(server, transport);
            if client.slice() == worker {
                return client;
            }
            others.push(client);
        }
        panic!("the kernel chooses one worker for all")
    }

    /// The worker whose slice the relayed transport address is from.
    fn slice(&self) -> usize {
        usize::from(self.relayed.port() >= MIDDLE)
    }

    fn write(&mut self, packet: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send(packet).expect("it is sent")),
            Wire::Tcp(stream) => stream.write_all(packet).expect("it is sent"),
        }
    }

    fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 17];
        let len = match &mut self.wire {
            Wire::Udp(socket) => socket.recv(&mut bytes).expect("a packet"),
            Wire::Tcp(stream) => {
                stream.read_exact(&mut bytes[..4]).expect("the beginning of a frame");
                let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                let len = if bytes[0] < 0x40 { 20 + len } else { (4 + len).next_multiple_of(4) };
                stream.read_exact(&mut bytes[4..len]).expect("a frame");
                len
            }
        };
        bytes.truncate(len);
        bytes
    }

    fn ask(
        &mut self,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        self.request(method, build);
        let answer = self.read();
        let message = Message::parse(&answer).expect("a message");
        assert_eq!(message.transaction_id(), TransactionId([self.requests; 12]));
        assert_eq!(message.class(), Class::SuccessResponse, "{method:?}");
        answer
    }

    fn request(&mut self, method: Method, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) {
        self.requests += 1;
        let (mut bytes, id) = ([0; 512], TransactionId([self.requests; 12]));
        let message = build(MessageBuilder::new(Class::Request, method, id, &mut bytes));
        let len = message.finish().expect("it fits");
        self.write(&bytes[..len]);
    }

    /// Allocates, and returns the token of the next port if it is kept.
    fn allocate(
        &mut self,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Option<ReservationToken> {
        let answer = self.ask(Method::ALLOCATE, |message| build(message.attribute(&RequestedTransport::UDP)));
        let answer = Message::parse(&answer).expect("a message");
        self.relayed = answer.require::<XorRelayedAddress>().expect("an address").0;
        answer.get::<ReservationToken>().expect("a token or none")
    }

    fn end(&mut self) {
        self.ask(Method::REFRESH, |message| message.attribute(&Lifetime(0)));
    }

    fn bind(&mut self, peer: SocketAddr) {
        let peer = XorPeerAddress(peer);
        self.ask(Method::CHANNEL_BIND, |message| message.attribute(&CHANNEL).attribute(&peer));
    }

    fn send(&mut self, data: &[u8]) {
        let header = ChannelData::header(CHANNEL, data.len()).expect("it fits");
        let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
        self.write(&[&header, data, &padding].concat());
    }

    /// The data of the next packet.
    fn receive(&mut self) -> Vec<u8> {
        let packet = self.read();
        let ChannelData { number, data } = ChannelData::parse(&packet).expect("ChannelData");
        assert_eq!(number, CHANNEL);
        data.to_vec()
    }
}

/// Gives each a channel with the other.
fn connect([first, second]: [&mut Client; 2]) {
    first.bind(second.relayed);
    second.bind(first.relayed);
}

#[test]
fn clients_of_different_workers_reach_each_other_over_every_transport() {
    let transports = [Transport::Udp, Transport::Tcp];

    for [one, other] in transports.map(|one| transports.map(|other| [one, other])).concat() {
        for server in BOTH.map(|io_uring| server(RelayOnly::new(), io_uring)) {
            let (mut first, mut second) = (Client::of(0, &server, one), Client::of(1, &server, other));
            connect([&mut first, &mut second]);

            for len in [0, 1, 4, 1_200, 9_000] {
                let data = vec![7; len];
                first.send(&data);
                assert_eq!(second.receive(), data, "{one:?} to {other:?}");
                second.send(&data);
                assert_eq!(first.receive(), data, "{other:?} to {one:?}");
            }
        }
    }
}

#[test]
fn what_passes_between_workers_does_not_pass_through_a_socket() {
    for server in BOTH.map(|io_uring| server(RelayOnly::new(), io_uring)) {
        let mut clients = [0, 1].map(|worker| Client::of(worker, &server, Transport::Tcp));
        connect(clients.each_mut());
        let data = vec![7; TOO_LONG];

        for [from, to] in [[0, 1], [1, 0]] {
            clients[from].send(&data);

            assert!(clients[to].receive() == data, "{from} to {to}");
        }
    }
}

#[test]
fn a_reserved_port_of_one_worker_is_that_of_the_worker_whose_client_took_it() {
    for server in BOTH.map(|io_uring| server(RelayOnly::new(), io_uring)) {
        let [mut keeper, mut first] = [0, 0].map(|worker| Client::of(worker, &server, Transport::Tcp));
        let mut second = Client::of(1, &server, Transport::Tcp);
        keeper.end();
        second.end();

        let token = keeper.allocate(|message| message.attribute(&EvenPort { reserve_next: true }));
        second.allocate(|message| message.attribute(&token.expect("a token")));
        assert_eq!(second.slice(), 0);

        connect([&mut first, &mut second]);
        let data = vec![7; TOO_LONG];
        first.send(&data);
        assert!(second.receive() == data);
    }
}

/// Holds the worker that asks about [`SLOW`].
struct Gate {
    asked: mpsc::Sender<()>,
    opened: Mutex<mpsc::Receiver<()>>,
}

impl PeerPolicy for Gate {
    fn judge(&self, peer: IpAddr, _: Option<u16>, _: &stunner_relay::Client, _: &str) -> Verdict {
        if peer == SLOW {
            let _ = self.asked.send(());
            // It ends when the test lets go of the other end.
            let _ = self.opened.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Verdict::Allow
    }
}

#[test]
fn what_a_worker_that_hangs_has_no_room_for_is_dropped_and_counted_and_the_rest_arrives() {
    BOTH.into_iter().for_each(drops_and_counts);
}

fn drops_and_counts(io_uring: bool) {
    const PACKETS: u32 = 10_000;
    let (asked, is_asked) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let server = server(Gate { asked, opened: Mutex::new(opened) }, io_uring);
    // It is let go of before the server, which waits for its workers.
    let open = open;
    let mut slow = Client::of(1, &server, Transport::Udp);
    let mut clients = [0, 1].map(|worker| Client::of(worker, &server, Transport::Tcp));
    connect(clients.each_mut());
    slow.request(Method::CREATE_PERMISSION, |message| message.attribute(&XorPeerAddress((SLOW, 1).into())));
    is_asked.recv_timeout(Duration::from_secs(60)).expect("the worker is held");

    let [first, second] = &mut clients;
    (0..PACKETS).for_each(|number| first.send(&number.to_be_bytes()));
    // With the answer to the first, the counters may be those of before the last packets.
    (0..2).for_each(|_| drop(first.ask(Method::BINDING, |message| message)));
    let dropped = server.stats().dropped_between_workers;
    drop(open);

    assert!(dropped > 0);
    let rest = (0..u64::from(PACKETS) - dropped).map(|_| second.receive());
    assert!(rest.is_sorted_by(|before, after| before < after));
    first.send(b"last");
    assert_eq!(second.receive(), b"last");
    assert_eq!(server.stats().dropped_between_workers, dropped);
}

#[test]
fn each_worker_takes_relayed_ports_from_a_slice_of_its_own() {
    let server = server(RelayOnly::new(), true);

    let slices = [(); 32].map(|()| {
        let mut client = Client::new(&server, Transport::Udp);
        let slice = client.slice();
        for _ in 0..3 {
            client.end();
            client.allocate(|message| message);
            assert_eq!(client.slice(), slice);
        }
        // Another client may have its port next.
        client.end();
        slice
    });

    assert!([0, 1].iter().all(|slice| slices.contains(slice)));
}
