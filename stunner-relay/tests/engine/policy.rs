//! Which peers a client may reach (RFC 8656, sections 9 and 21.4).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use stunner_proto::{
    ChannelNumber, Class, Method, TransactionId,
    attribute::{Data, XorPeerAddress},
};
use stunner_relay::{Client, DefaultPolicy, PeerPolicy, RelayOnly, Replicas, Verdict};

use crate::world::{
    Everyone, LISTENER, Received, User, World, allocated, allocated_in, allocated_v6, client, config,
    message, other_port, peer,
};

/// The codes of CreatePermission and of ChannelBind for an address on port 5000.
fn codes(policy: impl PeerPolicy, address: &str) -> (u16, u16) {
    let address = SocketAddr::new(address.parse().expect("an address"), 5_000);
    let (mut world, mut user, _) =
        if address.is_ipv4() { allocated_in(config(policy)) } else { allocated_v6(policy) };
    (user.permit(&mut world, &[address]), user.bind(&mut world, 0x4000, address))
}

#[test]
fn sec_01_teredo_and_6to4_are_forbidden_whatever_the_policy_says() {
    for address in ["2001::1", "2001:0:ffff::1", "2002::1", "2002:cb00:7101::1"] {
        assert_eq!(codes(Everyone, address), (403, 403), "{address}");
    }
}

#[test]
fn sec_02_nobody_is_reached_at_an_address_that_is_nobodys() {
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
        assert_eq!(codes(Everyone, address), (403, 403), "{address}");
    }
}

#[test]
fn sec_02_special_addresses_are_forbidden_unless_they_are_opened() {
    let special = [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "ff02::1",
        "224.0.0.1",
        "255.255.255.255",
        "10.0.0.1",
        "fd00::1",
    ];

    for address in special {
        assert_eq!(codes(DefaultPolicy::new(), address), (403, 403), "{address}");
    }
    assert_eq!(codes(DefaultPolicy::new().allow("127.0.0.1".parse().unwrap()), "127.0.0.1"), (0, 0));
    assert_eq!(codes(DefaultPolicy::new(), "8.8.8.8"), (0, 0));
    assert_eq!(codes(DefaultPolicy::new(), "2606:4700::1111"), (0, 0));
}

#[test]
fn sec_03_special_addresses_are_forbidden_in_every_disguise() {
    for address in
        ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:169.254.169.254"]
    {
        assert_eq!(codes(DefaultPolicy::new(), address), (403, 403), "{address}");
    }
}

/// Asks for the port of each packet, and lets one pass.
struct OnlyPort(u16, Arc<AtomicBool>);

impl PeerPolicy for OnlyPort {
    fn judge(&self, _: IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        match port {
            None => Verdict::AskPort,
            Some(port) => Verdict::from(port == self.0 && self.1.load(Ordering::Relaxed)),
        }
    }
}

#[test]
fn snd_07_a_permission_is_of_no_use_for_a_port_that_policy_denies() {
    let policy = OnlyPort(peer(1).port(), Arc::new(AtomicBool::new(true)));
    let (mut world, mut user, relayed) = allocated_in(config(policy));
    assert_eq!(user.permit(&mut world, &[other_port(peer(1))]), 0);

    assert!(user.reaches(&mut world, peer(1)) && user.hears(&mut world, peer(1), relayed));
    assert!(!user.reaches(&mut world, other_port(peer(1))));
    assert!(!user.hears(&mut world, other_port(peer(1)), relayed));
    assert_eq!(user.bind(&mut world, 0x4000, other_port(peer(1))), 403);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);
}

#[test]
fn snd_07_a_channel_opens_one_port_of_its_peer_and_not_those_that_policy_denies() {
    let policy = OnlyPort(peer(1).port(), Arc::new(AtomicBool::new(true)));
    let (mut world, mut user, relayed) = allocated_in(config(policy));

    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 0);

    assert!(user.reaches_over(&mut world, 0x4000, peer(1)) && user.hears(&mut world, peer(1), relayed));
    assert!(!user.reaches(&mut world, other_port(peer(1))));
    assert!(!user.hears(&mut world, other_port(peer(1)), relayed));
}

#[test]
fn sec_04_a_policy_that_is_asked_for_each_packet_may_change() {
    let open = Arc::new(AtomicBool::new(true));
    let (mut world, mut user, relayed) = allocated_in(config(OnlyPort(peer(1).port(), open.clone())));
    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    assert!(user.reaches(&mut world, peer(1)) && user.hears(&mut world, peer(1), relayed));

    open.store(false, Ordering::Relaxed);

    assert!(!user.reaches(&mut world, peer(1)) && !user.hears(&mut world, peer(1), relayed));
}

/// Denies everyone, clients of the same server included.
struct NoRelays;

impl PeerPolicy for NoRelays {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::Deny
    }

    fn relay_to_relay(&self) -> bool {
        false
    }
}

#[test]
fn sec_05_clients_of_one_server_reach_one_another_unless_policy_says_no() {
    for (allowed, code) in [(true, 0), (false, 403)] {
        let configured = if allowed { config(DefaultPolicy::new()) } else { config(NoRelays) };
        let (mut world, mut first, _) = allocated_in(configured);
        let relayed = User::new(client(2)).allocate(&mut world);

        assert_eq!(first.permit(&mut world, &[relayed]), code);
        assert_eq!(first.bind(&mut world, 0x4000, relayed), code);
    }
}

