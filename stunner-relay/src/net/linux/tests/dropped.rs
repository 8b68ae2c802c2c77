//! What the kernel drops because a socket is full is counted, to the packet.

use std::sync::{
    Mutex, PoisonError,
    mpsc::{Receiver as Wait, Sender as Tell, channel},
};

use stunner_proto::attribute::Lifetime;

use super::*;
use crate::{Counters, PeerPolicy, Verdict};

/// More packets than any buffer of ours holds.
const FLOOD: u64 = 30_000;

/// Whom the policy thinks about for as long as the test wants.
const SLOW: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Holds the worker that asks about [`SLOW`].
struct Gate {
    asked: Tell<()>,
    opened: Mutex<Wait<()>>,
}

impl PeerPolicy for Gate {
    fn judge(&self, peer: IpAddr, _: Option<u16>, _: &crate::Client, _: &str) -> Verdict {
        if peer == SLOW {
            let _ = self.asked.send(());
            // It ends when the test lets go of the other end.
            let _ = self.opened.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        Verdict::Allow
    }
}

/// A call whose worker does nothing while `flood` runs, and how often what happened until then.
fn held(builder: TurnServerBuilder, flood: impl FnOnce(&Call)) -> (Call, Counters) {
    let (asked, is_asked) = channel();
    let (open, opened) = channel();
    let gate = Gate { asked, opened: Mutex::new(opened) };
    let call = call(builder.policy(gate), connected);
    let before = call.server.stats();
    let slow = XorPeerAddress(SocketAddr::new(SLOW, 1));
    call.client
        .send(&request(Method::CREATE_PERMISSION, Some(&call.nonce), |message| message.attribute(&slow)));
    is_asked.recv_timeout(PATIENCE).expect("the worker is held");
    flood(&call);
    drop(open);
    (call, before)
}

impl Call {
    /// Has `send` send until what it sent is among what the client receives, and returns how often.
    fn until_received(&self, send: impl Fn([u8; 12])) -> u64 {
        let Wire::Udp(client) = &self.client else { panic!("it is over UDP") };
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let mut bytes = [0; 2_048];
        for times in 1..=100_u8 {
            let mark = [100 + times; 12];
            send(mark);
            while let Ok(len) = client.recv(&mut bytes) {
                if bytes[..len].windows(mark.len()).any(|part| part == mark) {
                    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                    return times.into();
                }
            }
        }
        panic!("nothing gets through")
    }
}

#[test]
fn what_was_sent_to_a_full_listener_was_received_or_is_counted_as_dropped_by_the_kernel() {
    let (call, before) = held(builder(Listener::udp("127.0.0.1:0"), V4), |call| {
        (0..FLOOD).for_each(|_| call.client.send(b"\xFFnonsense"));
    });

    let bindings = call.until_received(|mark| {
        let mut bytes = [0; 64];
        let binding = MessageBuilder::new(Class::Request, Method::BINDING, TransactionId(mark), &mut bytes);
        let len = binding.finish().expect("it fits");
        call.client.send(&bytes[..len]);
    });

    let after = call.server.stats();
    let dropped = after.dropped_by_kernel - before.dropped_by_kernel;
    let answered = after.successes + after.refusals - before.successes - before.refusals;
    let received = after.dropped_from_clients - before.dropped_from_clients + answered;
    assert!(dropped > 0);
    // The request that held the worker is one.
    assert_eq!(received + dropped, 1 + FLOOD + bindings);
}

#[test]
fn what_the_kernel_dropped_of_a_relayed_transport_address_stays_counted_when_that_is_gone() {
    let stranger = StdUdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).expect("a socket");
    for builder in builders(&Listener::udp("127.0.0.1:0"), V4) {
        let (call, before) = held(builder, |call| {
            (0..FLOOD)
                .for_each(|_| assert_eq!(stranger.send_to(b"data", call.relayed).expect("it is sent"), 4));
        });

        let data = call.until_received(|mark| {
            call.peer.send_to(&mark, call.relayed).expect("it is sent");
        });
        call.client.ask(Method::REFRESH, Some(&call.nonce), |message| message.attribute(&Lifetime(0)));

        let after = call.server.stats();
        let dropped = after.dropped_by_kernel - before.dropped_by_kernel;
        let relayed = after.traffic.packets_to_client - before.traffic.packets_to_client;
        let received = after.dropped_from_peers - before.dropped_from_peers + relayed;
        assert_eq!(after.allocations, 0);
        assert!(dropped > 0);
        assert_eq!(received + dropped, FLOOD + data);
    }
}

/// Empties a socket, which has something, and returns how many datagrams it had.
async fn drain(socket: &LinuxSocket) -> u64 {
    let mut batch = RecvBatch::default();
    let mut received = 0;
    let ready = tokio::time::timeout(PATIENCE, socket.ready()).await;
    ready.expect("something comes").expect("a socket");
    while socket.try_recv(&mut batch).is_ok() {
        received += batch.packets().count() as u64;
        batch.clear();
    }
    received
}

#[tokio::test]
async fn a_listener_with_a_tiny_buffer_tells_how_many_were_dropped_when_the_next_one_has_come() {
    let bound = bind_listener((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port");
    SockRef::from(&bound).set_recv_buffer_size(1).expect("the least that there is");
    let listener = LinuxNetwork::default().listener(bound).expect("a socket");
    let client = socket(V4);
    client.connect(listener.local_addr().expect("an address")).expect("it is there");

    for _ in 0..200 {
        client.send(b"data").expect("it is sent");
    }
    let received = drain(&listener).await;
    assert_eq!(listener.dropped(), 0, "those that were received came before");
    client.send(b"data").expect("it is sent");
    let received = received + drain(&listener).await;

    assert!(listener.dropped() > 0);
    assert_eq!(received + listener.dropped(), 201);
}
