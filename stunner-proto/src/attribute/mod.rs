//! Attributes: their types, and how their values are read and written.

use core::fmt;

use crate::{BadAttribute, TransactionId};

mod address;
mod error_code;
mod family;
mod ice;
mod oauth;
mod password;
mod path;
mod text;
mod turn;

pub use address::{
    AlternateServer, MappedAddress, OtherAddress, ResponseOrigin, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};
pub use error_code::{AddressErrorCode, ErrorCode, UnknownAttributes};
pub use family::{AdditionalAddressFamily, AddressFamily, RequestedAddressFamily};
pub use ice::{IceControlled, IceControlling, Priority, UseCandidate};
pub use oauth::{AccessToken, ThirdPartyAuthorization, TokenContent};
pub use password::{PasswordAlgorithm, PasswordAlgorithms, Userhash};
pub use path::{CacheTimeout, ChangeRequest, Padding, ResponsePort, TransactionTransmitCounter};
pub use text::{AlternateDomain, Nonce, Realm, Software, Username};
pub use turn::{
    ConnectionId, Data, DontFragment, EvenPort, Icmp, Lifetime, MobilityTicket, RequestedTransport,
    ReservationToken,
};

/// One trait, three functions; anyone can define an attribute.
///
/// ```
/// use stunner_proto::{Attribute, AttributeType, BadAttribute, TransactionId};
///
/// /// A number of our own, 0x8000 and above: who does not know it may ignore it.
/// struct Weight(u8);
///
/// impl Attribute<'_> for Weight {
///     const TYPE: AttributeType = AttributeType(0xC123);
///
///     fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
///         let &[weight] = value else { return Err(BadAttribute::Malformed(Self::TYPE)) };
///         Ok(Self(weight))
///     }
///
///     fn encoded_len(&self) -> usize {
///         1
///     }
///
///     fn encode(&self, value: &mut [u8], _: TransactionId) {
///         value[0] = self.0;
///     }
/// }
/// ```
pub trait Attribute<'a>: Sized {
    /// The number on the wire.
    const TYPE: AttributeType;

    /// Reads a value, without its padding. `id` is the message's: addresses are XORed with it.
    ///
    /// # Errors
    /// [`BadAttribute::Malformed`] when its length or content is not allowed.
    fn decode(value: &'a [u8], id: TransactionId) -> Result<Self, BadAttribute>;

    /// The length of the value in bytes, without padding.
    fn encoded_len(&self) -> usize;

    /// Writes the value to a slice of exactly [`encoded_len`](Self::encoded_len) bytes.
    fn encode(&self, value: &mut [u8], id: TransactionId);
}

/// An attribute as it stands in a message: nothing but its bounds was checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RawAttribute<'a> {
    /// The number on the wire.
    pub kind: AttributeType,
    /// The value, without padding.
    pub value: &'a [u8],
    /// Where the attribute's own header begins, counted from the beginning of the message.
    pub offset: usize,
}

/// The number of an attribute.
///
/// Below 0x8000 it is comprehension-required: who does not know it must refuse the request that carries it
/// (RFC 8489, section 14).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttributeType(pub u16);

