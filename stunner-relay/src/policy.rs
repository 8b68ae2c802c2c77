//! Which peers clients may reach.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::Client;

mod cluster;
mod relay_only;
mod replicas;

pub use cluster::ClusterPolicy;
pub use relay_only::RelayOnly;
pub use replicas::Replicas;

/// Decides about peers, before a permission or a channel is made and, where it asks for the port, for every packet.
///
/// The server has canonicalised the address before: an IPv4 address inside an IPv6 one is judged as IPv4, and Teredo,
/// 6to4, unspecified, multicast and port 0 never get here.
pub trait PeerPolicy: Send + Sync + 'static {
    /// `port` is `None` where a request names none that counts (CreatePermission).
    fn judge(&self, peer: IpAddr, port: Option<u16>, client: &Client, user: &str) -> Verdict;

    /// Whether clients of this server may reach one another by their relayed transport addresses, whatever those are.
    fn relay_to_relay(&self) -> bool {
        true
    }
}

/// What a policy says about a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// No.
    Deny,
    /// Yes, on every port.
    Allow,
    /// It depends on the port: ask again for each packet.
    AskPort,
    /// Nobody knows yet. Over UDP the request is not answered, so that the client asks again, as it does by itself half a
    /// second later; over a stream it is refused.
    NotYet,
}

impl Verdict {
    /// Whether something may pass, be it on one port.
    pub(crate) fn permits(self) -> bool {
        matches!(self, Self::Allow | Self::AskPort)
    }
}

impl From<bool> for Verdict {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::Deny }
    }
}

/// Peers on the public internet. What is special, private or local is refused, unless it is opened.
#[derive(Clone, Debug, Default)]
pub struct DefaultPolicy {
    private: bool,
    allowed: Vec<Cidr>,
}

impl DefaultPolicy {
    /// Public addresses only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the private ranges: 10/8, 172.16/12, 192.168/16, 100.64/10 and fc00::/7.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Opens one range, whatever it is.
    #[must_use]
    pub fn allow(mut self, range: Cidr) -> Self {
        self.allowed.push(range);
        self
    }
}

impl PeerPolicy for DefaultPolicy {
    fn judge(&self, peer: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        let inside = |ranges: &[Cidr]| ranges.iter().any(|range| range.contains(peer));
        Verdict::from(
            inside(&self.allowed)
                || !inside(SPECIAL) && !inside(NOBODY) && (self.private || !inside(PRIVATE)),
        )
    }
}

/// A range of addresses, such as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a range of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

impl Cidr {
    /// All addresses that have the first `bits` bits of `base`. `None` where an address does not have so many.
    #[must_use]
    pub fn new(base: IpAddr, bits: u8) -> Option<Self> {
        (bits <= Self::from(base).bits).then_some(Self { base, bits })
    }

    /// Whether the address lies in the range.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differing = match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= u32::from(self.bits)
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    const fn v6(first: u16, second: u16, bits: u8) -> Self {
        Self { base: IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)), bits }
    }
}

/// A range of one.
impl From<IpAddr> for Cidr {
    fn from(ip: IpAddr) -> Self {
        Self { base: ip, bits: if ip.is_ipv4() { 32 } else { 128 } }
    }
}

/// A text is not a range of addresses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a range of addresses such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct ParseCidrError(String);

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let error = || ParseCidrError(text.chars().take(64).collect());
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| error())?;
        match bits {
            None => Ok(base.into()),
            Some(bits) => bits.parse().ok().and_then(|bits| Self::new(base, bits)).ok_or_else(error),
        }
    }
}

/// Unspecified, loopback, link-local (where clouds keep their metadata), protocol assignments, multicast, reserved and
/// broadcast; and their like in IPv6, discard and SRv6 included.
const SPECIAL: &[Cidr] = &[
    Cidr::v4(0, 0, 0, 0, 8),
    Cidr::v4(127, 0, 0, 0, 8),
    Cidr::v4(169, 254, 0, 0, 16),
    Cidr::v4(192, 0, 0, 0, 24),
    Cidr::v4(224, 0, 0, 0, 3),
    Cidr::v6(0, 0, 8),
    Cidr::v6(0x0064, 0xFF9B, 32),
    Cidr::v6(0x0100, 0, 64),
    Cidr::v6(0x2001, 0, 23),
    Cidr::v6(0x5F00, 0, 16),
    Cidr::v6(0xFE80, 0, 10),
    Cidr::v6(0xFEC0, 0, 10),
    Cidr::v6(0xFF00, 0, 8),
];

/// Documentation, benchmarking and 6to4: nobody on the public internet is there.
const NOBODY: &[Cidr] = &[
    Cidr::v4(192, 0, 2, 0, 24),
    Cidr::v4(192, 88, 99, 0, 24),
    Cidr::v4(198, 18, 0, 0, 15),
    Cidr::v4(198, 51, 100, 0, 24),
    Cidr::v4(203, 0, 113, 0, 24),
    Cidr::v6(0x2001, 0x0DB8, 32),
    Cidr::v6(0x2002, 0, 16),
    Cidr::v6(0x3FFF, 0, 20),
];

