//! Ours.

use std::net::SocketAddr;

use stunner_proto::{
    Class, Fingerprint, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{Lifetime, XorMappedAddress, XorRelayedAddress},
};

use crate::{ADDRESS, ID, LIFETIME, PASSWORD, Peer, REALM, USER};

pub(crate) struct Ours(Key);

impl Ours {
    pub(crate) fn new() -> Self {
        Self(Key::long_term(USER, REALM, PASSWORD))
    }
}

impl Peer for Ours {
    const NAME: &str = "stunner-proto";

    fn header(&self, bytes: &[u8]) -> [u8; 12] {
        let message = Message::parse(bytes).expect("a message");
        assert!(message.class() == Class::SuccessResponse && message.method() == Method::ALLOCATE);
        message.transaction_id().0
    }

    fn read(&self, bytes: &[u8]) -> (SocketAddr, u32, SocketAddr) {
        let message = Message::parse(bytes).expect("a message");
        let XorRelayedAddress(relayed) = message.require().expect("an address");
        let Lifetime(lifetime) = message.require().expect("a number");
        let XorMappedAddress(mapped) = message.require().expect("an address");
        (relayed, lifetime, mapped)
    }

    fn verify(&self, bytes: &[u8]) -> bool {
        let message = Message::parse(bytes).expect("a message");
        message.fingerprint() == Fingerprint::Right && message.authenticate(&self.0).is_ok()
    }

    fn build(&self, buffer: &mut Vec<u8>) {
        buffer.resize(128, 0);
        let id = TransactionId(ID);
        let len = MessageBuilder::new(Class::SuccessResponse, Method::ALLOCATE, id, buffer)
            .attribute(&XorRelayedAddress(ADDRESS))
            .attribute(&Lifetime(LIFETIME))
            .attribute(&XorMappedAddress(ADDRESS))
            .integrity(&self.0)
            .fingerprint()
            .finish()
            .expect("it fits");
        buffer.truncate(len);
    }
}
