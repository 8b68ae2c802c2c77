//! The checked view of a STUN message.

use core::{cmp::Ordering, fmt};

use crate::{
    Attribute, AttributeType, Authenticated, BadAttribute, Fingerprint, IntegrityError, Key, ParseError,
    RawAttribute, fingerprint, integrity,
};

/// Bytes 4 to 7 of every STUN message since RFC 5389.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The length of a message's header in bytes: type, length, magic cookie, transaction ID.
pub const HEADER_LEN: usize = 20;

/// What kind of message it is.
///
/// See [RFC 8489, section 5](https://www.rfc-editor.org/rfc/rfc8489#section-5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Asks for none.
    Indication,
    /// Says that a request was carried out.
    SuccessResponse,
    /// Says why a request was not carried out.
    ErrorResponse,
}

/// What a message is about: 12 bits, of which IANA has assigned a few.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Method(pub u16);

impl Method {
    /// "What is my address?" (RFC 8489).
    pub const BINDING: Self = Self(0x001);
    /// Make an allocation (RFC 8656, section 7).
    pub const ALLOCATE: Self = Self(0x003);
    /// Prolong or end an allocation (RFC 8656, section 8).
    pub const REFRESH: Self = Self(0x004);
    /// Data from a client to a peer (RFC 8656, section 11).
    pub const SEND: Self = Self(0x006);
    /// Data from a peer to a client (RFC 8656, section 11).
    pub const DATA: Self = Self(0x007);
    /// Let a peer's data pass (RFC 8656, section 10).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// Bind a channel to a peer (RFC 8656, section 12).
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Open a TCP connection to a peer (RFC 6062).
    pub const CONNECT: Self = Self(0x00A);
    /// Make this connection the data connection of another (RFC 6062).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// A peer has connected (RFC 6062).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// Google's keep-alive of connectivity checks; IANA's registry has it, no RFC does.
    pub const GOOG_PING: Self = Self(0x080);

    /// Whether a message of this method may have this class: nobody answers an indication, for instance, and Send is
    /// nothing else. A message that may not exist is dropped (RFC 8489, section 6.3). `false` for unknown methods.
    #[must_use]
    pub const fn allows(self, class: Class) -> bool {
        match self {
            Self::BINDING | Self::GOOG_PING => true,
            Self::SEND | Self::DATA | Self::CONNECTION_ATTEMPT => matches!(class, Class::Indication),
            _ => self.name().is_some() && !matches!(class, Class::Indication),
        }
    }

    /// The name in IANA's registry, if it has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            Self::CONNECT => "Connect",
            Self::CONNECTION_BIND => "ConnectionBind",
            Self::CONNECTION_ATTEMPT => "ConnectionAttempt",
            Self::GOOG_PING => "GOOG-PING",
            _ => return None,
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "method {:#05x}", self.0),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first two bytes of a message: the class's two bits are woven into the method's twelve.
pub(crate) const fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::SuccessResponse => 0x0100,
        Class::ErrorResponse => 0x0110,
    };
    let m = method.0;
    class | (m & 0x000F) | (m & 0x0070) << 1 | (m & 0x0F80) << 2
}

/// The header, and what follows it: the first two bits are those of STUN.
#[inline]
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8; HEADER_LEN], &[u8]), ParseError> {
    let (header, attributes) = bytes.split_first_chunk().ok_or(ParseError::TooShort)?;
    if header[0] & 0xC0 == 0 { Ok((header, attributes)) } else { Err(ParseError::NotStun) }
}

/// The length in the header is that of the attributes.
#[inline]
pub(crate) fn check_length(header: &[u8; HEADER_LEN], attributes: &[u8]) -> Result<(), ParseError> {
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if !length.is_multiple_of(4) {
        return Err(ParseError::UnalignedLength);
    }
    match length.cmp(&attributes.len()) {
        Ordering::Greater => Err(ParseError::Truncated),
        Ordering::Less => Err(ParseError::TrailingBytes),
        Ordering::Equal => Ok(()),
    }
}

/// Every attribute ends, with its padding, where the message does or before, and FINGERPRINT is the last.
#[inline]
pub(crate) fn check_attributes(mut rest: &[u8]) -> Result<(), ParseError> {
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let padded = usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
        rest = tail.get(padded..).ok_or(ParseError::AttributeOverrun)?;
        if [head[0], head[1]] == AttributeType::FINGERPRINT.0.to_be_bytes() && !rest.is_empty() {
            return Err(ParseError::FingerprintNotLast);
        }
    }
    Ok(())
}

/// The two bits of the class of a message whose header is there.
#[inline]
pub(crate) const fn class(message: &[u8]) -> Class {
    match (message[0] & 1, message[1] & 0x10) {
        (0, 0) => Class::Request,
        (0, _) => Class::Indication,
        (_, 0) => Class::SuccessResponse,
        _ => Class::ErrorResponse,
    }
}

/// The twelve bits of the method of a message whose header is there.
#[inline]
pub(crate) const fn method(message: &[u8]) -> Method {
    let kind = u16::from_be_bytes([message[0], message[1]]);
    Method(kind & 0x000F | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2)
}

