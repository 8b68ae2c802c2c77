//! DSCP and ECN: what is relayed from UDP to UDP keeps them, alone and in trains.

use super::*;
use crate::net::Packet;

/// Best effort, DSCP 46 without ECN, both kinds of ECT, congestion, DSCP 46 with congestion, and nothing again.
const CLASSES: [u8; 7] = [0, 0xB8, 0x01, 0x02, 0x03, 0xBB, 0];

fn marked(traffic_class: u8) -> Marks {
    Marks { traffic_class, ..Marks::default() }
}

/// Calls of clients of either family with peers of either family, with io_uring and without.
fn calls() -> Vec<Call> {
    let families = if StdUdpSocket::bind((V6, 0)).is_ok() { vec![V4, V6] } else { vec![V4] };
    let pairs = families.iter().flat_map(|&client| families.iter().map(move |&peer| (client, peer)));
    pairs
        .flat_map(|(client, peer)| builders(&Listener::udp(SocketAddr::new(client, 0)), peer))
        .map(|builder| call(builder, connected))
        .collect()
}

#[test]
fn xlt_01_and_02_data_of_a_client_over_udp_keep_dscp_and_ecn() {
    for call in calls() {
        for given in CLASSES {
            call.client.mark(given);

            assert_eq!(call.at_peer().map(|marks| marks.traffic_class), [given; 2], "{}", call.relayed);
        }
    }
}

#[test]
fn xlt_01_and_02_data_of_a_peer_keep_dscp_and_ecn_in_a_channel_and_in_indications() {
    for call in calls() {
        let unbound = socket(call.relayed.ip());
        for given in CLASSES {
            for peer in [&call.peer, &unbound] {
                mark(&SockRef::from(peer), given);

                assert_eq!(call.at_client(peer).traffic_class, given, "{}", call.relayed);
            }
        }
    }
}

#[test]
fn xlt_01_and_02_a_server_of_best_effort_relays_neither_dscp_nor_ecn() {
    for builder in builders(&Listener::udp("127.0.0.1:0"), V4) {
        let call = call(builder.best_effort(), connected);
        for given in CLASSES {
            call.client.mark(given);
            mark(&SockRef::from(&call.peer), given);

            assert_eq!(call.at_peer().map(|marks| marks.traffic_class), [0; 2], "{given:#04x}");
            assert_eq!(call.at_client(&call.peer).traffic_class, 0, "{given:#04x}");
        }
    }
}

#[test]
fn the_response_to_a_marked_request_has_no_marks() {
    let call = over_udp();
    let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };
    call.client.mark(0xBB);
    let mut bytes = [0; 64];
    let binding = MessageBuilder::new(Class::Request, Method::BINDING, TransactionId([3; 12]), &mut bytes);
    let len = binding.finish().expect("it fits");

    call.client.send(&bytes[..len]);

    client.peek(&mut [0; 64]).expect("an answer");
    let mut batch = RecvBatch::default();
    Receiver::default().receive(client.as_raw_fd(), &mut batch, 1).expect("it is there");
    assert_eq!(batch.packets().next().expect("a packet").marks.traffic_class, 0);
}

#[test]
fn data_from_one_client_to_another_of_the_same_worker_keep_dscp_and_ecn() {
    let one = std::num::NonZeroUsize::MIN;
    let call = call(builder(Listener::udp("127.0.0.1:0"), V4).workers(one), connected);
    let other = connected(call.server.listeners()[0].address().parse().expect("an address"));
    let (relayed, nonce) = other.allocate();
    other.bind_channel(&nonce, call.relayed);
    call.client.ask(Method::CREATE_PERMISSION, Some(&call.nonce), |message| {
        message.attribute(&XorPeerAddress(relayed))
    });
    let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };

    for given in CLASSES {
        other.mark(given);
        other.send(b"\x40\x00\x00\x04data");

        assert_eq!(marks(client).traffic_class, given);
    }
}

