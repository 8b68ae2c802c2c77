//! Third-party authorization: a token instead of a password (RFC 7635).

use super::text::text;
use crate::{Attribute, AttributeType, BadAttribute, TooLong, TransactionId};

text!(
    /// The name of the server that wants a token, in a 401 (RFC 7635, section 6.1): at most 508 bytes.
    ThirdPartyAuthorization, THIRD_PARTY_AUTHORIZATION, |text| text.len(), 508, 763
);

/// A token, sealed by the authorization server for the TURN server (RFC 7635, section 6.2).
///
/// Two bytes of length, a nonce, and the sealed content. Its content is another server's and stays sealed here: opened
/// by the caller's AEAD, it is read by [`TokenContent::parse`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessToken<'a> {
    nonce: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> AccessToken<'a> {
    /// A token to send: the nonce, and what the AEAD made of the content, its tag included.
    ///
    /// # Errors
    /// [`TooLong`] when both together exceed the 65,533 bytes that are left by the length of the nonce.
    pub const fn new(nonce: &'a [u8], sealed: &'a [u8]) -> Result<Self, TooLong> {
        if nonce.len().saturating_add(sealed.len()) > 65_533 {
            return Err(TooLong(Self::TYPE));
        }
        Ok(Self { nonce, sealed })
    }

    /// What the AEAD needs besides the key; 12 bytes for AES-GCM.
    #[must_use]
    pub const fn nonce(&self) -> &'a [u8] {
        self.nonce
    }

    /// The sealed content and its tag.
    #[must_use]
    pub const fn sealed(&self) -> &'a [u8] {
        self.sealed
    }
}

impl<'a> Attribute<'a> for AccessToken<'a> {
    const TYPE: AttributeType = AttributeType::ACCESS_TOKEN;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let (nonce, sealed) = counted(value).ok_or(BadAttribute::Malformed(Self::TYPE))?;
        Ok(Self { nonce, sealed })
    }

    fn encoded_len(&self) -> usize {
        2 + self.nonce.len() + self.sealed.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        let length = u16::try_from(self.nonce.len()).expect("a token's nonce was measured when it was made");
        let (head, rest) = value.split_at_mut(2);
        let (nonce, sealed) = rest.split_at_mut(self.nonce.len());
        head.copy_from_slice(&length.to_be_bytes());
        nonce.copy_from_slice(self.nonce);
        sealed.copy_from_slice(self.sealed);
    }
}

/// What a token says once it is opened (RFC 7635, section 6.2).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct TokenContent<'a> {
    /// The key for message integrity, used as it is.
    pub mac_key: &'a [u8],
    /// When the token was made: 48 bits of seconds since 1970, 16 bits of 1/64,000 seconds.
    pub timestamp: u64,
    /// How many seconds it is good for.
    pub lifetime: u32,
}

impl<'a> TokenContent<'a> {
    /// Reads the opened content. `None` where a part is missing or too much.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mac_key, rest) = counted(bytes)?;
        let (timestamp, lifetime) = rest.split_first_chunk()?;
        Some(Self {
            mac_key,
            timestamp: u64::from_be_bytes(*timestamp),
            lifetime: u32::from_be_bytes(lifetime.try_into().ok()?),
        })
    }

    /// When the token was made, in whole seconds since 1970.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.timestamp >> 16
    }
}

/// Shows no key.
impl core::fmt::Debug for TokenContent<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokenContent")
            .field("timestamp", &self.timestamp)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// As many bytes as the first two say, and what follows them.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
