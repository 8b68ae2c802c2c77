//! `turncheck` as a process: good servers are good, and every fault has its step and its advice.
#![cfg(unix)]

use std::{
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use stunner_auth::SharedSecrets;
use stunner_relay::{SharedSecret, StaticUser, SystemClock, TimeSource};

#[path = "turncheck/between.rs"]
mod between;
mod example;
#[path = "turncheck/run.rs"]
mod run;
#[path = "turncheck/scripted.rs"]
mod scripted;
#[path = "turncheck/server.rs"]
mod server;
#[path = "turncheck/tls.rs"]
mod tls;

use between::{accepting, narrow, web};
use run::check;
use scripted::Script;
use server::{Coturn, Own, closed_port};

#[test]
fn over_udp_a_good_server_passes_every_step() {
    let server = Own::start();

    let run = check(&server.udp_uri(), &[]);

    run.is_good();
    let steps = ["name", "answer", "allocate", "mapped", "relayed", "second", "peer", "data", "mtu"];
    assert_eq!(run.steps(), steps);
    assert!(run.step("answer").1.contains("of realm \"example.com\""), "{}", run.step("answer").1);
    assert!(run.step("mapped").1.contains("no NAT"), "{}", run.step("mapped").1);
    assert!(run.step("relayed").1.contains("loopback"), "{}", run.step("relayed").1);
    assert!(run.step("data").1.contains("0 of 20 packets lost"), "{}", run.step("data").1);
    assert!(run.step("mtu").1.contains("1500 bytes"), "{}", run.step("mtu").1);
}

#[test]
fn over_tcp_the_port_is_a_step_and_the_path_mtu_is_none() {
    let server = Own::start();

    let run = check(&server.tcp_uri(), &["--packets", "5"]);

    run.is_good();
    assert_eq!(run.steps()[..3], ["name", "connect", "answer"]);
    assert!(run.step("data").1.contains("0 of 5 packets lost"), "{}", run.step("data").1);
    assert_eq!(run.step("mtu").0, "skipped");
}

#[test]
fn over_ipv6_all_is_the_same() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("this machine has no IPv6: nothing was tested");
    }
    let server =
        Own::at(Ipv6Addr::LOCALHOST.into(), |builder| builder.authenticator(StaticUser::new("user", "pass")));

    check(&server.udp_uri(), &["--relay-ipv6"]).is_good();
    check(&server.udp_uri(), &[]).fails("allocate", "440", "no relayed addresses of this family");
    check(&server.udp_uri(), &["-4", "--relay-ipv6"]).fails(
        "name",
        "of the other family",
        "leave out --ipv4",
    );
}

#[test]
fn credentials_may_stand_in_the_uri() {
    let server = Own::start();
    let run = check(&format!("turn://user:pass@{}?transport=udp", server.udp), &[]);
    run.is_good();
}

#[test]
fn a_wrong_password_is_a_wrong_password() {
    let server = Own::start();
    let run = check(&server.udp_uri(), &["--user", "user", "--password", "wrong"]);
    run.fails("allocate", "refused: 401", "user name or the password is wrong");
}

#[test]
fn a_secret_makes_good_credentials_and_a_wrong_one_is_told() {
    let server = Own::with(|builder| builder.authenticator(SharedSecret::new("north", SystemClock)));

    check(&server.udp_uri(), &["--secret", "north", "--user", "alice"]).is_good();
    let wrong = check(&server.udp_uri(), &["--secret", "south"]);

    assert_eq!(wrong.step("clock").0, "ok");
    wrong.fails("allocate", "refused: 401", "it has another one (static-auth-secret");
}

#[test]
fn credentials_past_their_time_are_expired() {
    let server = Own::with(|builder| builder.authenticator(SharedSecret::new("north", SystemClock)));
    let old = SharedSecrets::new("north").issue(Some("alice"), "", SystemClock.unix_seconds() - 7_300, 60);

    let run = check(&server.udp_uri(), &["--user", &old.username, "--password", old.password.expose()]);

    run.fails("allocate", "refused: 401", "past their time: get fresh ones");
    assert!(run.step("clock").1.contains("expired 2 h ago"), "{}", run.step("clock").1);
}

