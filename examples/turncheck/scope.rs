//! How far an address reaches, and what that means for a relayed transport address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From this machine to the world, the narrowest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    Unspecified,
    Loopback,
    LinkLocal,
    Private,
    Public,
}

impl Scope {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        // RFC 6598: shared by customers behind a carrier's NAT.
        let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
        match () {
            () if ip.is_unspecified() => Self::Unspecified,
            () if ip.is_loopback() => Self::Loopback,
            () if ip.is_link_local() => Self::LinkLocal,
            () if ip.is_private() || shared => Self::Private,
            () => Self::Public,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        match () {
            () if ip.is_unspecified() => Self::Unspecified,
            () if ip.is_loopback() => Self::Loopback,
            () if ip.is_unicast_link_local() => Self::LinkLocal,
            () if ip.is_unique_local() => Self::Private,
            () => Self::Public,
        }
    }

    /// Who can reach such an address.
    pub(crate) const fn reach(self) -> &'static str {
        match self {
            Self::Unspecified => "no address at all: nobody reaches it",
            Self::Loopback => "a loopback address: only programs on the server's own machine reach it",
            Self::LinkLocal => "a link-local address: only machines on the server's own cable reach it",
            Self::Private => "a private address: only machines of the server's own network reach it",
            Self::Public => "a public address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reach_as_far_as_the_registries_say() {
        for (ip, scope) in [
            ("0.0.0.0", Scope::Unspecified),
            ("127.9.9.9", Scope::Loopback),
            ("169.254.1.1", Scope::LinkLocal),
            ("10.0.0.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("203.0.113.9", Scope::Public),
            ("::", Scope::Unspecified),
            ("::1", Scope::Loopback),
            ("::ffff:10.0.0.1", Scope::Private),
            ("fe80::1", Scope::LinkLocal),
            ("fd00::1", Scope::Private),
            ("2001:db8::1", Scope::Public),
        ] {
            assert_eq!(Scope::of(ip.parse().unwrap()), scope, "{ip}");
        }
    }

    #[test]
    fn the_narrowest_is_the_least() {
        assert!(Scope::Loopback < Scope::LinkLocal && Scope::Private < Scope::Public);
    }
}
