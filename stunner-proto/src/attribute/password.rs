//! Which hash makes a key of a password, and a user's name as a hash.

use sha2::{Digest, Sha256};

use crate::{Attribute, AttributeType, BadAttribute, TooLong, TransactionId};

/// How a key is made of a password: a number of IANA's, and parameters that neither of the two known ones has.
///
/// As an attribute it is the client's choice (RFC 8489, section 14.12); a server's list is [`PasswordAlgorithms`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PasswordAlgorithm<'a> {
    number: u16,
    parameters: &'a [u8],
}

impl PasswordAlgorithm<'static> {
    /// 0x0001: [`Key::long_term`](crate::Key::long_term).
    pub const MD5: Self = Self { number: 0x0001, parameters: &[] };
    /// 0x0002: [`Key::long_term_sha256`](crate::Key::long_term_sha256).
    pub const SHA256: Self = Self { number: 0x0002, parameters: &[] };
}

impl<'a> PasswordAlgorithm<'a> {
    /// An algorithm that has no constant here.
    ///
    /// # Errors
    /// [`TooLong`] when the parameters have more than 65,528 bytes.
    pub const fn new(number: u16, parameters: &'a [u8]) -> Result<Self, TooLong> {
        if parameters.len() > 65_528 { Err(TooLong(Self::TYPE)) } else { Ok(Self { number, parameters }) }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The parameters, without padding.
    #[must_use]
    pub const fn parameters(&self) -> &'a [u8] {
        self.parameters
    }

    /// The first algorithm of a list, and the rest of the list behind its padding.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[n, m, high, low], rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let parameters = rest.get(..length)?;
        Some((
            Self { number: u16::from_be_bytes([n, m]), parameters },
            rest.get(length.next_multiple_of(4)..)?,
        ))
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithm<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    /// The padding of the parameters may or may not be counted: RFC 8489 does not say.
    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let malformed = BadAttribute::Malformed(Self::TYPE);
        let (&[n, m, high, low], rest) = value.split_first_chunk::<4>().ok_or(malformed)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if rest.len() != length && rest.len() != length.next_multiple_of(4) {
            return Err(malformed);
        }
        Ok(Self { number: u16::from_be_bytes([n, m]), parameters: &rest[..length] })
    }

    fn encoded_len(&self) -> usize {
        4 + self.parameters.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        let length =
            u16::try_from(self.parameters.len()).expect("parameters were measured when they were given");
        let (head, parameters) = value.split_at_mut(4);
        head[..2].copy_from_slice(&self.number.to_be_bytes());
        head[2..].copy_from_slice(&length.to_be_bytes());
        parameters.copy_from_slice(self.parameters);
    }
}

/// The algorithms a server offers, the one it likes best first (RFC 8489, section 14.11).
///
/// A client repeats the list byte for byte, and a server compares it with what it sent: equality is that of the bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl PasswordAlgorithms<'static> {
    /// SHA-256, then MD5.
    pub const SHA256_MD5: Self = Self(&[0, 2, 0, 0, 0, 1, 0, 0]);
    /// SHA-256 alone.
    pub const SHA256: Self = Self(&[0, 2, 0, 0]);
    /// MD5 alone.
    pub const MD5: Self = Self(&[0, 1, 0, 0]);
}

impl<'a> PasswordAlgorithms<'a> {
    /// The algorithms, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (first, behind) = PasswordAlgorithm::split(rest)?;
            rest = behind;
            Some(first)
        })
    }

    /// The value as it is on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        let mut rest = value;
        while !rest.is_empty() {
            (_, rest) = PasswordAlgorithm::split(rest).ok_or(BadAttribute::Malformed(Self::TYPE))?;
        }
        Ok(Self(value))
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(self.0);
    }
}

/// A user's name that only who knows it recognises: SHA-256 of name, colon and realm (RFC 8489, section 14.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Userhash(pub [u8; 32]);

impl Userhash {
    /// The hash of a name in a realm; both as OpaqueString prepares them, which leaves printable ASCII as it is.
    #[must_use]
    pub fn new(username: &str, realm: &str) -> Self {
        Self(Sha256::new().chain_update(username).chain_update(":").chain_update(realm).finalize().into())
    }
}

impl Attribute<'_> for Userhash {
    const TYPE: AttributeType = AttributeType::USERHASH;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        super::exactly(value, Self::TYPE).map(Self)
    }

    fn encoded_len(&self) -> usize {
        32
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([0; 12]);

    #[test]
    fn att_18_sha_256_before_md5_is_eight_bytes() {
        let mut algorithms = PasswordAlgorithms::SHA256_MD5.iter();

        assert_eq!(algorithms.next(), Some(PasswordAlgorithm::SHA256));
        assert_eq!(algorithms.next(), Some(PasswordAlgorithm::MD5));
        assert_eq!(algorithms.next(), None);
        assert_eq!(PasswordAlgorithms::SHA256_MD5.as_bytes(), [0, 2, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn att_19_parameters_are_padded_so_that_the_next_algorithm_is_aligned() {
        let value = [0, 9, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 1, 0, 0];

        let algorithms = PasswordAlgorithms::decode(&value, ID).unwrap();

        let first = PasswordAlgorithm::new(9, &[1, 2, 3, 4, 5]).unwrap();
        assert!(algorithms.iter().eq([first, PasswordAlgorithm::MD5]));
    }

    #[test]
    fn att_20_a_list_that_is_cut_is_malformed() {
        let malformed = Err(BadAttribute::Malformed(AttributeType::PASSWORD_ALGORITHMS));
        for value in [&[0][..], &[0, 2, 0], &[0, 2, 0, 1], &[0, 2, 0, 1, 7], &[0, 2, 0, 0, 0]] {
            assert_eq!(PasswordAlgorithms::decode(value, ID), malformed, "{value:?}");
        }
    }

    #[test]
    fn att_20_an_algorithm_that_is_cut_or_too_long_is_malformed() {
        let malformed = Err(BadAttribute::Malformed(AttributeType::PASSWORD_ALGORITHM));
        for value in [&[0, 2, 0][..], &[0, 2, 0, 1], &[0, 2, 0, 0, 0], &[0, 2, 0, 1, 7, 0]] {
            assert_eq!(PasswordAlgorithm::decode(value, ID), malformed, "{value:?}");
        }
    }

    #[test]
    fn att_21_an_algorithm_without_parameters_is_four_bytes() {
        let mut value = [0xFF; 4];

        PasswordAlgorithm::SHA256.encode(&mut value, ID);

        assert_eq!((value, PasswordAlgorithm::SHA256.encoded_len()), ([0, 2, 0, 0], 4));
    }

    #[test]
    fn att_22_a_userhash_is_32_bytes() {
        let malformed = Err(BadAttribute::Malformed(AttributeType::USERHASH));

        assert_eq!(Userhash::decode(&[1; 31], ID), malformed);
        assert_eq!(Userhash::decode(&[1; 33], ID), malformed);
        assert_eq!(Userhash::decode(&[1; 32], ID), Ok(Userhash([1; 32])));
    }

    #[test]
    fn key_03_a_userhash_is_sha_256_of_name_and_realm() {
        assert_eq!(Userhash::new("user", "realm").0[..4], [0x6A, 0x30, 0x29, 0x11]);
    }
}