#[test]
fn a_clock_that_is_behind_the_servers_is_told() {
    let server = Own::with(|builder| builder.authenticator(SharedSecret::new("north", SystemClock)));
    let ahead = std::time::UNIX_EPOCH + Duration::from_secs(SystemClock.unix_seconds() + 7_200);
    let date = httpdate::fmt_http_date(ahead);
    let clock = web(format!("HTTP/1.1 204 No Content\r\nDate: {date}\r\n\r\n"));

    let run = check(&server.udp_uri(), &["--secret", "north", "--clock", &format!("127.0.0.1:{clock}")]);

    assert_eq!(run.status, 1);
    let (status, text) = run.step("clock");
    assert!(status == "failed" && text.contains("behind the server's"), "{text}");
    run.advises("switch NTP on");
}

#[test]
fn a_name_that_is_not_known_ends_the_run() {
    let run = check("turn:no-such-host.invalid", &[]);
    assert_eq!(run.steps(), ["name"]);
    run.fails("name", "no-such-host.invalid has no address", "is it spelled right");
}

#[test]
fn a_name_is_resolved_into_both_families() {
    let server = Own::start();
    let port = server.udp.rsplit(':').next().expect("a port");

    let run = check(&format!("turn:localhost:{port}"), &["-4"]);

    run.is_good();
    // The second is none where the machine has no IPv6.
    assert!(run.step("name").1.starts_with("localhost: A 127.0.0.1, AAAA "), "{}", run.step("name").1);
}

#[test]
fn a_closed_port_is_told_by_what_the_machine_says() {
    let (_held, port) = closed_port();

    let closed = check(&format!("turn:127.0.0.1:{port}"), &[]);
    let refused = check(&format!("turn:127.0.0.1:{port}?transport=tcp"), &[]);

    closed.fails("answer", "closed: the machine says so (ICMP)", "no program listens on UDP port");
    refused.fails("connect", "the connection is refused (RST)", "no program listens on TCP port");
}

#[test]
fn a_port_that_never_answers_is_filtered() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let udp = silent.local_addr().expect("an address");
    // A queue that is full lets the kernel drop what comes.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    full.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    full.listen(0).expect("it listens");
    let tcp = full.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let patience = Duration::from_millis(200);
    let waiting: Vec<_> = (0..4).filter_map(|_| TcpStream::connect_timeout(&tcp, patience).ok()).collect();

    check(&format!("turn:{udp}"), &["--timeout", "1"]).fails("answer", "no answer in 1 s", "open UDP port");
    let run = check(&format!("turn:{tcp}?transport=tcp"), &["--timeout", "1"]);
    run.fails("connect", "no answer to the connection", "open TCP port");
    drop(waiting);
}

