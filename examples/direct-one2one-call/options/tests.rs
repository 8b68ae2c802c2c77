//! What options and variables come to.

use super::*;

fn settings(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
    let arguments = std::iter::once("direct-one2one-call").chain(arguments.iter().copied());
    let options = Options::try_parse_from(arguments).map_err(|error| error.to_string())?;
    Settings::new(options, &variables.iter().copied().collect())
}

#[test]
fn by_default_everything_runs_with_a_secret_of_its_own() {
    let (first, second) = (settings(&[], &[]).unwrap(), settings(&[], &[]).unwrap());
    assert!(first.turn && first.signaling && first.tls);
    assert_eq!((first.web.port(), first.turn_port, first.relay_ports), (8443, 3478, (49_152, 65_535)));
    let secret = |settings: Settings| match settings.auth.kind {
        AuthKind::TimeLimited { secret, .. } => secret,
        AuthKind::Static { .. } | AuthKind::None => Secret::default(),
    };
    let (first, second) = (secret(first), secret(second));
    assert!(first.expose().len() == 32 && first != second);
}

#[test]
fn addresses_of_the_page_are_read_or_refused_with_an_example() {
    for (uri, tls, address) in [
        ("https://0.0.0.0:8443/", true, "0.0.0.0:8443"),
        ("https://localhost:8443/", true, "127.0.0.1:8443"),
        ("http://[::1]:80", false, "[::1]:80"),
        ("https://192.0.2.1", true, "192.0.2.1:443"),
    ] {
        assert_eq!(web_address(uri), Ok((tls, address.parse().unwrap())), "{uri}");
    }
    for uri in
        ["", "8443", "ftp://0.0.0.0/", "https://", "https://0.0.0.0:99999/", "https://nowhere.invalid:1/"]
    {
        assert!(web_address(uri).unwrap_err().contains("https://0.0.0.0:8443/"), "{uri}");
    }
    assert!(settings(&["--as_uri", "https://127.0.0.1:0/"], &[]).is_ok());
}

#[test]
fn a_port_of_kubernetes_is_ignored_and_other_bad_ports_are_errors() {
    let port = |value| settings(&[], &[("STUNNER_PORT", value)]).unwrap().turn_port;
    assert_eq!((port("tcp://10.96.0.1:3478"), port(""), port("5000")), (3478, 3478, 5000));
    assert!(settings(&[], &[("STUNNER_MIN_PORT", "70000")]).is_err());
}

#[test]
fn sockets_are_portable_where_an_option_or_a_variable_says_so() {
    let portable = |words, variables| settings(words, variables).unwrap().portable;

    assert!(!portable(&[], &[]) && !portable(&[], &[("STUNNER_PORTABLE", "0")]));
    assert!(portable(&["--portable"], &[]) && portable(&[], &[("STUNNER_PORTABLE", "1")]));
}

#[test]
fn io_uring_may_be_used_unless_an_option_or_a_variable_says_that_it_may_not() {
    let io_uring = |words, variables| settings(words, variables).unwrap().io_uring;

    assert!(io_uring(&[], &[]) && io_uring(&[], &[("STUNNER_IO_URING", "1")]));
    assert!(!io_uring(&[], &[("STUNNER_IO_URING", "0")]) && !io_uring(&["--no-io-uring"], &[]));
    assert!(!io_uring(&["--no-io-uring"], &[("STUNNER_IO_URING", "1")]));
}

#[test]
fn bad_options_say_what_is_wrong() {
    assert!(settings(&["--allow-peer", "10.0.0.0/40"], &[]).is_err());
    assert!(settings(&["--no-turn", "--no-signaling"], &[]).is_err());
    assert!(settings(&["--tls-cert", "server.crt"], &[]).is_err());
    assert!(settings(&[], &[("STUNNER_AUTH_TYPE", "oauth")]).is_err());
    assert!(settings(&[], &[("STUNNER_CONFIG_FILENAME", "/nowhere/at/all")]).is_err());
    assert!(
        settings(&["--no-signaling"], &[]).err().is_some_and(|why| why.contains("STUNNER_SHARED_SECRET"))
    );
    assert!(settings(&["--no-signaling"], &[("STUNNER_SHARED_SECRET", "s")]).is_ok());
}

#[test]
fn log_levels_are_stunners_or_tracings() {
    let filter = |value| settings(&[], &[("STUNNER_LOGLEVEL", value)]).unwrap().log_filter();
    for good in [
        "all:DEBUG",
        "all:info,stunner_relay:TRACE",
        "debug",
        "stunner_relay=debug",
        "stunner_relay::net=warn",
    ] {
        assert!(filter(good).is_ok(), "{good}");
    }
    assert!(filter("all:=LOUD=").is_err());
}

