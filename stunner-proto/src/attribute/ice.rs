//! What ICE's connectivity checks carry (RFC 8445, section 16.1).

use super::exactly;
use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

/// Declares an attribute that is one big-endian number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $number:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub $number);

        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
                exactly(value, Self::TYPE).map(|value| Self(<$number>::from_be_bytes(value)))
            }

            fn encoded_len(&self) -> usize {
                size_of::<$number>()
            }

            fn encode(&self, value: &mut [u8], _: TransactionId) {
                value.copy_from_slice(&self.0.to_be_bytes());
            }
        }
    };
}
pub(super) use number;

number!(
    /// The priority that a peer-reflexive candidate learnt from this check would have: 1 to 2^31 - 1, 4 bytes.
    Priority, PRIORITY, u32
);
number!(
    /// The sender believes itself to be controlled; the number decides when both do: 8 random bytes.
    IceControlled, ICE_CONTROLLED, u64
);
number!(
    /// The sender believes itself to be controlling; the number decides when both do: 8 random bytes.
    IceControlling, ICE_CONTROLLING, u64
);

/// Declares an attribute without a value.
macro_rules! flag {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub struct $name;

        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
                exactly(value, Self::TYPE).map(|[]| Self)
            }

            fn encoded_len(&self) -> usize {
                0
            }

            fn encode(&self, _: &mut [u8], _: TransactionId) {}
        }
    };
}
pub(super) use flag;

flag!(
    /// The pair that this check is about is nominated. It has no value.
    UseCandidate, USE_CANDIDATE
);

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn ice_01_the_values_take_4_0_8_and_8_bytes() {
        assert_eq!(Priority(1).encoded_len(), 4);
        assert_eq!(UseCandidate.encoded_len(), 0);
        assert_eq!(IceControlled(1).encoded_len(), 8);
        assert_eq!(IceControlling(1).encoded_len(), 8);
    }

    #[test]
    fn ice_01_any_other_length_is_malformed() {
        let bytes = [0; 9];
        for len in 0..=9 {
            let value = &bytes[..len];
            assert_eq!(Priority::decode(value, ID).is_ok(), len == 4, "PRIORITY, {len}");
            assert_eq!(UseCandidate::decode(value, ID).is_ok(), len == 0, "USE-CANDIDATE, {len}");
            assert_eq!(IceControlled::decode(value, ID).is_ok(), len == 8, "ICE-CONTROLLED, {len}");
            assert_eq!(IceControlling::decode(value, ID).is_ok(), len == 8, "ICE-CONTROLLING, {len}");
        }
    }
}
