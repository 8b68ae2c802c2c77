//! Keys, and what they sign.

use stunner_proto::{
    AttributeType, Class, Fingerprint, IntegrityError, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{Lifetime, Userhash, Username},
};

const ID: TransactionId = TransactionId([7; 12]);

/// Bytes from hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// A Binding request with a name of five characters, signed, with a FINGERPRINT.
fn signed(key: &Key) -> Vec<u8> {
    let mut buffer = [0; 128];
    let len = MessageBuilder::new(Class::Request, Method::BINDING, ID, &mut buffer)
        .attribute(&Username::new("a:bcd").expect("it is short"))
        .integrity(key)
        .fingerprint()
        .finish()
        .expect("it fits");
    buffer[..len].to_vec()
}

/// A Binding request with these bytes as attributes.
fn message(attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).expect("few attributes").to_be_bytes();
    [&[0, 1], &length[..], &[0x21, 0x12, 0xA4, 0x42], &ID.0, attributes].concat()
}

#[test]
fn key_01_a_long_term_key_is_md5_of_name_realm_and_password() {
    let key = Key::long_term("user", "realm", "pass");
    assert_eq!(key, Key::new(&hex("8493fbc53ba582fb4c044c456bdc40eb")));
    let key = Key::long_term("George", "example.com", "swordfish");
    assert_eq!(key, Key::new(&hex("ebf8460ce4b60ba54fde661d00540abb")));
}

#[test]
fn key_02_a_long_term_key_by_sha_256_is_the_same_by_another_hash() {
    let key = Key::long_term_sha256("user", "realm", "pass");
    assert_eq!(key, Key::new(&hex("07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b")));
    let key = Key::long_term_sha256("George", "example.com", "swordfish");
    assert_eq!(key, Key::new(&hex("f62d8cba35c09a52ef0496259e7b0507bdf7dbc3df55b3ffec9322f00867585d")));
}

#[test]
fn key_03_a_userhash_is_sha_256_of_name_and_realm() {
    for (name, realm, hash) in [
        ("user", "realm", "6a3029116b47aa98bcaa325399733dc1a23cd57e26b81bef3ff6531ce624e2da"),
        ("George", "example.com", "95e4f02948ec9766fff4d3fa93f1a68b1f0b78c451478584963a8e8012cfb3a3"),
        ("マトリックス", "example.org", "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"),
    ] {
        assert_eq!(Userhash::new(name, realm).0.to_vec(), hex(hash), "{name}");
    }
}

#[test]
fn key_04_zeros_at_the_end_are_not_part_of_a_key() {
    let key = Key::long_term("user", "realm", "pass");
    assert_eq!(Key::long_term("user\0", "realm\0\0", "pass\0"), key);
    assert_ne!(Key::long_term("us\0er", "realm", "pass"), key);
    assert_ne!(Key::long_term("user", "realm", "\0pass"), key);
}

#[test]
fn key_05_quotes_around_name_and_realm_are_not_part_of_a_key() {
    let key = Key::long_term("user", "realm", "pass");
    assert_eq!(Key::long_term("\"user\"", "\"realm\"", "pass"), key);
    assert_eq!(Key::long_term("\"user\"\0", "realm", "pass"), key);
    assert_ne!(Key::long_term("\"user", "realm", "pass"), key);
    assert_ne!(Key::long_term("user\"", "realm", "pass"), key);
    assert_ne!(Key::long_term("user", "realm", "\"pass\""), key);
    assert_eq!(Key::long_term("\"", "realm", "pass"), Key::long_term("\"", "realm", "pass\0"));
}

#[test]
fn key_10_a_key_minds_case_and_shows_nothing() {
    let key = Key::long_term("user", "realm", "pass");
    assert_ne!(key, Key::long_term("user", "realm", "Pass"));
    assert_eq!(format!("{key:?}"), "Key(..)");
}

#[test]
fn key_12_a_short_term_key_is_the_password() {
    assert_eq!(Key::short_term("pä"), Key::new(&[b'p', 0xC3, 0xA4]));
}

#[test]
fn int_05_the_length_that_is_signed_ends_with_the_integrity() {
    let key = Key::short_term("pass");
    let mut bytes = signed(&key);
    assert!(Message::parse(&bytes).unwrap().authenticate(&key).is_ok());

    let without = bytes.len() - 8;
    bytes.truncate(without);
    bytes[3] -= 8;
    assert!(Message::parse(&bytes).unwrap().authenticate(&key).is_ok());
}

#[test]
fn int_08_and_10_an_integrity_of_a_length_that_none_has_is_malformed() {
    let key = Key::short_term("pass");
    for (kind, wrong) in [(0x08, &[0, 4, 16, 19, 21, 24][..]), (0x1C, &[0, 4, 12, 15, 17, 18, 31, 33, 36])] {
        for &len in wrong {
            let mut attributes = vec![0, kind, 0, len];
            attributes.extend([0; 36]);
            attributes.truncate(4 + usize::from(len).next_multiple_of(4));
            let bytes = message(&attributes);
            let message = Message::parse(&bytes).unwrap();
            for found in [message.authenticate(&key), message.authenticate_truncated(&key)] {
                assert_eq!(found.err(), Some(IntegrityError::Malformed), "{kind:#x}, {len} bytes");
            }
        }
    }
}

