//! ChannelData: four bytes of header in front of application data.

use core::fmt;

use crate::{Attribute, AttributeType, BadAttribute, TransactionId};

/// The number of a channel: 0x4000 to 0x4FFF, and up to 0x7FFF in RFC 5766, which clients still follow.
///
/// See [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest number there is.
    pub const MIN: Self = Self(0x4000);
    /// The highest number there is.
    pub const MAX: Self = Self(0x4FFF);

    /// `None` outside 0x4000 to 0x7FFF.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if matches!(number, 0x4000..=0x7FFF) { Some(Self(number)) } else { None }
    }

    /// Whether RFC 8656 reserves it: 0x5000 to 0x7FFF, so that a first byte tells TURN from other protocols.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 > Self::MAX.0
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// CHANNEL-NUMBER (RFC 8656, section 18.1). A number that no channel may have is malformed.
impl Attribute<'_> for ChannelNumber {
    const TYPE: AttributeType = AttributeType::CHANNEL_NUMBER;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, BadAttribute> {
        match value {
            &[high, low, _, _] => Self::new(u16::from_be_bytes([high, low])),
            _ => None,
        }
        .ok_or(BadAttribute::Malformed(Self::TYPE))
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        let [high, low] = self.0.to_be_bytes();
        value.copy_from_slice(&[high, low, 0, 0]);
    }
}

/// A ChannelData message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelData<'a> {
    /// Which channel.
    pub number: ChannelNumber,
    /// The application data, without padding; may be empty.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// The length of the header in bytes.
    pub const HEADER_LEN: usize = 4;

    /// Reads a datagram, or a frame of a stream; bytes behind the data are padding and ignored.
    ///
    /// `None` when the number is not a channel's, or the data are cut short.
    #[must_use]
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let number = ChannelNumber::new(u16::from_be_bytes([head[0], head[1]]))?;
        let data = rest.get(..usize::from(u16::from_be_bytes([head[2], head[3]])))?;
        Some(Self { number, data })
    }

    /// The header that belongs in front of `len` bytes of data. `None` above 65,535.
    #[must_use]
    #[inline]
    pub fn header(number: ChannelNumber, len: usize) -> Option<[u8; 4]> {
        let [a, b] = number.0.to_be_bytes();
        let [c, d] = u16::try_from(len).ok()?.to_be_bytes();
        Some([a, b, c, d])
    }
}
