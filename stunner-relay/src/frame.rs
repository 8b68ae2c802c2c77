//! A packet between client and server, in either direction: a header that was just written, and data that never moved.

use std::{io::IoSlice, net::SocketAddr};

use stunner_proto::{
    AttributeType, ChannelData, ChannelNumber, Class, HEADER_LEN, MessageBuilder, Method, TransactionId,
    attribute::{DontFragment, XorPeerAddress},
};

/// A Send indication to an IPv6 peer: 20 bytes of header, 24 of XOR-PEER-ADDRESS, 4 of DONT-FRAGMENT, and 4 in front of
/// the data.
const MAX_HEAD: usize = 52;

/// A packet that carries application data, in three parts that were never joined.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'p> {
    head: [u8; MAX_HEAD],
    head_len: u8,
    padding: u8,
    data: &'p [u8],
}

impl<'p> Frame<'p> {
    /// A ChannelData message; padded where it goes over a stream. `None` above 65,535 bytes.
    #[must_use]
    #[inline]
    pub fn channel_data(number: ChannelNumber, data: &'p [u8], stream: bool) -> Option<Self> {
        let mut head = [0; MAX_HEAD];
        head[..4].copy_from_slice(&ChannelData::header(number, data.len())?);
        let padding = if stream { padding(data.len()) } else { 0 };
        Some(Self { head, head_len: 4, padding, data })
    }

    /// A Data indication. `None` when the data do not fit a message.
    #[must_use]
    #[inline]
    pub fn data_indication(peer: SocketAddr, id: TransactionId, data: &'p [u8]) -> Option<Self> {
        Self::indication(Method::DATA, peer, id, None, data)
    }

    /// A Send indication, which may ask for the DF bit. `None` when the data do not fit a message.
    #[must_use]
    #[inline]
    pub fn send_indication(
        peer: SocketAddr,
        id: TransactionId,
        dont_fragment: Option<DontFragment>,
        data: &'p [u8],
    ) -> Option<Self> {
        Self::indication(Method::SEND, peer, id, dont_fragment, data)
    }

    #[inline]
    fn indication(
        method: Method,
        peer: SocketAddr,
        id: TransactionId,
        dont_fragment: Option<DontFragment>,
        data: &'p [u8],
    ) -> Option<Self> {
        let mut head = [0; MAX_HEAD];
        let len = MessageBuilder::new(Class::Indication, method, id, &mut head)
            .attribute(&XorPeerAddress(peer))
            .maybe(dont_fragment.as_ref())
            .finish()
            .ok()?;
        let padding = padding(data.len());
        let total = len - HEADER_LEN + 4 + data.len() + usize::from(padding);
        head[2..4].copy_from_slice(&u16::try_from(total).ok()?.to_be_bytes());
        head[len..len + 2].copy_from_slice(&AttributeType::DATA.0.to_be_bytes());
        head[len + 2..len + 4].copy_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        let head_len = u8::try_from(len + 4).ok()?;
        Some(Self { head, head_len, padding, data })
    }

    /// Header, data and padding, in the order in which they are sent.
    #[must_use]
    pub fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(self.head()), IoSlice::new(self.data), IoSlice::new(self.padding())]
    }

    /// What stands in front of the data: at most 52 bytes.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The application data, where they were received.
    #[must_use]
    pub const fn data(&self) -> &'p [u8] {
        self.data
    }

    /// Zero to three bytes of zeros.
    #[must_use]
    pub fn padding(&self) -> &'static [u8] {
        &[0; 3][..usize::from(self.padding)]
    }

    /// The length of the whole packet.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.data.len() + usize::from(self.padding)
    }

    /// Never: there is always a header.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head_len == 0
    }

    /// All of it in one piece, for those who must have that.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [self.head(), self.data, self.padding()].concat()
    }
}

const fn padding(len: usize) -> u8 {
    match len % 4 {
        0 => 0,
        1 => 3,
        2 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use stunner_proto::{Message, attribute::Data};

    use super::*;

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 9);

    #[test]
    fn str_02_channel_data_of_five_bytes_is_twelve_on_a_stream_and_nine_in_a_datagram() {
        let frame =
            |stream| Frame::channel_data(ChannelNumber::MIN, b"hello", stream).map(|frame| frame.to_vec());

        assert_eq!(frame(true).as_deref(), Some(&b"\x40\x00\x00\x05hello\0\0\0"[..]));
        assert_eq!(frame(false).as_deref(), Some(&b"\x40\x00\x00\x05hello"[..]));
    }

    #[test]
    fn a_data_indication_reads_back_as_it_was_written() {
        for data in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
            let bytes = Frame::data_indication(PEER, TransactionId([1; 12]), data).unwrap().to_vec();
            let message = Message::parse(&bytes).unwrap();

            assert_eq!(message.require(), Ok(XorPeerAddress(PEER)));
            assert_eq!(message.require(), Ok(Data(data)));
        }
    }

    #[test]
    fn a_send_indication_reads_back_as_it_was_written_and_asks_for_df_where_it_should() {
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 9));
        for (peer, dont_fragment) in [(PEER, None), (v6, Some(DontFragment))] {
            let frame =
                Frame::send_indication(peer, TransactionId([1; 12]), dont_fragment, b"hello").unwrap();
            let bytes = frame.to_vec();
            let message = Message::parse(&bytes).unwrap();

            assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
            assert_eq!(message.require(), Ok(XorPeerAddress(peer)));
            assert_eq!(message.get(), Ok(dont_fragment));
            assert_eq!(message.require(), Ok(Data(b"hello")));
        }
    }

    #[test]
    fn data_that_no_message_can_hold_give_no_frame() {
        assert!(Frame::data_indication(PEER, TransactionId([1; 12]), &[0; 65_530]).is_none());
        assert!(Frame::channel_data(ChannelNumber::MIN, &[0; 65_536], false).is_none());
    }
}
