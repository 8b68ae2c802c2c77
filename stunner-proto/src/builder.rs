//! Writes a message into a borrowed slice.

use crate::{
    Attribute, AttributeType, BufferTooSmall, Class, Classic, HEADER_LEN, Integrity, Key, MAGIC_COOKIE,
    Message, Method, TransactionId, fingerprint, message::message_type,
};

/// Builds a message in a slice of the caller's. An overflow is remembered, and told once, by [`finish`](Self::finish).
///
/// The order is the caller's, except that nothing but MESSAGE-INTEGRITY-SHA256 and FINGERPRINT may follow an integrity
/// attribute and nothing at all FINGERPRINT: what comes too late is left out (and is a bug that debug builds show).
#[derive(Debug)]
pub struct MessageBuilder<'b> {
    buf: &'b mut [u8],
    len: usize,
    id: TransactionId,
    stage: Stage,
    overflow: bool,
    padding: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Stage {
    Attributes,
    Integrity,
    IntegritySha256,
    Fingerprint,
}

impl<'b> MessageBuilder<'b> {
    /// Starts a message at the beginning of `buf`.
    #[must_use]
    pub fn new(class: Class, method: Method, id: TransactionId, buf: &'b mut [u8]) -> Self {
        let overflow = buf.len() < HEADER_LEN;
        if let Some(header) = buf.first_chunk_mut::<HEADER_LEN>() {
            header[..2].copy_from_slice(&message_type(class, method).to_be_bytes());
            header[2..4].fill(0);
            header[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            header[8..].copy_from_slice(&id.0);
        }
        Self { buf, len: HEADER_LEN, id, stage: Stage::Attributes, overflow, padding: 0 }
    }

    /// Starts a response to a request: its method and its transaction ID.
    ///
    /// ```
    /// use stunner_proto::{Class, Message, MessageBuilder, Method, TransactionId, attribute::ErrorCode};
    ///
    /// let mut request = [0; 20];
    /// MessageBuilder::new(Class::Request, Method::ALLOCATE, TransactionId([7; 12]), &mut request).finish()?;
    /// let request = Message::parse(&request)?;
    ///
    /// let mut buffer = [0; 64];
    /// let length = MessageBuilder::response(&request, Class::ErrorResponse, &mut buffer)
    ///     .attribute(&ErrorCode::BAD_REQUEST)
    ///     .finish()?;
    /// assert_eq!(Message::parse(&buffer[..length])?.transaction_id(), request.transaction_id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn response(request: &Message<'_>, class: Class, buf: &'b mut [u8]) -> Self {
        Self::new(class, request.method(), request.transaction_id(), buf)
    }

    /// Starts a response to a classic request: its method and its 128 bits of transaction ID, and no magic cookie.
    ///
    /// Neither integrity nor FINGERPRINT belong in it, and no XORed address (RFC 8489, section 11).
    #[must_use]
    pub fn classic_response(request: &Classic<'_>, class: Class, buf: &'b mut [u8]) -> Self {
        let builder = Self::new(class, request.method(), TransactionId([0; 12]), buf);
        if let Some(header) = builder.buf.first_chunk_mut::<HEADER_LEN>() {
            header[4..].copy_from_slice(&request.transaction_id());
        }
        builder
    }

    /// Fills attributes up with this byte from here on: RFC 8489 wants zeros, test vectors may want spaces.
    #[must_use]
    pub const fn padding(mut self, byte: u8) -> Self {
        self.padding = byte;
        self
    }

    /// Appends an attribute, padded with zeros to a multiple of four bytes.
    #[must_use]
    pub fn attribute<'a, A: Attribute<'a>>(mut self, attribute: &A) -> Self {
        debug_assert_eq!(self.stage, Stage::Attributes, "{} comes behind integrity or FINGERPRINT", A::TYPE);
        if self.stage == Stage::Attributes {
            let id = self.id;
            if let Some(value) = self.reserve(A::TYPE, attribute.encoded_len()) {
                attribute.encode(value, id);
            }
        }
        self
    }

    /// Appends an attribute of any type, its value as it is: one that is not known here, or was held unread.
    ///
    /// Integrity attributes and FINGERPRINT are not made in this way, and left out as all that comes too late.
    #[must_use]
    pub fn raw(mut self, kind: AttributeType, value: &[u8]) -> Self {
        let computed = matches!(
            kind,
            AttributeType::MESSAGE_INTEGRITY
                | AttributeType::MESSAGE_INTEGRITY_SHA256
                | AttributeType::FINGERPRINT
        );
        debug_assert!(self.stage == Stage::Attributes && !computed, "{kind} comes too late, or is computed");
        if self.stage == Stage::Attributes
            && !computed
            && let Some(place) = self.reserve(kind, value.len())
        {
            place.copy_from_slice(value);
        }
        self
    }

