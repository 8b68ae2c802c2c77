//! Two workers whose sockets send nothing and say what they were to send.

use std::{cell::RefCell, future::pending, io, net::Ipv4Addr, sync::Arc};

use stunner_proto::{
    ChannelNumber, Message, MessageBuilder, Method,
    attribute::{Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;
use crate::{
    Config, Counters, FiveTuple, ListenerId, LiveRelays, RelayAddress, RelayOnly, Server, StaticUser,
    Transport,
    net::{Ready, Shared, ports::Ports, testing::request, worker::Parts},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Where relayed transport addresses are for peers; they are bound on [`SERVER`].
const ADVERTISED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// What each client has a channel with: the relayed transport address of the other.
const CHANNEL: ChannelNumber = ChannelNumber::MIN;

/// `data` on that channel.
const CHANNEL_DATA: &[u8] = b"\x40\x00\x00\x04data";

/// What was to leave: from which socket, where to, and what.
type Sent = Rc<RefCell<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>>;

/// A host where nothing arrives.
#[derive(Clone)]
struct Host(Sent);

struct Socket(SocketAddr, Sent);

impl Network for Host {
    type Bound = SocketAddr;
    type Socket = Socket;

    fn bind_relay(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn attach(&self, bound: SocketAddr) -> io::Result<Socket> {
        Ok(Socket(bound, self.0.clone()))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl DatagramSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0)
    }

    async fn ready(&self) -> io::Result<Ready> {
        pending().await
    }

    fn try_recv(&self, _: &mut RecvBatch) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let sent = datagrams.iter().map(|datagram| {
            (self.0, datagram.to, datagram.parts.iter().flat_map(|part| part.to_vec()).collect())
        });
        self.1.borrow_mut().extend(sent);
        Ok(datagrams.len())
    }
}

/// Two workers of one server, each with a client.
struct Pair {
    workers: [Rc<Worker<Host>>; 2],
    relayed: [SocketAddr; 2],
    sent: Sent,
}

fn client(worker: usize) -> Client {
    let ip = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)][worker];
    let tuple =
        FiveTuple { client: (ip, 4_000).into(), server: (SERVER, 3478).into(), transport: Transport::Udp };
    Client { tuple, listener: ListenerId(0), link: 0 }
}

impl Pair {
    fn new() -> Self {
        let everyone = RelayOnly::new().allow("192.0.2.0/24".parse().expect("a range"));
        let mut config = Config::new("example.com", StaticUser::new("user", "pass"), everyone);
        let advertised = [ADVERTISED.into()];
        config.relays = Arc::new(LiveRelays::new(&advertised));
        config.unauthenticated = true;
        let shared = Arc::new(Shared::new(config.relays.clone(), &advertised, 2));
        let (config, reservations) = (Arc::new(config), Arc::default());
        let sent = Sent::default();
        let network = Host(sent.clone());
        let workers = [0, 1].map(|index| {
            Worker::new(Parts {
                network: network.clone(),
                server: Server::new(config.clone(), [1; 32], network.now()),
                listeners: vec![Some(Rc::new(Socket((SERVER, 3478).into(), sent.clone())))],
                ports: Ports::new(49_152..=65_535, [1; 32]).of_worker(index, 2),
                reservations: Arc::clone(&reservations),
                addresses: vec![RelayAddress::bind(SERVER.into()).advertise(ADVERTISED.into())],
                shared: shared.clone(),
                max_added_latency: None,
                max_connections: 1,
                index,
            })
        });
        let mut pair = Self { workers, relayed: [(SERVER, 0).into(); 2], sent };
        for worker in [0, 1] {
            let answer =
                pair.ask(worker, Method::ALLOCATE, |message| message.attribute(&RequestedTransport::UDP));
            let answer = Message::parse(&answer).expect("a message");
            pair.relayed[worker] = answer.require::<XorRelayedAddress>().expect("an address").0;
        }
        pair
    }

    /// Gives the client of this worker its channel.
    fn bind(self, worker: usize) -> Self {
        let peer = XorPeerAddress(self.relayed[1 - worker]);
        self.ask(worker, Method::CHANNEL_BIND, |message| message.attribute(&CHANNEL).attribute(&peer));
        self
    }

    fn ask(
        &self,
        worker: usize,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        self.send(worker, &request(method, None, build));
        let (_, _, answer) = self.sent.borrow_mut().pop().expect("an answer");
        answer
    }

