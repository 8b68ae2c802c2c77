//! Attributes that hold a transport address, plain or XORed.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Attribute, AttributeType, BadAttribute, MAGIC_COOKIE, TransactionId};

const IPV4: u8 = 0x01;
const IPV6: u8 = 0x02;

/// Declares an attribute that holds a transport address: 8 bytes for IPv4, 20 for IPv6.
macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $mask:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub struct $name(pub SocketAddr);

        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            #[inline]
            fn decode(value: &[u8], id: TransactionId) -> Result<Self, BadAttribute> {
                decode(value, $mask(id)).map(Self).ok_or(BadAttribute::Malformed(Self::TYPE))
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                if self.0.is_ipv4() { 8 } else { 20 }
            }

            #[inline]
            fn encode(&self, value: &mut [u8], id: TransactionId) {
                encode(self.0, value, $mask(id));
            }
        }
    };
}

address!(
    /// The client's address as the server sees it, in the clear (RFC 8489, section 14.1).
    MappedAddress, MAPPED_ADDRESS, plain
);
address!(
    /// The client's address as the server sees it (RFC 8489, section 14.2).
    XorMappedAddress, XOR_MAPPED_ADDRESS, xored
);
address!(
    /// The peer's address (RFC 8656, section 18.3).
    XorPeerAddress, XOR_PEER_ADDRESS, xored
);
address!(
    /// The relayed transport address (RFC 8656, section 18.5).
    XorRelayedAddress, XOR_RELAYED_ADDRESS, xored
);
address!(
    /// Another server to turn to (RFC 8489, section 14.15).
    AlternateServer, ALTERNATE_SERVER, plain
);
address!(
    /// Where a Binding response really came from (RFC 5780, section 7.3).
    ResponseOrigin, RESPONSE_ORIGIN, plain
);
address!(
    /// The server's other address and other port (RFC 5780, section 7.4).
    OtherAddress, OTHER_ADDRESS, plain
);

const fn plain(_: TransactionId) -> [u8; 16] {
    [0; 16]
}

/// The magic cookie and the transaction ID.
fn xored(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id.0);
    mask
}

fn decode(value: &[u8], mask: [u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, high, low], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([high ^ mask[0], low ^ mask[1]]);
    let ip = match family {
        IPV4 => IpAddr::V4(Ipv4Addr::from(unmask::<4>(address, &mask)?)),
        IPV6 => IpAddr::V6(Ipv6Addr::from(unmask::<16>(address, &mask)?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn unmask<const N: usize>(address: &[u8], mask: &[u8; 16]) -> Option<[u8; N]> {
    let mut address: [u8; N] = address.try_into().ok()?;
    address.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    Some(address)
}

fn encode(address: SocketAddr, value: &mut [u8], mask: [u8; 16]) {
    let [high, low] = address.port().to_be_bytes();
    let family = match address.ip() {
        IpAddr::V4(ip) => {
            value[4..].copy_from_slice(&ip.octets());
            IPV4
        }
        IpAddr::V6(ip) => {
            value[4..].copy_from_slice(&ip.octets());
            IPV6
        }
    };
    value[4..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    value[..4].copy_from_slice(&[0, family, high ^ mask[0], low ^ mask[1]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId =
        TransactionId([0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE]);

    #[test]
    fn adr_01_an_ipv4_address_is_xored_with_the_cookie() {
        let mut value = [0; 8];

        XorMappedAddress(SocketAddr::from(([192, 0, 2, 1], 32853))).encode(&mut value, ID);

        assert_eq!(value, [0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
    }

    #[test]
    fn adr_03_the_first_byte_is_ignored() {
        let value = [0xFF, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];

        assert_eq!(
            XorMappedAddress::decode(&value, ID),
            Ok(XorMappedAddress(SocketAddr::from(([192, 0, 2, 1], 32853))))
        );
    }

    #[test]
    fn adr_04_a_length_that_does_not_fit_the_family_is_malformed() {
        let malformed = Err(BadAttribute::Malformed(AttributeType::XOR_PEER_ADDRESS));

        for len in (0..=24).filter(|&len| len != 8) {
            let mut value = [0; 24];
            value[1] = IPV4;
            assert_eq!(XorPeerAddress::decode(&value[..len], ID), malformed, "IPv4, {len} bytes");
        }
        for len in (0..=24).filter(|&len| len != 20) {
            let mut value = [0; 24];
            value[1] = IPV6;
            assert_eq!(XorPeerAddress::decode(&value[..len], ID), malformed, "IPv6, {len} bytes");
        }
    }

    #[test]
    fn adr_05_family_0_and_3_are_malformed() {
        for family in [0, 3] {
            assert_eq!(
                MappedAddress::decode(&[0, family, 0, 1, 192, 0, 2, 1], ID),
                Err(BadAttribute::Malformed(AttributeType::MAPPED_ADDRESS))
            );
        }
    }

    #[test]
    fn adr_07_alternate_server_is_not_xored() {
        let mut value = [0; 8];

        AlternateServer(SocketAddr::from(([192, 0, 2, 1], 3478))).encode(&mut value, ID);

        assert_eq!(value, [0, 1, 0x0D, 0x96, 192, 0, 2, 1]);
    }
}
