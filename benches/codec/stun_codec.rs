//! The crate `stun_codec`, with `bytecodec`.

use std::net::SocketAddr;

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, TransactionId, define_attribute_enums,
    rfc5389::attributes::{Fingerprint, MessageIntegrity, Realm, Username, XorMappedAddress},
    rfc5766::{
        attributes::{Lifetime, XorRelayAddress},
        methods,
    },
};

use crate::{ADDRESS, ID, LIFETIME, PASSWORD, Peer, REALM, USER};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [Username, Realm, MessageIntegrity, XorMappedAddress, Lifetime, XorRelayAddress, Fingerprint]
);

pub(crate) struct StunCodec {
    user: Username,
    realm: Realm,
}

impl StunCodec {
    pub(crate) fn new() -> Self {
        let user = Username::new(USER.into()).expect("a name");
        Self { user, realm: Realm::new(REALM.into()).expect("a realm") }
    }

    fn decode(bytes: &[u8]) -> Message<Attribute> {
        MessageDecoder::new().decode_from_bytes(bytes).expect("bytes").expect("a message")
    }
}

impl Peer for StunCodec {
    const NAME: &str = "stun_codec";

    fn header(&self, bytes: &[u8]) -> [u8; 12] {
        let message = Self::decode(bytes);
        assert!(message.class() == MessageClass::SuccessResponse && message.method() == methods::ALLOCATE);
        *message.transaction_id().as_bytes()
    }

    fn read(&self, bytes: &[u8]) -> (SocketAddr, u32, SocketAddr) {
        let message = Self::decode(bytes);
        let relayed = message.get_attribute::<XorRelayAddress>().expect("an address").address();
        let lifetime = message.get_attribute::<Lifetime>().expect("a number").lifetime().as_secs();
        let mapped = message.get_attribute::<XorMappedAddress>().expect("an address").address();
        (relayed, u32::try_from(lifetime).expect("32 bits"), mapped)
    }

    fn verify(&self, bytes: &[u8]) -> bool {
        let message = Self::decode(bytes);
        let integrity = message.get_attribute::<MessageIntegrity>().expect("an integrity");
        integrity.check_long_term_credential(&self.user, &self.realm, PASSWORD).is_ok()
    }

    fn build(&self, buffer: &mut Vec<u8>) {
        let mut message = Message::<Attribute>::new(
            MessageClass::SuccessResponse,
            methods::ALLOCATE,
            TransactionId::new(ID),
        );
        message.add_attribute(XorRelayAddress::new(ADDRESS));
        message.add_attribute(Lifetime::from_u32(LIFETIME));
        message.add_attribute(XorMappedAddress::new(ADDRESS));
        let integrity =
            MessageIntegrity::new_long_term_credential(&message, &self.user, &self.realm, PASSWORD);
        message.add_attribute(integrity.expect("an integrity"));
        let fingerprint = Fingerprint::new(&message).expect("a sum");
        message.add_attribute(fingerprint);
        *buffer = MessageEncoder::new().encode_into_bytes(message).expect("bytes");
    }
}