/// What pairs a response with its request: 96 random bits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A STUN message in borrowed bytes, its header and the bounds of its attributes checked.
#[derive(Clone, Copy)]
pub struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// Checks the header and the bounds of every attribute, once; what follows cannot run out of them.
    ///
    /// `bytes` are one message and nothing else: a datagram, or [one frame](crate::framing) of a stream.
    ///
    /// # Errors
    /// [`ParseError`] says which rule of RFC 8489, sections 5 and 14, the bytes break.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, attributes) = split(bytes)?;
        if header[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(ParseError::NoMagicCookie);
        }
        check_length(header, attributes)?;
        check_attributes(attributes)?;
        Ok(Self(bytes))
    }

    /// Request, indication, or one of the responses.
    #[must_use]
    #[inline]
    pub const fn class(&self) -> Class {
        class(self.0)
    }

    /// What it is about.
    #[must_use]
    #[inline]
    pub const fn method(&self) -> Method {
        method(self.0)
    }

    /// What pairs it with its response.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.0[8..HEADER_LEN]);
        TransactionId(id)
    }

    /// The whole message, header included.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The attributes that count, in order: behind MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT do,
    /// behind MESSAGE-INTEGRITY-SHA256 only FINGERPRINT (RFC 8489, sections 14.5 and 14.6).
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.0)
    }

    /// The first attribute of a type, decoded; `None` where there is none.
    ///
    /// # Errors
    /// [`BadAttribute::Malformed`] when its length or value is not allowed.
    #[inline]
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, BadAttribute> {
        match self.raw(A::TYPE) {
            Some(value) => A::decode(value, self.transaction_id()).map(Some),
            None => Ok(None),
        }
    }

    /// The first attribute of a type, decoded.
    ///
    /// # Errors
    /// [`BadAttribute::Missing`] where there is none, [`BadAttribute::Malformed`] as in [`get`](Self::get).
    #[inline]
    pub fn require<A: Attribute<'a>>(&self) -> Result<A, BadAttribute> {
        self.get()?.ok_or(BadAttribute::Missing(A::TYPE))
    }

    /// All attributes of a type, decoded, in order: the peers of a CreatePermission request, for instance.
    ///
    /// ```
    /// use stunner_proto::{Class, Message, MessageBuilder, Method, TransactionId, attribute::XorPeerAddress};
    ///
    /// let mut buffer = [0; 64];
    /// let length =
    ///     MessageBuilder::new(Class::Request, Method::CREATE_PERMISSION, TransactionId([7; 12]), &mut buffer)
    ///         .attribute(&XorPeerAddress("203.0.113.1:0".parse()?))
    ///         .attribute(&XorPeerAddress("203.0.113.2:0".parse()?))
    ///         .finish()?;
    ///
    /// let peers: Vec<_> = Message::parse(&buffer[..length])?.all::<XorPeerAddress>().collect::<Result<_, _>>()?;
    /// assert_eq!(peers[1].0.ip().to_string(), "203.0.113.2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn all<A: Attribute<'a>>(&self) -> impl Iterator<Item = Result<A, BadAttribute>> + use<'a, A> {
        let id = self.transaction_id();
        let found = self.attributes().filter(|attribute| attribute.kind == A::TYPE);
        found.map(move |attribute| A::decode(attribute.value, id))
    }

    /// Whether an attribute of this type is there.
    #[must_use]
    pub fn contains(&self, kind: AttributeType) -> bool {
        self.raw(kind).is_some()
    }

    /// Checks MESSAGE-INTEGRITY-SHA256 if the message carries it, else MESSAGE-INTEGRITY, in constant time.
    ///
    /// # Errors
    /// [`IntegrityError`]: there is none, it has a wrong length, or `key` is not the one it was made with. A value of
    /// SHA-256 that was cut has a wrong length: TURN allows none.
    pub fn authenticate(self, key: &Key) -> Result<Authenticated<'a>, IntegrityError> {
        integrity::authenticate(self, key, 32)
    }

    /// As [`authenticate`](Self::authenticate), where both sides agreed to cut MESSAGE-INTEGRITY-SHA256 to 16 bytes or
    /// more (RFC 8489, section 14.6).
    ///
    /// # Errors
    /// [`IntegrityError`], as there.
    pub fn authenticate_truncated(self, key: &Key) -> Result<Authenticated<'a>, IntegrityError> {
        integrity::authenticate(self, key, 16)
    }

    /// Whether FINGERPRINT is there and right (RFC 8489, section 14.7).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint::check(*self)
    }

    fn raw(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} ", self.method(), self.class(), self.transaction_id())?;
        f.debug_list().entries(self.attributes().map(|attribute| attribute.kind)).finish()
    }
}

/// Which integrity attributes an iterator has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behind {
    Nothing,
    Integrity,
    IntegritySha256,
}

/// Iterates over the attributes of a [`Message`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    message: &'a [u8],
    at: usize,
    behind: Behind,
}

impl<'a> Attributes<'a> {
    /// All attributes of a message that was checked.
    #[inline]
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { message, at: HEADER_LEN, behind: Behind::Nothing }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawAttribute<'a>> {
        loop {
            let offset = self.at;
            let (head, tail) = self.message.get(offset..)?.split_first_chunk::<4>()?;
            let kind = AttributeType(u16::from_be_bytes([head[0], head[1]]));
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = tail.get(..length)?;
            self.at = offset + 4 + length.next_multiple_of(4);
            let counts = match self.behind {
                Behind::Nothing => true,
                Behind::Integrity => {
                    kind == AttributeType::MESSAGE_INTEGRITY_SHA256 || kind == AttributeType::FINGERPRINT
                }
                Behind::IntegritySha256 => kind == AttributeType::FINGERPRINT,
            };
            if !counts {
                continue;
            }
            match kind {
                AttributeType::MESSAGE_INTEGRITY => self.behind = Behind::Integrity,
                AttributeType::MESSAGE_INTEGRITY_SHA256 => self.behind = Behind::IntegritySha256,
                _ => {}
            }
            return Some(RawAttribute { kind, value, offset });
        }
    }
}
