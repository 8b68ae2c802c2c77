//! What lists of peers open, and what they do not.

use std::net::SocketAddr;

use super::*;
use crate::{FiveTuple, Transport, policy::canonical};

const EVERY_PORT: RangeInclusive<u16> = 1..=u16::MAX;

/// One listener with these ranges.
fn policy<'a>(ranges: impl IntoIterator<Item = (&'a str, RangeInclusive<u16>)>) -> ClusterPolicy {
    ranges.into_iter().fold(ClusterPolicy::new(1), |policy, (range, ports)| {
        policy.allow(ListenerId(0), range.parse().expect("a range"), ports)
    })
}

fn open(ranges: &[&str]) -> ClusterPolicy {
    policy(ranges.iter().map(|range| (*range, EVERY_PORT)))
}

/// What a client of a listener is told about a peer, by the address that the server takes it for.
fn verdict_at(listener: u16, policy: &ClusterPolicy, peer: &str, port: Option<u16>) -> Verdict {
    let tuple = FiveTuple {
        client: SocketAddr::from(([198, 51, 100, 1], 4000)),
        server: SocketAddr::from(([192, 0, 2, 1], 3478)),
        transport: Transport::Udp,
    };
    let client = Client { tuple, listener: ListenerId(listener), link: 0 };
    let peer = canonical(peer.parse().expect("an address"));
    peer.map_or(Verdict::Deny, |peer| policy.judge(peer, port, &client, "user"))
}

fn verdict(policy: &ClusterPolicy, peer: &str, port: Option<u16>) -> Verdict {
    verdict_at(0, policy, peer, port)
}

#[test]
fn nobody_is_reached_who_is_not_listed() {
    let policy = open(&["10.1.0.0/16", "10.2.3.4", "2001:db8:1::/48"]);

    for peer in ["10.1.0.0", "10.1.255.255", "10.2.3.4", "2001:db8:1:ffff::1", "::ffff:10.1.2.3"] {
        assert_eq!(verdict(&policy, peer, None), Verdict::Allow, "{peer}");
        assert_eq!(verdict(&policy, peer, Some(1)), Verdict::Allow, "{peer}");
    }
    for peer in ["10.0.255.255", "10.2.3.5", "8.8.8.8", "2001:db8:2::1", "2001:db9::1"] {
        assert_eq!(verdict(&policy, peer, None), Verdict::Deny, "{peer}");
        assert_eq!(verdict(&policy, peer, Some(1)), Verdict::Deny, "{peer}");
    }
    assert_eq!(verdict(&ClusterPolicy::new(1), "8.8.8.8", None), Verdict::Deny);
}

#[test]
fn ports_are_asked_for_where_not_all_are_listed() {
    let policy = policy([("203.0.113.7", 10_000..=20_000)]);

    assert_eq!(verdict(&policy, "203.0.113.7", None), Verdict::AskPort);
    for (port, expected) in
        [(9_999, Verdict::Deny), (10_000, Verdict::Allow), (20_000, Verdict::Allow), (20_001, Verdict::Deny)]
    {
        assert_eq!(verdict(&policy, "203.0.113.7", Some(port)), expected, "{port}");
    }
}

#[test]
fn ports_of_one_range_add_up_in_any_order() {
    let policy = policy([
        ("203.0.113.7", 500..=600),
        ("203.0.113.7", 100..=200),
        ("203.0.113.7", 201..=300),
        ("203.0.113.7", 550..=700),
        ("203.0.113.7", 9..=9),
        ("203.0.113.7", 65_535..=65_535),
    ]);

    let open: Vec<u16> = (0..=u16::MAX)
        .filter(|&port| verdict(&policy, "203.0.113.7", Some(port)) == Verdict::Allow)
        .collect();
    let listed = (9..=9).chain(100..=300).chain(500..=700).chain([65_535]);
    assert!(open.into_iter().eq(listed));
}

#[test]
fn ranges_that_are_all_ports_together_need_no_port() {
    let policy = policy([("203.0.113.7", 1..=9), ("203.0.113.7", 11..=u16::MAX), ("203.0.113.7", 10..=10)]);
    assert_eq!(verdict(&policy, "203.0.113.7", None), Verdict::Allow);
}

#[test]
fn ranges_of_different_lengths_add_up() {
    let policy = policy([("10.0.0.0/8", 1_000..=2_000), ("10.1.0.0/16", 5_000..=6_000), ("10.1.2.3", 9..=9)]);

    for (peer, port, expected) in [
        ("10.1.2.3", 9, Verdict::Allow),
        ("10.1.2.3", 5_500, Verdict::Allow),
        ("10.1.2.3", 1_500, Verdict::Allow),
        ("10.1.2.4", 9, Verdict::Deny),
        ("10.2.0.1", 5_500, Verdict::Deny),
    ] {
        assert_eq!(verdict(&policy, peer, Some(port)), expected, "{peer} {port}");
    }
    assert_eq!(verdict(&policy, "10.1.2.3", None), Verdict::AskPort);
}

