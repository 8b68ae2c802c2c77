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

/// Declares the codes of IANA's registry, each with the phrase that its RFC recommends.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $constant:ident = $code:literal, $reason:literal;)*) => {
        impl ErrorCode<'static> {
            $($(#[$doc])* pub const $constant: Self = Self { code: $code, reason: $reason };)*

            /// The error of this code with the phrase that its RFC recommends; `None` for a code that none defines.
            #[must_use]
            pub const fn recommended(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$constant),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// Ask another server: ALTERNATE-SERVER says which (RFC 8489).
    TRY_ALTERNATE = 300, "Try Alternate";
    /// The request is malformed (RFC 8489).
    BAD_REQUEST = 400, "Bad Request";
    /// No credentials, or wrong ones (RFC 8489).
    UNAUTHENTICATED = 401, "Unauthenticated";
    /// Not allowed, whoever asks (RFC 8656).
    FORBIDDEN = 403, "Forbidden";
    /// Mobility is not offered (RFC 8016).
    MOBILITY_FORBIDDEN = 405, "Mobility Forbidden";
    /// A comprehension-required attribute is not known: UNKNOWN-ATTRIBUTES says which (RFC 8489).
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute";
    /// There is no allocation where one must be, or one where none may be (RFC 8656).
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch";
    /// The nonce has expired; another is enclosed (RFC 8489).
    STALE_NONCE = 438, "Stale Nonce";
    /// IPv4 or IPv6 is not offered (RFC 8656).
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported";
    /// The allocation was made with other credentials (RFC 8656).
    WRONG_CREDENTIALS = 441, "Wrong Credentials";
    /// The transport to the peer is not offered (RFC 8656).
    UNSUPPORTED_TRANSPORT_PROTOCOL = 442, "Unsupported Transport Protocol";
    /// The peer's address family is not the allocation's (RFC 8656).
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch";
    /// There is a connection to this peer (RFC 6062).
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists";
    /// The peer could not be reached (RFC 6062).
    CONNECTION_TIMEOUT_OR_FAILURE = 447, "Connection Timeout or Failure";
    /// The user has as many allocations as he may have (RFC 8656).
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached";
    /// Both ICE agents believe themselves in the same role (RFC 8445).
    ROLE_CONFLICT = 487, "Role Conflict";
    /// Something is wrong with the server (RFC 8489).
    SERVER_ERROR = 500, "Server Error";
    /// The server has nothing left to give (RFC 8656).
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity";
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
