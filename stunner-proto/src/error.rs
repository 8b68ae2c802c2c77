//! What can be wrong with bytes, attributes and keys.

use crate::AttributeType;

/// Why bytes are not a STUN message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer than the 20 bytes of a header.
    #[error("shorter than a STUN header")]
    TooShort,
    /// The first two bits are not zero: some other protocol.
    #[error("the first two bits are not zero")]
    NotStun,
    /// Bytes 4 to 7 are not the magic cookie: classic STUN (RFC 3489), or something else.
    #[error("no magic cookie")]
    NoMagicCookie,
    /// Bytes 4 to 7 are the magic cookie: no [classic](crate::Classic) STUN.
    #[error("a magic cookie, which classic STUN has not")]
    MagicCookie,
    /// The length in the header is not a multiple of four.
    #[error("the length is not a multiple of four")]
    UnalignedLength,
    /// The header promises more bytes than there are.
    #[error("the message is cut short")]
    Truncated,
    /// More bytes than the header promises.
    #[error("bytes follow the message")]
    TrailingBytes,
    /// An attribute, or its padding, reaches past the end of the message.
    #[error("an attribute reaches past the end of the message")]
    AttributeOverrun,
    /// An attribute stands behind FINGERPRINT, which must be the last.
    #[error("FINGERPRINT is not the last attribute")]
    FingerprintNotLast,
}

/// Why an attribute could not be read from a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAttribute {
    /// It was required, and is not there.
    #[error("{0} is missing")]
    Missing(AttributeType),
    /// Its length or its value is not what its definition allows.
    #[error("{0} is malformed")]
    Malformed(AttributeType),
}

impl BadAttribute {
    /// The attribute in question.
    #[must_use]
    pub const fn attribute(self) -> AttributeType {
        match self {
            Self::Missing(kind) | Self::Malformed(kind) => kind,
        }
    }
}

/// Why a message could not be authenticated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// Neither MESSAGE-INTEGRITY nor MESSAGE-INTEGRITY-SHA256 is there.
    #[error("no message integrity")]
    Missing,
    /// The integrity attribute has a length that its definition does not allow.
    #[error("the message integrity is malformed")]
    Malformed,
    /// The key does not give the value that the message carries.
    #[error("the message integrity is wrong")]
    Mismatch,
}

/// The slice given to a builder cannot hold the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the buffer is too small for the message")]
pub struct BufferTooSmall;

/// A text is longer than its attribute may carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the text is too long for {0}")]
pub struct TooLong(pub AttributeType);
