//! `stunnerd` as a process: files of every generation are served, clients relay data and reach nobody who is not listed.
#![cfg(unix)]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
};

use stunner_auth::SharedSecrets;
use stunner_proto::attribute::{AddressFamily, RequestedAddressFamily};
use stunner_relay::{SystemClock, TimeSource};

#[path = "stunnerd/client.rs"]
mod client;
mod example;
#[path = "stunnerd/program.rs"]
mod program;
#[path = "stunnerd/uclient.rs"]
mod uclient;

use client::Client;
use program::{Program, file, run};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V4: RequestedAddressFamily = RequestedAddressFamily(AddressFamily::V4);
const V6: RequestedAddressFamily = RequestedAddressFamily(AddressFamily::V6);

/// Sends back whatever it is sent, on a port and on the next one, where uclient expects RTCP. Returns the first.
fn echo(ip: IpAddr) -> u16 {
    loop {
        let first = UdpSocket::bind((ip, 0)).expect("a socket");
        let port = first.local_addr().expect("an address").port();
        let Some(Ok(next)) = port.checked_add(1).map(|next| UdpSocket::bind((ip, next))) else { continue };
        for socket in [first, next] {
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..len], from);
                }
            });
        }
        return port;
    }
}

const V0_9: &str = r#"
version: v1alpha1
admin: {name: stunnerd, logLevel: "all:INFO", realm: stunner.l7mp.io}
static:
  auth: {type: plaintext, credentials: {username: user, password: pass}}
  listeners:
    - {name: stunnerd-udp, address: 127.0.0.1, protocol: udp, port: $STUNNER_PORT}
    - {name: stunnerd-tcp, address: 127.0.0.1, protocol: tcp, port: $STUNNER_PORT}
"#;

#[test]
fn clients_of_a_v0_9_file_reach_one_another_and_nothing_special() {
    let program = Program::start(V0_9);
    for arguments in [&["-y"][..], &["-y", "-t"]] {
        uclient::loses_nothing("user", "pass", program.port, arguments);
    }

    let mut client = Client::new(LOCALHOST, program.port, "user", "pass");
    let relayed = client.allocate(V4).expect("an allocation");
    assert_eq!(relayed.ip(), LOCALHOST);
    assert_eq!([client.permit("203.0.113.1"), client.permit("169.254.169.254")], [0, 403]);
    assert_eq!(client.bind(0x4000, SocketAddr::new(LOCALHOST, echo(LOCALHOST))), 403);
}

/// The flat form of v0.10 to v0.13, with time-limited credentials.
fn flat(echo: u16) -> String {
    let next = echo + 1;
    format!(
        r#"{{"version": "v1alpha1", "admin": {{"loglevel": "all:INFO"}},
            "auth": {{"type": "longterm", "realm": "r.example", "credentials": {{"secret": "my-secret"}}}},
            "listeners": [
              {{"name": "udp", "protocol": "udp", "address": "127.0.0.1", "port": "$STUNNER_PORT",
                "min_port": 20000, "max_port": 29999, "routes": ["echo"]}},
              {{"name": "tcp", "protocol": "TCP", "port": "$STUNNER_PORT", "routes": ["echo"]}}],
            "clusters": [{{"name": "echo", "type": "STATIC", "endpoints": ["127.0.0.1:<{echo}-{next}>"]}}]}}"#
    )
}

#[test]
fn clients_of_a_flat_file_reach_the_ports_that_its_clusters_list() {
    let echo_port = echo(LOCALHOST);
    let program = Program::start(&flat(echo_port));
    let secrets = SharedSecrets::new("my-secret");
    let credentials = secrets.issue(Some("alice"), "r.example", SystemClock.unix_seconds(), 600);
    let (username, password) = (credentials.username.as_str(), credentials.password.expose());
    let peer = ["-e", "127.0.0.1", "-r", &echo_port.to_string()].map(str::to_owned);
    let peer = peer.each_ref().map(String::as_str);
    for arguments in [&[][..], &["-s"], &["-t"]] {
        uclient::loses_nothing(username, password, program.port, &[&peer, arguments].concat());
    }

    let mut client = Client::new(LOCALHOST, program.port, username, password);
    let relayed = client.allocate(V4).expect("an allocation");
    assert!((20_000..=29_999).contains(&relayed.port()), "{relayed}");
    assert_eq!([client.permit("127.0.0.2"), client.permit("203.0.113.1")], [403, 403]);
    assert_eq!(client.bind(0x4000, SocketAddr::new(LOCALHOST, echo(LOCALHOST))), 403);
    assert_eq!(client.bind(0x4000, SocketAddr::new(LOCALHOST, echo_port)), 0);
    assert!(client.echoes(0x4000, b"data"));
    assert_eq!(Client::new(LOCALHOST, program.port, username, "wrong").allocate(V4), Err(401));
}

