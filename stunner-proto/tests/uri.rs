//! URIs of servers: what is read, what is written, and why the rest is refused.

use proptest::prelude::*;
use stunner_proto::uri::{
    Host, Scheme, StunnerUri, Transport, TransportParameter, Uri, UriError, percent_decoded,
};

fn uri<'a>(
    scheme: Scheme,
    host: Host<'a>,
    port: Option<u16>,
    transport: Option<TransportParameter<'a>>,
) -> Uri<'a> {
    Uri { scheme, host, port, transport }
}

#[test]
fn uri_01_uris_of_turn_servers_are_read_as_rfc_7065_prints_them() {
    use TransportParameter::{Tcp, Udp};
    let host = Host::Name("example.org");
    let table = [
        ("turn:example.org", uri(Scheme::Turn, host, None, None), &[Transport::Udp, Transport::Tcp][..]),
        ("turns:example.org", uri(Scheme::Turns, host, None, None), &[Transport::Tls, Transport::Dtls]),
        (
            "turn:example.org:8000",
            uri(Scheme::Turn, host, Some(8000), None),
            &[Transport::Udp, Transport::Tcp],
        ),
        ("turn:example.org?transport=udp", uri(Scheme::Turn, host, None, Some(Udp)), &[Transport::Udp]),
        ("turn:example.org?transport=tcp", uri(Scheme::Turn, host, None, Some(Tcp)), &[Transport::Tcp]),
        ("turns:example.org?transport=tcp", uri(Scheme::Turns, host, None, Some(Tcp)), &[Transport::Tls]),
        ("stun:example.org", uri(Scheme::Stun, host, None, None), &[Transport::Udp, Transport::Tcp]),
        ("stuns:example.org:1", uri(Scheme::Stuns, host, Some(1), None), &[Transport::Tls, Transport::Dtls]),
    ];
    for (text, expected, transports) in table {
        assert_eq!(Uri::parse(text), Ok(expected), "{text}");
        assert_eq!(expected.transports(), transports, "{text}");
        assert_eq!(expected.to_string(), text);
    }
}

#[test]
fn uri_02_turns_over_udp_is_dtls() {
    let uri = Uri::parse("turns:example.net?transport=udp").unwrap();

    assert_eq!((uri.transports(), uri.port_or_default()), (&[Transport::Dtls][..], 5349));
}

#[test]
fn uri_03_05_and_06_what_is_no_uri_of_a_server_says_why() {
    for (text, error) in NO_URIS {
        assert_eq!(Uri::parse(text), Err(*error), "{text}");
    }
}

const NO_URIS: &[(&str, UriError)] = &[
    ("", UriError::Scheme),
    ("turn", UriError::Scheme),
    ("example.org:3478", UriError::Scheme),
    ("http:example.org", UriError::Scheme),
    ("turn ://example.org", UriError::Scheme),
    ("turn://example.org", UriError::Slashes),
    ("turn:", UriError::NoHost),
    ("turn::3478", UriError::NoHost),
    ("turn:?transport=udp", UriError::NoHost),
    ("turn:exa mple.org", UriError::Host),
    ("turn:exämple.org", UriError::Host),
    ("turn:a%4", UriError::Host),
    ("turn:a%zz", UriError::Host),
    ("turn:[2001:db8::1", UriError::Host),
    ("turn:[192.0.2.1]", UriError::Host),
    ("turn:[fe80::1%25eth0]", UriError::Host),
    ("turn:[::1]3478", UriError::Host),
    ("turn:2001:db8::1", UriError::Brackets),
    ("turn:::", UriError::Brackets),
    ("turn:2001:db8::1:65536", UriError::Port),
    ("turn:h:0", UriError::Port),
    ("turn:h:65536", UriError::Port),
    ("turn:h:abc", UriError::Port),
    ("turn:h:+80", UriError::Port),
    ("turn:h:80:80", UriError::Port),
    ("turn:user@h", UriError::Credentials),
    ("turn:user:pass@h", UriError::Credentials),
    ("turn:h/path", UriError::Path),
    ("turn:/h", UriError::Path),
    ("turn:h?x=y", UriError::Query),
    ("turn:h?", UriError::Query),
    ("turn:h?transport", UriError::Query),
    ("turn:h?transport=", UriError::Query),
    ("turn:h?transport=u/p", UriError::Query),
    ("turn:h?transport=udp&x=y", UriError::Query),
    ("stun:h?transport=udp", UriError::Query),
    ("stuns:h?transport=tcp", UriError::Query),
    ("turn:h#x", UriError::Fragment),
];

#[test]
fn uri_04_an_ipv6_address_stands_in_brackets() {
    let text = "turn:[2001:db8::1]:3478?transport=tcp";
    let uri = Uri::parse(text).unwrap();

    assert_eq!(uri.host, Host::Ip("2001:db8::1".parse().unwrap()));
    assert_eq!(uri.port, Some(3478));
    assert_eq!(uri.to_string(), text);
    assert_eq!(Uri::parse("stun:[::1]:").unwrap().to_string(), "stun:[::1]");
}

#[test]
fn uri_07_neither_scheme_nor_transport_heeds_case() {
    let uri = Uri::parse("TurnS:Example.ORG?Transport=UDP").unwrap();

    assert_eq!(uri.transport, Some(TransportParameter::Udp));
    assert_eq!(uri.to_string(), "turns:Example.ORG?transport=udp");
}

