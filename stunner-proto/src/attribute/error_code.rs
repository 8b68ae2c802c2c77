//! ERROR-CODE and what goes with it.

use super::family::AddressFamily;
use crate::{Attribute, AttributeType, BadAttribute, TooLong, TransactionId};

/// The most bytes of a reason phrase a receiver must expect.
const MAX_REASON: usize = 763;

/// Why a request was refused: a number from 300 to 699 and a phrase for people.
///
/// See [RFC 8489, section 14.8](https://www.rfc-editor.org/rfc/rfc8489#section-14.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ErrorCode<'a> {
    code: u16,
    reason: &'a str,
}

impl<'a> ErrorCode<'a> {
    /// A code from 300 to 699, clamped to that range, and at most 127 characters of reason.
    ///
    /// # Errors
    /// [`TooLong`] when the reason has more.
    pub fn new(code: u16, reason: &'a str) -> Result<Self, TooLong> {
        if reason.chars().count() > 127 {
            return Err(TooLong(Self::TYPE));
        }
        Ok(Self { code: code.clamp(300, 699), reason })
    }

    /// 300 to 699.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// What it says to people.
    #[must_use]
    pub const fn reason(&self) -> &'a str {
        self.reason
    }
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let (_, code, reason) = decode(value).ok_or(BadAttribute::Malformed(Self::TYPE))?;
        Ok(Self { code, reason })
    }

    fn encoded_len(&self) -> usize {
        4 + self.reason.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        encode(0, self.code, self.reason, value);
    }
}

/// Why one of the two address families could not be allocated (RFC 8656, section 18.12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressErrorCode<'a> {
    /// The family that failed.
    pub family: AddressFamily,
    /// Why it failed.
    pub error: ErrorCode<'a>,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let malformed = BadAttribute::Malformed(Self::TYPE);
        let (family, code, reason) = decode(value).ok_or(malformed)?;
        let family = AddressFamily::from_wire(family).ok_or(malformed)?;
        Ok(Self { family, error: ErrorCode { code, reason } })
    }

    fn encoded_len(&self) -> usize {
        4 + self.error.reason.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        encode(self.family.to_wire(), self.error.code, self.error.reason, value);
    }
}

/// First byte, code, reason.
fn decode(value: &[u8]) -> Option<(u8, u16, &str)> {
    let (&[first, _, class, number], reason) = value.split_first_chunk::<4>()?;
    let class = class & 0x07;
    if !(3..=6).contains(&class) || number > 99 || reason.len() > MAX_REASON {
        return None;
    }
    let code = u16::from(class) * 100 + u16::from(number);
    Some((first, code, core::str::from_utf8(reason).ok()?))
}

fn encode(first: u8, code: u16, reason: &str, value: &mut [u8]) {
    let [_, class] = (code / 100).to_be_bytes();
    let [_, number] = (code % 100).to_be_bytes();
    value[..4].copy_from_slice(&[first, 0, class, number]);
    value[4..].copy_from_slice(reason.as_bytes());
}

/// The comprehension-required attributes that the server does not know (RFC 8489, section 14.13).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownAttributes<'a>(&'a [[u8; 2]]);

impl<'a> UnknownAttributes<'a> {
    /// A list to send: the types as big-endian bytes.
    #[must_use]
    pub const fn new(types: &'a [[u8; 2]]) -> Self {
        Self(types)
    }

    /// The types, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = AttributeType> + use<'a> {
        self.0.iter().map(|kind| AttributeType(u16::from_be_bytes(*kind)))
    }
}

impl<'a> Attribute<'a> for UnknownAttributes<'a> {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let (types, rest) = value.as_chunks();
        if rest.is_empty() { Ok(Self(types)) } else { Err(BadAttribute::Malformed(Self::TYPE)) }
    }

    fn encoded_len(&self) -> usize {
        2 * self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(self.0.as_flattened());
    }
}