/// A v1 file in JSON, with a quota.
fn v1_json(echo: u16) -> String {
    format!(
        r#"{{"version": "v1",
            "admin": {{"name": "stunner-daemon", "healthcheck_endpoint": "", "user_quota": 2}},
            "auth": {{"type": "static", "credentials": {{"username": "user", "password": "pa$word"}}}},
            "listeners": [{{"name": "default/gateway/udp", "protocol": "TURN-UDP", "port": "$STUNNER_PORT",
              "address": "127.0.0.1", "public_address": "203.0.113.1", "routes": ["default/echo"]}}],
            "clusters": [{{"name": "default/echo", "endpoints": ["127.0.0.1:<{echo}-{echo}>"]}}]}}"#
    )
}

#[test]
fn clients_of_a_v1_file_in_json_have_a_quota() {
    let echo_port = echo(LOCALHOST);
    let path = file(&v1_json(echo_port));
    let program = Program::start_with(&["-c", path.to_str().expect("a path"), "-u", "1"], "all:INFO");

    let new = || Client::new(LOCALHOST, program.port, "user", "pa$word");
    let mut client = new();
    client.allocate(V4).expect("an allocation");
    assert_eq!(client.bind(0x4000, SocketAddr::new(LOCALHOST, echo_port)), 0);
    assert!(client.echoes(0x4000, b"data"));
    assert_eq!([client.permit("127.0.0.2"), client.permit("8.8.8.8")], [403, 403]);
    assert!(new().allocate(V4).is_ok());
    assert_eq!(new().allocate(V4), Err(486));
}

/// A v1 file in YAML, for both families.
fn v1_yaml(echo: u16) -> String {
    format!(
        "
version: v1
admin:
  healthcheck_endpoint: ''
auth:
  type: ephemeral
  credentials:
    secret: my-secret
listeners:
- name: default/gateway/udp
  protocol: TURN-UDP
  address: ::1
  port: $STUNNER_PORT
  routes: [six]
clusters:
- name: six
  type: STATIC
  endpoints: ['::1:<{echo}-{echo}>']
"
    )
}

#[test]
fn clients_of_a_v1_file_in_yaml_are_relayed_over_ipv6() {
    let localhost = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((localhost, 0)).is_err() {
        assert!(std::env::var_os("CI").is_none(), "there must be IPv6 where CI is set");
        return eprintln!("there is no IPv6: nothing was tested");
    }
    let echo_port = echo(localhost);
    let program = Program::start(&v1_yaml(echo_port));
    let secrets = SharedSecrets::new("my-secret");
    let credentials = secrets.issue(None, "stunner.l7mp.io", SystemClock.unix_seconds(), 600);

    let mut client =
        Client::new(localhost, program.port, &credentials.username, credentials.password.expose());
    assert_eq!(client.allocate(V6).expect("an allocation").ip(), localhost);
    assert_eq!(client.bind(0x4000, SocketAddr::new(localhost, echo_port)), 0);
    assert!(client.echoes(0x4000, b"data"));
    assert_eq!([client.permit("::2"), client.permit("2001:db8::1")], [403, 403]);
}

#[test]
fn without_authentication_binding_is_answered_and_nothing_else() {
    let program =
        Program::start("{version: v1, auth: {type: none}, listeners: [{name: stun, port: $STUNNER_PORT}]}");
    assert!(Client::new(LOCALHOST, program.port, "user", "pass").only_binding_is_answered());
}

