//! Keys, and messages that were checked with one.

use core::{fmt, ops::Deref};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::{AttributeType, IntegrityError, Message};

/// Which of the two integrity attributes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256, 32 bytes, or cut to 16, 20, 24 or 28 where both sides agreed to it.
    Sha256,
}

/// A key for message integrity, ready for use: the first block of each HMAC is already taken in.
///
/// It can be made from a password and never gives it back.
#[derive(Clone)]
pub struct Key {
    sha1: Hmac<Sha1>,
    sha256: Hmac<Sha256>,
}

impl Key {
    /// The key of a long-term credential by MD5, which every client knows (RFC 8489, section 9.2.2).
    ///
    /// Zeros at the end of the three, and quotes around name and realm, are not part of them. All three are as
    /// OpaqueString prepares them, which leaves printable ASCII as it is.
    ///
    /// ```
    /// # use stunner_proto::Key;
    /// let key = Key::long_term("user", "realm", "pass");
    /// assert_eq!(key, Key::new(&[
    ///     0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb,
    /// ]));
    /// ```
    #[must_use]
    pub fn long_term(username: &str, realm: &str, password: &str) -> Self {
        Self::new(&long_term::<Md5>(username, realm, password))
    }

    /// The key of a long-term credential by SHA-256 (RFC 8489, section 18.5.1.2).
    #[must_use]
    pub fn long_term_sha256(username: &str, realm: &str, password: &str) -> Self {
        Self::new(&long_term::<Sha256>(username, realm, password))
    }

    /// The key of a short-term credential: the password itself (RFC 8489, section 9.1.1).
    #[must_use]
    pub fn short_term(password: &str) -> Self {
        Self::new(password.as_bytes())
    }

    /// A key from its bytes, for instance one that was derived elsewhere.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            sha1: Hmac::new_from_slice(bytes).expect("an HMAC takes a key of any length"),
            sha256: Hmac::new_from_slice(bytes).expect("an HMAC takes a key of any length"),
        }
    }

    /// Writes the HMAC of `text` to `value`, as many bytes as it has room for: 20, or 16 to 32.
    pub(crate) fn sign(&self, kind: Integrity, text: &[u8], value: &mut [u8]) {
        let len = value.len();
        match kind {
            Integrity::Sha1 => {
                value.copy_from_slice(&self.sha1.clone().chain_update(text).finalize().into_bytes()[..len]);
            }
            Integrity::Sha256 => {
                value.copy_from_slice(&self.sha256.clone().chain_update(text).finalize().into_bytes()[..len]);
            }
        }
    }

    /// Compares in constant time; a value of SHA-256 may be cut from the right.
    fn verify(
        &self,
        kind: Integrity,
        head: [u8; 4],
        text: &[u8],
        value: &[u8],
    ) -> Result<(), IntegrityError> {
        let verdict = match kind {
            Integrity::Sha1 => self.sha1.clone().chain_update(head).chain_update(text).verify_slice(value),
            Integrity::Sha256 => {
                self.sha256.clone().chain_update(head).chain_update(text).verify_truncated_left(value)
            }
        };
        verdict.map_err(|_| IntegrityError::Mismatch)
    }
}

/// Compares in constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.sha256.clone().verify(&other.sha256.clone().finalize().into_bytes()).is_ok()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn long_term<D: Digest>(username: &str, realm: &str, password: &str) -> hmac::digest::Output<D> {
    D::new()
        .chain_update(unquoted(username))
        .chain_update(":")
        .chain_update(unquoted(realm))
        .chain_update(":")
        .chain_update(password.trim_end_matches('\0'))
        .finalize()
}

/// Without zeros at the end, and without the quotes that SIP puts around names.
fn unquoted(text: &str) -> &str {
    let text = text.trim_end_matches('\0');
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// A message whose integrity was checked. Attributes behind it are not part of it.
#[derive(Clone, Copy, Debug)]
pub struct Authenticated<'a> {
    message: Message<'a>,
    integrity: Integrity,
}

impl Authenticated<'_> {
    /// Which of the integrity attributes was checked; the response carries the same.
    #[must_use]
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }
}

impl<'a> Deref for Authenticated<'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        &self.message
    }
}

/// Accepts a value of SHA-256 that has at least `shortest` bytes.
pub(crate) fn authenticate<'a>(
    message: Message<'a>,
    key: &Key,
    shortest: usize,
) -> Result<Authenticated<'a>, IntegrityError> {
    let find = |kind| message.attributes().find(|attribute| attribute.kind == kind);
    let (found, integrity) = match find(AttributeType::MESSAGE_INTEGRITY_SHA256) {
        Some(found) => (found, Integrity::Sha256),
        None => (find(AttributeType::MESSAGE_INTEGRITY).ok_or(IntegrityError::Missing)?, Integrity::Sha1),
    };
    let allowed = match integrity {
        Integrity::Sha1 => found.value.len() == 20,
        Integrity::Sha256 => {
            (shortest..=32).contains(&found.value.len()) && found.value.len().is_multiple_of(4)
        }
    };
    if !allowed {
        return Err(IntegrityError::Malformed);
    }
    let bytes = message.as_bytes();
    // The HMAC was made when the message ended with this attribute, and its length said so.
    let end = found.offset + 4 + found.value.len() - crate::HEADER_LEN;
    let [high, low] = u16::try_from(end).map_err(|_| IntegrityError::Malformed)?.to_be_bytes();
    key.verify(integrity, [bytes[0], bytes[1], high, low], &bytes[4..found.offset], found.value)?;
    Ok(Authenticated { message, integrity })
}