#[test]
fn an_empty_range_of_ports_lists_nobody() {
    #[expect(clippy::reversed_empty_ranges, reason = "this is what is tested")]
    let policy = policy([("203.0.113.7", 2..=1)]);
    assert_eq!(verdict(&policy, "203.0.113.7", None), Verdict::Deny);
}

#[test]
fn wide_ranges_open_public_and_private_addresses_and_nothing_special() {
    let policy = open(&["0.0.0.0/0", "::/0", "128.0.0.0/1", "f000::/4"]);

    for peer in ["8.8.8.8", "10.0.0.1", "192.168.1.1", "100.64.0.1", "203.0.113.1", "fd00::1", "2606:4700::1"]
    {
        assert_eq!(verdict(&policy, peer, None), Verdict::Allow, "{peer}");
    }
    for peer in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "192.0.0.192",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "2001:0:1::1",
        "2002:7f00:1::1",
    ] {
        assert_eq!(verdict(&policy, peer, None), Verdict::Deny, "{peer}");
        assert_eq!(verdict(&policy, peer, Some(80)), Verdict::Deny, "{peer}");
    }
}

#[test]
fn special_addresses_open_for_ranges_inside_the_special_one() {
    for (range, inside, outside) in [
        ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("169.254.1.0/24", "169.254.1.7", "169.254.169.254"),
        ("::1", "::1", "::2"),
        ("fe80::/64", "fe80::1", "fe80:0:0:1::1"),
    ] {
        assert_eq!(verdict(&open(&[range]), inside, None), Verdict::Allow, "{range}");
        assert_eq!(verdict(&open(&[range]), outside, None), Verdict::Deny, "{range}");
        assert_eq!(verdict(&open(&[range, "0.0.0.0/0"]), inside, None), Verdict::Allow, "{range}");
    }
    assert_eq!(verdict(&open(&["126.0.0.0/7"]), "127.0.0.1", None), Verdict::Deny);
}

#[test]
fn ports_of_a_wide_range_do_not_open_special_addresses() {
    let policy = policy([("0.0.0.0/0", EVERY_PORT), ("127.0.0.1", 80..=80)]);

    assert_eq!(verdict(&policy, "127.0.0.1", None), Verdict::AskPort);
    assert_eq!(verdict(&policy, "127.0.0.1", Some(80)), Verdict::Allow);
    assert_eq!(verdict(&policy, "127.0.0.1", Some(81)), Verdict::Deny);
}

#[test]
fn every_listener_has_a_list_of_its_own() {
    let range = |text: &str| text.parse().expect("a range");
    let policy = ClusterPolicy::new(3).allow(ListenerId(0), range("10.0.0.0/8"), EVERY_PORT).allow(
        ListenerId(2),
        range("0.0.0.0/0"),
        EVERY_PORT,
    );

    let reached = |peer| [0, 1, 2, 3].map(|listener| verdict_at(listener, &policy, peer, None));
    assert_eq!(reached("10.0.0.1"), [Verdict::Allow, Verdict::Deny, Verdict::Allow, Verdict::Deny]);
    assert_eq!(reached("8.8.8.8"), [Verdict::Deny, Verdict::Deny, Verdict::Allow, Verdict::Deny]);
}

#[test]
fn relayed_addresses_are_opened_where_every_listener_lists_them() {
    let relays = ["127.0.0.1", "2001:db8::1"].map(|ip| ip.parse().expect("an address"));
    let to_relays = |policy: ClusterPolicy| policy.relays(&relays).relay_to_relay();

    assert!(to_relays(open(&["0.0.0.0/0", "::/0"])));
    assert!(to_relays(open(&["127.0.0.1", "2001:db8::/32"])));
    assert!(!open(&["0.0.0.0/0", "::/0"]).relay_to_relay());
    assert!(!to_relays(open(&["0.0.0.0/0"])));
    assert!(!to_relays(open(&["8.0.0.0/8", "::/0"])));
    assert!(!to_relays(policy([("0.0.0.0/0", 1..=9), ("::/0", EVERY_PORT)])));
    assert!(!to_relays(ClusterPolicy::new(0)));
    let every = "0.0.0.0/0".parse().expect("a range");
    assert!(
        !ClusterPolicy::new(2).allow(ListenerId(0), every, EVERY_PORT).relays(&relays[..1]).relay_to_relay()
    );
}
