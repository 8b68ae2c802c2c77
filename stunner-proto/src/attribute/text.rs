//! Attributes that hold text.

use crate::{Attribute, AttributeType, BadAttribute, TooLong, TransactionId};

/// The most bytes a receiver must expect in a text: 127 characters of six bytes each, plus one that RFC 8489 allows.
const MAX_RECEIVED: usize = 763;

/// Declares an attribute that holds borrowed text. `$max` bytes or characters may be sent; more may be received.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $len:expr, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub struct $name<'a>(&'a str);

        impl<'a> $name<'a> {
            /// Text to send.
            ///
            /// # Errors
            /// [`TooLong`] when it exceeds what the RFC lets a sender write.
            pub fn new(text: &'a str) -> Result<Self, TooLong> {
                let len: fn(&str) -> usize = $len;
                if len(text) > $max { Err(TooLong(Self::TYPE)) } else { Ok(Self(text)) }
            }

            /// The text itself.
            #[must_use]
            pub const fn as_str(&self) -> &'a str {
                self.0
            }
        }

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
                decode(value).map(Self).ok_or(BadAttribute::Malformed(Self::TYPE))
            }

            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            fn encode(&self, value: &mut [u8], _: TransactionId) {
                value.copy_from_slice(self.0.as_bytes());
            }
        }
    };
}

text!(
    /// Who asks: at most 508 bytes (RFC 8489, section 14.3).
    Username, USERNAME, |text| text.len(), 508
);
text!(
    /// The domain of the credentials: at most 127 characters (RFC 8489, section 14.9).
    Realm, REALM, |text| text.chars().count(), 127
);
text!(
    /// What a server wants to see again: at most 127 characters (RFC 8489, section 14.10).
    Nonce, NONCE, |text| text.chars().count(), 127
);
text!(
    /// Which program wrote the message: at most 127 characters (RFC 8489, section 14.14).
    Software, SOFTWARE, |text| text.chars().count(), 127
);
text!(
    /// The name an alternate server goes by: at most 255 bytes (RFC 8489, section 14.16).
    AlternateDomain, ALTERNATE_DOMAIN, |text| text.len(), 255
);

fn decode(value: &[u8]) -> Option<&str> {
    if value.len() > MAX_RECEIVED {
        return None;
    }
    core::str::from_utf8(value).ok()
}
