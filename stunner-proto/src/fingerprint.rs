//! FINGERPRINT: a CRC-32 that tells STUN from other protocols.

use crate::{AttributeType, Message};

/// What a message says about itself by FINGERPRINT (RFC 8489, section 14.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fingerprint {
    /// There is none.
    Absent,
    /// It fits the message.
    Right,
    /// It does not: the bytes are no STUN message, or were damaged.
    Wrong,
}

pub(crate) fn check(message: Message<'_>) -> Fingerprint {
    let Some(found) = message.attributes().find(|attribute| attribute.kind == AttributeType::FINGERPRINT)
    else {
        return Fingerprint::Absent;
    };
    if found.value == of(&message.as_bytes()[..found.offset]).to_be_bytes() {
        Fingerprint::Right
    } else {
        Fingerprint::Wrong
    }
}

/// The value of FINGERPRINT for a message whose other bytes are these.
pub(crate) fn of(covered: &[u8]) -> u32 {
    crc32(covered) ^ 0x5354_554E
}

/// CRC-32 of ITU V.42, eight bytes a step.
fn crc32(bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut crc = u32::MAX;
    for chunk in chunks {
        let low = crc ^ u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        let low = low.to_le_bytes();
        crc = 0;
        for (at, byte) in low.iter().chain(&chunk[4..]).enumerate() {
            crc ^= TABLES[7 - at][usize::from(*byte)];
        }
    }
    for byte in rest {
        crc = TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8);
    }
    !crc
}

/// `TABLES[n][b]`: what byte `b` does to the CRC when `n` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    let mut value: u32 = 0;
    while byte < 256 {
        let mut crc = value;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
        value += 1;
    }
    let mut step = 1;
    while step < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[step - 1][byte];
            tables[step][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        step += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn crc_of_nothing_is_zero() {
        assert_eq!(crc32(b""), 0);
    }
}
