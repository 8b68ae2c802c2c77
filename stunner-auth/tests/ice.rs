//! ICE configurations and credentials from options, configuration file and environment.
#![cfg(feature = "config")]

use stunner_auth::{
    Algorithm, AuthType, Environment, Error, IceConfig, IceTransportPolicy, Options, Secret, Settings,
    TurnUri,
    config::{Config, Protocol},
};

const NOW: u64 = 1_652_118_264;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// Without a configuration file.
fn ice(options: &Options, variables: &[(&str, &str)]) -> Result<IceConfig, Error> {
    Settings::new(options, &environment(variables), None)?.ice_config(NOW)
}

/// With one.
fn ice_of(text: &str, options: &Options, variables: &[(&str, &str)]) -> Result<IceConfig, Error> {
    let environment = environment(variables);
    let loaded = Config::parse(text, &environment).expect("a configuration");
    Settings::new(options, &environment, Some(loaded))?.ice_config(NOW)
}

fn urls(config: Result<IceConfig, Error>) -> Vec<String> {
    config.expect("an ICE configuration").ice_servers.into_iter().flat_map(|server| server.urls).collect()
}

fn user(config: Result<IceConfig, Error>) -> (String, String) {
    let server = config.expect("an ICE configuration").ice_servers.remove(0);
    (server.username, server.credential.expose().to_owned())
}

const ADDRESS: (&str, &str) = ("STUNNER_PUBLIC_ADDR", "203.0.113.1");

const FILE: &str = "
version: v1
auth: {type: static, realm: file.example, credentials: {username: u, password: p}}
listeners:
  - {name: udp, public_address: 203.0.113.5, public_port: 3500, protocol: UDP}
  - {name: tls, public_address: 2001:db8::5, port: 443, protocol: TURN-TLS, cert: tls.crt, key: tls.key}
  - {name: nowhere, protocol: tcp}
";

#[test]
fn by_default_there_is_one_server_over_udp_on_port_3478() {
    let config = ice(&Options::new(), &[ADDRESS]).unwrap();

    assert_eq!(
        serde_json::to_string(&config).unwrap(),
        r#"{"iceServers":[{"urls":["turn:203.0.113.1:3478?transport=udp"],"username":"user","credential":"pass"}],"iceTransportPolicy":"relay"}"#
    );
}

#[test]
fn the_old_url_stands_beside_the_new_ones_if_it_is_asked_for() {
    let options = Options::new().old_url(true).transport_tcp_enable(true);
    let config = ice(&options, &[ADDRESS]).unwrap();

    let servers = serde_json::to_value(&config.ice_servers).unwrap();
    assert_eq!(servers[1]["url"], "turn:203.0.113.1:3478?transport=tcp");
    assert_eq!(servers[1]["urls"], serde_json::json!(["turn:203.0.113.1:3478?transport=tcp"]));
}

#[test]
fn udp_comes_before_tcp_and_zero_switches_one_off() {
    let (udp, tcp) = ("turn:203.0.113.1:3478?transport=udp", "turn:203.0.113.1:3478?transport=tcp");
    let with = |variables: &[(&str, &str)]| urls(ice(&Options::new(), &[&[ADDRESS], variables].concat()));

    assert_eq!(with(&[("STUNNER_TRANSPORT_TCP_ENABLE", "1")]), [udp, tcp]);
    assert_eq!(with(&[("STUNNER_TRANSPORT_TCP_ENABLE", "1"), ("STUNNER_TRANSPORT_UDP_ENABLE", "0")]), [tcp]);
}

#[test]
fn listeners_of_the_file_are_servers_unless_nobody_can_find_them() {
    let found = urls(ice_of(FILE, &Options::new(), &[]));
    assert_eq!(found, ["turn:203.0.113.5:3500?transport=udp", "turns:[2001:db8::5]:443?transport=tcp"]);

    let found = urls(ice_of(FILE, &Options::new(), &[ADDRESS]));
    assert_eq!(found[2], "turn:203.0.113.1:3478?transport=tcp");
}

#[test]
fn options_go_before_the_file_and_the_file_before_the_environment() {
    let variables = [("STUNNER_USERNAME", "v"), ("STUNNER_PASSWORD", "v")];
    let own = Options::new().username("o").address("turn.example").port(80_u16).protocol(Protocol::Dtls);

    assert_eq!(user(ice_of(FILE, &Options::new(), &variables)), ("u".to_owned(), "p".to_owned()));
    assert_eq!(user(ice_of(FILE, &own, &variables)).0, "o");
    assert_eq!(urls(ice_of(FILE, &own, &[]))[0], "turns:turn.example:80?transport=udp");
}

