//! What TURN's requests ask for, and the data they carry.

use super::{
    exactly,
    ice::{flag, number},
};
use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

number!(
    /// How long an allocation is to live, in whole seconds: 4 bytes.
    ///
    /// See [RFC 8656, section 18.2](https://www.rfc-editor.org/rfc/rfc8656#section-18.2).
    Lifetime, LIFETIME, u32
);
number!(
    /// Names a TCP connection between server and peer: 4 bytes (RFC 6062, section 6.2.1).
    ConnectionId, CONNECTION_ID, u32
);

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

flag!(
    /// Set the DF bit on what goes to the peer (RFC 8656, section 18.9). It has no value.
    DontFragment, DONT_FRAGMENT
);

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

/// What an ICMP error said about a packet to the peer: 8 bytes (RFC 8656, section 18.13).
///
/// The RFC's figure draws a type of 7 bits and a code of 9; ICMP's own have 8 each, and so they are here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Icmp {
    /// The ICMP type: 3 or 11 of ICMPv4, 1 to 3 of ICMPv6.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next hop's MTU where the packet was too big, else 0.
    pub data: u32,
}

impl Attribute<'_> for Icmp {
    const TYPE: AttributeType = AttributeType::ICMP;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|[_, _, kind, code, a, b, c, d]| Self {
            kind,
            code,
            data: u32::from_be_bytes([a, b, c, d]),
        })
    }

    fn encoded_len(&self) -> usize {
        8
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value[..4].copy_from_slice(&[0, 0, self.kind, self.code]);
        value[4..].copy_from_slice(&self.data.to_be_bytes());
    }
}

/// Lets a client keep its allocation when its own address changes (RFC 8016, section 3).
///
/// Empty in an Allocate request, which asks for one; opaque to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MobilityTicket<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for MobilityTicket<'a> {
    const TYPE: AttributeType = AttributeType::MOBILITY_TICKET;

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
    fn att_33_icmp_has_type_and_code_in_bytes_of_their_own() {
        let mut value = [0xFF; 8];
        let too_big = Icmp { kind: 3, code: 4, data: 1280 };

        too_big.encode(&mut value, ID);

        assert_eq!(value, [0, 0, 3, 4, 0, 0, 5, 0]);
        assert_eq!(Icmp::decode(&value, ID), Ok(too_big));
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
