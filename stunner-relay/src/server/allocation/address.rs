//! Addresses of peers, in 20 bytes instead of 32: so that what one packet reads is in fewer cache lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stunner_proto::attribute::AddressFamily;

/// An IP address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ip {
    /// Those of IPv4 are the first four.
    bytes: [u8; 16],
    family: AddressFamily,
}

/// A transport address, without a scope: STUN has no place for one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    ip: Ip,
    port: u16,
}

impl Ip {
    pub(crate) const fn family(self) -> AddressFamily {
        self.family
    }
}

impl Address {
    pub(crate) const fn family(self) -> AddressFamily {
        self.ip.family
    }
}

impl From<IpAddr> for Ip {
    #[inline]
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&ip.octets());
                Self { bytes, family: AddressFamily::V4 }
            }
            IpAddr::V6(ip) => Self { bytes: ip.octets(), family: AddressFamily::V6 },
        }
    }
}

impl From<Ip> for IpAddr {
    #[inline]
    fn from(Ip { bytes, family }: Ip) -> Self {
        match family {
            AddressFamily::V4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
            AddressFamily::V6 => Ipv6Addr::from(bytes).into(),
        }
    }
}

impl From<SocketAddr> for Address {
    #[inline]
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip().into(), port: address.port() }
    }
}

impl From<Address> for SocketAddr {
    #[inline]
    fn from(Address { ip, port }: Address) -> Self {
        Self::new(ip.into(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        for text in ["203.0.113.9:5000", "[2001:db8::9]:5000", "[::ffff:203.0.113.9]:5000"] {
            let address: SocketAddr = text.parse().unwrap();

            assert_eq!(SocketAddr::from(Address::from(address)), address);
        }
    }

    #[test]
    fn an_ipv4_address_is_none_of_ipv6_with_the_same_bytes() {
        let four: SocketAddr = "203.0.113.9:5000".parse().unwrap();
        let six: SocketAddr = "[cb00:7109::]:5000".parse().unwrap();

        assert_ne!(Address::from(four), Address::from(six));
    }
}