#[test]
fn servers_that_are_named_are_all_that_there_are() {
    let server = |host| TurnUri::new(Protocol::Tcp, host, 3478).unwrap();
    let options = Options::new().server(server("one.example")).server(server("two.example"));

    let found = urls(ice_of(FILE, &options, &[ADDRESS]));
    assert_eq!(found, ["turn:one.example:3478?transport=tcp", "turn:two.example:3478?transport=tcp"]);
}

#[test]
fn time_limited_credentials_name_a_user_if_there_is_one() {
    let variables = [ADDRESS, ("STUNNER_AUTH_TYPE", "LONGTERM"), ("STUNNER_DURATION", "54992")];

    let found = user(ice(&Options::new(), &variables));
    assert_eq!(found, ("1652173256".to_owned(), "CguKE5jD1SnJajHjrQEwyx+pHBk=".to_owned()));
    assert_eq!(user(ice(&Options::new().user("alice"), &variables)).0, "1652173256:alice");
}

#[test]
fn sha_256_is_an_option() {
    let options = Options::new().auth_type(AuthType::TimeLimited).algorithm(Algorithm::Sha256).secret("s");
    let (username, credential) = user(ice(&options, &[ADDRESS]));

    assert!(Algorithm::Sha256.verify(&username, &credential, &Secret::new("s")));
}

#[test]
fn with_authentication_of_no_type_there_are_no_credentials() {
    let options = Options::new().auth_type(AuthType::None);

    assert!(Settings::new(&options, &environment(&[ADDRESS]), None).unwrap().credentials(NOW).is_none());
    assert_eq!(user(ice(&options, &[ADDRESS])), (String::new(), String::new()));
}

#[test]
fn without_an_address_there_is_no_configuration() {
    assert!(matches!(ice(&Options::new(), &[]), Err(Error::NoAddress)));
    let nowhere = "{version: v1, auth: {type: none}, listeners: [{name: a}]}";
    assert!(matches!(ice_of(nowhere, &Options::new(), &[]), Err(Error::NoAddress)));
}

#[test]
fn with_every_transport_off_or_without_listeners_there_is_no_server() {
    let options = Options::new().transport_udp_enable(false);
    assert!(ice(&options, &[ADDRESS]).unwrap().ice_servers.is_empty());
    assert!(
        ice_of("{version: v1, auth: {type: none}}", &Options::new(), &[]).unwrap().ice_servers.is_empty()
    );
}

#[test]
fn a_variable_with_a_wrong_value_is_an_error_that_says_what_is_right() {
    for (name, value, expected) in [
        ("STUNNER_AUTH_TYPE", "oauth", "ephemeral"),
        ("STUNNER_DURATION", "soon", "seconds"),
        ("STUNNER_PUBLIC_PORT", "70000", "65535"),
        ("STUNNER_PUBLIC_ADDR", "turn.example:80", "host name"),
        ("STUNNER_ICE_TRANSPORT_POLICY", "some", "relay"),
    ] {
        let error = ice(&Options::new(), &[ADDRESS, (name, value)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(value) && error.contains(expected), "{error}");
    }
}

#[test]
fn the_policy_is_what_was_asked_for() {
    let options = Options::new().ice_transport_policy(IceTransportPolicy::All);
    assert_eq!(ice(&options, &[ADDRESS]).unwrap().ice_transport_policy, IceTransportPolicy::All);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let options = Options::new().config_file("/nowhere/stunnerd.conf").address("203.0.113.1");
    let error = stunner_auth::get_ice_config(&options, &environment(&[]), NOW).unwrap_err();

    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn no_log_shows_a_secret() {
    let options = Options::new().password("hidden").secret("hidden");
    let variables = environment(&[ADDRESS, ("STUNNER_SHARED_SECRET", "hidden")]);
    let settings = Settings::new(&options, &variables, None).unwrap();
    let config = settings.ice_config(NOW).unwrap();

    assert!(!format!("{options:?} {variables:?} {settings:?} {config:?}").contains("hidden"));
    assert_eq!(config.ice_servers[0].credential.expose(), "hidden");
}
