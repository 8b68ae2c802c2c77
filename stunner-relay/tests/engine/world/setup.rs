//! Who lives where in a world, and what its server is told.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use stunner_relay::{
    Authenticator, Client, Config, Credential, Identity, LiveRelays, PeerPolicy, StaticUser, UserId, Verdict,
};

/// The server's address, and that of its relayed transport addresses.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Another address that it listens on.
pub(crate) const SERVER_2: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// The same for IPv6. There are relayed transport addresses on it once the world's ports know it.
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1));

/// Where clients send to.
pub(crate) const LISTENER: SocketAddr = SocketAddr::new(SERVER, 3478);

/// Where clients send to that have IPv6.
pub(crate) const LISTENER_V6: SocketAddr = SocketAddr::new(SERVER_V6, 3478);

/// A client's address.
pub(crate) fn client(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, n], 40_000))
}

/// A client's address in IPv6.
pub(crate) fn client_v6(n: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0x2001, 0xDB8, 1, 0, 0, 0, 0, n), 40_000))
}

/// A peer's address.
pub(crate) fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 5_000))
}

/// A peer's address in IPv6.
pub(crate) fn peer_v6(n: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0x2001, 0xDB8, 7, 0, 0, 0, 0, n), 5_000))
}

/// Another port of the same host.
pub(crate) fn other_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

/// What a world begins with: user `user` with the password `pass`, and a policy.
pub(crate) fn config(policy: impl PeerPolicy) -> Config {
    let mut config = Config::new("example.com", StaticUser::new("user", "pass"), policy);
    config.relays = Arc::new(LiveRelays::new(&[SERVER, SERVER_V6]));
    config
}

/// The same for users of any name, who may reach everyone.
pub(crate) fn config_of_many() -> Config {
    let mut config = config(Everyone);
    config.authenticator = Arc::new(AnyName);
    config
}

/// Permits every peer.
pub(crate) struct Everyone;

impl PeerPolicy for Everyone {
    fn judge(&self, _: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::Allow
    }
}

/// Every name is a user's, with the password `pass`.
struct AnyName;

impl Authenticator for AnyName {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let UserId::Name(name) = who.user else { return };
        try_key(Credential::new(who.key(name, "pass"), name));
    }
}