    /// Appends an attribute if there is one.
    #[must_use]
    pub fn maybe<'a, A: Attribute<'a>>(self, attribute: Option<&A>) -> Self {
        match attribute {
            Some(attribute) => self.attribute(attribute),
            None => self,
        }
    }

    /// Appends MESSAGE-INTEGRITY: HMAC-SHA1 over all that stands before it.
    #[must_use]
    pub fn integrity(self, key: &Key) -> Self {
        self.integrity_of(Integrity::Sha1, key)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256: HMAC-SHA256 over all that stands before it.
    #[must_use]
    pub fn integrity_sha256(self, key: &Key) -> Self {
        self.integrity_of(Integrity::Sha256, key)
    }

    /// Appends the integrity attribute of a given kind.
    #[must_use]
    pub fn integrity_of(self, kind: Integrity, key: &Key) -> Self {
        match kind {
            Integrity::Sha1 => self.sign(kind, key, 20),
            Integrity::Sha256 => self.sign(kind, key, 32),
        }
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 cut to `len` bytes, where both sides agreed to it (RFC 8489, section 14.6).
    ///
    /// `len` is brought to what is allowed, downwards: 32, 28, 24, 20 or 16.
    #[must_use]
    pub fn integrity_truncated(self, key: &Key, len: usize) -> Self {
        self.sign(Integrity::Sha256, key, len.clamp(16, 32) & !3)
    }

    fn sign(mut self, kind: Integrity, key: &Key, len: usize) -> Self {
        let (attribute, stage) = match kind {
            Integrity::Sha1 => (AttributeType::MESSAGE_INTEGRITY, Stage::Integrity),
            Integrity::Sha256 => (AttributeType::MESSAGE_INTEGRITY_SHA256, Stage::IntegritySha256),
        };
        debug_assert!(self.stage < stage, "{attribute} comes too late");
        if self.stage >= stage {
            return self;
        }
        let covered = self.len;
        if self.reserve(attribute, len).is_some() {
            // The length in the header counts up to the end of this attribute while the HMAC is made.
            let (text, rest) = self.buf.split_at_mut(covered);
            key.sign(kind, text, &mut rest[4..4 + len]);
        }
        self.stage = stage;
        self
    }

    /// Appends FINGERPRINT, the last attribute there can be.
    #[must_use]
    pub fn fingerprint(mut self) -> Self {
        debug_assert!(self.stage < Stage::Fingerprint, "FINGERPRINT twice");
        if self.stage == Stage::Fingerprint {
            return self;
        }
        let covered = self.len;
        if self.reserve(AttributeType::FINGERPRINT, 4).is_some() {
            let value = fingerprint::of(&self.buf[..covered]);
            self.buf[covered + 4..covered + 8].copy_from_slice(&value.to_be_bytes());
        }
        self.stage = Stage::Fingerprint;
        self
    }

    /// The length of the finished message, header included.
    ///
    /// # Errors
    /// [`BufferTooSmall`] when the slice, or the 16 bits of a length, could not hold all of it.
    pub fn finish(self) -> Result<usize, BufferTooSmall> {
        if self.overflow { Err(BufferTooSmall) } else { Ok(self.len) }
    }

    /// Writes an attribute's header and padding and the message's new length; returns the place of the value.
    fn reserve(&mut self, kind: AttributeType, len: usize) -> Option<&mut [u8]> {
        let padded = len.next_multiple_of(4);
        let end = self.len + 4 + padded;
        let total = u16::try_from(end - HEADER_LEN).ok().filter(|_| !self.overflow && end <= self.buf.len());
        let (Some(total), Ok(length)) = (total, u16::try_from(len)) else {
            self.overflow = true;
            return None;
        };
        self.buf[2..4].copy_from_slice(&total.to_be_bytes());
        let attribute = &mut self.buf[self.len..end];
        self.len = end;
        attribute[..2].copy_from_slice(&kind.0.to_be_bytes());
        attribute[2..4].copy_from_slice(&length.to_be_bytes());
        attribute[4 + len..].fill(self.padding);
        Some(&mut attribute[4..4 + len])
    }
}
