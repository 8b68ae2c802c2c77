//! ICE configurations and credentials from options, environment and configuration file.
#![cfg(feature = "config")]

use stunner_auth::{Environment, Error, Options, get_ice_config, get_stunner_credentials};

const NOW: u64 = 1_652_118_264;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn urls(variables: &[(&str, &str)]) -> Vec<String> {
    let config =
        get_ice_config(&Options::default(), &environment(variables), NOW).expect("an ICE configuration");
    config.ice_servers.into_iter().map(|server| server.url).collect()
}

#[test]
fn by_default_there_is_one_server_over_udp_on_port_3478() {
    assert_eq!(urls(&[("STUNNER_PUBLIC_ADDR", "203.0.113.1")]), ["turn:203.0.113.1:3478?transport=udp"]);
}

#[test]
fn udp_comes_before_tcp_and_zero_switches_one_off() {
    let address = ("STUNNER_PUBLIC_ADDR", "203.0.113.1");
    let (udp, tcp) = ("turn:203.0.113.1:3478?transport=udp", "turn:203.0.113.1:3478?transport=tcp");

    assert_eq!(urls(&[address, ("STUNNER_TRANSPORT_TCP_ENABLE", "1")]), [udp, tcp]);
    assert_eq!(
        urls(&[address, ("STUNNER_TRANSPORT_TCP_ENABLE", "1"), ("STUNNER_TRANSPORT_UDP_ENABLE", "0")]),
        [tcp]
    );
}

#[test]
fn an_ipv6_address_gets_brackets() {
    assert_eq!(urls(&[("STUNNER_PUBLIC_ADDR", "2001:db8::1")]), ["turn:[2001:db8::1]:3478?transport=udp"]);
}

#[test]
fn without_an_address_there_is_no_configuration() {
    assert!(matches!(get_ice_config(&Options::default(), &environment(&[]), NOW), Err(Error::NoAddress)));
}

#[test]
fn plaintext_credentials_default_to_user_and_pass() {
    let credentials = get_stunner_credentials(&Options::default(), &environment(&[]), NOW).unwrap();

    assert_eq!((credentials.username.as_str(), credentials.credential.as_str()), ("user", "pass"));
    assert_eq!(credentials.realm, "stunner.l7mp.io");
}

#[test]
fn a_longterm_username_is_the_second_at_which_it_expires() {
    let variables = [("STUNNER_AUTH_TYPE", "LONGTERM"), ("STUNNER_DURATION", "54992")];
    let credentials = get_stunner_credentials(&Options::default(), &environment(&variables), NOW).unwrap();

    assert_eq!(credentials.username, "1652173256");
    assert_eq!(credentials.credential, "CguKE5jD1SnJajHjrQEwyx+pHBk=");
}

#[test]
fn an_option_goes_before_the_environment_unless_it_is_empty() {
    let variables = environment(&[("STUNNER_USERNAME", "alice")]);
    let mut options = Options::default();
    let username = |options: &Options| get_stunner_credentials(options, &variables, NOW).unwrap().username;

    options.username = Some("bob".into());
    assert_eq!(username(&options), "bob");
    options.username = Some(String::new());
    assert_eq!(username(&options), "alice");
}

#[test]
fn an_unknown_authentication_type_and_a_duration_that_is_none_are_errors() {
    let wrong = environment(&[("STUNNER_AUTH_TYPE", "oauth")]);
    assert!(matches!(get_stunner_credentials(&Options::default(), &wrong, NOW), Err(Error::AuthType(_))));

    let wrong = environment(&[("STUNNER_AUTH_TYPE", "longterm"), ("STUNNER_DURATION", "soon")]);
    assert!(matches!(get_stunner_credentials(&Options::default(), &wrong, NOW), Err(Error::Duration(_))));
}

/// Writes a configuration file and returns what it gives.
fn from_file(name: &str, text: &str) -> Result<stunner_auth::IceConfig, Error> {
    let path = std::env::temp_dir().join(format!("stunner-auth-{}-{name}.conf", std::process::id()));
    std::fs::write(&path, text).expect("a temporary file");
    let mut options = Options::default();
    options.config_file = Some(path.to_string_lossy().into_owned());
    let config = get_ice_config(&options, &environment(&[]), NOW);
    std::fs::remove_file(path).expect("the file is there");
    config
}

#[test]
fn a_configuration_file_names_the_listeners() {
    let config = from_file(
        "listeners",
        r#"{"version":"v1alpha1","auth":{"type":"plaintext","credentials":{"username":"u","password":"p"}},
            "listeners":[{"public_address":"203.0.113.5","public_port":3500,"protocol":"TCP"}]}"#,
    );

    let server = &config.unwrap().ice_servers[0];
    assert_eq!(server.url, "turn:203.0.113.5:3500?transport=tcp");
    assert_eq!((server.username.as_str(), server.credential.as_str()), ("u", "p"));
}

#[test]
fn a_broken_configuration_file_counts_as_none() {
    for (name, text) in [
        ("empty", ""),
        ("yaml", "version: v1alpha1"),
        ("version", r#"{"version":"v1","auth":{"credentials":{}},"listeners":[]}"#),
        ("auth", r#"{"version":"v1alpha1","listeners":[]}"#),
        ("port", r#"{"version":"v1alpha1","auth":{"credentials":{}},"listeners":[{"port":70000}]}"#),
    ] {
        assert!(matches!(from_file(name, text), Err(Error::NoAddress)), "{name}");
    }
}
