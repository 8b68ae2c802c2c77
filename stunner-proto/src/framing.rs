//! Where one packet ends and the next begins: the first two bits, and frames on a stream.

use crate::{HEADER_LEN, MAGIC_COOKIE};

/// The largest frame a stream can carry: a STUN message whose length is 65,532.
pub const MAX_FRAME: usize = HEADER_LEN + 65_532;

/// What the first byte of a packet says about it (RFC 7983, and RFC 8656, section 12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The first two bits are 00: a STUN message, if the rest agrees.
    Message,
    /// The first two bits are 01: a ChannelData message. From 0x50 on RFC 8656 reserves its number.
    ChannelData,
    /// Anything else.
    Other,
}

impl Kind {
    /// Looks at the first byte only.
    #[must_use]
    #[inline]
    pub const fn of(first: u8) -> Self {
        match first {
            0x00..=0x3F => Self::Message,
            0x40..=0x7F => Self::ChannelData,
            _ => Self::Other,
        }
    }
}

/// Which protocol a first byte belongs to, where several share a port (RFC 7983, as RFC 9443 updates it).
///
/// [`Kind`] tells TURN's two from all others by two bits, and is what a server of TURN alone needs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// 0 to 3: STUN. (The header leaves room up to 63, but no method uses it.)
    Stun,
    /// 16 to 19: ZRTP.
    Zrtp,
    /// 20 to 63: DTLS; on a stream, TLS.
    Dtls,
    /// 64 to 79: ChannelData where it comes from a TURN server or its client, QUIC from anyone else.
    ChannelData,
    /// 80 to 127, and 192 to 255: QUIC.
    Quic,
    /// 128 to 191: RTP or RTCP; or QUIC, where no RTP is expected.
    Rtp,
    /// 4 to 15: nothing. Drop it.
    Unknown,
}

impl Protocol {
    /// Looks at the first byte only.
    #[must_use]
    pub const fn of(first: u8) -> Self {
        match first {
            0..=3 => Self::Stun,
            4..=15 => Self::Unknown,
            16..=19 => Self::Zrtp,
            20..=63 => Self::Dtls,
            64..=79 => Self::ChannelData,
            80..=127 | 192..=255 => Self::Quic,
            128..=191 => Self::Rtp,
        }
    }
}

/// The stream carries something that is neither STUN nor ChannelData; where the next frame begins cannot be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the stream carries neither STUN nor ChannelData")]
pub struct NotAFrame;

/// The length of the frame at the beginning of `bytes`, padding included; `None` while too few bytes are there to tell.
///
/// A STUN message is 20 bytes and its length; a ChannelData message is padded to a multiple of four on a stream
/// (RFC 8489, section 6.2.2; RFC 8656, section 12.5). The reserved numbers 0x5000 to 0x7FFF are framed as ChannelData,
/// so that a receiver can skip them.
///
/// # Errors
/// [`NotAFrame`] when the first bytes cannot begin a frame: close the connection.
#[inline]
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, NotAFrame> {
    let &[first, _, high, low, ref rest @ ..] = bytes else {
        return match bytes.first() {
            Some(0x80..) => Err(NotAFrame),
            _ => Ok(None),
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match first & 0xC0 {
        0x40 => Ok(Some(4 + length.next_multiple_of(4))),
        0x00 => {
            let cookie = MAGIC_COOKIE.to_be_bytes();
            let seen = rest.len().min(4);
            if rest[..seen] != cookie[..seen] || !length.is_multiple_of(4) {
                return Err(NotAFrame);
            }
            Ok((seen == 4).then_some(HEADER_LEN + length))
        }
        _ => Err(NotAFrame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hdr_15_every_first_byte_has_the_protocol_of_rfc_9443() {
        let table = [
            (0..=3, Protocol::Stun),
            (4..=15, Protocol::Unknown),
            (16..=19, Protocol::Zrtp),
            (20..=63, Protocol::Dtls),
            (64..=79, Protocol::ChannelData),
            (80..=127, Protocol::Quic),
            (128..=191, Protocol::Rtp),
            (192..=255, Protocol::Quic),
        ];
        let mut seen = 0;
        for (firsts, protocol) in table {
            for first in firsts {
                assert_eq!(Protocol::of(first), protocol, "{first}");
                seen += 1;
            }
        }
        assert_eq!(seen, 256);
    }

    #[test]
    fn kind_looks_at_two_bits() {
        for first in 0..=u8::MAX {
            let kind = match first >> 6 {
                0 => Kind::Message,
                1 => Kind::ChannelData,
                _ => Kind::Other,
            };
            assert_eq!(Kind::of(first), kind, "{first:#x}");
        }
    }
}
