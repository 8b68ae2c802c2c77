//! Attributes that hold text.

use crate::{Attribute, AttributeType, BadAttribute, SecurityFeatures, TooLong, TransactionId};

/// Declares an attribute that holds borrowed text: `$max` bytes or characters may be sent, `$received` bytes received.
///
/// 763 bytes are 127 characters of six bytes each, which RFC 2279 allowed, and one more that RFC 8489 allows.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $len:expr, $max:literal, $received:literal) => {
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
                let text = if value.len() > $received { None } else { core::str::from_utf8(value).ok() };
                text.map(Self).ok_or(BadAttribute::Malformed(Self::TYPE))
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
pub(super) use text;

text!(
    /// Who asks: at most 508 bytes (RFC 8489, section 14.3).
    Username, USERNAME, |text| text.len(), 508, 763
);
text!(
    /// The domain of the credentials: at most 127 characters (RFC 8489, section 14.9).
    Realm, REALM, |text| text.chars().count(), 127, 763
);
text!(
    /// What a server wants to see again: at most 127 characters (RFC 8489, section 14.10).
    Nonce, NONCE, |text| text.chars().count(), 127, 763
);
text!(
    /// Which program wrote the message: at most 127 characters (RFC 8489, section 14.14).
    Software, SOFTWARE, |text| text.chars().count(), 127, 763
);
text!(
    /// The name an alternate server goes by: at most 255 bytes (RFC 8489, section 14.16).
    AlternateDomain, ALTERNATE_DOMAIN, |text| text.len(), 255, 255
);

impl Nonce<'_> {
    /// What the server announces by it: see [`SecurityFeatures::of`].
    #[must_use]
    pub fn features(&self) -> Option<SecurityFeatures> {
        SecurityFeatures::of(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn att_24_a_domain_has_at_most_255_bytes_both_ways() {
        let long = "x".repeat(256);

        assert!(AlternateDomain::new(&long[..255]).is_ok());
        assert_eq!(AlternateDomain::new(&long), Err(TooLong(AttributeType::ALTERNATE_DOMAIN)));
        assert!(AlternateDomain::decode(&long.as_bytes()[..255], ID).is_ok());
        assert_eq!(
            AlternateDomain::decode(long.as_bytes(), ID),
            Err(BadAttribute::Malformed(AttributeType::ALTERNATE_DOMAIN))
        );
    }

    #[test]
    fn a_nonce_says_what_its_server_can_do() {
        let features = Nonce::new("obMatJos2AAACx").unwrap().features().unwrap();

        assert!(features.username_anonymity && !features.password_algorithms);
        assert_eq!(Nonce::new("x").unwrap().features(), None);
    }

    #[test]
    fn att_14_a_username_of_763_bytes_is_read_and_one_of_764_is_not() {
        let long = "x".repeat(764);

        assert!(Username::decode(&long.as_bytes()[..763], ID).is_ok());
        assert!(Username::decode(long.as_bytes(), ID).is_err());
    }
}
