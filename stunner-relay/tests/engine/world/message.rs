//! The bytes of messages, and what can be read from them.

use std::net::SocketAddr;

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, ChannelData, Class, Message, MessageBuilder, Method,
    TransactionId,
    attribute::{Data, ErrorCode, XorPeerAddress, XorRelayedAddress},
};

/// The bytes of a message.
pub(crate) fn message(
    class: Class,
    method: Method,
    id: TransactionId,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let len = build(MessageBuilder::new(class, method, id, &mut buffer)).finish().expect("it fits");
    buffer.truncate(len);
    buffer
}

/// An attribute with any value, whether it is allowed or not.
pub(crate) struct Raw<'a, const TYPE: u16>(pub(crate) &'a [u8]);

impl<'a, const TYPE: u16> Attribute<'a> for Raw<'a, TYPE> {
    const TYPE: AttributeType = AttributeType(TYPE);

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, BadAttribute> {
        Ok(Self(value))
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: TransactionId) {
        value.copy_from_slice(self.0);
    }
}

/// What a request was answered with.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("a message")
    }

    /// The code of an error response; 0 for success.
    pub(crate) fn code(&self) -> u16 {
        match self.message().class() {
            Class::SuccessResponse => 0,
            Class::ErrorResponse => self.get::<ErrorCode<'_>>().code(),
            class => panic!("{class:?} is no response"),
        }
    }

    /// An attribute that must be there.
    pub(crate) fn get<'a, A: Attribute<'a>>(&'a self) -> A {
        self.message().require().expect("the attribute is there")
    }

    /// The relayed transport address of an allocation.
    pub(crate) fn relayed(&self) -> SocketAddr {
        let XorRelayedAddress(relayed) = self.get();
        relayed
    }

    /// All relayed transport addresses of an allocation, in their order.
    pub(crate) fn all_relayed(&self) -> Vec<SocketAddr> {
        let message = self.message();
        let all = message.attributes().filter(|attribute| attribute.kind == XorRelayedAddress::TYPE);
        let decode = |value| XorRelayedAddress::decode(value, message.transaction_id()).expect("an address");
        all.map(|attribute| decode(attribute.value).0).collect()
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.message().contains(kind)
    }

    /// The types of its attributes, in order.
    pub(crate) fn kinds(&self) -> Vec<AttributeType> {
        self.message().attributes().map(|attribute| attribute.kind).collect()
    }
}

/// What a client receives from a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    /// A ChannelData message: the channel's number, and the data.
    Channel(u16, Vec<u8>),
    /// A Data indication: the peer, and the data.
    Data(SocketAddr, Vec<u8>),
}

impl Received {
    /// `None` where it is neither.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if let Some(ChannelData { number, data }) = ChannelData::parse(bytes) {
            return Some(Self::Channel(number.get(), data.to_vec()));
        }
        let message = Message::parse(bytes).ok()?;
        if (message.class(), message.method()) != (Class::Indication, Method::DATA) {
            return None;
        }
        let XorPeerAddress(peer) = message.require().ok()?;
        let Data(data) = message.require().ok()?;
        Some(Self::Data(peer, data.to_vec()))
    }
}
