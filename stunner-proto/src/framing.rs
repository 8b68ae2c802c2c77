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
