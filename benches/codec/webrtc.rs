//! The crate `stun` of webrtc-rs. TURN's attributes are read by its own means for STUN's.

use std::net::SocketAddr;

use stun::{
    agent::TransactionId,
    attributes::{ATTR_LIFETIME, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE, Message, MessageType, Setter},
    xoraddr::XorMappedAddress,
};

use crate::{ADDRESS, ID, LIFETIME, PASSWORD, Peer, REALM, USER};

pub(crate) struct Webrtc(MessageIntegrity);

impl Webrtc {
    pub(crate) fn new() -> Self {
        Self(MessageIntegrity::new_long_term_integrity(USER.into(), REALM.into(), PASSWORD.into()))
    }

    fn decode(bytes: &[u8]) -> Message {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).expect("a message");
        message
    }
}

impl Peer for Webrtc {
    const NAME: &str = "stun (webrtc-rs)";

    fn header(&self, bytes: &[u8]) -> [u8; 12] {
        let message = Self::decode(bytes);
        assert!(message.typ.class == CLASS_SUCCESS_RESPONSE && message.typ.method == METHOD_ALLOCATE);
        message.transaction_id.0
    }

    fn read(&self, bytes: &[u8]) -> (SocketAddr, u32, SocketAddr) {
        let message = Self::decode(bytes);
        let address = |kind| {
            let mut address = XorMappedAddress::default();
            address.get_from_as(&message, kind).expect("an address");
            SocketAddr::new(address.ip, address.port)
        };
        let lifetime = message.get(ATTR_LIFETIME).expect("a number");
        let lifetime = u32::from_be_bytes(lifetime.try_into().expect("four bytes"));
        (address(ATTR_XOR_RELAYED_ADDRESS), lifetime, address(ATTR_XORMAPPED_ADDRESS))
    }

    fn verify(&self, bytes: &[u8]) -> bool {
        let mut message = Self::decode(bytes);
        FINGERPRINT.check(&message).is_ok() && self.0.check(&mut message).is_ok()
    }

    fn build(&self, buffer: &mut Vec<u8>) {
        let mut message = Message::new();
        message.typ = MessageType::new(METHOD_ALLOCATE, CLASS_SUCCESS_RESPONSE);
        message.transaction_id = TransactionId(ID);
        message.write_header();
        let address = XorMappedAddress { ip: ADDRESS.ip(), port: ADDRESS.port() };
        address.add_to_as(&mut message, ATTR_XOR_RELAYED_ADDRESS).expect("an address");
        message.add(ATTR_LIFETIME, &LIFETIME.to_be_bytes());
        address.add_to_as(&mut message, ATTR_XORMAPPED_ADDRESS).expect("an address");
        self.0.add_to(&mut message).expect("an integrity");
        FINGERPRINT.add_to(&mut message).expect("a sum");
        *buffer = message.raw;
    }
}
