//! The crate `stun-types`. TURN's attributes are read by its own means for STUN's.

use std::net::SocketAddr;

use stun_types::{
    attribute::{AttributeType, Fingerprint, RawAttribute, XorMappedAddress, XorSocketAddr},
    message::{
        IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType,
        MessageWrite, MessageWriteExt, MessageWriteMutSlice, Method,
    },
};

use crate::{ADDRESS, ID, LIFETIME, PASSWORD, Peer, REALM, USER};

const ALLOCATE: Method = Method::new(0x003);
const XOR_RELAYED_ADDRESS: AttributeType = AttributeType::new(0x0016);
const LIFETIME_TYPE: AttributeType = AttributeType::new(0x000D);

pub(crate) struct StunTypes(IntegrityKey);

impl StunTypes {
    pub(crate) fn new() -> Self {
        let credentials = LongTermKeyCredentials::new(USER.into(), PASSWORD.into(), REALM.into());
        Self(credentials.make_key(IntegrityAlgorithm::Sha1))
    }
}

impl Peer for StunTypes {
    const NAME: &str = "stun-types";

    fn header(&self, bytes: &[u8]) -> [u8; 12] {
        let message = Message::from_bytes(bytes).expect("a message");
        assert!(message.has_class(MessageClass::Success) && message.has_method(ALLOCATE));
        let id = u128::from(message.transaction_id()).to_be_bytes();
        *id.last_chunk().expect("twelve bytes")
    }

    fn read(&self, bytes: &[u8]) -> (SocketAddr, u32, SocketAddr) {
        let message = Message::from_bytes(bytes).expect("a message");
        let id = message.transaction_id();
        let relayed = message.raw_attribute(XOR_RELAYED_ADDRESS).expect("an address");
        let relayed = XorSocketAddr::from_raw(&relayed).expect("an address").addr(id);
        let lifetime = message.raw_attribute(LIFETIME_TYPE).expect("a number");
        let lifetime = u32::from_be_bytes(lifetime.value[..].try_into().expect("four bytes"));
        (relayed, lifetime, message.attribute::<XorMappedAddress>().expect("an address").addr(id))
    }

    fn verify(&self, bytes: &[u8]) -> bool {
        // Parsing checks FINGERPRINT.
        let message = Message::from_bytes(bytes).expect("a message");
        message.attribute::<Fingerprint>().is_ok() && message.validate_integrity_with_key(&self.0).is_ok()
    }

    fn build(&self, buffer: &mut Vec<u8>) {
        buffer.resize(128, 0);
        let id = ID.iter().fold(0, |id: u128, &byte| id << 8 | u128::from(byte)).into();
        let kind = MessageType::from_class_method(MessageClass::Success, ALLOCATE);
        let mut message = Message::builder(kind, id, MessageWriteMutSlice::new(buffer));
        let relayed = XorSocketAddr::new(ADDRESS, id);
        message.add_attribute(&relayed.to_raw(XOR_RELAYED_ADDRESS)).expect("it fits");
        let lifetime = LIFETIME.to_be_bytes();
        message.add_attribute(&RawAttribute::new(LIFETIME_TYPE, &lifetime)).expect("it fits");
        message.add_attribute(&XorMappedAddress::new(ADDRESS, id)).expect("it fits");
        message.add_message_integrity_with_key(&self.0, IntegrityAlgorithm::Sha1).expect("it fits");
        message.add_fingerprint().expect("it fits");
        let len = message.finish();
        buffer.truncate(len);
    }
}
