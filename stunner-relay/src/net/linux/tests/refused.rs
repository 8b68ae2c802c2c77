//! A container that refuses io_uring, as the seccomp profiles of Docker and containerd do.
#![expect(unsafe_code, reason = "a thread is given a seccomp filter")]

use std::num::NonZeroUsize;

use super::*;
use crate::net::testing::logged;

/// Does something in a thread for which, and for whose threads, there is no io_uring.
fn refusing<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        refuse();
        work()
    });
    thread.join().expect("it works")
}

/// Refuses `io_uring_setup` to the calling thread with EPERM.
fn refuse() {
    let call = u32::try_from(libc::SYS_io_uring_setup).expect("a number of a call");
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).expect("a number of an error");
    let instruction =
        |code, jf, k| libc::sock_filter { code: u16::try_from(code).expect("a code"), jt: 0, jf, k };
    let mut filter = [
        // The number of the call is what the data begin with.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call),
        instruction(libc::BPF_RET | libc::BPF_K, 0, refusal),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: u16::try_from(filter.len()).expect("a few"), filter: filter.as_mut_ptr() };
    // SAFETY: the program and its instructions outlive the calls, which read them and nothing else.
    let set = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    assert_eq!(set, [0, 0], "{}", io::Error::last_os_error());
}

#[test]
fn a_server_that_is_refused_io_uring_says_why_and_relays_both_ways() {
    let lines = refusing(|| {
        logged("io_uring", || {
            let call = over_udp();
            call.at_peer();
            call.at_client(&call.peer);
        })
    });

    let [why, network] = &lines[..] else { panic!("{lines:?}") };
    assert!(why.contains("io_uring is not to be had") && why.contains("not permitted"), "{why}");
    assert!(network.contains("io_uring=false"), "{network}");
}

#[test]
fn a_network_that_is_refused_io_uring_says_why_and_has_none() {
    let (lines, has) = refusing(|| {
        let mut has = true;
        let lines = logged("", || has = LinuxNetwork::with_io_uring().shared.rings.is_some());
        (lines, has)
    });

    assert!(matches!(&lines[..], [why] if why.contains("io_uring is not to be had")), "{lines:?}");
    assert!(!has);
}

#[test]
fn a_network_has_io_uring_only_where_it_is_asked_for() {
    let has = std::thread::spawn(|| {
        let [plain, asked] = [LinuxNetwork::default(), LinuxNetwork::with_io_uring()];
        [plain, asked].map(|network| network.shared.rings.is_some())
    });

    assert_eq!(has.join().expect("they are made"), [false, Rings::new().is_ok()]);
}

#[test]
fn a_server_tells_what_each_of_its_workers_relays_by() {
    let two = NonZeroUsize::new(2).expect("it is not 0");
    let server = |change: fn(TurnServerBuilder) -> TurnServerBuilder| {
        let builder = builder(Listener::udp("127.0.0.1:0"), V4).workers(two);
        change(builder).start().expect("a server on loopback")
    };

    assert_eq!(server(|builder| builder.io_uring(false)).networks(), ["epoll"; 2]);
    assert_eq!(server(TurnServerBuilder::portable).networks(), ["portable"; 2]);
    // Made elsewhere: a ring has the calls of its thread interrupted.
    let has = std::thread::spawn(|| LinuxNetwork::with_io_uring().shared.rings.is_some()).join();
    let expected = if has.expect("it is tried") { "io_uring" } else { "epoll" };
    assert_eq!(server(|builder| builder).networks(), [expected; 2]);
}
