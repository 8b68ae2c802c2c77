//! Allocate: what is asked for, and what comes of each answer (RFC 8656, sections 7.1, 7.3 and 7.4).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_proto::{
    AttributeType, Class, MessageBuilder, Method,
    attribute::{
        AddressErrorCode, AddressFamily, ErrorCode, EvenPort, Lifetime, RequestedAddressFamily,
        RequestedTransport, ReservationToken, UnknownAttributes, XorMappedAddress, XorRelayedAddress,
    },
};
use stunner_relay::client::{Config, Event, Failure, Port, Request, RestartError, Retry, Wanted};

use crate::{
    script::{Asked, SHA1, Script},
    world::{CLIENT, RELAYED, SERVER_V6, World, server_config},
};

fn wanting(wanted: Wanted) -> Config {
    let mut config = Script::config();
    config.wanted = wanted;
    config
}

fn relayed_v6() -> SocketAddr {
    SocketAddr::new(SERVER_V6, 50_000)
}

/// What there is between the credentials.
fn wishes(asked: &Asked) -> Vec<AttributeType> {
    let kinds = asked.message().attributes().map(|attribute| attribute.kind);
    kinds.take_while(|&kind| kind != AttributeType::USERNAME).collect()
}

/// A client whose Allocate was refused with this code.
fn refused(config: Config, code: u16) -> Script {
    let mut script = Script::challenged(config);
    let asked = script.ask();
    script.refuse(&asked, code);
    script
}

fn granted(response: MessageBuilder<'_>, relayed: SocketAddr) -> MessageBuilder<'_> {
    response
        .attribute(&XorRelayedAddress(relayed))
        .attribute(&XorMappedAddress(CLIENT))
        .attribute(&Lifetime(600))
}

#[test]
fn cli_01_udp_is_always_asked_for_and_nothing_that_excludes_something_else() {
    use AttributeType as T;
    let token = ReservationToken([7; 8]);
    let cases: [(Wanted, &[T]); 8] = [
        (Wanted::default(), &[]),
        (Wanted::One(AddressFamily::V4, Port::Even), &[T::EVEN_PORT]),
        (Wanted::One(AddressFamily::V4, Port::EvenAndNext), &[T::EVEN_PORT]),
        (Wanted::One(AddressFamily::V6, Port::Any), &[T::REQUESTED_ADDRESS_FAMILY]),
        (Wanted::One(AddressFamily::V6, Port::EvenAndNext), &[T::REQUESTED_ADDRESS_FAMILY, T::EVEN_PORT]),
        (Wanted::Dual { even: false }, &[T::ADDITIONAL_ADDRESS_FAMILY]),
        (Wanted::Dual { even: true }, &[T::ADDITIONAL_ADDRESS_FAMILY, T::EVEN_PORT]),
        (Wanted::Reserved(token), &[T::RESERVATION_TOKEN]),
    ];
    for (wanted, others) in cases {
        let mut script = Script::challenged(wanting(wanted));

        let asked = script.ask();

        assert_eq!(asked.get::<RequestedTransport>(), RequestedTransport::UDP);
        assert_eq!(wishes(&asked), [&[T::REQUESTED_TRANSPORT], others].concat(), "{wanted:?}");
        let reserves = wanted == Wanted::One(AddressFamily::V4, Port::EvenAndNext)
            || wanted == Wanted::One(AddressFamily::V6, Port::EvenAndNext);
        let even = asked.message().get::<EvenPort>().unwrap();
        assert_eq!(even.is_some_and(|even| even.reserve_next), reserves);
    }
}

#[test]
fn cli_01_the_settings_are_asked_for() {
    let mut config = Script::config();
    (config.dont_fragment, config.mobility, config.fingerprint) = (true, true, true);
    config.lifetime = Some(Duration::from_secs(1_800));
    config.software = Some("tests".to_owned());
    let mut script = Script::challenged(config);

    let asked = script.ask();

    assert_eq!(asked.get::<Lifetime>(), Lifetime(1_800));
    assert_eq!(asked.get::<stunner_proto::attribute::Software<'_>>().as_str(), "tests");
    assert_eq!(asked.get::<stunner_proto::attribute::MobilityTicket<'_>>().0, b"");
    assert!(asked.has(AttributeType::DONT_FRAGMENT));
    assert_eq!(asked.message().fingerprint(), stunner_proto::Fingerprint::Right);
}

#[test]
fn cli_02_an_address_of_a_family_that_was_not_asked_for_is_given_back_and_not_asked_for_again() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |response| granted(response, relayed_v6()));

    assert_eq!(script.failure(Request::Allocate), Failure::UnusableFamily);
    let delete = script.ask();
    assert_eq!((delete.method(), delete.get::<Lifetime>()), (Method::REFRESH, Lifetime(0)));
    script.grant_for(&delete, 0);
    assert_eq!((script.event(), script.client.retry()), (None, Retry::Never));
}

#[test]
fn cli_02_success_without_a_relayed_address_is_given_back_too() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.respond(&asked, Class::SuccessResponse, SHA1, |response| response.attribute(&Lifetime(600)));

    assert_eq!(script.failure(Request::Allocate), Failure::Malformed);
    assert_eq!(script.ask().get::<Lifetime>(), Lifetime(0));
}

