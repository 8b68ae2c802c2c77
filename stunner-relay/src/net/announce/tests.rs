use std::{net::Ipv4Addr, num::NonZeroUsize, time::Duration};

use super::*;
use crate::{Listener, RelayAddress, StaticUser, TurnServer, TurnServerBuilder, net::testing::logged};

/// A server of two workers and two listeners starts.
fn start(change: impl FnOnce(TurnServerBuilder) -> TurnServerBuilder) {
    let builder = TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .listen(Listener::udp("127.0.0.1:0"))
        .listen(Listener::udp("127.0.0.1:0"))
        .workers(NonZeroUsize::new(2).expect("two"))
        .relay_address(RelayAddress::bind(Ipv4Addr::LOCALHOST.into()));
    change(builder).start().expect("a server on loopback");
}

#[test]
fn a_server_says_once_that_its_network_is_the_portable_one() {
    let lines = logged("the network is", || start(TurnServerBuilder::portable));

    assert_eq!(lines, ["INFO message=the network is the portable one: a system call for each packet"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_says_once_that_its_network_is_linuxs_and_what_that_can_do() {
    let lines = logged("the network is", || start(|builder| builder));

    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("INFO message=the network is Linux's"), "{line}");
    for feature in ["gro=", "gso=", "pktinfo=", "recverr=", "rxq_ovfl="] {
        assert!(line.contains(feature), "{feature} in {line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_uses_io_uring_unless_it_is_told_not_to_or_says_why_it_does_not() {
    let lines = logged("io_uring", || start(|builder| builder));

    match &lines[..] {
        [line] => assert!(line.contains("io_uring=true"), "{line}"),
        [why, line] => {
            // One worker may have it, and the other one not.
            let io_uring = if why.contains("workers=2") { "io_uring=false" } else { "io_uring=true" };
            assert!(why.contains("io_uring is not to be had") && line.contains(io_uring), "{lines:?}");
        }
        _ => panic!("{lines:?}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_is_told_not_to_use_io_uring_does_not_and_has_nothing_to_explain() {
    let lines = logged("io_uring", || start(|builder| builder.io_uring(false)));

    assert!(matches!(&lines[..], [line] if line.contains("io_uring=false")), "{lines:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn workers_that_are_refused_io_uring_are_counted_in_one_line_that_says_what_to_do() {
    for (number, remedy) in [
        (libc::ENOMEM, "`ulimit -l`"),
        (libc::EPERM, "seccomp"),
        (libc::ENOSYS, "Linux 6.1"),
        (libc::EMFILE, "epoll is used"),
    ] {
        let refused = || io::Error::from_raw_os_error(number);

        let lines = logged("io_uring", || {
            announce_network(&[crate::net::linux::IO_URING, "epoll", "epoll"], &[refused(), refused()]);
        });

        let [why, network] = &lines[..] else { panic!("{lines:?}") };
        assert!(why.contains("workers=2") && why.contains(remedy), "{why}");
        assert!(network.contains("io_uring=true"), "{network}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_whose_packets_wait_for_one_another_has_no_io_uring() {
    let waiting = |builder: TurnServerBuilder| builder.max_added_latency(Duration::from_micros(400));
    let lines = logged("io_uring", || start(waiting));

    assert!(matches!(&lines[..], [line] if line.contains("io_uring=false")), "{lines:?}");
}

#[test]
fn buffers_that_are_as_large_as_asked_for_are_nothing_to_log() {
    assert!(logged("", || Buffers { receive: 4_096, send: 9_000 }.complain(4_096)).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_clipped_buffer_is_one_line_with_what_was_asked_for_what_there_is_and_what_to_do() {
    for (receive, send, command) in [
        (1_000, 4_096, "sysctl -w net.core.rmem_max=4096"),
        (4_096, 1_000, "sysctl -w net.core.wmem_max=4096"),
        (1_000, 1_000, "sysctl -w net.core.rmem_max=4096 net.core.wmem_max=4096"),
    ] {
        let lines = logged("", || Buffers { receive, send }.complain(4_096));

        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with("WARN"), "{line}");
        for part in [format!("asked=4096 receive={receive} send={send}"), format!("`{command}`")] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
}

#[test]
fn what_a_socket_was_given_is_what_it_was_asked_for_as_long_as_that_is_allowed() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    SockRef::from(&socket).set_recv_buffer_size(20_000).expect("it is little");
    SockRef::from(&socket).set_send_buffer_size(30_000).expect("it is little");

    assert_eq!(Buffers::of(&socket).expect("it tells"), Buffers { receive: 20_000, send: 30_000 });
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_socket_was_given_is_the_limit_where_it_was_asked_for_more() {
    let limit = |name| std::fs::read_to_string(format!("/proc/sys/net/core/{name}_max")).ok();
    // Older kernels hide them from containers.
    let (Some(receive), Some(send)) = (limit("rmem"), limit("wmem")) else { return };
    let [receive, send] = [receive, send].map(|limit| limit.trim().parse().expect("a number"));
    let more = 1 << 30;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    SockRef::from(&socket).set_recv_buffer_size(more).expect("it is clipped");
    SockRef::from(&socket).set_send_buffer_size(more).expect("it is clipped");

    let given = Buffers::of(&socket).expect("it tells");

    assert_eq!(given, Buffers { receive: more.min(receive), send: more.min(send) });
}