#[test]
fn what_is_no_turn_server_is_told_by_what_it_says() {
    let uri = |port: u16| format!("turn:127.0.0.1:{port}?transport=tcp");
    let page = web("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned());
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let mute_port = mute.local_addr().expect("an address").port();
    let closing = accepting(drop);

    check(&uri(page), &[]).fails("answer", "speaks no TURN, but HTTP", "Another program listens");
    check(&uri(closing), &[]).fails("answer", "closed the connection", "is it TURN that listens");
    check(&uri(mute_port), &["--timeout", "1"]).fails(
        "answer",
        "no answer in 1 s",
        "is it TURN that listens",
    );
}

#[test]
fn a_server_of_stun_only_is_told() {
    let server = Own::with(stunner_relay::TurnServerBuilder::stun_only);
    let run = check(&server.udp_uri(), &["--timeout", "3"]);
    run.fails("answer", "answers STUN, and no TURN request", "relays nothing");
}

#[test]
fn a_quota_of_one_shows_in_the_second_allocation() {
    // Each worker counts for itself.
    let one = std::num::NonZeroUsize::MIN;
    let server = Own::with(|builder| {
        builder.authenticator(StaticUser::new("user", "pass")).user_quota(1).workers(one)
    });
    check(&server.udp_uri(), &[]).fails("second", "486", "raise user-quota");
}

#[test]
fn every_refusal_has_its_advice() {
    for (code, advice) in [
        (300, "see its alternate-server"),
        (403, "access rules"),
        (437, "keep a client at one server"),
        (438, "every nonce stale"),
        (441, "belongs to other credentials"),
        (442, "does not relay over UDP"),
        (486, "as many allocations"),
        (508, "no room"),
    ] {
        let uri = scripted::start(Script { allocate: code, ..Script::default() });
        check(&uri, &[]).fails("allocate", &format!("refused: {code}"), advice);
    }
}

#[test]
fn another_server_is_followed() {
    let server = Own::start();
    let alternate = server.udp.parse().ok();
    let uri = scripted::start(Script { allocate: 300, alternate, ..Script::default() });

    let run = check(&uri, &[]);

    run.is_good();
    assert!(
        run.step("allocate").1.ends_with(&format!("by way of {}", server.udp)),
        "{}",
        run.step("allocate").1
    );
}

#[test]
fn a_peer_that_is_refused_is_told_by_the_policy() {
    let uri = scripted::start(Script { permission: 403, ..Script::default() });
    let run = check(&uri, &[]);
    run.fails("peer", "a permission for 127.0.0.1 is refused: 403", "peer policy forbids");
}

#[test]
fn data_that_do_not_come_through_are_a_matter_of_relay_ports() {
    let uri = scripted::start(Script::default());
    check(&uri, &["--packets", "3"]).fails("data", "none of 3 packets came back", "Open its relay ports");
}

#[test]
fn a_server_that_does_not_know_its_address_is_told() {
    let uri =
        scripted::start(Script { relayed: (Ipv4Addr::UNSPECIFIED, 49_152).into(), ..Script::default() });

    let run = check(&uri, &["--packets", "1"]);

    assert_eq!((run.status, run.step("relayed").0), (1, "failed"));
    run.advises("does not know its own address");
}

#[test]
fn a_narrow_path_is_measured() {
    let server = Own::start();
    // Datagrams without the headers of IP and UDP.
    let (wide, narrow_path) = (narrow(&server.udp, 1_420 - 28), narrow(&server.udp, 1_000 - 28));

    let wide = check(&format!("turn:127.0.0.1:{wide}"), &[]);
    let narrow = check(&format!("turn:127.0.0.1:{narrow_path}"), &[]);

    wide.is_good();
    assert!(wide.step("mtu").1.contains("up to 1420 bytes"), "{}", wide.step("mtu").1);
    assert!(wide.step("mapped").1.contains("a NAT on the way"), "{}", wide.step("mapped").1);
    narrow.fails("mtu", "up to 1000 bytes", "raise its MTU");
}

#[test]
fn what_cannot_be_checked_is_a_matter_of_the_command_line() {
    for (uri, why) in [
        ("turns:127.0.0.1?transport=udp", "DTLS cannot be checked yet"),
        ("127.0.0.1:3478", "write for instance turn:"),
        ("stun:127.0.0.1", "relays nothing"),
    ] {
        let run = check(uri, &[]);
        assert!(run.status == 2 && run.stderr.contains(why), "{uri}: {}", run.stderr);
    }
    assert_eq!(check("turn:127.0.0.1", &["--no-such-option"]).status, 2);
}

#[test]
fn coturn_passes_every_step() {
    let Some(coturn) = Coturn::start(&["--allow-loopback-peers"]) else { return };
    for transport in ["udp", "tcp"] {
        check(&format!("turn:127.0.0.1:{}?transport={transport}", coturn.port), &[]).is_good();
    }
}

#[test]
fn coturns_refusals_are_understood() {
    let Some(coturn) = Coturn::start(&["--denied-peer-ip=127.0.0.0-127.255.255.255"]) else { return };
    let uri = format!("turn:127.0.0.1:{}", coturn.port);

    let wrong = check(&uri, &["--user", "user", "--password", "wrong"]);
    let denied = check(&uri, &[]);

    wrong.fails("allocate", "refused: 401", "user name or the password is wrong");
    denied.fails("peer", "is refused: 403", "peer policy forbids its own relayed address");
}
