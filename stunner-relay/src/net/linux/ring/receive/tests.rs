//! What becomes of deliveries when buffers run out, and of all of them when the ring does.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, UdpSocket},
};

use super::*;
use crate::net::linux::{raise_open_files, tests::sever};

fn ring() -> Option<ReceiveRing> {
    ReceiveRing::new().ok()
}

fn sockets(count: usize) -> Vec<UdpSocket> {
    raise_open_files().expect("it may have as many files");
    let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    std::iter::repeat_with(socket).take(count).collect()
}

fn send(to: &UdpSocket) {
    to.send_to(b"data", to.local_addr().expect("an address")).expect("it is sent");
}

/// Receives until nothing is left, and returns how many packets came to each token, and in how many turns.
fn drain(ring: &mut ReceiveRing) -> (BTreeMap<usize, usize>, usize) {
    let (mut batch, mut errors, mut came) = (RecvBatch::default(), Vec::new(), BTreeMap::new());
    for turn in 0..10_000 {
        batch.clear();
        ring.receive(&mut batch, &mut errors);
        batch.arrivals(0).for_each(|arrival| *came.entry(arrival.token).or_default() += 1);
        assert!(errors.is_empty());
        if !ring.has_more() {
            return (came, turn + 1);
        }
    }
    panic!("there is no end to it")
}

#[test]
fn who_found_no_buffer_is_asked_again_when_there_is_one_and_all_that_came_is_received() {
    const MANY: usize = 500;
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(MANY);
    for (token, socket) in sockets.iter().enumerate() {
        ring.deliver(socket.as_raw_fd(), token);
    }
    sockets.iter().for_each(send);

    let (came, turns) = drain(&mut ring);

    assert_eq!(came, (0..MANY).map(|token| (token, 1)).collect());
    assert!(ring.asked <= 2 * MANY, "{} times asked", ring.asked);
    assert!(turns <= 2 * MANY.div_ceil(32), "{turns} turns");
}

#[test]
fn who_has_much_does_not_keep_others_from_being_received() {
    const MANY: usize = 300;
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(MANY);
    (0..200).for_each(|_| send(&sockets[0]));
    sockets[1..].iter().for_each(send);
    for (token, socket) in sockets.iter().enumerate() {
        ring.deliver(socket.as_raw_fd(), token);
    }

    let (mut came, _) = drain(&mut ring);

    assert_eq!(came.remove(&0), Some(200));
    assert_eq!(came, (1..MANY).map(|token| (token, 1)).collect());
    assert!(ring.asked <= 2 * MANY + 200, "{} times asked", ring.asked);
}

#[test]
fn who_waits_for_a_buffer_and_is_gone_is_not_asked_again() {
    let Some(mut ring) = ring() else { return };
    let mut sockets = sockets(300);
    let deliver = |(token, socket): (usize, &UdpSocket)| ring.deliver(socket.as_raw_fd(), token);
    let keys: Vec<_> = sockets.iter().enumerate().map(deliver).collect();
    sockets.iter().for_each(send);
    let mut batch = RecvBatch::default();
    for _ in 0..100 {
        if !ring.hungry.is_empty() {
            break;
        }
        batch.clear();
        ring.receive(&mut batch, &mut Vec::new());
    }
    assert_eq!(ring.deliveries[keys[299]].state, State::Hungry);

    // Another one gets its number, of the delivery and of the file.
    let last = sockets.pop().expect("there are some");
    ring.forget(keys[299]);
    drop(last);
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    ring.deliver(other.as_raw_fd(), 1_000);
    send(&other);

    let (came, _) = drain(&mut ring);
    assert_eq!(came.get(&1_000), Some(&1));
    assert_eq!(came.get(&299), None);
}

#[test]
fn who_has_been_asked_since_is_not_asked_twice() {
    let Some(mut ring) = ring() else { return };
    let socket = &sockets(1)[0];
    let key = ring.deliver(socket.as_raw_fd(), 0);
    ring.hungry.push(key, true);

    drain(&mut ring);

    assert_eq!((ring.asked, ring.hungry.is_empty()), (1, true));
}

