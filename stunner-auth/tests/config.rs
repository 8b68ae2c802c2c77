//! Configuration files of every generation: what they mean, what is refused, what is warned of.
#![cfg(feature = "config")]

use std::net::IpAddr;

use stunner_auth::{
    AuthKind, Environment,
    config::{
        Config, ConfigError, EVERY_PEER, Endpoints, Generation, Loaded, Location, Offload, PeerProtocol,
        PemSource, PortRange, Problem, Protocol,
    },
};

fn parse(text: &str) -> Result<Loaded, ConfigError> {
    Config::parse(text, &Environment::default())
}

fn with(text: &str, variables: &[(&str, &str)]) -> Loaded {
    Config::parse(text, &variables.iter().copied().collect()).expect("a configuration")
}

/// What is wrong with a text, in one line.
fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// A file of version v1 with something in its place.
fn v1(rest: &str) -> String {
    format!("version: v1\nauth: {{type: none}}\n{rest}\n")
}

/// As STUNner v0.9 shipped it.
const V0_9: &str = r#"
version: v1alpha1
admin:
  name: stunnerd
  logLevel: $STUNNER_LOGLEVEL
  realm: $STUNNER_REALM
static:
  auth:
    type: $STUNNER_AUTH_TYPE
    credentials: {username: $STUNNER_USERNAME, password: $STUNNER_PASSWORD, secret: $STUNNER_SHARED_SECRET}
  listeners:
    - name: stunnerd-udp
      address: "$STUNNER_ADDR"
      protocol: udp
      port: $STUNNER_PORT
      minPort: $STUNNER_MIN_PORT
      maxPort: $STUNNER_MAX_PORT
    - {protocol: tcp}
"#;

#[test]
fn v0_9_has_everything_under_static_and_lets_clients_reach_every_peer() {
    let variables = [
        ("STUNNER_LOGLEVEL", "all:WARN"),
        ("STUNNER_REALM", "realm.example"),
        ("STUNNER_AUTH_TYPE", "longterm"),
        ("STUNNER_SHARED_SECRET", "se$cret"),
        ("STUNNER_ADDR", "192.0.2.7"),
        ("STUNNER_PORT", "udp://10.0.0.1:3478"),
        ("STUNNER_PUBLIC_PORT", "3500"),
        ("STUNNER_MIN_PORT", "10000"),
        ("STUNNER_MAX_PORT", "20000"),
    ];
    let config = with(V0_9, &variables).config;

    assert_eq!(config.generation, Generation::V0_9);
    assert_eq!((config.admin.log_level.as_str(), config.auth.realm.as_str()), ("all:WARN", "realm.example"));
    let AuthKind::TimeLimited { secret, .. } = &config.auth.kind else { panic!("{:?}", config.auth) };
    assert_eq!(secret.expose(), "se$cret");
    let [udp, tcp] = config.listeners.as_slice() else { panic!("two listeners") };
    assert_eq!((udp.address, udp.port), (IpAddr::from([192, 0, 2, 7]), 3500));
    assert_eq!(udp.relay_ports, PortRange::new(10_000, 20_000));
    assert_eq!((tcp.name.as_str(), tcp.protocol), ("listener-turn-tcp-0.0.0.0-3478", Protocol::Tcp));
    assert_eq!(udp.routes, [EVERY_PEER]);
    let cluster = config.clusters_of(udp).next().expect("the cluster of everybody");
    assert!(
        cluster.permits([203, 0, 113, 1].into(), 1) && cluster.permits("2001:db8::1".parse().unwrap(), 1)
    );
}

#[test]
fn v0_9_without_a_user_has_the_one_that_everybody_knows_and_warns() {
    let loaded = with(V0_9, &[("STUNNER_PORT", "3478")]);

    let AuthKind::Static { username, password } = &loaded.config.auth.kind else { panic!() };
    assert_eq!((username.as_str(), password.expose()), ("user1", "passwd1"));
    assert!(loaded.warnings.iter().any(|warning| warning.problem == Problem::DefaultUser));
    let unset: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(unset.contains(&"admin.realm: the variable STUNNER_REALM is not set".to_owned()), "{unset:?}");
}

