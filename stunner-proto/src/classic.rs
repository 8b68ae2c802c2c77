//! Messages of RFC 3489, which knew no magic cookie.

use core::fmt;

use crate::{
    Attribute, Attributes, BadAttribute, Class, HEADER_LEN, MAGIC_COOKIE, Method, ParseError, TransactionId,
    message,
};

/// A message of classic STUN (RFC 3489), its header and the bounds of its attributes checked.
///
/// It looks like a [`Message`](crate::Message), but has 128 bits of transaction ID where the magic cookie would stand. A
/// server that answers such clients repeats those bits and writes MAPPED-ADDRESS, never an XORed one (RFC 8489, section
/// 11); TURN never uses it. MESSAGE-INTEGRITY was made in another way then, and is not checked here.
///
/// ```
/// use stunner_proto::{Class, Classic, Message, MessageBuilder, ParseError, attribute::MappedAddress};
///
/// let bytes = [0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/// assert_eq!(Message::parse(&bytes).err(), Some(ParseError::NoMagicCookie));
///
/// let request = Classic::parse(&bytes)?;
/// let mut buffer = [0; 64];
/// let length = MessageBuilder::classic_response(&request, Class::SuccessResponse, &mut buffer)
///     .attribute(&MappedAddress("198.51.100.7:4000".parse()?))
///     .finish()?;
/// assert_eq!(Classic::parse(&buffer[..length])?.transaction_id(), request.transaction_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Classic<'a>(&'a [u8]);

impl<'a> Classic<'a> {
    /// Asks for a short-lived password; RFC 5389 took the method away.
    pub const SHARED_SECRET: Method = Method(0x002);

    /// Checks the header and the bounds of every attribute of one datagram.
    ///
    /// # Errors
    /// As [`Message::parse`](crate::Message::parse) but for the cookie: with it the bytes are no classic message, and
    /// the error is [`ParseError::MagicCookie`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, attributes) = message::split(bytes)?;
        if header[4..8] == MAGIC_COOKIE.to_be_bytes() {
            return Err(ParseError::MagicCookie);
        }
        message::check_length(header, attributes)?;
        message::check_attributes(attributes)?;
        Ok(Self(bytes))
    }

    /// Request or one of the responses; there were no indications.
    #[must_use]
    pub const fn class(&self) -> Class {
        message::class(self.0)
    }

    /// Binding, or [`SHARED_SECRET`](Self::SHARED_SECRET).
    #[must_use]
    pub const fn method(&self) -> Method {
        message::method(self.0)
    }

    /// The 128 bits that pair a response with its request.
    #[must_use]
    pub fn transaction_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[4..HEADER_LEN]);
        id
    }

    /// The whole message, header included.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// All attributes that stand before MESSAGE-INTEGRITY, and this; it had to be the last (RFC 3489, section 11.2.8).
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.0)
    }

    /// The first attribute of a type, decoded; `None` where there is none. XORed addresses mean nothing here.
    ///
    /// # Errors
    /// [`BadAttribute::Malformed`] when its length or value is not allowed.
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, BadAttribute> {
        let found = self.attributes().find(|attribute| attribute.kind == A::TYPE);
        found.map(|attribute| A::decode(attribute.value, TransactionId([0; 12]))).transpose()
    }
}

impl fmt::Debug for Classic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "classic {} {:?} ", self.method(), self.class())?;
        f.debug_list().entries(self.attributes().map(|attribute| attribute.kind)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::{
        AttributeType, Message, MessageBuilder,
        attribute::{ChangeRequest, MappedAddress},
    };

    /// A Binding request of RFC 3489 that asks for an answer from elsewhere.
    const REQUEST: [u8; 28] =
        [0, 1, 0, 8, 0xFF, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 3, 0, 4, 0, 0, 0, 6];

    #[test]
    fn a_request_without_cookie_is_classic_and_no_message() {
        let request = Classic::parse(&REQUEST).unwrap();

        assert_eq!(Message::parse(&REQUEST).err(), Some(ParseError::NoMagicCookie));
        assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
        assert_eq!(request.transaction_id(), [0xFF, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(request.get(), Ok(Some(ChangeRequest { ip: true, port: true })));
        assert_eq!(request.get::<MappedAddress>(), Ok(None));
        assert_eq!(request.as_bytes(), REQUEST);
        assert_eq!(format!("{request:?}"), "classic Binding Request [CHANGE-REQUEST]");
    }

    #[test]
    fn a_request_with_cookie_is_not_classic() {
        let mut bytes = REQUEST;
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());

        assert_eq!(Classic::parse(&bytes).err(), Some(ParseError::MagicCookie));
        assert!(Message::parse(&bytes).is_ok());
    }

    #[test]
    fn classic_messages_have_the_bounds_of_any_other() {
        let with = |at: usize, byte: u8| {
            let mut bytes = REQUEST;
            bytes[at] = byte;
            Classic::parse(&bytes).err()
        };
        assert_eq!(Classic::parse(&REQUEST[..19]).err(), Some(ParseError::TooShort));
        assert_eq!(Classic::parse(&REQUEST[..27]).err(), Some(ParseError::Truncated));
        assert_eq!(with(0, 0x40), Some(ParseError::NotStun));
        assert_eq!(with(3, 7), Some(ParseError::UnalignedLength));
        assert_eq!(with(3, 4), Some(ParseError::TrailingBytes));
        assert_eq!(with(23, 5), Some(ParseError::AttributeOverrun));
    }

    #[test]
    fn a_shared_secret_error_is_recognised() {
        let mut bytes = REQUEST;
        bytes[..2].copy_from_slice(&[1, 0x12]);

        let message = Classic::parse(&bytes).unwrap();

        assert_eq!((message.class(), message.method()), (Class::ErrorResponse, Classic::SHARED_SECRET));
    }

    #[test]
    fn a_classic_request_is_answered_with_its_own_128_bits() {
        let request = Classic::parse(&REQUEST).unwrap();
        let mut buffer = [0; 40];

        let len = MessageBuilder::classic_response(&request, Class::ErrorResponse, &mut buffer)
            .attribute(&crate::attribute::ErrorCode::SERVER_ERROR)
            .finish()
            .unwrap();

        let response = Classic::parse(&buffer[..len]).unwrap();
        assert_eq!((response.class(), response.method()), (Class::ErrorResponse, Method::BINDING));
        assert_eq!(response.transaction_id(), request.transaction_id());
        assert!(response.attributes().any(|attribute| attribute.kind == AttributeType::ERROR_CODE));
    }
}