/// Sends data of one length with these classes from a socket of the system, in one call.
fn send(from: &StdUdpSocket, to: SocketAddr, bytes: &[u8], classes: &[u8]) {
    let parts = [bytes, &[], &[]].map(IoSlice::new);
    let datagram = |&class| Datagram { to, from: None, marks: marked(class), parts };
    let datagrams: Vec<_> = classes.iter().map(datagram).collect();
    let takes = Takes { trains: true, marks: true };
    let sent = Sender::default().send(from.as_raw_fd(), &datagrams, takes);
    assert_eq!(sent.expect("they are sent"), classes.len());
}

/// The classes of so many packets, and how many messages brought them.
fn classes(socket: &StdUdpSocket, count: usize) -> (Vec<u8>, usize) {
    let (mut received, mut messages) = (Vec::new(), 0);
    while received.len() < count {
        socket.peek(&mut [0; 64]).expect("a datagram");
        let mut batch = RecvBatch::default();
        let brought = Receiver::default().receive(socket.as_raw_fd(), &mut batch, 32);
        messages += brought.expect("it is there").messages;
        let class = |packet: Packet<'_>| {
            assert!(packet.data.ends_with(b"data"));
            packet.marks.traffic_class
        };
        received.extend(batch.packets().map(class));
    }
    (received, messages)
}

#[test]
fn a_train_has_the_marks_of_all_its_datagrams_and_those_of_others_are_not_in_it() {
    for ip in [V4, V6] {
        let Ok(from) = StdUdpSocket::bind((ip, 0)) else { continue };
        let to = socket(ip);
        let joins = sys::join(&to) && sys::knows_cutting(&to);
        let given = [0xB8, 0xB8, 0xB8, 0, 0, 0x02, 0x02, 0xB8];

        send(&from, to.local_addr().expect("an address"), b"data", &given);

        let (received, messages) = classes(&to, given.len());
        assert_eq!(received, given);
        assert_eq!(messages, if joins { 4 } else { given.len() });
    }
}

#[test]
fn bursts_through_a_server_keep_the_marks_of_each_packet_in_order() {
    for call in calls() {
        let Wire::Udp(client) = &call.client else { panic!("it is over UDP") };
        let listener = call.server.listeners()[0].address().parse().expect("an address");
        assert!(sys::join(client) && sys::join(&call.peer));
        let given = [0xB8, 0xB8, 0xB8, 0xBB, 0xBB, 0, 0, 0, 0x01, 0xB8];

        send(client, listener, b"\x40\x00\x00\x04data", &given);
        assert_eq!(classes(&call.peer, given.len()).0, given);

        send(&call.peer, call.relayed, b"data", &given);
        assert_eq!(classes(client, given.len()).0, given);
    }
}

/// Sends data from a relayed transport address.
fn try_send(relay: &LinuxSocket, to: SocketAddr, marks: &[Marks]) -> io::Result<usize> {
    let parts = [&b"data"[..], &[], &[]].map(IoSlice::new);
    let datagrams: Vec<_> = marks.iter().map(|&marks| Datagram { to, from: None, marks, parts }).collect();
    relay.try_send(&datagrams)
}

/// No kernel takes a hop limit of 0.
const REFUSED: Marks = Marks { hop_limit: Some(0), traffic_class: 0xB8, dont_fragment: false };

#[tokio::test]
async fn where_the_kernel_refuses_marks_data_are_sent_without_from_then_on_and_still_in_trains() {
    let (relay, peer) = relay();
    let to = peer.local_addr().expect("an address");
    let joins = sys::join(&peer) && sys::knows_cutting(&peer);

    assert_eq!(try_send(&relay, to, &[REFUSED; 3]).expect("they are sent"), 3);
    assert_eq!(try_send(&relay, to, &[marked(0xB8); 3]).expect("they are sent"), 3);

    assert_eq!(classes(&peer, 6), (vec![0; 6], if joins { 2 } else { 6 }));
}

#[tokio::test]
async fn an_error_that_is_not_about_marks_leaves_them_as_they_are() {
    let (relay, peer) = relay();
    let to = peer.local_addr().expect("an address");
    let nowhere = SocketAddr::new(V4, 0);

    let error = try_send(&relay, nowhere, &[marked(0xB8)]).expect_err("nobody has port 0");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    try_send(&relay, to, &[marked(0xB8)]).expect("it is sent");

    assert_eq!(marks(&peer).traffic_class, 0xB8);
}
