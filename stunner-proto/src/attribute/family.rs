//! Which kind of relayed transport address a client asks for.

use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AddressFamily {
    /// 0x01 on the wire.
    V4,
    /// 0x02 on the wire.
    V6,
}

impl AddressFamily {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: core::net::IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) const fn from_wire(family: u8) -> Option<Self> {
        match family {
            0x01 => Some(Self::V4),
            0x02 => Some(Self::V6),
            _ => None,
        }
    }

    pub(super) const fn to_wire(self) -> u8 {
        match self {
            Self::V4 => 0x01,
            Self::V6 => 0x02,
        }
    }
}

/// Declares an attribute that holds a family and three reserved bytes.
macro_rules! family {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub struct $name(pub AddressFamily);

        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
                match value {
                    &[family, _, _, _] => AddressFamily::from_wire(family).map(Self),
                    _ => None,
                }
                .ok_or(BadAttribute::Malformed(Self::TYPE))
            }

            fn encoded_len(&self) -> usize {
                4
            }

            fn encode(&self, value: &mut [u8], _: TransactionId) {
                value.copy_from_slice(&[self.0.to_wire(), 0, 0, 0]);
            }
        }
    };
}

family!(
    /// The family of the one relayed transport address that is wanted (RFC 8656, section 18.6).
    ///
    /// A family other than the two is malformed; what a server answers to it is 440, not 400.
    RequestedAddressFamily, REQUESTED_ADDRESS_FAMILY
);
family!(
    /// The family that is wanted besides IPv4 (RFC 8656, section 18.11).
    AdditionalAddressFamily, ADDITIONAL_ADDRESS_FAMILY
);
