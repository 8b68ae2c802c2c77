//! Which peers a cluster holds: addresses, ranges of addresses, and ports.

use std::{fmt, net::IpAddr, str::FromStr};

/// Peers: a range of addresses and a range of ports, written `203.0.113.0/24:<10000-20000>`.
///
/// ```
/// use stunner_auth::config::Endpoint;
///
/// let peers: Endpoint = "203.0.113.7/24:<10000-20000>".parse()?;
/// assert!(peers.contains([203, 0, 113, 200].into(), 15_000));
/// assert!(!peers.contains([203, 0, 113, 200].into(), 9_999));
/// assert_eq!(peers.to_string(), "203.0.113.0/24:<10000-20000>");
/// # Ok::<(), stunner_auth::config::NotAnEndpoint>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Their addresses.
    pub prefix: Prefix,
    /// Their ports.
    pub ports: PortRange,
}

impl Endpoint {
    /// Whether a peer is one of them. An IPv4 address in IPv6's clothes (`::ffff:203.0.113.1`) is an IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr, port: u16) -> bool {
        self.prefix.contains(ip) && self.ports.contains(port)
    }
}

/// A text that is no [`Endpoint`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an address or a range of addresses, such as 10.0.0.0/8 or 10.0.0.1:<10000-20000>")]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let Some(rest) = text.strip_suffix('>') else {
            return Ok(Self { prefix: text.parse()?, ports: PortRange::default() });
        };
        let (prefix, ports) = rest.rsplit_once(":<").ok_or(NotAnEndpoint)?;
        let (first, last) = ports.split_once('-').ok_or(NotAnEndpoint)?;
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or(NotAnEndpoint)
        };
        let ports = PortRange::new(port(first)?, port(last)?).ok_or(NotAnEndpoint)?;
        Ok(Self { prefix: prefix.parse()?, ports })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)?;
        if self.ports == PortRange::default() { Ok(()) } else { write!(f, ":<{}>", self.ports) }
    }
}

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix {
    ip: IpAddr,
    len: u8,
}

impl Prefix {
    /// All addresses that have the first `len` bits of `ip`. `None` where an address does not have so many. IPv4 addresses
    /// in IPv6's clothes are IPv4 addresses.
    #[must_use]
    pub fn new(ip: IpAddr, len: u8) -> Option<Self> {
        let (ip, len) = match (ip.to_canonical(), len) {
            (v4 @ IpAddr::V4(_), 96..=128) if ip.is_ipv6() => (v4, len - 96),
            _ => (ip, len),
        };
        let masked = match ip {
            IpAddr::V4(v4) if len <= 32 => IpAddr::from((u32::from(v4) & mask_v4(len)).to_be_bytes()),
            IpAddr::V6(v6) if len <= 128 => IpAddr::from((u128::from(v6) & mask_v6(len)).to_be_bytes()),
            _ => return None,
        };
        Some(Self { ip: masked, len })
    }

    /// The first address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// How many bits all addresses have in common.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.len
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => u32::from(ip) & mask_v4(self.len) == u32::from(own),
            (IpAddr::V6(own), IpAddr::V6(ip)) => u128::from(ip) & mask_v6(self.len) == u128::from(own),
            _ => false,
        }
    }
}

fn mask_v4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn mask_v6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let (ip, len) = match text.split_once('/') {
            Some((ip, len)) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
                (ip, Some(len.parse().map_err(|_| NotAnEndpoint)?))
            }
            Some(_) => return Err(NotAnEndpoint),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NotAnEndpoint)?;
        let all = if ip.is_ipv4() { 32 } else { 128 };
        Self::new(ip, len.unwrap_or(all)).ok_or(NotAnEndpoint)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.ip.is_ipv4() { 32 } else { 128 };
        if self.len == all { self.ip.fmt(f) } else { write!(f, "{}/{}", self.ip, self.len) }
    }
}

/// Ports from a first to a last, both included.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None` where the first comes after the last.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The last.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.last
    }

    /// Whether a port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Default for PortRange {
    /// All ports.
    fn default() -> Self {
        Self { first: 1, last: u16::MAX }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<Endpoint, NotAnEndpoint> {
        text.parse()
    }

    #[test]
    fn endpoints_are_written_as_they_are_read() {
        for (text, written) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.0/24", "1.2.3.0/24"),
            ("1.2.3.4:<10000-20000>", "1.2.3.4:<10000-20000>"),
            ("1.2.3.4/16:<1-2>", "1.2.0.0/16:<1-2>"),
            ("fd00::/8:<5000-5000>", "fd00::/8:<5000-5000>"),
            ("::/0", "::/0"),
            ("0.0.0.0/0:<1-65535>", "0.0.0.0/0"),
            ("::ffff:203.0.113.9/120", "203.0.113.0/24"),
        ] {
            assert_eq!(endpoint(text).map(|found| found.to_string()).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "peer.example",
            "1.2.3.4:80",
            "1.2.3.4/33",
            "::1/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "1.2.3.4:<2-1>",
            "1.2.3.4:<1-65536>",
            "1.2.3.4:<1>",
            "1.2.3.4:<-1>",
            "1.2.3.4:<+1-2>",
            "1.2.3.4<1-2>",
            ":<1-2>",
            "[::1]",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_of_one_family_is_nothing_of_the_other() {
        let (v4, v6) = (endpoint("0.0.0.0/0").unwrap(), endpoint("::/0").unwrap());
        let (one, other) = (IpAddr::from([203, 0, 113, 1]), "2001:db8::1".parse().unwrap());

        assert!(v4.contains(one, 1) && v6.contains(other, 65_535));
        assert!(!v4.contains(other, 1) && !v6.contains(one, 1));
        assert!(v4.contains("::ffff:203.0.113.1".parse().unwrap(), 1));
    }
}