#[test]
fn int_11_padding_is_signed_too() {
    let key = Key::short_term("pass");
    let mut bytes = signed(&key);
    assert_eq!(bytes[29..32], [0; 3]);

    bytes[31] = b' ';

    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.authenticate(&key).err(), Some(IntegrityError::Mismatch));
    assert_eq!(message.fingerprint(), Fingerprint::Wrong);
}

#[test]
fn int_13_a_fingerprint_made_before_the_integrity_is_wrong() {
    let mut bytes = signed(&Key::short_term("pass"));
    let other = signed(&Key::short_term("other"));
    let end = bytes.len() - 8;
    bytes[end..].copy_from_slice(&other[end..]);
    assert_eq!(Message::parse(&bytes).unwrap().fingerprint(), Fingerprint::Wrong);
    assert_eq!(Message::parse(&other).unwrap().fingerprint(), Fingerprint::Right);
}

#[test]
fn bas_21_a_message_without_fingerprint_says_so() {
    assert_eq!(Message::parse(&message(&[])).unwrap().fingerprint(), Fingerprint::Absent);
    assert_eq!(Message::parse(&message(&[0x80, 0x28, 0, 0])).unwrap().fingerprint(), Fingerprint::Wrong);
}

#[test]
fn the_lengths_a_cut_integrity_may_have_are_kept_to() {
    let key = Key::short_term("pass");
    for (asked, given) in [(0, 16), (16, 16), (19, 16), (20, 20), (27, 24), (28, 28), (32, 32), (99, 32)] {
        let mut buffer = [0; 80];
        let len = MessageBuilder::new(Class::Request, Method::BINDING, ID, &mut buffer)
            .integrity_truncated(&key, asked)
            .finish()
            .unwrap();
        assert_eq!(len, 24 + given, "{asked}");
        assert!(Message::parse(&buffer[..len]).unwrap().authenticate_truncated(&key).is_ok());
    }
}

#[test]
fn att_35_and_36_only_what_is_signed_counts() {
    let behind_sha1 = [&[0, 8, 0, 20][..], &[0; 20], &[0, 13, 0, 4, 0, 0, 0, 1, 0, 8, 0, 0]].concat();
    let behind_sha256 =
        [&[0, 28, 0, 32][..], &[0; 32], &[0, 13, 0, 4, 0, 0, 0, 1, 0, 8, 0, 0, 0x7F, 0xFF, 0, 0]].concat();
    for attributes in [behind_sha1, behind_sha256] {
        let fingerprint = [&attributes[..], &[0x80, 0x28, 0, 4, 0, 0, 0, 0]].concat();
        let bytes = message(&fingerprint);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.get::<Lifetime>(), Ok(None));
        assert_eq!(message.attributes().count(), 2);
        assert!(message.contains(AttributeType::FINGERPRINT));
    }
}

/// What comes too late is a bug that debug builds show, and left out of the message by others.
#[cfg(debug_assertions)]
mod int_14_what_comes_too_late_is_refused {
    use super::*;

    fn builder(buffer: &mut [u8]) -> MessageBuilder<'_> {
        MessageBuilder::new(Class::Request, Method::BINDING, ID, buffer)
    }

    #[test]
    #[should_panic(expected = "LIFETIME comes behind integrity or FINGERPRINT")]
    fn an_attribute_behind_fingerprint() {
        let _ = builder(&mut [0; 80]).fingerprint().attribute(&Lifetime(1));
    }

    #[test]
    #[should_panic(expected = "MESSAGE-INTEGRITY comes too late")]
    fn the_first_integrity_behind_the_second() {
        let key = Key::short_term("pass");
        let _ = builder(&mut [0; 80]).integrity_sha256(&key).integrity(&key);
    }

    #[test]
    #[should_panic(expected = "FINGERPRINT twice")]
    fn a_second_fingerprint() {
        let _ = builder(&mut [0; 80]).fingerprint().fingerprint();
    }

    #[test]
    #[should_panic(expected = "is computed")]
    fn a_fingerprint_that_the_caller_computed() {
        let _ = builder(&mut [0; 80]).raw(AttributeType::FINGERPRINT, &[0; 4]);
    }
}

#[cfg(not(debug_assertions))]
#[test]
fn int_14_what_comes_too_late_is_left_out() {
    let key = Key::short_term("pass");
    let mut buffer = [0; 128];
    let len = MessageBuilder::new(Class::Request, Method::BINDING, ID, &mut buffer)
        .integrity_sha256(&key)
        .integrity(&key)
        .attribute(&Lifetime(1))
        .fingerprint()
        .fingerprint()
        .raw(AttributeType(0xC001), b"x")
        .finish()
        .unwrap();
    let message = Message::parse(&buffer[..len]).unwrap();
    assert_eq!(message.attributes().count(), 2);
    assert!(message.authenticate(&key).is_ok());
    assert_eq!(message.fingerprint(), Fingerprint::Right);
}
