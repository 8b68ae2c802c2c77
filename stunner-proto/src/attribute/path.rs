//! What tests of the way between two hosts carry: NAT behaviour (RFC 5780), counted retransmissions (RFC 7982).

use super::{exactly, ice::number};
use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

/// Answer from another address, another port, or both (RFC 5780, section 7.2): 4 bytes, of which two bits count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChangeRequest {
    /// From the server's other IP address: 0x04.
    pub ip: bool,
    /// From the server's other port: 0x02.
    pub port: bool,
}

impl Attribute<'_> for ChangeRequest {
    const TYPE: AttributeType = AttributeType::CHANGE_REQUEST;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE)
            .map(|[_, _, _, bits]| Self { ip: bits & 0x04 != 0, port: bits & 0x02 != 0 })
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&[0, 0, 0, u8::from(self.ip) << 2 | u8::from(self.port) << 1]);
    }
}

/// Answer to this port of the request's source address (RFC 5780, section 7.5; erratum 2844: 0 to 65,535).
///
/// The figure shows a port and two reserved bytes, the text a length of two: four are sent, either is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponsePort(pub u16);

impl Attribute<'_> for ResponsePort {
    const TYPE: AttributeType = AttributeType::RESPONSE_PORT;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        match value {
            &[high, low] | &[high, low, _, _] => Ok(Self(u16::from_be_bytes([high, low]))),
            _ => Err(BadAttribute::Malformed(Self::TYPE)),
        }
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        let [high, low] = self.0.to_be_bytes();
        value.copy_from_slice(&[high, low, 0, 0]);
    }
}

/// Zeros that make a message so long that it must be fragmented (RFC 5780, section 7.6): any length up to 65,528 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Padding(pub u16);

impl Attribute<'_> for Padding {
    const TYPE: AttributeType = AttributeType::PADDING;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        u16::try_from(value.len()).map(Self).map_err(|_| BadAttribute::Malformed(Self::TYPE))
    }

    fn encoded_len(&self) -> usize {
        usize::from(self.0)
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.fill(0);
    }
}

number!(
    /// For how many seconds a server remembers the request: in drafts of RFC 5780, and in servers that followed them.
    CacheTimeout, CACHE_TIMEOUT, u32
);

/// Which transmission of a request this is, and of its response (RFC 7982, section 3.1): 4 bytes.
///
/// It is the one attribute that differs between retransmissions, so that integrity and fingerprint do, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TransactionTransmitCounter {
    /// Counts the transmissions of the request, from 1; a response repeats it.
    pub requests: u8,
    /// Counts the responses to this transaction; 0 in a request.
    pub responses: u8,
}

impl Attribute<'_> for TransactionTransmitCounter {
    const TYPE: AttributeType = AttributeType::TRANSACTION_TRANSMIT_COUNTER;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        exactly(value, Self::TYPE).map(|[_, _, requests, responses]| Self { requests, responses })
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&[0, 0, self.requests, self.responses]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn only_two_bits_of_a_change_request_count() {
        assert_eq!(ChangeRequest::decode(&[0xFF, 0xFF, 0xFF, 0xF9], ID), Ok(ChangeRequest::default()));
        assert_eq!(ChangeRequest::decode(&[0, 0, 0, 4], ID), Ok(ChangeRequest { ip: true, port: false }));
        assert_eq!(ChangeRequest::decode(&[0, 0, 0, 2], ID), Ok(ChangeRequest { ip: false, port: true }));
    }

    #[test]
    fn a_change_request_is_written_as_the_rfc_numbers_its_bits() {
        let mut value = [0xFF; 4];

        ChangeRequest { ip: true, port: true }.encode(&mut value, ID);

        assert_eq!(value, [0, 0, 0, 6]);
    }

    #[test]
    fn a_response_port_is_read_from_two_or_four_bytes() {
        assert_eq!(ResponsePort::decode(&[0x9C, 0x40], ID), Ok(ResponsePort(40_000)));
        assert_eq!(ResponsePort::decode(&[0x9C, 0x40, 1, 2], ID), Ok(ResponsePort(40_000)));
        assert_eq!(
            ResponsePort::decode(&[0x9C, 0x40, 0], ID),
            Err(BadAttribute::Malformed(AttributeType::RESPONSE_PORT))
        );
    }

    #[test]
    fn transmissions_are_counted_in_the_last_two_bytes() {
        assert_eq!(
            TransactionTransmitCounter::decode(&[9, 9, 2, 1], ID),
            Ok(TransactionTransmitCounter { requests: 2, responses: 1 })
        );
    }
}