/// Declares the constants and the table of names together, so that neither can lack an entry of the other.
macro_rules! attribute_types {
    ($($constant:ident = $number:literal, $name:literal;)*) => {
        impl AttributeType {
            $(#[doc = $name] pub const $constant: Self = Self($number);)*

            /// The name in IANA's registry, for those that are known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

attribute_types! {
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    RESPONSE_ADDRESS = 0x0002, "RESPONSE-ADDRESS";
    CHANGE_REQUEST = 0x0003, "CHANGE-REQUEST";
    SOURCE_ADDRESS = 0x0004, "SOURCE-ADDRESS";
    CHANGED_ADDRESS = 0x0005, "CHANGED-ADDRESS";
    USERNAME = 0x0006, "USERNAME";
    PASSWORD = 0x0007, "PASSWORD";
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    ERROR_CODE = 0x0009, "ERROR-CODE";
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES";
    REFLECTED_FROM = 0x000B, "REFLECTED-FROM";
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER";
    LIFETIME = 0x000D, "LIFETIME";
    BANDWIDTH = 0x0010, "BANDWIDTH";
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS";
    DATA = 0x0013, "DATA";
    REALM = 0x0014, "REALM";
    NONCE = 0x0015, "NONCE";
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY";
    EVEN_PORT = 0x0018, "EVEN-PORT";
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT";
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT";
    ACCESS_TOKEN = 0x001B, "ACCESS-TOKEN";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256";
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM";
    USERHASH = 0x001E, "USERHASH";
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    TIMER_VAL = 0x0021, "TIMER-VAL";
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN";
    PRIORITY = 0x0024, "PRIORITY";
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    PADDING = 0x0026, "PADDING";
    RESPONSE_PORT = 0x0027, "RESPONSE-PORT";
    CONNECTION_ID = 0x002A, "CONNECTION-ID";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY";
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE";
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS";
    ALTERNATE_DOMAIN = 0x8003, "ALTERNATE-DOMAIN";
    ICMP = 0x8004, "ICMP";
    SOFTWARE = 0x8022, "SOFTWARE";
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    TRANSACTION_TRANSMIT_COUNTER = 0x8025, "TRANSACTION_TRANSMIT_COUNTER";
    CACHE_TIMEOUT = 0x8027, "CACHE-TIMEOUT";
    FINGERPRINT = 0x8028, "FINGERPRINT";
    ICE_CONTROLLED = 0x8029, "ICE-CONTROLLED";
    ICE_CONTROLLING = 0x802A, "ICE-CONTROLLING";
    RESPONSE_ORIGIN = 0x802B, "RESPONSE-ORIGIN";
    OTHER_ADDRESS = 0x802C, "OTHER-ADDRESS";
    ECN_CHECK = 0x802D, "ECN-CHECK";
    THIRD_PARTY_AUTHORIZATION = 0x802E, "THIRD-PARTY-AUTHORIZATION";
    ORIGIN = 0x802F, "ORIGIN";
    MOBILITY_TICKET = 0x8030, "MOBILITY-TICKET";
    GOOG_NETWORK_INFO = 0xC057, "GOOG-NETWORK-INFO";
}

/// The value as an array, if it has just that length.
fn exactly<const N: usize>(value: &[u8], kind: AttributeType) -> Result<[u8; N], BadAttribute> {
    value.try_into().map_err(|_| BadAttribute::Malformed(kind))
}

impl AttributeType {
    /// Whether it is comprehension-required: below 0x8000.
    #[must_use]
    pub const fn is_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether STUN or TURN themselves require that it is understood (RFC 8489, section 18.3; RFC 8656, section 18): every
    /// server and client of TURN knows it, though it may mean nothing where it is found.
    #[must_use]
    pub const fn is_required_by_turn(self) -> bool {
        matches!(
            self,
            Self::MAPPED_ADDRESS
                | Self::USERNAME
                | Self::MESSAGE_INTEGRITY
                | Self::ERROR_CODE
                | Self::UNKNOWN_ATTRIBUTES
                | Self::CHANNEL_NUMBER
                | Self::LIFETIME
                | Self::XOR_PEER_ADDRESS
                | Self::DATA
                | Self::REALM
                | Self::NONCE
                | Self::XOR_RELAYED_ADDRESS
                | Self::REQUESTED_ADDRESS_FAMILY
                | Self::EVEN_PORT
                | Self::REQUESTED_TRANSPORT
                | Self::DONT_FRAGMENT
                | Self::MESSAGE_INTEGRITY_SHA256
                | Self::PASSWORD_ALGORITHM
                | Self::USERHASH
                | Self::XOR_MAPPED_ADDRESS
                | Self::RESERVATION_TOKEN
        )
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "attribute {:#06x}", self.0),
        }
    }
}

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