const PRIVATE: &[Cidr] = &[
    Cidr::v4(10, 0, 0, 0, 8),
    Cidr::v4(100, 64, 0, 0, 10),
    Cidr::v4(172, 16, 0, 0, 12),
    Cidr::v4(192, 168, 0, 0, 16),
    Cidr::v6(0xFC00, 0, 7),
];

/// The address that counts: an IPv4 address inside an IPv6 one is taken out. `None` where no peer can be.
pub(crate) fn canonical(ip: IpAddr) -> Option<IpAddr> {
    let ip = match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => {
            let segments = six.segments();
            match segments {
                // Teredo and 6to4 must not be relayed to (RFC 8656, section 21.4); NAT64's local prefix hides any address.
                [0x2001, 0, ..] | [0x2002, ..] | [0x0064, 0xFF9B, 1, ..] => return None,
                // IPv4-mapped, IPv4-compatible and NAT64; `::` and `::1` are what they look like.
                [0, 0, 0, 0, 0, 0xFFFF, ..] | [0x0064, 0xFF9B, 0, 0, 0, 0, ..] => embedded(six),
                [0, 0, 0, 0, 0, 0, ..] if six.to_bits() > 1 => embedded(six),
                _ => ip,
            }
        }
    };
    let nobody = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!nobody).then_some(ip)
}

fn embedded(ip: Ipv6Addr) -> IpAddr {
    let [.., a, b, c, d] = ip.octets();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Which relayed transport addresses of a server are in use: a bit for each port of each address, shared by all workers.
#[derive(Debug, Default)]
pub struct LiveRelays {
    addresses: Vec<(IpAddr, Vec<AtomicU64>)>,
}

impl LiveRelays {
    /// For these addresses, as peers see them.
    #[must_use]
    pub fn new(advertised: &[IpAddr]) -> Self {
        let ports = || std::iter::repeat_with(AtomicU64::default).take(1024).collect();
        Self { addresses: advertised.iter().map(|&ip| (ip, ports())).collect() }
    }

    /// Whether relayed transport addresses are on this address at all.
    #[must_use]
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == ip)
    }

    /// Whether this relayed transport address is in use.
    #[must_use]
    pub fn is_live(&self, relayed: SocketAddr) -> bool {
        self.word(relayed).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub(crate) fn set(&self, relayed: SocketAddr, live: bool) {
        match self.word(relayed) {
            Some((word, bit)) if live => word.fetch_or(bit, Ordering::Relaxed),
            Some((word, bit)) => word.fetch_and(!bit, Ordering::Relaxed),
            None => 0,
        };
    }

    fn word(&self, relayed: SocketAddr) -> Option<(&AtomicU64, u64)> {
        let (_, ports) = self.addresses.iter().find(|(own, _)| *own == relayed.ip())?;
        let port = usize::from(relayed.port());
        Some((ports.get(port / 64)?, 1 << (port % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FiveTuple, ListenerId, Transport};

    fn verdict(policy: &impl PeerPolicy, peer: &str) -> Verdict {
        let tuple = FiveTuple {
            client: SocketAddr::from(([198, 51, 100, 1], 4000)),
            server: SocketAddr::from(([192, 0, 2, 1], 3478)),
            transport: Transport::Udp,
        };
        let client = Client { tuple, listener: ListenerId(0), link: 0 };
        match canonical(peer.parse().unwrap()) {
            Some(peer) => policy.judge(peer, None, &client, "user"),
            None => Verdict::Deny,
        }
    }

    #[test]
    fn special_addresses_are_refused_in_every_disguise() {
        let open = DefaultPolicy::new().allow_private();
        for peer in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001:0:1::1",
            "::ffff:0.0.0.0",
        ] {
            assert_eq!(verdict(&open, peer), Verdict::Deny, "{peer}");
        }
    }

    #[test]
    fn private_addresses_open_by_one_switch_and_public_ones_are_open() {
        for peer in ["10.0.0.1", "100.64.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert_eq!(verdict(&DefaultPolicy::new(), peer), Verdict::Deny, "{peer}");
            assert_eq!(verdict(&DefaultPolicy::new().allow_private(), peer), Verdict::Allow, "{peer}");
        }
        for peer in ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1", "64:ff9b::8.8.8.8"] {
            assert_eq!(verdict(&DefaultPolicy::new(), peer), Verdict::Allow, "{peer}");
        }
    }

    #[test]
    fn ranges_are_read_or_refused() {
        for text in ["0.0.0.0/0", "10.0.0.1", "::/0", "2001:db8::1/128"] {
            assert!(text.parse::<Cidr>().is_ok(), "{text}");
        }
        for text in [
            "",
            "/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0/8",
            "localhost/8",
            "10.0.0.0/8/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn live_relays_are_one_bit_each() {
        let live = LiveRelays::new(&[IpAddr::from([192, 0, 2, 1])]);
        let relayed = |port| SocketAddr::from(([192, 0, 2, 1], port));
        live.set(relayed(65_535), true);
        live.set(relayed(49_152), true);
        live.set(relayed(49_152), false);

        assert!(live.is_live(relayed(65_535)));
        assert!(!live.is_live(relayed(49_152)) && !live.is_live(relayed(65_534)));
        assert!(!live.is_live(SocketAddr::from(([192, 0, 2, 2], 65_535))));
    }
}