#[test]
fn cli_03_an_allocation_is_refreshed_60_s_before_the_lifetime_that_was_granted_ends() {
    for (granted, at) in [(600, 540), (3_600, 3_540), (1_000, 940), (60, 30)] {
        let mut script = Script::challenged(Script::config());
        let asked = script.ask();
        script.grant_for(&asked, granted);

        assert_eq!(script.run(Duration::from_secs(at) - Duration::from_millis(1)), []);
        assert_eq!(script.run(Duration::from_millis(1))[0].1.method(), Method::REFRESH, "{granted} s");
    }
}

#[test]
fn cli_03_a_refresh_counts_from_what_it_was_granted() {
    let mut script = Script::allocated(Script::config());
    let refresh = script.run(Duration::from_secs(540)).remove(0).1;

    script.grant_for(&refresh, 1_200);

    assert_eq!(script.run(Duration::from_millis(1_139_999)), []);
    assert_eq!(script.run(Duration::from_millis(1)).len(), 1);
}

/// A client that wanted both families, got IPv4, and has given that back.
fn without_v6(code: ErrorCode<'static>) -> Script {
    let mut script = Script::challenged(wanting(Wanted::Dual { even: false }));
    let asked = script.ask();
    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        granted(response, RELAYED).attribute(&AddressErrorCode { family: AddressFamily::V6, error: code })
    });
    let Some(Event::Allocated(allocated)) = script.event() else { panic!("no allocation") };
    assert_eq!((allocated.v4, allocated.v6), (Some(RELAYED), None));
    assert_eq!(allocated.missing, Some((AddressFamily::V6, code.code())));
    script.client.close(script.now);
    let delete = script.ask();
    script.grant_for(&delete, 0);
    assert_eq!(script.event(), Some(Event::Closed));
    script
}

/// Whether the next Allocate asks for IPv6 besides IPv4.
fn asks_for_v6(script: &mut Script) -> bool {
    assert_eq!(script.client.restart(CLIENT, script.now), Ok(()));
    script.ask().has(AttributeType::ADDITIONAL_ADDRESS_FAMILY)
}

