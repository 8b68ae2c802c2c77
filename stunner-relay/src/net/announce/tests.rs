use std::{
    fmt::Write,
    net::Ipv4Addr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{Event, Level, Metadata, Subscriber, field::Field, span};

use super::*;
use crate::{Listener, RelayAddress, StaticUser, TurnServer, TurnServerBuilder};

/// Keeps what one thread logs: level and fields, a line for each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            write!(line, " {}={value:?}", field.name()).expect("it is a string");
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What is logged meanwhile by this thread and has `part` in it.
fn logged(part: &str, work: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), work);
    let lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(part)).cloned().collect()
}

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
