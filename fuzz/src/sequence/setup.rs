//! Who lives where, and what the server is told.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use stunner_proto::{Key, attribute::Userhash};
use stunner_relay::{
    Algorithm, Authenticator, Client, Config, Credential, Identity, LiveRelays, PeerPolicy, UserId, Verdict,
};

pub(super) const REALM: &str = "realm";
pub(super) const USERS: [&str; 2] = ["alice", "bob"];

/// How many allocations there may be, of one user and in all; how many permissions and channels; and how many
/// challenges an address gets in a second.
pub(super) const MAX_PER_USER: usize = 3;
pub(super) const MAX_ALLOCATIONS: usize = 5;
pub(super) const MAX_CHALLENGES: u32 = 4;

/// A key of each user for each algorithm.
pub(super) static KEYS: LazyLock<[[Key; 2]; 2]> = LazyLock::new(|| {
    USERS.map(|user| [Key::long_term(user, REALM, "pass"), Key::long_term_sha256(user, REALM, "pass")])
});

pub(super) fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 3478))
}

pub(super) fn server_v6() -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1), 3478))
}

/// Somebody who is no client: two of these are two ports of one host.
pub(super) fn hosts() -> [SocketAddr; 5] {
    let v6 = |n| SocketAddr::from((Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, n), 5_000));
    let v4 = |n, port| SocketAddr::from(([9, 9, 9, n], port));
    [v4(1, 5_000), v4(1, 5_001), v4(2, 5_000), v6(1), v6(2)]
}

/// Data of a few lengths.
pub(super) fn data(b: u8) -> &'static [u8] {
    &b"application data"[..usize::from(b & 0x0F)]
}

/// What is denied: a bit for each host, and the highest for odd ports.
#[derive(Clone, Copy)]
pub(super) struct Policy(pub(super) u8);

impl Policy {
    /// Whether a packet may go to or come from a peer.
    pub(super) fn permits(self, peer: SocketAddr) -> bool {
        self.verdict(peer.ip(), Some(peer.port())) != Verdict::Deny
    }

    fn verdict(self, peer: IpAddr, port: Option<u16>) -> Verdict {
        let Self(bits) = self;
        let denied = hosts().iter().enumerate().any(|(n, host)| host.ip() == peer && bits & 1 << n != 0);
        match port {
            _ if denied => Verdict::Deny,
            None if bits & 0x80 != 0 => Verdict::AskPort,
            Some(port) if bits & 0x80 != 0 && port % 2 == 1 => Verdict::Deny,
            _ => Verdict::Allow,
        }
    }
}

impl PeerPolicy for Policy {
    fn judge(&self, peer: IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        self.verdict(peer, port)
    }
}

/// Knows both users, by name and by hash.
struct Users;

impl Authenticator for Users {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        for (user, [md5, sha256]) in USERS.iter().zip(KEYS.iter()) {
            let known = match who.user {
                UserId::Name(name) => name == *user,
                UserId::Hash(hash) => *hash == Userhash::new(user, who.realm).0,
                _ => false,
            };
            let key = if who.algorithm == Algorithm::Md5 { md5 } else { sha256 };
            if known && try_key(Credential::new(key.clone(), user).good_for(Duration::from_secs(100))) {
                return;
            }
        }
    }

    fn knows_hashes(&self) -> bool {
        true
    }
}

/// What the server is told, by two bytes.
pub(super) fn config([switches, room]: [u8; 2]) -> Config {
    let mut config = Config::shared(REALM, Arc::new(Users), Arc::new(Policy(0)));
    config.relays = Arc::new(LiveRelays::new(&[server().ip(), server_v6().ip()]));
    config.mobility = switches & 1 == 0;
    config.tcp = switches & 2 == 0;
    config.sessions_outlive_credentials = switches & 4 == 0;
    config.dont_fragment = switches & 8 == 0;
    config.password_algorithms = switches & 16 == 0;
    config.nonce_lifetime = Duration::from_secs(if switches & 32 == 0 { 3_600 } else { 90 });
    config.default_lifetime = Duration::from_secs(if switches & 64 == 0 { 60 } else { 600 });
    config.max_lifetime = Duration::from_secs(1_200);
    config.max_allocations = MAX_ALLOCATIONS;
    config.max_allocations_per_user = Some(MAX_PER_USER);
    config.max_challenges = MAX_CHALLENGES;
    config.max_permissions = 1 + usize::from(room & 3);
    config.max_channels = 1 + usize::from(room >> 2 & 3);
    config.max_connections = 2;
    config.sha256_only = room & 0xF0 == 0x10;
    config.unauthenticated = room & 0xF0 == 0x20;
    config
}

/// An address that may be relayed, and never is.
pub(super) fn relayed(n: usize) -> SocketAddr {
    SocketAddr::new(server().ip(), 49_000 + u16::try_from(n).expect("few"))
}