#[test]
fn uri_09_a_transport_that_is_not_known_is_read_and_leads_nowhere() {
    let uri = Uri::parse("turn:h?transport=sctp").unwrap();

    assert_eq!(uri.transport, Some(TransportParameter::Other("sctp")));
    assert_eq!(uri.transports(), []);
    assert_eq!(uri.to_string(), "turn:h?transport=sctp");
}

#[test]
fn uri_10_an_address_without_a_port_has_the_default_of_its_scheme() {
    for (text, port) in [
        ("stun:192.0.2.1", 3478),
        ("stuns:192.0.2.1", 5349),
        ("turn:192.0.2.1", 3478),
        ("turns:192.0.2.1", 5349),
        ("turns:192.0.2.1:443", 443),
        ("turn:192.0.2.1:", 3478),
    ] {
        let uri = Uri::parse(text).unwrap();
        assert_eq!((uri.host, uri.port_or_default()), (Host::Ip([192, 0, 2, 1].into()), port), "{text}");
    }
}

#[test]
fn a_name_stays_percent_encoded_until_it_is_decoded() {
    let uri = Uri::parse("stun:a%2Eb.example").unwrap();

    assert_eq!(uri.host, Host::Name("a%2Eb.example"));
    assert!(percent_decoded("a%2Eb.example").eq(*b"a.b.example"));
    assert!(percent_decoded("100%, %g0 %C3%a9%").eq("100%, %g0 é%".bytes()));
}

#[test]
fn stunners_form_carries_credentials() {
    let text = "turn://user-1:p%40ss:word@192.0.2.1:3478?transport=udp";
    let uri = StunnerUri::parse(text).unwrap();

    assert_eq!((uri.username, uri.password), ("user-1", "p%40ss:word"));
    assert_eq!(Ok(uri.server), Uri::parse("turn:192.0.2.1:3478?transport=udp"));
    assert_eq!(uri.to_string(), text);
    assert!(!format!("{uri:?}").contains("word"));
    assert!(format!("{uri:?}").contains("user-1"));
}

#[test]
fn stunners_form_names_its_transport_and_has_its_own_ports() {
    for (text, transport, port) in [
        ("turn://u:p@h", Some(Transport::Udp), 3478),
        ("turn://u:p@h?transport=tcp", Some(Transport::Tcp), 3478),
        ("turn://u:p@h?transport=TLS", Some(Transport::Tls), 443),
        ("turn://u:p@h?transport=dtls", Some(Transport::Dtls), 443),
        ("turns://u:p@h", Some(Transport::Tls), 443),
        ("turns://u:p@h?transport=tcp", Some(Transport::Tls), 443),
        ("turns://u:p@h?transport=udp", Some(Transport::Dtls), 443),
        ("turns://u:p@h:5349?transport=udp", Some(Transport::Dtls), 5349),
        ("turn://u:p@h?transport=sctp", None, 3478),
    ] {
        let uri = StunnerUri::parse(text).unwrap();
        assert_eq!((uri.transport(), uri.port_or_default()), (transport, port), "{text}");
    }
}

#[test]
fn what_is_not_stunners_form_says_why() {
    for (text, error) in [
        ("turn", UriError::Scheme),
        ("udp://u:p@h", UriError::Scheme),
        ("stun://u:p@h", UriError::Scheme),
        ("turn:h", UriError::Slashes),
        ("turn://h", UriError::Credentials),
        ("turn://user@h", UriError::Credentials),
        ("turn://:p@h", UriError::Credentials),
        ("turn://u:@h", UriError::Credentials),
        ("turn://u:p/@h", UriError::Credentials),
        ("turn://u:p%4@h", UriError::Credentials),
        ("turn://u:p@q@h", UriError::Credentials),
        ("turn://u:p@", UriError::NoHost),
        ("turn://u:p@h:0", UriError::Port),
        ("turn://u:p@h/", UriError::Path),
        ("turn://u:p@h?x", UriError::Query),
        ("turn://u:p@h#x", UriError::Fragment),
    ] {
        assert_eq!(StunnerUri::parse(text), Err(error), "{text}");
    }
}

#[test]
fn errors_say_what_they_mean() {
    assert_eq!(UriError::Port.to_string(), "the port is not a number from 1 to 65535");
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._~!$&'()*+,;=-]{1,20}(%[0-9A-F]{2})?",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        scheme in "turns?", host in host(), port in proptest::option::of(1..=u16::MAX),
        transport in proptest::option::of("udp|tcp|[a-z0-9]{1,5}"), credentials in "[a-z0-9.~+-]{1,5}:[a-z0-9:!=;]{1,5}",
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let transport = transport.map(|name| format!("?transport={name}")).unwrap_or_default();
        let plain = format!("{scheme}:{host}{port}{transport}");
        let full = format!("{scheme}://{credentials}@{host}{port}{transport}");

        let uri = Uri::parse(&plain).unwrap();
        let stunner = StunnerUri::parse(&full).unwrap();

        prop_assert_eq!(uri.to_string(), plain.as_str());
        prop_assert_eq!(stunner.server, uri);
        prop_assert_eq!(stunner.to_string(), full.as_str());
    }

    #[test]
    fn what_is_read_of_any_text_is_written_and_read_again(text in "(turns?:|stun:)?\\PC*") {
        if let Ok(uri) = Uri::parse(&text) {
            let written = uri.to_string();
            prop_assert_eq!(Uri::parse(&written), Ok(uri));
        }
    }
}