#[test]
fn v1alpha1_is_flat_and_has_clusters() {
    let config = parse(
        r#"{"version":"v1alpha1","admin":{"loglevel":"all:INFO","metrics_endpoint":"http://0.0.0.0:8080/metrics"},
            "auth":{"type":"plaintext","realm":"r","credentials":{"username":"u","password":"p"}},
            "listeners":[{"name":"udp","protocol":"UDP","public_address":"203.0.113.1","public_port":30000,
                          "min_port":10000,"max_relay_port":20000,"routes":["open"]}],
            "clusters":[{"name":"open","type":"STATIC","endpoints":["0.0.0.0/0"]}]}"#,
    )
    .unwrap()
    .config;

    assert_eq!(config.generation, Generation::V1Alpha1);
    assert_eq!(config.admin.metrics_endpoint.unwrap().to_string(), "http://0.0.0.0:8080/metrics");
    assert_eq!(config.admin.healthcheck_endpoint, None);
    let listener = &config.listeners[0];
    assert_eq!(listener.uri().unwrap().to_string(), "turn:203.0.113.1:30000?transport=udp");
    assert_eq!(listener.relay_ports, PortRange::new(10_000, 20_000));
}

#[test]
fn v1_has_health_quota_and_offload() {
    let admin = |text: &str| parse(&v1(text)).unwrap().config.admin;
    let full = admin(
        "admin: {name: a, metrics_endpoint: 'http://:8088', user_quota: 7, offload_engine: auto,
           offload_interfaces: [eth0], license_config: {key: k, hmac: h}}",
    );

    assert_eq!(full.healthcheck_endpoint.unwrap().to_string(), "http://:8086/");
    assert_eq!((full.user_quota, full.offload_engine), (Some(7), Offload::Auto));
    assert_eq!(
        (full.offload_interfaces, full.license.unwrap().key),
        (vec!["eth0".to_owned()], "k".to_owned())
    );
    let off = admin("admin: {healthcheck_endpoint: '', user_quota: -1, license_config: null}");
    assert_eq!((off.healthcheck_endpoint, off.user_quota, off.license), (None, None, None));
    assert_eq!(admin("admin: {healthcheck_endpoint: null}").healthcheck_endpoint.unwrap().port, 8086);
}

#[test]
fn protocols_are_the_same_with_and_without_turn() {
    for (text, protocol) in [
        ("udp", Protocol::Udp),
        ("TURN-UDP", Protocol::Udp),
        ("Tcp", Protocol::Tcp),
        ("turn-tcp", Protocol::Tcp),
    ] {
        let config = parse(&v1(&format!("listeners: [{{name: a, protocol: {text}}}]"))).unwrap().config;
        assert_eq!(config.listeners[0].protocol, protocol);
    }
}

#[test]
fn certificates_are_pem_base64_or_the_names_of_files() {
    let tls = |cert: &str| {
        let text = format!("listeners: [{{name: a, protocol: tls, cert: \"{cert}\", key: /tls/key.pem}}]");
        parse(&v1(&text)).unwrap().config.listeners.remove(0).tls.expect("a certificate")
    };
    let inline = |cert: &str| match tls(cert).certificate {
        PemSource::Inline(pem) => pem.expose().to_owned(),
        PemSource::File(path) => panic!("{}", path.display()),
    };

    assert_eq!(tls("tls.crt").certificate, PemSource::File("tls.crt".into()));
    assert_eq!(tls("tls.crt").key, PemSource::File("/tls/key.pem".into()));
    assert_eq!(inline("-----BEGIN X-----\\nx\\n"), "-----BEGIN X-----\nx\n");
    assert_eq!(inline("LS0tLS1CRUdJTiBYLS0tLS0KeAo="), "-----BEGIN X-----\nx\n");
}