#[test]
fn a_ring_that_has_ended_leaves_sockets_to_others_and_the_kernel_has_no_buffer_of_it() {
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(150);
    for (token, socket) in sockets.iter().enumerate() {
        ring.deliver(socket.as_raw_fd(), token);
    }
    sockets.iter().for_each(send);

    ring.end();

    assert!(!ring.buffers.are_left());
    send(&sockets[0]);
    assert_eq!(sockets[0].recv(&mut [0; 8]).expect("a datagram"), 4);
}

#[test]
fn buffers_that_the_kernel_does_not_give_back_are_left_to_it() {
    let Some(mut ring) = ring() else { return };
    let socket = &sockets(1)[0];
    ring.deliver(socket.as_raw_fd(), 0);
    sever(ring.as_raw_fd());

    ring.end();

    assert!(ring.buffers.are_left());
}

#[test]
fn a_ring_that_takes_nothing_is_given_up_and_asked_nothing_for_ever() {
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(100);
    sever(ring.as_raw_fd());

    let keys: Vec<_> = sockets.iter().map(|socket| ring.deliver(socket.as_raw_fd(), 0)).collect();
    ring.tell_error(keys[0]);
    for key in keys {
        ring.forget(key);
    }

    assert!(ring.fault().is_some());
}

#[test]
fn a_ring_that_finds_no_buffers_though_they_are_there_is_given_up() {
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(3);
    ring.buffers.unregister(&ring.ring.submitter()).expect("they were registered");
    for (token, socket) in sockets.iter().enumerate() {
        ring.deliver(socket.as_raw_fd(), token);
    }

    let mut batch = RecvBatch::default();
    (0..1_000).for_each(|_| ring.receive(&mut batch, &mut Vec::new()));

    assert!(ring.fault().is_some());
}

#[test]
fn what_cannot_be_received_from_has_the_ring_given_up_so_that_nobody_is_deaf() {
    let Some(mut ring) = ring() else { return };
    let file = std::fs::File::open("/dev/null").expect("it is there");

    ring.deliver(file.as_raw_fd(), 0);
    ring.receive(&mut RecvBatch::default(), &mut Vec::new());

    assert_eq!(ring.fault().and_then(io::Error::raw_os_error), Some(libc::ENOTSOCK));
}

#[test]
fn under_overload_all_are_served_and_about_alike() {
    const BUSY: usize = 200;
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(BUSY);
    for (token, socket) in sockets.iter().enumerate() {
        ring.deliver(socket.as_raw_fd(), token);
    }

    let (mut batch, mut came) = (RecvBatch::default(), BTreeMap::<usize, usize>::new());
    for _ in 0..400 {
        (0..4).for_each(|_| sockets.iter().for_each(send));
        batch.clear();
        ring.receive(&mut batch, &mut Vec::new());
        batch.arrivals(0).for_each(|arrival| *came.entry(arrival.token).or_default() += 1);
    }

    assert_eq!(came.len(), BUSY);
    let (least, most) = (came.values().min(), came.values().max());
    assert!(least.zip(most).is_some_and(|(least, most)| 3 * least >= *most), "{least:?} and {most:?}");
}

#[test]
fn errors_of_a_few_sockets_are_named_in_a_turn_and_each_socket_once() {
    let Some(mut ring) = ring() else { return };
    let sockets = sockets(20);
    let deliver = |(token, socket): (usize, &UdpSocket)| ring.deliver(socket.as_raw_fd(), token);
    let keys: Vec<_> = sockets.iter().enumerate().map(deliver).collect();
    for _ in 0..3 {
        keys.iter().for_each(|&key| ring.tell_error(key));
    }
    ring.forget(keys[19]);

    let mut named = || {
        let mut errors = Vec::new();
        ring.receive(&mut RecvBatch::default(), &mut errors);
        errors
    };

    assert_eq!(named(), (0..16).collect::<Vec<_>>());
    assert_eq!(named(), (16..19).collect::<Vec<_>>());
    assert!(named().is_empty());
}
