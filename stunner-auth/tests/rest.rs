//! The authentication service: what it answers to which request.
#![cfg(feature = "config")]

use serde_json::{Value, json};
use stunner_auth::{
    Environment,
    config::Config,
    rest::{Answer, Service, answer},
};

/// Two gateways, of which one has two listeners.
fn configs() -> Vec<Config> {
    let config = |text: &str| Config::parse(text, &Environment::default()).expect("a configuration").config;
    vec![
        config(
            "version: v1
auth: {type: ephemeral, credentials: {secret: my-secret}}
listeners:
  - {name: default/one/udp, protocol: TURN-UDP, public_address: 192.0.2.1, public_port: 30000}
  - {name: default/one/tls, protocol: TURN-TLS, public_address: '2001:db8::1', port: 443, cert: c, key: k}
  - {name: bare, protocol: TURN-UDP, public_address: 192.0.2.9}",
        ),
        config(
            "version: v1
auth: {type: static, credentials: {username: u, password: p}}
listeners: [{name: other/two/tcp, protocol: TURN-TCP, public_address: turn.example}]",
        ),
    ]
}

fn ask(configs: &[Config], url: &str) -> Answer {
    answer(url, &Service { configs, public_address: None, now: 1_700_000_000 })
}

fn reply(url: &str) -> Value {
    let answer = ask(&configs(), url);
    assert_eq!((answer.status, answer.content_type), (200, "application/json; charset=UTF-8"), "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The URIs of an ICE configuration.
fn urls(query: &str) -> Vec<String> {
    let reply = reply(&format!("/ice?service=turn&{query}"));
    let servers = reply["iceServers"].as_array().expect("servers").iter();
    servers
        .flat_map(|server| server["urls"].as_array().expect("URIs"))
        .map(|url| url.as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn the_root_has_the_first_gateway() {
    let reply = reply("/?service=turn&username=al%69ce&ttl=3600&key=x");

    assert_eq!((&reply["username"], &reply["ttl"]), (&json!("1700003600:alice"), &json!(3600)));
    assert_eq!(
        reply["uris"],
        json!(["turn:192.0.2.1:30000?transport=udp", "turns:[2001:db8::1]:443?transport=tcp"])
    );
}

#[test]
fn without_a_user_the_username_ends_with_its_colon_and_lives_for_a_day() {
    assert_eq!(reply("/?service=turn")["username"], "1700086400:");
}

#[test]
fn ice_has_a_server_for_each_gateway() {
    let reply = reply("/ice?service=turn");

    assert_eq!(reply["iceTransportPolicy"], "all");
    let second =
        json!({"urls": ["turn:turn.example:3478?transport=tcp"], "username": "u", "credential": "p"});
    assert_eq!(reply["iceServers"][1], second);
    assert_eq!(reply["iceServers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn filters_count_only_below_what_they_are_part_of() {
    let (udp, tls, tcp) = (
        "turn:192.0.2.1:30000?transport=udp",
        "turns:[2001:db8::1]:443?transport=tcp",
        "turn:turn.example:3478?transport=tcp",
    );
    for (query, expected) in [
        ("namespace=default", vec![udp, tls]),
        ("namespace=other&gateway=two", vec![tcp]),
        ("namespace=default&gateway=one&listener=tls", vec![tls]),
        ("gateway=two", vec![udp, tls, tcp]),
        ("namespace=default&listener=tls", vec![udp, tls]),
    ] {
        assert_eq!(urls(query), expected, "{query}");
    }
}

#[test]
fn a_public_address_goes_before_what_is_configured() {
    let configs = configs();
    let service = Service { configs: &configs, public_address: Some("203.0.113.1"), now: 0 };

    assert!(answer("/?service=turn", &service).body.contains("turn:203.0.113.1:30000"));
    assert!(
        answer("/?service=turn&public-addr=203.0.113.2", &service).body.contains("turn:203.0.113.2:30000")
    );
}

#[test]
fn the_policy_is_the_one_that_was_asked_for() {
    assert_eq!(reply("/ice?service=turn&iceTransportPolicy=relay")["iceTransportPolicy"], "relay");
}

#[test]
fn without_authentication_credentials_are_empty() {
    let text = "{version: v1, auth: {type: none}, listeners: [{name: a/b/c, public_address: turn.example}]}";
    let config = Config::parse(text, &Environment::default()).unwrap().config;
    let answer = ask(&[config], "/?service=turn");

    assert!(answer.body.starts_with(r#"{"username":"","password":"","#), "{answer:?}");
}

#[test]
fn refusals_have_the_status_and_the_text_of_the_service() {
    for (configs, url, status, text) in [
        (vec![], "/?service=turn", 500, "no STUNner configuration available"),
        (configs(), "/", 400, "could not generate TURN auth token: \"service is not turn\""),
        (configs(), "/ice?service=stun", 400, "could not generate ICE auth token: \"service is not turn\""),
        (
            configs(),
            "/?service=turn&namespace=x",
            404,
            "could not generate TURN auth token: no valid listener found",
        ),
        (
            configs(),
            "/ice?service=turn&namespace=x",
            404,
            "could not generate ICE config: no valid listener found",
        ),
        (configs(), "/else", 404, "not found"),
    ] {
        let answer = ask(&configs, url);
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{url}");
    }
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    for query in
        ["ttl=-1", "ttl=soon", "username=%", "username=%f", "username=%ff", "iceTransportPolicy=some"]
    {
        assert_eq!(ask(&configs(), &format!("/ice?service=turn&{query}")).status, 400, "{query}");
    }
    assert_eq!(ask(&configs(), &format!("/?service=turn&username={}", "a".repeat(9000))).status, 400);
}