#[test]
fn replicas_are_names_and_ranges_by_option_or_else_by_variable() {
    let peers = |arguments: &[&str], variables: &[(&str, &str)]| {
        settings(arguments, variables).map(|found| found.cluster.relay_peers)
    };
    let name = |text: &str| RelayPeer::Name(text.into());
    let range = |text: &str| RelayPeer::Range(text.parse().unwrap());

    let listed = [("STUNNER_RELAY_PEERS", "stunner-replicas, 10.244.0.0/16,fd00::/64,")];
    assert_eq!(
        peers(&[], &listed),
        Ok(vec![name("stunner-replicas"), range("10.244.0.0/16"), range("fd00::/64")])
    );
    assert_eq!(peers(&["--relay-peers", "a.b.svc"], &listed), Ok(vec![name("a.b.svc")]));
    assert_eq!(peers(&[], &[("STUNNER_RELAY_PEERS", "")]), Ok(vec![]));
    for bad in ["10.244.0.0/40", "10.244.0.0.1", "a b", "http://a", "::/129", "10.300.0.1"] {
        let error = peers(&[], &[("STUNNER_RELAY_PEERS", bad)]).unwrap_err();
        assert!(error.starts_with(&format!("STUNNER_RELAY_PEERS: '{bad}': write names")), "{error}");
        assert!(peers(&["--relay-peers", bad], &[]).is_err(), "{bad}");
    }
}

#[test]
fn options_of_a_cluster_go_before_variables_and_an_empty_variable_says_nothing() {
    let variables = [
        ("STUNNER_HEALTH_ADDR", "0.0.0.0:8086"),
        ("STUNNER_DRAIN_TIMEOUT", "60"),
        ("STUNNER_ALTERNATE_SERVER", "192.0.2.1:3478,[2001:db8::1]:3478"),
    ];
    let cluster = settings(&["--drain-timeout", "9"], &variables).unwrap().cluster;
    assert_eq!(cluster.drain_timeout.as_secs(), 9);
    assert_eq!(cluster.health, Some("0.0.0.0:8086".parse().unwrap()));
    assert_eq!(cluster.alternate_servers.len(), 2);

    let cluster = settings(&[], &variables.map(|(name, _)| (name, ""))).unwrap().cluster;
    assert_eq!((cluster.drain_timeout.as_secs(), cluster.health), (3, None));
    assert!(cluster.alternate_servers.is_empty() && !cluster.watches && !cluster.ready_while_draining);
    for name in
        ["STUNNER_HEALTH_ADDR", "STUNNER_DRAIN_TIMEOUT", "STUNNER_ALTERNATE_SERVER", "STUNNER_ROTATION_DELAY"]
    {
        assert!(settings(&[], &[(name, "soon")]).is_err_and(|error| error.starts_with(name)), "{name}");
    }
}

#[test]
fn a_directory_goes_before_the_environment_and_the_last_one_first() {
    let dirs = ["first", "second"]
        .map(|name| std::env::temp_dir().join(format!("stunner-rs-{name}-{}", std::process::id())));
    for (dir, files) in dirs.iter().zip([[("A", "1"), ("B", "1")], [("B", "2"), ("C", "2")]]) {
        std::fs::create_dir_all(dir).unwrap();
        files
            .iter()
            .for_each(|(name, value)| std::fs::write(dir.join(format!("STUNNER_{name}")), value).unwrap());
    }
    let below = [("STUNNER_A", "0"), ("STUNNER_D", "0")].into_iter().collect();

    let all = read_dirs(&dirs, &below).unwrap();

    let found = ["A", "B", "C", "D"].map(|name| all.get(&format!("STUNNER_{name}")).unwrap_or_default());
    assert_eq!(found, ["1", "2", "2", "0"]);
    dirs.iter().for_each(|dir| std::fs::remove_dir_all(dir).unwrap());
    assert!(read_dirs(&dirs, &below).unwrap_err().contains("--config-dir"));
}

#[test]
fn a_previous_secret_is_of_time_limited_credentials() {
    let previous = |kind| {
        let variables = [
            ("STUNNER_AUTH_TYPE", kind),
            ("STUNNER_SHARED_SECRET", "new"),
            ("STUNNER_SHARED_SECRET_PREVIOUS", "old"),
        ];
        settings(&[], &variables).unwrap().previous.map(|auth| auth.kind)
    };

    let old = AuthKind::TimeLimited { secret: "old".into(), algorithm: Default::default() };
    assert_eq!(previous("longterm"), Some(old));
    assert_eq!(previous("plaintext"), None);
}