#[test]
fn cli_04_a_family_that_is_not_supported_is_not_asked_for_again() {
    let mut script = without_v6(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
    script.now += Duration::from_secs(86_400);

    assert!(!asks_for_v6(&mut script));
}

#[test]
fn cli_04_a_family_without_capacity_is_not_asked_for_within_60_s() {
    for (pause, again) in [(59_999, false), (60_000, true)] {
        let mut script = without_v6(ErrorCode::INSUFFICIENT_CAPACITY);
        script.now += Duration::from_millis(pause);

        assert_eq!(asks_for_v6(&mut script), again, "{pause} ms");
    }
}

#[test]
fn cli_04_ipv6_is_asked_for_alone_where_ipv4_is_not_supported() {
    let mut script = Script::challenged(wanting(Wanted::Dual { even: false }));
    let asked = script.ask();
    let error = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
    script.respond(&asked, Class::SuccessResponse, SHA1, |response| {
        granted(response, relayed_v6()).attribute(&AddressErrorCode { family: AddressFamily::V4, error })
    });
    script.client.close(script.now);
    let delete = script.ask();
    script.grant_for(&delete, 0);

    script.client.restart(CLIENT, script.now).unwrap();

    assert_eq!(script.ask().get::<RequestedAddressFamily>().0, AddressFamily::V6);
}

fn port(n: u16) -> SocketAddr {
    SocketAddr::new(CLIENT.ip(), CLIENT.port() + n)
}

fn after(at: Instant, seconds: u64) -> Retry {
    Retry::At(at + Duration::from_secs(seconds))
}

#[test]
fn cli_05_a_port_that_has_an_allocation_is_left_for_another_and_the_server_after_three() {
    let mut script = refused(Script::config(), 437);

    for n in 1..=2 {
        assert_eq!(script.failure(Request::Allocate).code(), Some(437));
        assert_eq!(script.client.retry(), Retry::NewPort);
        let same = script.client.five_tuple().client;
        assert_eq!(script.client.restart(same, script.now), Err(RestartError::NotNow(Retry::NewPort)));
        assert_eq!(script.client.restart(port(n), script.now), Ok(()));
        let asked = script.ask();
        assert_eq!(asked.from, port(n));
        script.refuse(&asked, 437);
    }

    assert_eq!(script.failure(Request::Allocate).code(), Some(437));
    let retry = after(script.now, 120);
    assert_eq!(script.client.retry(), retry);
    script.now += Duration::from_millis(119_999);
    assert_eq!(script.client.restart(port(3), script.now), Err(RestartError::NotNow(retry)));
    script.now += Duration::from_millis(1);
    assert_eq!(script.client.restart(port(3), script.now), Ok(()));
}

#[test]
fn cli_05_ports_are_counted_anew_after_an_allocation() {
    let mut script = refused(Script::config(), 437);
    script.client.restart(port(1), script.now).unwrap();
    let asked = script.ask();
    script.grant(&asked);
    script.client.close(script.now);
    let delete = script.ask();
    script.grant_for(&delete, 0);

    for n in 2..=3 {
        assert_eq!(script.client.restart(port(n), script.now), Ok(()));
        let asked = script.ask();
        script.refuse(&asked, 437);
        assert_eq!(script.client.retry(), Retry::NewPort);
    }
}

#[test]
fn cli_06_a_server_whose_quota_is_reached_is_left_alone_for_60_s() {
    let mut script = refused(Script::config(), 486);

    assert_eq!(script.failure(Request::Allocate).code(), Some(486));
    assert_eq!(script.client.retry(), after(script.now, 60));
    assert_eq!(script.run(Duration::from_secs(120)), []);
}

#[test]
fn cli_07_without_capacity_for_an_even_port_any_port_is_asked_for_at_once() {
    for port in [Port::Even, Port::EvenAndNext] {
        let mut script = refused(wanting(Wanted::One(AddressFamily::V4, port)), 508);

        let asked = script.ask();

        assert!(!asked.has(AttributeType::EVEN_PORT));
        script.refuse(&asked, 508);
        assert_eq!(script.failure(Request::Allocate).code(), Some(508));
        assert_eq!(script.client.retry(), after(script.now, 60));
    }
}

#[test]
fn cli_07_a_server_without_capacity_is_left_alone_for_60_s() {
    for wanted in [Wanted::default(), Wanted::Reserved(ReservationToken([7; 8]))] {
        let mut script = refused(wanting(wanted), 508);

        assert_eq!((script.poll(), script.client.retry()), (None, after(script.now, 60)));
    }
}

#[test]
fn cli_08_what_the_server_will_not_do_is_not_asked_for_again() {
    for code in [400, 403, 440, 441, 442] {
        let mut script = refused(Script::config(), code);

        assert_eq!(script.failure(Request::Allocate).code(), Some(code));
        assert_eq!((script.poll(), script.client.retry()), (None, Retry::Never));
        assert_eq!(script.client.restart(port(1), script.now), Err(RestartError::NotNow(Retry::Never)));
    }
}

#[test]
fn cli_09_a_server_that_knows_nothing_of_the_df_bit_is_asked_without_it() {
    let mut config = Script::config();
    config.dont_fragment = true;
    let mut script = Script::challenged(config);
    let asked = script.ask();

    script.respond(&asked, Class::ErrorResponse, SHA1, |response| {
        let unknown = [[0x00, 0x1A]];
        response.attribute(&ErrorCode::UNKNOWN_ATTRIBUTE).attribute(&UnknownAttributes::new(&unknown))
    });

    let again = script.ask();
    assert!(!again.has(AttributeType::DONT_FRAGMENT));
}

#[test]
fn cli_09_another_unknown_attribute_ends_it() {
    let mut config = Script::config();
    config.dont_fragment = true;
    let mut script = refused(config, 420);

    assert_eq!((script.poll(), script.failure(Request::Allocate).code()), (None, Some(420)));
}

#[test]
fn mob_02_a_server_that_forbids_mobility_is_asked_without_it() {
    let mut config = Script::config();
    config.mobility = true;
    let mut script = refused(config, 405);

    assert!(!script.ask().has(AttributeType::MOBILITY_TICKET));
}

#[test]
fn cli_18_one_that_is_closed_while_it_asks_gives_back_what_it_gets() {
    let mut script = Script::challenged(Script::config());
    let asked = script.ask();

    script.client.close(script.now);
    script.grant(&asked);

    let delete = script.ask();
    assert_eq!(delete.get::<Lifetime>(), Lifetime(0));
    script.grant_for(&delete, 0);
    assert_eq!((script.event(), script.event()), (Some(Event::Closed), None));
}

#[test]
fn all_that_can_be_wanted_is_granted_by_our_own_server() {
    for wanted in [
        Wanted::default(),
        Wanted::One(AddressFamily::V4, Port::EvenAndNext),
        Wanted::One(AddressFamily::V6, Port::Even),
        Wanted::Dual { even: true },
    ] {
        let mut world = World::new(wanting(wanted), server_config());
        world.addresses.push(SERVER_V6);

        world.settle();

        let [Event::Allocated(allocated)] = world.events[..] else { panic!("{:?}", world.events) };
        assert_eq!(allocated.v4.is_some(), wanted != Wanted::One(AddressFamily::V6, Port::Even));
        assert_eq!(
            allocated.reservation.is_some(),
            wanted == Wanted::One(AddressFamily::V4, Port::EvenAndNext)
        );
        assert_eq!((allocated.mapped, allocated.lifetime), (CLIENT, Duration::from_secs(600)));
    }
}

#[test]
fn our_own_server_without_ipv6_grants_ipv4_and_says_so() {
    let mut world = World::new(wanting(Wanted::Dual { even: false }), server_config());

    world.settle();

    let [Event::Allocated(allocated)] = world.events[..] else { panic!("{:?}", world.events) };
    assert_eq!(allocated.missing, Some((AddressFamily::V6, 440)));
}