#[test]
fn uris_are_served_over_both_transports() {
    let uris =
        ["udp", "tcp"].map(|transport| format!("turn://user:pass@127.0.0.1:PORT?transport={transport}"));
    let program = Program::start_with(&uris.each_ref().map(String::as_str), "all:WARN,stunnerd:DEBUG");

    for arguments in [&["-y"][..], &["-y", "-t"]] {
        uclient::loses_nothing("user", "pass", program.port, arguments);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn clients_are_relayed_without_io_uring_where_that_is_asked_for() {
    let program = Program::start_with(&["--no-io-uring", "turn://user:pass@127.0.0.1:PORT"], "all:INFO");

    uclient::loses_nothing("user", "pass", program.port, &["-y"]);

    assert!(program.log.contains("io_uring=false"), "{}", program.log);
}

#[test]
fn a_signal_lets_allocations_end_and_takes_no_more() {
    let mut program = Program::start(V0_9);
    let mut client = Client::new(LOCALHOST, program.port, "user", "pass");
    client.allocate(V4).expect("an allocation");

    program.signal("TERM");
    assert!(program.says("ending; a second signal ends at once"));
    assert_eq!(Client::new(LOCALHOST, program.port, "user", "pass").allocate(V4), Err(508));
    assert_eq!(client.end(), 0);

    assert!(program.says("ended") && program.ended().success());
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let mut program = Program::start(V0_9);
    let mut client = Client::new(LOCALHOST, program.port, "user", "pass");
    client.allocate(V4).expect("an allocation");

    program.signal("INT");
    assert!(program.says("ending; a second signal ends at once"));
    program.signal("INT");

    assert!(program.says("ended at once") && program.ended().success());
}

#[test]
fn grace_ends_too() {
    let uri = "turn://user:pass@127.0.0.1:PORT";
    let mut program = Program::start_with(&[uri, "--grace", "0"], "all:INFO");
    let mut client = Client::new(LOCALHOST, program.port, "user", "pass");
    client.allocate(V4).expect("an allocation");

    program.signal("TERM");

    assert!(program.says("ended") && program.ended().success());
}

#[test]
fn what_happens_to_allocations_is_logged() {
    let mut program = Program::start(V0_9);
    let mut client = Client::new(LOCALHOST, program.port, "user", "pass");
    client.allocate(V4).expect("an allocation");
    assert_eq!(client.end(), 0);

    assert!(program.says("allocation opened") && program.says("allocation closed"));
}

/// What the program says and how it ends, for a file of this text.
fn checked(text: &str) -> (String, Option<i32>) {
    let output = run(&["-c", file(text).to_str().expect("a path"), "--check-config"]);
    (String::from_utf8(output.stdout).expect("text"), output.status.code())
}

#[test]
fn a_check_tells_all_warnings_and_errors_and_starts_nothing() {
    assert_eq!(
        checked(
            "{version: v1, admin: {healthcheck_endpoint: ''}, auth: {type: none}, listeners: [{name: a}]}"
        ),
        ("errors: 0, warnings: 0\n".to_owned(), Some(0))
    );
    assert_eq!(
        checked(
            "{version: v1, auth: {type: none, color: red}, listeners: [{name: a, port: $NO_SUCH_VARIABLE}]}"
        ),
        (
            "warning: auth.color: unknown key, ignored\n\
             warning: listeners[0].port: the variable NO_SUCH_VARIABLE is not set\n\
             warning: admin.healthcheck_endpoint: health is not served yet: nothing listens on port 8086\n\
             errors: 0, warnings: 3\n"
                .to_owned(),
            Some(0)
        )
    );
    let bad = "version: v1\nadmin: {metrics_endpoint: 'http://:8080', healthcheck_endpoint: ''}\nauth: {type: none}\n\
               listeners: [{name: a, protocol: tls, cert: c, key: k}]\n\
               clusters: [{name: b, type: STRICT_DNS, endpoints: [media.example]}]\n";
    assert_eq!(
        checked(bad),
        (
            "error: admin.metrics_endpoint: metrics are not served yet: leave it out\n\
             error: clusters[0].type: STRICT_DNS is not served yet: only STATIC is\n\
             error: listeners[0].protocol: TURN-TLS is not served yet: only TURN-UDP and TURN-TCP are\n\
             errors: 3, warnings: 0\n"
                .to_owned(),
            Some(1)
        )
    );
}

#[test]
fn bad_files_are_told_by_place_and_nothing_starts() {
    for (text, expected) in [
        ("", "error: expected YAML"),
        ("version: v2", "error: version: expected v1alpha1 or v1, found \"v2\" (line 1, column 10)"),
        ("{version: v1", "error: expected JSON, but: "),
        (
            "version: v1\nauth: {type: none}\nlisteners:\n- {name: a, port: 70000}",
            "error: listeners[0].port: expected",
        ),
        ("{version: v1, auth: {type: none}}", "error: listeners: expected at least one listener"),
    ] {
        let output = run(&["-c", file(text).to_str().expect("a path")]);
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(told.lines().any(|line| line.starts_with(expected)), "{text}: {told}");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
    }
    for path in ["/nowhere/at/all", env!("CARGO_TARGET_TMPDIR")] {
        let output = run(&["-c", path]);
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(told.starts_with(&format!("error: --config: cannot read {path}: ")), "{told}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_port_in_use_ends_the_program_and_is_named() {
    let busy = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
    let port = busy.local_addr().expect("an address").port();

    let output = run(&[&format!("turn://user:pass@127.0.0.1:{port}")]);

    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.starts_with(&format!("error: 0.0.0.0:{port} is in use by another program")), "{told}");
    assert_eq!(output.status.code(), Some(1));
}
