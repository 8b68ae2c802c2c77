//! Responses: what all have in common.

use std::sync::Arc;

use stunner_proto::{
    Class, Integrity, Message, MessageBuilder, Method, TransactionId,
    attribute::{ErrorCode, Nonce, Realm, Software, UnknownAttributes},
};

use super::{MAX_REPLY, Refusal, Server};
use crate::{Client, Credential};

/// What a response needs to know of its request.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) from: Client,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    /// What the response is signed with, once the request was authenticated.
    pub(super) signature: Option<(Arc<Credential>, Integrity)>,
}

impl Exchange {
    pub(super) fn new(message: &Message<'_>, from: Client) -> Self {
        Self { from, method: message.method(), id: message.transaction_id(), signature: None }
    }

    pub(super) fn success<'b>(&self, reply: &'b mut [u8; MAX_REPLY]) -> MessageBuilder<'b> {
        MessageBuilder::new(Class::SuccessResponse, self.method, self.id, reply)
    }
}

impl Server {
    /// Signs a success response and counts it.
    pub(super) fn succeed(&mut self, exchange: &Exchange, response: MessageBuilder<'_>) -> usize {
        self.counters.successes += 1;
        self.finish(exchange, response)
    }

    /// Writes an error response.
    pub(super) fn refuse(
        &mut self,
        exchange: &Exchange,
        why: Refusal,
        reply: &mut [u8; MAX_REPLY],
        now: u64,
    ) -> usize {
        self.counters.refusals += 1;
        let Ok(error) = ErrorCode::new(why.code(), why.reason()) else { return 0 };
        let response =
            MessageBuilder::new(Class::ErrorResponse, exchange.method, exchange.id, reply).attribute(&error);
        if !why.is_challenge() {
            return self.finish(exchange, response);
        }
        let nonce = self.nonces.make(exchange.from.tuple.client, now);
        let response = response
            .maybe(Realm::new(&self.config.realm).ok().as_ref())
            .maybe(Nonce::new(nonce.as_str()).ok().as_ref());
        // A challenge is not signed: the client has no valid credentials yet (RFC 8489, section 9.2.4).
        self.finish(&Exchange { signature: None, ..exchange.clone() }, response)
    }

    /// Writes a 420 with the list of what is unknown.
    pub(super) fn refuse_unknown(
        &mut self,
        exchange: &Exchange,
        types: &[[u8; 2]],
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        self.counters.refusals += 1;
        let why = Refusal::UnknownAttribute;
        let Ok(error) = ErrorCode::new(why.code(), why.reason()) else { return 0 };
        let response = MessageBuilder::new(Class::ErrorResponse, exchange.method, exchange.id, reply)
            .attribute(&error)
            .attribute(&UnknownAttributes::new(types));
        self.finish(exchange, response)
    }

    fn finish(&self, exchange: &Exchange, response: MessageBuilder<'_>) -> usize {
        let software = self.config.software.as_deref().and_then(|software| Software::new(software).ok());
        let response = response.maybe(software.as_ref());
        let response = match &exchange.signature {
            Some((credential, integrity)) => response.integrity_of(*integrity, &credential.key),
            None => response,
        };
        response.finish().expect("a response fits its buffer")
    }
}
