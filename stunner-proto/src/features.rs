//! What a nonce says about the server that made it.

use core::fmt;

/// The security features that a server announces at the beginning of its nonces (RFC 8489, section 9.2).
///
/// 24 bits in Base64 follow nine fixed characters. The RFC's text numbers the bits from the left; its erratum 6290, and
/// its own test vector, from the right. We write as the erratum says and read either: no bit has two meanings.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct SecurityFeatures {
    /// Bit 0: the server offers PASSWORD-ALGORITHMS; a response without them was tampered with.
    pub password_algorithms: bool,
    /// Bit 1: the server understands USERHASH.
    pub username_anonymity: bool,
}

impl SecurityFeatures {
    /// How every nonce that announces features begins.
    pub const COOKIE: &str = "obMatJos2";

    /// The features that a nonce announces; `None` where it does not begin with cookie and bits.
    ///
    /// ```
    /// use stunner_proto::SecurityFeatures;
    ///
    /// let features = SecurityFeatures::of("obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA").expect("it has a cookie");
    /// assert!(features.username_anonymity && !features.password_algorithms);
    /// ```
    #[must_use]
    pub fn of(nonce: &str) -> Option<Self> {
        let bits = nonce.strip_prefix(Self::COOKIE)?.as_bytes().first_chunk::<4>()?;
        let bits = bits.iter().try_fold(0, |bits, &digit| Some(bits << 6 | sextet(digit)?))?;
        Some(Self { password_algorithms: bits & 0x80_0001 != 0, username_anonymity: bits & 0x40_0002 != 0 })
    }
}

/// The 13 characters that a nonce with these features begins with.
impl fmt::Display for SecurityFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match (self.username_anonymity, self.password_algorithms) {
            (false, false) => "AAAA",
            (false, true) => "AAAB",
            (true, false) => "AAAC",
            (true, true) => "AAAD",
        };
        write!(f, "{}{bits}", Self::COOKIE)
    }
}

/// Six bits from a digit of Base64.
const fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value as u32)
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (password_algorithms, username_anonymity) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let features = SecurityFeatures { password_algorithms, username_anonymity };
            assert_eq!(SecurityFeatures::of(&features.to_string()), Some(features));
            assert_eq!(SecurityFeatures::of(&format!("{features}\\x")), Some(features));
        }
    }

    #[test]
    fn both_orders_of_the_bits_are_read() {
        for (nonce, password_algorithms, username_anonymity) in [
            ("obMatJos2gAAA", true, false),
            ("obMatJos2QAAA", false, true),
            ("obMatJos2wAAA", true, true),
            ("obMatJos2AAAB", true, false),
            ("obMatJos2AAAC", false, true),
            ("obMatJos2//8/", true, true),
            ("obMatJos2P//8", false, false),
            ("obMatJos21AAA", true, true),
            ("obMatJos2aAAA", false, true),
            ("obMatJos2AAA1", true, false),
            ("obMatJos2AAA2", false, true),
            ("obMatJos2AAAZ", true, false),
            ("obMatJos2AAAb", true, true),
            ("obMatJos2AAA+", false, true),
        ] {
            let features = SecurityFeatures { password_algorithms, username_anonymity };
            assert_eq!(SecurityFeatures::of(nonce), Some(features), "{nonce}");
        }
    }

    #[test]
    fn a_nonce_without_cookie_or_with_half_of_it_announces_nothing() {
        for nonce in ["", "obMatJos2", "obMatJos2AAA", "obMatJos2AA-A", "ObMatJos2AAAA", " obMatJos2AAAA"] {
            assert_eq!(SecurityFeatures::of(nonce), None, "{nonce}");
        }
    }
}
