//! 300: which alternates are believed, and where the client goes (RFC 8489, section 10).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{
    Class, MessageBuilder,
    attribute::{AlternateDomain, AlternateServer, ErrorCode},
};
use stunner_relay::{
    Transport,
    client::{Config, Event, Failure, Request},
};

use crate::{
    script::{Asked, SHA1, Script, Sign},
    world::{CLIENT, ELSEWHERE, SERVER, SERVER_V6, World, server_config},
};

fn other(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 3478))
}

fn to<'b>(response: MessageBuilder<'b>, server: SocketAddr) -> MessageBuilder<'b> {
    response.attribute(&ErrorCode::TRY_ALTERNATE).attribute(&AlternateServer(server))
}

/// A client that was sent from one server to another, by a signed response to its second request.
fn sent_to(config: Config, server: SocketAddr) -> (Script, Asked) {
    let mut script = Script::challenged(config);
    let asked = script.ask();
    script.respond(&asked, Class::ErrorResponse, SHA1, |response| to(response, server));
    (script, asked)
}

#[test]
fn alt_05_a_300_that_the_server_has_not_signed_is_ignored() {
    for sign in [Sign::Not, Sign::Wrongly] {
        let mut script = Script::challenged(Script::config());
        let asked = script.ask();

        script.respond(&asked, Class::ErrorResponse, sign, |response| to(response, other(2)));

        assert_eq!((script.event(), script.client.five_tuple().server), (None, SERVER));
        script.grant(&asked);
        assert!(matches!(script.event(), Some(Event::Allocated(_))));
    }
}

#[test]
fn alt_05_a_300_to_a_request_without_credentials_is_ignored() {
    let mut script = Script::new(Script::config());
    let first = script.ask();

    script.respond(&first, Class::ErrorResponse, Sign::Not, |response| to(response, other(2)));

    assert_eq!((script.event(), script.client.five_tuple().server), (None, SERVER));
}

#[test]
fn alt_06_the_other_server_is_asked_the_same_from_the_same_socket_with_the_same_credentials() {
    let mut config = Script::config();
    config.lifetime = Some(Duration::from_secs(900));
    let (mut script, asked) = sent_to(config, other(2));

    assert_eq!(script.event(), Some(Event::Redirected { server: other(2), domain: None }));
    let first = script.ask();
    assert_eq!((first.from, first.to), (CLIENT, other(2)));
    assert!(!first.has(stunner_proto::AttributeType::USERNAME));
    script.challenge(&first, 401, "other nonce");
    let second = script.ask();
    assert!(second.message().authenticate(&Script::key()).is_ok());
    let wants = |asked: &Asked| {
        let message = asked.message();
        message.attributes().map(|attribute| attribute.kind).collect::<Vec<_>>()
    };
    assert_eq!(wants(&second), wants(&asked));
}

#[test]
fn alt_06_what_the_first_server_refused_is_asked_of_the_other() {
    let mut config = Script::config();
    config.mobility = true;
    let mut script = Script::challenged(config);
    let asked = script.ask();
    script.refuse(&asked, 405);
    let asked = script.ask();
    assert!(!asked.has(stunner_proto::AttributeType::MOBILITY_TICKET));

    script.respond(&asked, Class::ErrorResponse, SHA1, |response| to(response, other(2)));

    assert!(script.ask().has(stunner_proto::AttributeType::MOBILITY_TICKET));
}

#[test]
fn alt_06_an_alternate_of_the_own_family_goes_before_one_of_the_other() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();
    let v6 = SocketAddr::new(SERVER_V6, 3478);

    script.respond(&asked, Class::ErrorResponse, SHA1, |response| {
        to(response, v6).attribute(&AlternateServer(other(2)))
    });

    assert_eq!(script.event(), Some(Event::Redirected { server: other(2), domain: None }));
}

#[test]
fn alt_06_over_tcp_or_in_another_family_the_client_waits_for_a_new_connection() {
    let mut tcp = Script::config();
    tcp.transport = Transport::Tcp;
    for (config, server) in [(tcp, other(2)), (Script::config(), SocketAddr::new(SERVER_V6, 3478))] {
        let (mut script, _) = sent_to(config, server);

        assert_eq!(script.event(), Some(Event::Redirected { server, domain: None }));
        assert_eq!(script.poll(), None);
        assert_eq!(script.client.restart(ELSEWHERE, script.now), Ok(()));
        let asked = script.ask();
        assert_eq!((asked.from, asked.to), (ELSEWHERE, server));
    }
}

#[test]
fn alt_06_our_own_server_sends_its_clients_elsewhere_and_is_believed() {
    let mut world = World::new(Script::config(), server_config());
    world.server.drain(&[other(2)]);

    world.settle();

    assert_eq!(world.events, [Event::Redirected { server: other(2), domain: None }]);
}

#[test]
fn alt_07_a_way_back_within_five_minutes_is_not_taken() {
    let (mut script, _) = sent_to(Script::config(), other(2));
    script.event();
    let first = script.ask();
    script.challenge(&first, 401, "nonce");
    let second = script.ask();

    script.respond(&second, Class::ErrorResponse, SHA1, |response| to(response, SERVER));

    assert_eq!(script.failure(Request::Allocate), Failure::RedirectLoop);
    assert_eq!(script.poll(), None);
}

#[test]
fn alt_07_a_server_that_names_itself_is_not_asked_again() {
    let (mut script, _) = sent_to(Script::config(), SERVER);

    assert_eq!(script.failure(Request::Allocate), Failure::RedirectLoop);
}

#[test]
fn alt_07_after_five_minutes_the_way_back_is_open() {
    let mut config = Script::config();
    config.rto = Duration::from_secs(400);
    let (mut script, _) = sent_to(config, other(2));
    script.event();
    let first = script.ask();
    script.now += Duration::from_secs(300);
    script.challenge(&first, 401, "nonce");
    let second = script.ask();

    script.respond(&second, Class::ErrorResponse, SHA1, |response| to(response, SERVER));

    assert_eq!(script.event(), Some(Event::Redirected { server: SERVER, domain: None }));
}

#[test]
fn alt_07_an_endless_chain_of_servers_ends() {
    let (mut script, _) = sent_to(Script::config(), other(2));

    let last = (3..100).find(|&n| {
        script.event();
        let Some(first) = script.poll() else { return true };
        script.challenge(&first, 401, "nonce");
        let second = script.ask();
        script.respond(&second, Class::ErrorResponse, SHA1, |response| to(response, other(n)));
        matches!(script.client.retry(), stunner_relay::client::Retry::Never)
    });

    assert_eq!(last, Some(9));
}

#[test]
fn alt_08_the_name_for_the_certificate_is_told() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::ErrorResponse, SHA1, |response| {
        to(response, other(2)).attribute(&AlternateDomain::new("turn2.example.com").unwrap())
    });

    let domain = Some("turn2.example.com".into());
    assert_eq!(script.event(), Some(Event::Redirected { server: other(2), domain }));
}

#[test]
fn alt_09_a_300_that_names_no_server_fails_the_request() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.refuse(&asked, 300);

    assert_eq!(script.failure(Request::Allocate).code(), Some(300));
}
