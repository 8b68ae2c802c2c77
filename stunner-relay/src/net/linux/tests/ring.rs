//! Relayed transport addresses that io_uring receives and sends by. Where there is none, there is nothing to see.

use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::net::batch::Packet;

mod direct;
mod given_up;

/// What the ring tells of the socket under test.
pub(super) const TOKEN: usize = 7;

/// And of another one.
const OTHER: usize = 8;

/// More packets than the ring has buffers.
const MANY: u16 = 300;

pub(super) struct Relay {
    pub(super) network: LinuxNetwork,
    pub(super) socket: LinuxSocket,
    pub(super) address: SocketAddr,
    /// Sends to somebody whenever the other does: the ring has nothing to do for one alone.
    beside: (LinuxSocket, StdUdpSocket),
    batch: RecvBatch,
    errors: Vec<usize>,
}

impl Relay {
    pub(super) fn new() -> Option<Self> {
        let network = LinuxNetwork::with_io_uring();
        let attach = || {
            let bound = network.bind_relay((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
            network.attach(bound).expect("a socket")
        };
        let (socket, beside) = (attach(), (attach(), super::socket(V4)));
        let address = socket.local_addr().expect("an address");
        let (batch, errors) = (RecvBatch::default(), Vec::new());
        let delivers = socket.deliver(TOKEN) && beside.0.deliver(OTHER);
        delivers.then_some(Self { network, socket, address, beside, batch, errors })
    }

    /// Waits for something, and hands each packet to `each`.
    async fn receive(&mut self, mut each: impl FnMut(Packet<'_>)) {
        let arrived = tokio::time::timeout(PATIENCE, self.network.arrived()).await;
        arrived.expect("something comes").expect("a ring");
        self.batch.clear();
        self.network.receive(&mut self.batch, &mut self.errors);
        for arrival in self.batch.arrivals(0) {
            assert_eq!(arrival.token, TOKEN);
            each(arrival.packet);
        }
    }

    /// Waits until the ring tells of errors.
    pub(super) async fn error(&mut self) {
        while !self.errors.contains(&TOKEN) {
            let arrived = tokio::time::timeout(PATIENCE, self.network.arrived()).await;
            arrived.expect("an error comes").expect("a ring");
            self.batch.clear();
            self.network.receive(&mut self.batch, &mut self.errors);
        }
        self.errors.clear();
    }

    /// Whether nothing is left to be told, and it is not woken again and again for that.
    pub(super) async fn is_quiet(&mut self) -> bool {
        for _ in 0..8 {
            // Long enough to see that nothing comes.
            if tokio::time::timeout(Duration::from_millis(50), self.network.arrived()).await.is_err() {
                return self.errors.is_empty();
            }
            self.batch.clear();
            self.network.receive(&mut self.batch, &mut self.errors);
        }
        false
    }

    /// Another relayed transport address of the same ring, of which nothing is told in these tests.
    pub(super) fn another(&self, bound: StdUdpSocket) -> LinuxSocket {
        let socket = self.network.attach(bound).expect("a socket");
        assert!(socket.deliver(OTHER));
        socket
    }

    /// Sends each by its socket, in one go.
    pub(super) fn volley(&self, all: &[(&LinuxSocket, &[Datagram<'_>])]) {
        let volley = |&(socket, datagrams)| Volley { socket, datagrams };
        self.network.send(&all.iter().map(volley).collect::<Vec<_>>());
    }

    async fn receive_one(&mut self) -> (Vec<u8>, SocketAddr) {
        let mut found = None;
        while found.is_none() {
            self.receive(|packet| found = Some((packet.data.to_vec(), packet.from))).await;
        }
        found.expect("it was looked for")
    }

    fn rings(&self) -> &Rings {
        self.network.shared.rings.as_ref().expect("there are some")
    }

    fn delivered(&self) -> &Delivered {
        let Watched::Delivered(delivered) = &self.socket.socket else { panic!("the rings know it") };
        delivered
    }

    /// Sends the same to each of these, by the ring.
    pub(super) fn send(&self, peers: &[&StdUdpSocket], data: &[u8]) {
        let addresses = peers.iter().map(|peer| peer.local_addr().expect("an address"));
        self.send_to(&addresses.collect::<Vec<_>>(), data);
    }

    /// Sends nothing else in its turn.
    fn send_alone(&self, peer: SocketAddr, data: &[u8]) {
        self.volley(&[(&self.socket, &[datagram(peer, data, Marks::default())])]);
    }

    fn send_to(&self, peers: &[SocketAddr], data: &[u8]) {
        let (socket, to) = &self.beside;
        let beside = [datagram(to.local_addr().expect("an address"), b"beside", Marks::default())];
        for &peer in peers {
            self.volley(&[(&self.socket, &[datagram(peer, data, Marks::default())]), (socket, &beside)]);
        }
    }

    /// Sends twice to a peer, in one volley.
    fn send_train(&self, peer: &StdUdpSocket, data: &[u8]) {
        let parts = [data, &[], &[]].map(IoSlice::new);
        let to = peer.local_addr().expect("an address");
        let datagrams = [Datagram { to, from: None, marks: Marks::default(), parts }; 2];
        self.network.send(&[Volley { socket: &self.socket, datagrams: &datagrams }]);
    }
}

pub(super) fn received(peer: &StdUdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 64];
    loop {
        match peer.recv_from(&mut bytes) {
            // The ring is this thread's, and what it has to do interrupts calls.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => {
                let (len, from) = received.expect("a datagram");
                return (bytes[..len].to_vec(), from);
            }
        }
    }
}

#[tokio::test]
async fn more_packets_than_there_are_buffers_all_come_once() {
    let Some(mut relay) = Relay::new() else { return };
    let peers: Vec<_> = (0..MANY).map(|_| socket(Ipv4Addr::LOCALHOST.into())).collect();
    for (number, peer) in (0..MANY).zip(&peers) {
        peer.send_to(&number.to_be_bytes(), relay.address).expect("it is sent");
    }

    let (mut seen, mut count) = (BTreeSet::new(), 0);
    while count < MANY {
        relay
            .receive(|packet| {
                count += 1;
                seen.insert(packet.data.to_vec());
            })
            .await;
    }

    assert_eq!(seen.len(), usize::from(MANY));
}

#[tokio::test]
async fn an_empty_datagram_is_one_and_what_comes_behind_it_comes() {
    let Some(mut relay) = Relay::new() else { return };
    let peer = socket(Ipv4Addr::LOCALHOST.into());

    for data in [&b""[..], b"data", b"", b"more"] {
        peer.send_to(data, relay.address).expect("it is sent");
        assert_eq!(relay.receive_one().await, (data.to_vec(), peer.local_addr().expect("an address")));
    }
}

#[tokio::test]
async fn what_came_to_a_socket_that_is_gone_is_not_told_as_anothers() {
    let Some(mut relay) = Relay::new() else { return };
    let peer = socket(Ipv4Addr::LOCALHOST.into());
    peer.send_to(b"late", relay.address).expect("it is sent");

    let bound = relay.network.bind_relay((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    relay.socket = relay.network.attach(bound).expect("a socket");
    assert!(relay.socket.deliver(TOKEN));
    peer.send_to(b"data", relay.socket.local_addr().expect("an address")).expect("it is sent");

    assert_eq!(relay.receive_one().await.0, b"data");
}

#[tokio::test]
async fn a_port_that_nobody_has_is_no_reason_to_do_without_the_ring() {
    let Some(relay) = Relay::new() else { return };
    let peer = socket(Ipv4Addr::LOCALHOST.into());
    let nobody = [datagram((Ipv4Addr::LOCALHOST, 0).into(), b"data", Marks::default())];
    let somebody = [datagram(peer.local_addr().expect("an address"), b"data", Marks::default())];

    relay.volley(&[(&relay.socket, &nobody), (&relay.beside.0, &somebody)]);

    assert_eq!(received(&peer).0, b"data");
    assert!(relay.network.shared.rings.as_ref().is_some_and(|rings| rings.sends()));
}

#[tokio::test]
async fn rings_that_were_seen_to_work_wake_who_waits_for_them() {
    for rings in [Rings::new(), Rings::deferred()] {
        let Ok(rings) = rings else { continue };
        let socket = socket(V4);
        rings.register(socket.as_raw_fd(), TOKEN);
        // What is left of trying them out.
        rings.receive(&mut RecvBatch::default(), &mut Vec::new());
        tokio::join!(
            async {
                let arrived = tokio::time::timeout(PATIENCE, rings.arrived()).await;
                assert!(arrived.is_ok_and(|arrived| arrived.is_ok()));
            },
            async {
                tokio::task::yield_now().await;
                let own = socket.local_addr().expect("an address");
                socket.send_to(b"data", own).expect("it is sent");
            }
        );
    }
}

#[test]
fn rings_that_do_not_work_are_not_had_and_that_is_known_at_once() {
    assert!(Rings::severed().is_err());
}
