//! What TURN's requests ask for, and the data they carry.

use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

/// How long an allocation is to live, in whole seconds.
///
/// See [RFC 8656, section 18.2](https://www.rfc-editor.org/rfc/rfc8656#section-18.2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Lifetime(pub u32);

impl Attribute<'_> for Lifetime {
    const TYPE: AttributeType = AttributeType::LIFETIME;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|value| Self(u32::from_be_bytes(value)))
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&self.0.to_be_bytes());
    }
}

/// Application data; may be empty (RFC 8656, section 18.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Data<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for Data<'a> {
    const TYPE: AttributeType = AttributeType::DATA;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        Ok(Self(value))
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(self.0);
    }
}

/// The protocol to be used between server and peer: a protocol number of IANA's (RFC 8656, section 18.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// TCP, as RFC 6062 defines it.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
}

impl Attribute<'_> for RequestedTransport {
    const TYPE: AttributeType = AttributeType::REQUESTED_TRANSPORT;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|[protocol, _, _, _]| Self(protocol))
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&[self.0, 0, 0, 0]);
    }
}

/// The relayed port is to be even, and where `reserve_next` is set the next one is to be kept (RFC 8656, section 18.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EvenPort {
    /// The R bit: reserve the next higher port.
    pub reserve_next: bool,
}

impl Attribute<'_> for EvenPort {
    const TYPE: AttributeType = AttributeType::EVEN_PORT;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|[bits]| Self { reserve_next: bits & 0x80 != 0 })
    }

    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value[0] = u8::from(self.reserve_next) << 7;
    }
}

/// Set the DF bit on what goes to the peer (RFC 8656, section 18.9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DontFragment;

impl Attribute<'_> for DontFragment {
    const TYPE: AttributeType = AttributeType::DONT_FRAGMENT;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|[]| Self)
    }

    fn encoded_len(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut [u8], _: TransactionId) {}
}

/// Names a relayed transport address that the server keeps (RFC 8656, section 18.10).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ReservationToken(pub [u8; 8]);

impl Attribute<'_> for ReservationToken {
    const TYPE: AttributeType = AttributeType::RESERVATION_TOKEN;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(Self)
    }

    fn encoded_len(&self) -> usize {
        8
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&self.0);
    }
}

/// The value as an array, if it has just that length.
fn exactly<const N: usize>(value: &[u8], kind: AttributeType) -> Result<[u8; N], BadAttribute> {
    value.try_into().map_err(|_| BadAttribute::Malformed(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn att_26_lifetime_of_three_bytes_is_malformed() {
        assert_eq!(Lifetime::decode(&[0, 0, 1], ID), Err(BadAttribute::Malformed(AttributeType::LIFETIME)));
    }

    #[test]
    fn att_28_only_the_first_bit_of_even_port_counts() {
        assert_eq!(EvenPort::decode(&[0x7F], ID), Ok(EvenPort { reserve_next: false }));
        assert_eq!(EvenPort::decode(&[0x80], ID), Ok(EvenPort { reserve_next: true }));
    }

    #[test]
    fn att_30_dont_fragment_has_no_value() {
        assert_eq!(
            DontFragment::decode(&[0], ID),
            Err(BadAttribute::Malformed(AttributeType::DONT_FRAGMENT))
        );
    }

    #[test]
    fn att_31_a_reservation_token_of_seven_bytes_is_malformed() {
        assert_eq!(
            ReservationToken::decode(&[1; 7], ID),
            Err(BadAttribute::Malformed(AttributeType::RESERVATION_TOKEN))
        );
    }
}
