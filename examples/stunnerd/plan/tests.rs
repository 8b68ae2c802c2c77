//! What the text of a file comes to.

use clap::Parser;
use stunner_auth::{Environment, Secret};

use super::*;

/// What a file and these options come to, with two variables set.
fn plan_with(text: &str, options: &[&str]) -> Result<Plan, Faults> {
    let environment: Environment =
        [("STUNNER_ADDR", "192.0.2.7"), ("STUNNER_PASSWORD", "pass")].into_iter().collect();
    let loaded = Config::parse(text, &environment).expect(text);
    let warnings = loaded.warnings.iter().map(|warning| Fault::new("", &warning.to_string())).collect();
    let arguments = ["stunnerd", "-c", "file"].iter().chain(options);
    let options = Options::try_parse_from(arguments).expect("options");
    Plan::new(Source::of(loaded.config, warnings), &options)
}

fn plan(text: &str) -> Plan {
    plan_with(text, &[]).expect(text)
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// What is wrong with a v1 file that has this beside good authentication and one good listener.
fn errors(rest: &str) -> Vec<String> {
    lines(&plan_with(&v1(rest), &[]).expect_err(rest).errors)
}

fn warnings(rest: &str) -> Vec<String> {
    lines(&plan(&v1(rest)).warnings)
}

/// A v1 file without warnings; listeners come before `rest` if it does not have its own.
fn v1(rest: &str) -> String {
    let listeners = "listeners: [{name: udp, routes: [open]}]\n";
    let clusters = "clusters: [{name: open, endpoints: [0.0.0.0/0]}]\n";
    let admin = "admin: {healthcheck_endpoint: ''}\n";
    let own = |name: &str, text| if rest.contains(name) { "" } else { text };
    let default = [own("listeners:", listeners), own("clusters:", clusters), own("admin:", admin)].concat();
    format!(
        "version: v1\nauth: {{type: static, credentials: {{username: u, password: p}}}}\n{default}{rest}\n"
    )
}

#[test]
fn a_file_of_v0_9_is_planned() {
    let plan = plan(
        r#"
version: v1alpha1
admin: {name: stunnerd, logLevel: "all:WARN", realm: realm.example}
static:
  auth: {type: plaintext, credentials: {username: user, password: $STUNNER_PASSWORD}}
  listeners:
    - {name: stunnerd-udp, address: "$STUNNER_ADDR", protocol: udp, port: 3478, minPort: 10000, maxPort: 20000}
    - {name: stunnerd-tcp, address: "$STUNNER_ADDR", protocol: tcp, port: 3478}
"#,
    );

    assert_eq!(plan.warnings, []);
    assert_eq!(plan.config.auth.realm, "realm.example");
    let password = Secret::from("pass");
    assert_eq!(plan.config.auth.kind, AuthKind::Static { username: "user".to_owned(), password });
    assert_eq!(plan.relay_addresses, [IpAddr::from([192, 0, 2, 7])]);
    assert_eq!(plan.relay_ports, PortRange::new(10_000, 20_000));
    assert!(!plan.levels.would_enable("stunnerd", &tracing::Level::INFO));
}

#[test]
fn a_flat_file_of_v1alpha1_is_planned() {
    let plan = plan(
        r#"{"version":"v1alpha1","auth":{"type":"longterm","credentials":{"secret":"my-secret"}},
            "listeners":[{"name":"udp","protocol":"UDP","public_address":"203.0.113.1","routes":["media"]}],
            "clusters":[{"name":"media","type":"STATIC","endpoints":["10.0.0.0/8:<1-2>"]}]}"#,
    );

    assert_eq!(plan.warnings, []);
    assert!(matches!(plan.config.auth.kind, AuthKind::TimeLimited { .. }));
    assert_eq!((plan.relay_addresses, plan.relay_ports, plan.workers), (vec![], None, None));
}