    /// A turn in which this packet comes from the client of a worker.
    fn send(&self, worker: usize, packet: &[u8]) {
        let to = &self.workers[worker];
        to.handle_client(packet, client(worker), Marks::default(), to.network.now(), Buffer::only(packet));
        to.flush(packet);
    }

    /// Has a worker look into its mailbox.
    async fn collect(&self, worker: usize) {
        let collecting = spawn_local(self.workers[worker].clone().collect());
        for _ in 0..3 {
            yield_now().await;
        }
        collecting.abort();
    }

    fn counters(&self) -> Counters {
        self.workers.iter().for_each(|worker| worker.publish(worker.network.now()));
        self.workers[0].shared.total()
    }

    /// Ends the allocation of a worker's client.
    fn end(&self, worker: usize) {
        self.ask(worker, Method::REFRESH, |message| message.attribute(&Lifetime(0)));
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_packet_for_another_workers_client_is_sent_once_by_that_workers_listener() {
    run(async {
        let pair = Pair::new().bind(0).bind(1);

        pair.send(0, CHANNEL_DATA);
        assert!(pair.sent.borrow().is_empty());
        pair.collect(1).await;

        let to = client(1).tuple;
        assert_eq!(*pair.sent.borrow(), [(to.server, to.client, CHANNEL_DATA.to_vec())]);
        assert_eq!(pair.counters().traffic.packets_to_client, 1);
        assert_eq!(pair.counters().traffic.packets_to_peers, 1);
    });
}

#[test]
fn who_has_not_permitted_another_workers_client_gets_nothing_of_it() {
    run(async {
        let pair = Pair::new().bind(0);

        pair.send(0, CHANNEL_DATA);
        pair.collect(1).await;

        assert!(pair.sent.borrow().is_empty());
        assert_eq!(pair.counters().dropped_from_peers, 1);
    });
}

#[test]
fn a_packet_that_waits_while_its_relayed_transport_address_ends_is_counted_as_dropped() {
    run(async {
        let pair = Pair::new().bind(0).bind(1);
        pair.send(0, CHANNEL_DATA);

        pair.end(1);
        pair.collect(1).await;

        assert!(pair.sent.borrow().is_empty());
        assert_eq!(pair.counters().dropped_between_workers, 1);
    });
}

#[test]
fn between_many_packets_of_another_worker_others_have_their_turn() {
    run(async {
        let pair = Pair::new().bind(0).bind(1);
        (0..2 * MAX_COLLECTED).for_each(|_| pair.send(0, CHANNEL_DATA));

        spawn_local(pair.workers[1].clone().collect());
        let mut seen = Vec::new();
        while seen.last() != Some(&(2 * MAX_COLLECTED)) {
            yield_now().await;
            seen.push(pair.sent.borrow().len());
            assert!(seen.len() < 1_000, "{seen:?}");
        }

        assert!(seen.contains(&MAX_COLLECTED), "{seen:?}");
    });
}

#[test]
fn a_relayed_transport_address_that_has_ended_is_any_peer() {
    run(async {
        let pair = Pair::new().bind(0).bind(1);
        pair.end(1);

        pair.send(0, CHANNEL_DATA);

        let from = SocketAddr::new(SERVER.into(), pair.relayed[0].port());
        assert_eq!(*pair.sent.borrow(), [(from, pair.relayed[1], b"data".to_vec())]);
    });
}

#[test]
fn a_client_that_sends_to_itself_and_to_one_that_sends_back_gets_each_packet_once() {
    run(async {
        let pair = Pair::new().bind(0).bind(1);
        let itself = XorPeerAddress(pair.relayed[0]);
        let next = ChannelNumber::new(0x4001).expect("a channel");
        pair.ask(0, Method::CHANNEL_BIND, |message| message.attribute(&next).attribute(&itself));

        pair.send(0, b"\x40\x01\x00\x04self");
        pair.send(0, CHANNEL_DATA);
        pair.collect(1).await;
        pair.send(1, CHANNEL_DATA);
        pair.collect(0).await;

        let sent: Vec<SocketAddr> = pair.sent.borrow().iter().map(|(_, to, _)| *to).collect();
        assert_eq!(sent, [0, 1, 0].map(|worker| client(worker).tuple.client));
    });
}
