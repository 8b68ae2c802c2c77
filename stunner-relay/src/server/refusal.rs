//! Why a request is not carried out, and what that is on the wire.

use stunner_proto::{
    BadAttribute,
    attribute::{AddressErrorCode, AddressFamily, ErrorCode},
};

/// Why a request is answered with an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An attribute is missing or malformed.
    #[error("{0}")]
    BadAttribute(#[from] BadAttribute),
    /// The server is being emptied: another one is named.
    #[error("Try Alternate")]
    TryAlternate,
    /// Attributes that exclude one another, or a channel that is bound otherwise.
    #[error("Bad Request")]
    BadRequest,
    /// No credentials, or wrong ones.
    #[error("Unauthenticated")]
    Unauthenticated,
    /// Policy.
    #[error("Forbidden")]
    Forbidden,
    /// Policy does not know yet: over UDP there is no answer, so that the client asks again.
    #[error("Forbidden")]
    NotYet,
    /// Allocations do not follow their clients here.
    #[error("Mobility Forbidden")]
    MobilityForbidden,
    /// Comprehension-required attributes that the server does not know.
    #[error("Unknown Attribute")]
    UnknownAttribute,
    /// There is no allocation, or there is one already.
    #[error("Allocation Mismatch")]
    AllocationMismatch,
    /// The nonce is no longer valid.
    #[error("Stale Nonce")]
    StaleNonce,
    /// No relayed transport address of this family.
    #[error("Address Family not Supported")]
    AddressFamilyNotSupported,
    /// The allocation belongs to other credentials.
    #[error("Wrong Credentials")]
    WrongCredentials,
    /// The transport is not relayed.
    #[error("Unsupported Transport Protocol")]
    UnsupportedTransport,
    /// The peer's family is not that of the relayed transport address.
    #[error("Peer Address Family Mismatch")]
    PeerAddressFamilyMismatch,
    /// There is a connection with this peer already.
    #[error("Connection Already Exists")]
    ConnectionAlreadyExists,
    /// The peer did not take the connection.
    #[error("Connection Timeout or Failure")]
    ConnectionTimeoutOrFailure,
    /// The user has as many allocations as allowed.
    #[error("Allocation Quota Reached")]
    QuotaReached,
    /// No port, no memory, no room.
    #[error("Insufficient Capacity")]
    InsufficientCapacity,
}

impl Refusal {
    /// Every code there is.
    pub(crate) const CODES: [u16; 17] =
        [300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::TryAlternate => 300,
            Self::BadAttribute(_) | Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::NotYet => 403,
            Self::MobilityForbidden => 405,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::ConnectionAlreadyExists => 446,
            Self::ConnectionTimeoutOrFailure => 447,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    /// The code and its phrase, as they are on the wire.
    pub(super) fn error(self) -> ErrorCode<'static> {
        ErrorCode::recommended(self.code()).unwrap_or(ErrorCode::SERVER_ERROR)
    }

    /// What a client is told of a family that could not be allocated beside the other.
    pub(super) fn of_address(self, family: AddressFamily) -> AddressErrorCode<'static> {
        AddressErrorCode { family, error: self.error() }
    }

    /// Whether the answer carries REALM and NONCE, so that the client can try (again).
    pub(super) const fn is_challenge(self) -> bool {
        matches!(self, Self::Unauthenticated | Self::StaleNonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_phrase_and_is_counted() {
        for why in [
            Refusal::TryAlternate,
            Refusal::BadRequest,
            Refusal::Unauthenticated,
            Refusal::Forbidden,
            Refusal::NotYet,
            Refusal::MobilityForbidden,
            Refusal::UnknownAttribute,
            Refusal::AllocationMismatch,
            Refusal::StaleNonce,
            Refusal::AddressFamilyNotSupported,
            Refusal::WrongCredentials,
            Refusal::UnsupportedTransport,
            Refusal::PeerAddressFamilyMismatch,
            Refusal::ConnectionAlreadyExists,
            Refusal::ConnectionTimeoutOrFailure,
            Refusal::QuotaReached,
            Refusal::InsufficientCapacity,
        ] {
            assert_eq!(why.error().code(), why.code());
            assert_eq!(why.error().reason(), why.to_string());
            assert!(Refusal::CODES.contains(&why.code()), "{why}");
        }
    }
}