#[test]
fn a_file_of_v1_is_planned() {
    let text = v1("listeners: [{name: a, protocol: turn-udp, address: '::ffff:10.0.0.1', routes: [open]},
        {name: b, protocol: TURN-TCP, address: 'fd00::1', min_port: 5000, max_port: 6000, routes: [open]},
        {name: c, port: 3479, address: 10.0.0.1, min_relay_port: 5000, max_relay_port: 6000, routes: [open]},
        {name: d, port: 3480, routes: [open]}]");
    let plan = plan_with(&text, &["-u", "0", "-v"]).unwrap();

    assert_eq!(plan.warnings, []);
    assert_eq!(plan.relay_addresses, ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(plan.relay_ports, PortRange::new(5_000, 6_000));
    assert_eq!(plan.workers, Some(NonZeroUsize::MIN));
    assert!(plan.levels.would_enable("stunnerd", &tracing::Level::DEBUG));
}

#[test]
fn without_authentication_nobody_needs_to_be_reached() {
    let plan =
        plan("version: v1\nadmin: {healthcheck_endpoint: ''}\nauth: {type: none}\nlisteners: [{name: a}]");
    assert_eq!((plan.config.auth.kind, plan.warnings), (AuthKind::None, vec![]));
}

#[test]
fn what_is_not_served_is_refused_by_its_path() {
    for (rest, expected) in [
        ("listeners: []", "listeners: expected at least one listener, found nothing"),
        (
            "listeners: [{name: a}, {name: b, protocol: TLS, port: 443, cert: x, key: y}]",
            "listeners[1].protocol: TURN-TLS is not served yet: only TURN-UDP and TURN-TCP are",
        ),
        (
            "listeners: [{name: a, protocol: dtls, cert: x, key: y}]",
            "listeners[0].protocol: TURN-DTLS is not served yet: only TURN-UDP and TURN-TCP are",
        ),
        (
            "clusters: [{name: open}, {name: dns, type: STRICT_DNS, endpoints: [media.example]}]",
            "clusters[1].type: STRICT_DNS is not served yet: only STATIC is",
        ),
        (
            "clusters: [{name: open, protocol: tcp}]",
            "clusters[0].protocol: peers are not reached over TCP yet: only UDP is served",
        ),
        (
            "admin: {metrics_endpoint: 'http://:8080/metrics', healthcheck_endpoint: ''}",
            "admin.metrics_endpoint: metrics are not served yet: leave it out",
        ),
        (
            "admin: {healthcheck_endpoint: 'http://127.0.0.1:8086'}",
            "admin.healthcheck_endpoint: health is not served yet: set it to \"\"",
        ),
        (
            "admin: {offload_engine: xdp}",
            "admin.offload_engine: the kernel relays nothing yet: set it to None or Auto",
        ),
        (
            "admin: {loglevel: 'all:LOUD'}",
            "admin.loglevel: expected levels such as all:INFO,turn:DEBUG or stunner_relay=debug, found \"all:LOUD\"",
        ),
    ] {
        assert_eq!(errors(rest), [expected], "{rest}");
    }
}

#[test]
fn listeners_that_do_not_fit_together_are_refused() {
    for (listeners, expected) in [
        (
            "{name: a}, {name: b, protocol: tcp}, {name: c, protocol: TURN-UDP}",
            "listeners[2].port: listeners[0].port has TURN-UDP on port 3478 already",
        ),
        (
            "{name: a}, {name: b, port: 1, address: 10.0.0.1}, {name: c, port: 2, address: 10.0.0.2}",
            "listeners[2].address: expected 10.0.0.1, as listeners[1].address says: all relay from one",
        ),
        (
            "{name: a, min_port: 10, max_port: 20}, {name: b, port: 2}, {name: c, port: 3, min_port: 10, max_port: 21}",
            "listeners[2].min_relay_port: expected 10-20, as listeners[0].min_relay_port says: all share their ports, \
             found 10-21",
        ),
        ("{name: a, address: 224.0.0.1}", "listeners[0].address: expected an address that peers can send to"),
    ] {
        assert_eq!(errors(&format!("listeners: [{listeners}]")), [expected], "{listeners}");
    }
    let many: Vec<_> = (1..=1001).map(|port| format!("{{name: a{port}, port: {port}}}")).collect();
    assert_eq!(
        errors(&format!("listeners: [{}]", many.join(","))),
        ["listeners: expected at most 1000 listeners"]
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let faults = plan_with(
        "version: v1alpha1\nadmin: {realm: '', logLevel: x}\nstatic: {auth: {type: none}, listeners: [{protocol: tls, \
         cert: a, key: b, colour: red}]}",
        &[],
    );
    let faults = faults.expect_err("two errors");

    assert_eq!(lines(&faults.warnings), ["static.listeners[0].colour: unknown key, ignored"]);
    assert_eq!(
        lines(&faults.errors),
        [
            "admin.loglevel: expected levels such as all:INFO,turn:DEBUG or stunner_relay=debug, found \"x\"",
            "static.listeners[0].protocol: TURN-TLS is not served yet: only TURN-UDP and TURN-TCP are"
        ]
    );
}

#[test]
fn a_realm_that_does_not_fit_is_refused_where_it_was_given() {
    let long = "r".repeat(128);
    let flat = format!("version: v1\nauth: {{type: none, realm: {long}}}\nlisteners: [{{name: a}}]");
    let nested = format!(
        "version: v1alpha1\nadmin: {{realm: {long}}}\nstatic: {{auth: {{type: none}}, listeners: [{{}}]}}"
    );

    for (text, expected) in [(flat, "auth.realm"), (nested, "admin.realm")] {
        let faults = plan_with(&text, &[]).expect_err(&text);
        assert_eq!(lines(&faults.errors), [format!("{expected}: expected 1 to 127 characters")]);
    }
}

#[test]
fn what_is_served_otherwise_than_it_may_seem_is_warned_of() {
    for (rest, expected) in [
        ("admin: {}", "admin.healthcheck_endpoint: health is not served yet: nothing listens on port 8086"),
        (
            "admin: {healthcheck_endpoint: '', user_quota: 3}",
            "admin.user_quota: each thread counts by itself: with -u 1 it is exact",
        ),
        (
            "admin: {healthcheck_endpoint: '', offload_engine: auto}",
            "admin.offload_engine: the kernel relays nothing yet",
        ),
        (
            "admin: {healthcheck_endpoint: '', license_config: {key: k, hmac: h}}",
            "admin.license_config: nothing here needs a license",
        ),
        (
            "admin: {healthcheck_endpoint: '', loglevel: 'all:INFO,auth:DEBUG'}",
            "admin.loglevel: nothing is logged under \"auth\": write all, turn or stunnerd",
        ),
        (
            "listeners: [{name: a}]",
            "listeners[0].routes: clients of this listener reach nobody: no cluster is routed to",
        ),
    ] {
        assert_eq!(warnings(rest), [expected], "{rest}");
    }
}

#[test]
fn options_go_before_the_file() {
    let text = v1("admin: {healthcheck_endpoint: '', user_quota: 3, loglevel: 'all:LOUD'}");

    let plan = plan_with(&text, &["-u", "1", "-l", "turn:DEBUG"]).expect("the file's level does not count");

    assert_eq!(plan.warnings, []);
    assert!(plan.levels.would_enable("stunner_relay::net", &tracing::Level::DEBUG));
    let faults = plan_with(&text, &["-l", "loud"]).expect_err("a bad level");
    assert!(lines(&faults.errors)[0].starts_with("--log: expected levels"));
}