#[test]
fn sec_05_data_between_two_clients_come_from_the_relayed_transport_address() {
    let (mut world, mut first, first_relayed) = allocated_in(config(RelayOnly::new()));
    let mut second = User::new(client(2));
    let second_relayed = second.allocate(&mut world);
    assert_eq!(first.bind(&mut world, 0x4000, second_relayed), 0);

    first.send_channel(&mut world, 0x4000, b"too early");
    assert_eq!(second.received(&mut world), []);

    assert_eq!(second.permit(&mut world, &[first_relayed]), 0);
    first.send_channel(&mut world, 0x4000, b"hello");
    assert_eq!(second.received(&mut world), [Received::Data(first_relayed, b"hello".to_vec())]);
    second.send(&mut world, first_relayed, b"back");
    assert_eq!(first.received(&mut world), [Received::Channel(0x4000, b"back".to_vec())]);
}

#[test]
fn sec_05_an_allocation_that_sends_to_itself_makes_no_loop() {
    let (mut world, mut user, relayed) = allocated_in(config(RelayOnly::new()));
    assert_eq!(user.permit(&mut world, &[relayed]), 0);

    let bytes = message(Class::Indication, Method::SEND, TransactionId([1; 12]), |message| {
        message.attribute(&XorPeerAddress(relayed)).attribute(&Data(b"hello"))
    });
    world.send(client(1), LISTENER, &bytes);

    assert_eq!(user.received(&mut world), [Received::Data(relayed, b"hello".to_vec())]);
}

#[test]
fn relay_only_permits_live_relayed_addresses_and_nothing_else() {
    let (mut world, mut user, relayed) = allocated_in(config(RelayOnly::new()));

    assert_eq!(user.permit(&mut world, &[peer(1)]), 403);
    assert_eq!(user.permit(&mut world, &[relayed]), 0);
    assert_eq!(user.bind(&mut world, 0x4000, relayed), 0);
    assert_eq!(user.bind(&mut world, 0x4001, other_port(relayed)), 403);
}

#[test]
fn relay_only_ends_with_the_other_clients_allocation() {
    let (mut world, mut first, relayed) = allocated_in(config(RelayOnly::new()));
    let mut second = User::new(client(2));
    let gone = second.allocate(&mut world);
    assert_eq!(first.permit(&mut world, &[gone]), 0);
    assert_eq!(second.refresh(&mut world, 0).code(), 0);

    assert!(!first.reaches(&mut world, gone));
    assert!(!first.hears(&mut world, gone, relayed));
    assert_eq!(first.bind(&mut world, 0x4000, gone), 403);
}

/// Does not know the peer yet, or does.
struct Later(Arc<AtomicBool>);

impl PeerPolicy for Later {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        if self.0.load(Ordering::Relaxed) { Verdict::Allow } else { Verdict::NotYet }
    }
}

#[test]
fn who_asks_before_a_peer_is_known_is_answered_when_asking_again() {
    for method in [Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        let known = Arc::new(AtomicBool::new(false));
        let (mut world, user, _) = allocated_in(config(Later(known.clone())));
        let request = user.signed(method, |message| {
            let message = message.attribute(&XorPeerAddress(peer(1)));
            message.attribute(&ChannelNumber::new(0x4000).expect("a channel's number"))
        });

        assert!(user.exchange(&mut world, &request).is_none(), "{method:?}");
        known.store(true, Ordering::Relaxed);

        assert_eq!(user.exchange(&mut world, &request).map(|answer| answer.code()), Some(0), "{method:?}");
    }
}

#[test]
fn on_a_stream_nobody_asks_again_and_a_peer_that_is_not_known_yet_is_forbidden() {
    let mut world = World::new(config(Later(Arc::default())));
    world.connect(client(1));
    let mut user = User::new(client(1));
    user.allocate(&mut world);

    assert_eq!(user.permit(&mut world, &[peer(1)]), 403);
    assert_eq!(user.bind(&mut world, 0x4000, peer(1)), 403);
}

#[test]
fn a_replica_that_is_gone_is_no_peer_any_more() {
    let replica = peer(1);
    let replicas = Arc::new(Replicas::new(replica.port()..=replica.port()));
    let policy = RelayOnly::new().replicas(replicas.clone());
    let (mut world, mut user, relayed) = allocated_in(config(policy));

    assert_eq!(user.permit(&mut world, &[replica]), 403);
    replicas.set(vec![replica.ip()]);
    assert_eq!(user.permit(&mut world, &[replica]), 0);
    assert!(user.reaches(&mut world, replica) && user.hears(&mut world, replica, relayed));
    assert!(!user.reaches(&mut world, other_port(replica)));

    replicas.set(vec![]);
    assert!(!user.reaches(&mut world, replica) && !user.hears(&mut world, replica, relayed));
}

#[test]
fn a_policy_is_told_who_asks() {
    struct NamedUser;
    impl PeerPolicy for NamedUser {
        fn judge(&self, peer: IpAddr, _: Option<u16>, from: &Client, user: &str) -> Verdict {
            Verdict::from(peer == self::peer(1).ip() && from.tuple.client == client(1) && user == "user")
        }
    }
    let (mut world, mut user, _) = allocated_in(config(NamedUser));
    let mut second = User::new(client(2));
    second.allocate(&mut world);

    assert_eq!(user.permit(&mut world, &[peer(1)]), 0);
    assert_eq!(user.permit(&mut world, &[peer(2)]), 403);
    assert_eq!(second.permit(&mut world, &[peer(1)]), 403);
}

#[test]
fn an_open_policy_lets_a_client_reach_everyone() {
    let (mut world, mut user, _) = allocated();

    for peer in [peer(1), SocketAddr::from(([127, 0, 0, 1], 80)), SocketAddr::from(([10, 0, 0, 1], 80))] {
        assert_eq!(user.permit(&mut world, &[peer]), 0, "{peer}");
        assert!(user.reaches(&mut world, peer), "{peer}");
    }
}