#[test]
fn clusters_hold_addresses_or_names() {
    let text = "clusters:
  - {name: a, protocol: TCP, endpoints: ['10.0.0.0/8:<1-2>', fd00::/8]}
  - {name: b, type: STRICT_DNS, endpoints: [media.example]}";
    let clusters = parse(&v1(text)).unwrap().config.clusters;

    assert_eq!(clusters[0].protocol, PeerProtocol::Tcp);
    assert!(clusters[0].permits([10, 1, 2, 3].into(), 2) && !clusters[0].permits([10, 1, 2, 3].into(), 3));
    assert_eq!(clusters[1].endpoints, Endpoints::StrictDns(vec!["media.example".to_owned()]));
}

#[test]
fn secrets_keep_their_dollars_and_their_digits() {
    let password = |text: &str, variables: &[(&str, &str)]| {
        let text = format!("version: v1\nauth: {{credentials: {{username: u, password: {text}}}}}\n");
        match with(&text, variables).config.auth.kind {
            AuthKind::Static { password, .. } => password.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    };

    let variables = [("word", "WORD"), ("STUNNER_PASSWORD", "from$word")];
    for (text, expected) in [
        ("pa$word", "pa$word"),
        ("'$word!'", "$word!"),
        ("$STUNNER_PASSWORD", "from$word"),
        ("\"${word}\"", "WORD"),
        ("$literal", "$literal"),
        ("0123", "0123"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
    ] {
        assert_eq!(password(text, &variables), expected, "{text}");
    }
}

#[test]
fn errors_name_the_path_the_place_and_what_was_expected() {
    let text = "version: v1
auth: {type: none}
listeners:
  - name: a
  - name: b
    port: 70000
";
    let wrong = parse(text).unwrap_err();

    assert_eq!(
        (wrong.path.as_str(), wrong.location),
        ("listeners[1].port", Some(Location { line: 6, column: 11 }))
    );
    assert_eq!(
        wrong.to_string(),
        "listeners[1].port: expected a port from 1 to 65535, found \"70000\" (line 6, column 11)"
    );
    let json = "{\"version\": \"v1\",\n \"auth\": {\"type\": \"none\"},\n \"listeners\": [{\"name\": 1, \"port\": []}]}";
    assert_eq!(
        error(json),
        "listeners[0].port: expected a port from 1 to 65535, found a list (line 3, column 37)"
    );
}

#[test]
fn what_is_wrong_is_refused_where_it_is() {
    for (text, path) in [
        ("listeners: {}", "listeners"),
        ("listeners: [x]", "listeners[0]"),
        ("listeners: [{protocol: udp}]", "listeners[0].name"),
        ("listeners: [{name: a}, {name: a}]", "listeners[1].name"),
        ("listeners: [{name: a, protocol: sctp}]", "listeners[0].protocol"),
        ("listeners: [{name: a, protocol: tls}]", "listeners[0].cert"),
        ("listeners: [{name: a, protocol: dtls, cert: x}]", "listeners[0].key"),
        ("listeners: [{name: a, address: nowhere}]", "listeners[0].address"),
        ("listeners: [{name: a, public_address: 'a:1'}]", "listeners[0].public_address"),
        ("listeners: [{name: a, public_port: -1}]", "listeners[0].public_port"),
        ("listeners: [{name: a, minPort: 2000, maxPort: 1000}]", "listeners[0].maxPort"),
        ("listeners: [{name: a, routes: b}]", "listeners[0].routes"),
        ("clusters: [{name: a, type: EDS}]", "clusters[0].type"),
        ("clusters: [{name: a, protocol: sctp}]", "clusters[0].protocol"),
        ("clusters: [{name: a, endpoints: [1.2.3.4, 'x:<1-2>']}]", "clusters[0].endpoints[1]"),
        ("clusters: [{name: a, type: STRICT_DNS, endpoints: ['a b']}]", "clusters[0].endpoints[0]"),
        ("clusters: [{name: a}, {name: a}]", "clusters[1].name"),
        ("admin: []", "admin"),
        ("admin: {user_quota: many}", "admin.user_quota"),
        ("admin: {metrics_endpoint: ':8080'}", "admin.metrics_endpoint"),
        ("admin: {offload_engine: dpdk}", "admin.offload_engine"),
        ("static: {}", "static"),
    ] {
        let wrong = parse(&v1(text)).expect_err(text);
        assert_eq!(wrong.path, path, "{text}");
        assert!(wrong.location.is_some() && wrong.message.starts_with("expected "), "{text}: {wrong}");
    }
}

#[test]
fn authentication_needs_what_its_type_needs() {
    for (auth, path) in [
        ("{}", "auth.credentials.username"),
        ("{credentials: {username: u}}", "auth.credentials.password"),
        ("{type: ephemeral, credentials: {}}", "auth.credentials.secret"),
        ("{type: longterm, credentials: {secret: ''}}", "auth.credentials.secret"),
        ("{type: oauth}", "auth.type"),
        ("{credentials: hunter2}", "auth.credentials"),
        ("{credentials: {username: u, password: [hunter2]}}", "auth.credentials.password"),
    ] {
        let wrong = parse(&format!("{{version: v1, auth: {auth}}}")).expect_err(auth);
        assert_eq!(wrong.path, path, "{auth}");
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    }
}

#[test]
fn the_version_is_v1_or_v1alpha1() {
    assert!(error("{auth: {type: none}}").starts_with("version: expected v1alpha1 or v1, found nothing"));
    assert!(error("{version: v2}").starts_with("version: expected v1alpha1 or v1, found \"v2\""));
}

#[test]
fn what_is_no_yaml_and_no_json_is_refused_with_its_place() {
    for (text, start, place) in [
        ("{\"version\": \"v1\",,}", "expected JSON", "(line 1,"),
        ("version: v1\n\tauth: x", "expected YAML", "(line 2,"),
        ("version: v1\nversion: v1", "expected YAML, but: the key 'version' is there twice", "(line 1,"),
        ("version: v1\nadmin: {loglevel: a, logLevel: b}", "expected YAML, but:", "(line 2,"),
        ("version: !tag v1", "expected YAML", "(line 1,"),
    ] {
        let wrong = error(text);
        assert!(wrong.contains(start) && wrong.contains(place), "{text}: {wrong}");
    }
    assert!(error("").starts_with("expected YAML"));
    assert!(error("text").starts_with("expected a map"));
}

#[test]
fn few_bytes_that_stand_for_many_are_refused() {
    let mut text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
        text += &format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", "));
    }
    assert!(parse(&text).is_err());
    for deep in ["[", "{a: ", "- ", "? ", "a: &a [*a, ", "!a ", "&a "] {
        assert!(parse(&deep.repeat(100_000)).is_err(), "{deep}");
    }
    assert!(parse(&format!("{{\"a\":{}", "[".repeat(100_000))).is_err());
    assert!(parse(&" ".repeat(2 << 20)).is_err());
}

#[test]
fn unknown_keys_are_accepted_and_told() {
    let text = v1("colour: red\nadmin: {realm: r}\nlisteners: [{name: a, Colour: red, routes: [b]}]");
    let warnings: Vec<String> = parse(&text).unwrap().warnings.iter().map(ToString::to_string).collect();

    assert_eq!(
        warnings,
        [
            "admin.realm: ignored: the realm is read from auth",
            "listeners[0].Colour: unknown key, ignored",
            "listeners[0].routes: there is no cluster 'b'",
            "colour: unknown key, ignored",
        ]
    );
}

#[test]
fn what_the_operator_sends_for_nothing_is_told_from_a_configuration() {
    let nothing = r#"{"version":"v1","admin":{"name":"default/gateway"},"auth":{"type":"static","realm":"stunner.l7mp.io",
        "credentials":{"username":"dummy-username","password":"dummy-password"}},"listeners":[],"clusters":[]}"#;

    assert!(parse(nothing).unwrap().config.is_placeholder());
    assert!(!parse(&v1("")).unwrap().config.is_placeholder());
}
