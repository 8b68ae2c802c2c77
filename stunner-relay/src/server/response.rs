//! Responses: what all have in common.

use std::{net::SocketAddr, sync::Arc};

use stunner_proto::{
    AttributeType, Class, Integrity, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        AlternateDomain, AlternateServer, Nonce, Realm, Software, ThirdPartyAuthorization,
        TransactionTransmitCounter, UnknownAttributes,
    },
};

use super::{
    MAX_REPLY, Refusal, Server,
    credentials::{Known, offer},
};
use crate::{Client, Transport};

/// What a response needs to know of its request.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) from: Client,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    /// Who asks, once the request was admitted.
    pub(super) known: Option<Arc<Known>>,
    /// Which integrity the response carries: none before the request was admitted, or where it needed none.
    pub(super) integrity: Option<Integrity>,
    /// Whether the request had a FINGERPRINT, and so the response has one.
    pub(super) fingerprint: bool,
    /// Which transmission the request is, if it says so; of responses none are counted, since none are remembered.
    pub(super) transmission: Option<TransactionTransmitCounter>,
}

impl Exchange {
    pub(super) fn new(message: &Message<'_>, from: Client) -> Self {
        let fingerprint = message.contains(AttributeType::FINGERPRINT);
        // One that is malformed is as good as none: it is optional.
        let transmission = message.get::<TransactionTransmitCounter>().ok().flatten();
        Self {
            from,
            method: message.method(),
            id: message.transaction_id(),
            known: None,
            integrity: None,
            fingerprint,
            transmission: transmission.map(|sent| TransactionTransmitCounter { responses: 0, ..sent }),
        }
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
        let response = self.error(exchange, why, reply);
        if why == Refusal::TryAlternate {
            return self.finish(exchange, self.name_alternates(exchange, response));
        }
        if !why.is_challenge() {
            return self.finish(exchange, response);
        }
        let third_party = self.config.oauth.as_ref();
        let third_party =
            third_party.and_then(|oauth| ThirdPartyAuthorization::new(oauth.server_name()).ok());
        let nonce = self.nonces.make(exchange.from.tuple.client, now);
        let response = response
            .maybe(Realm::new(&self.config.realm).ok().as_ref())
            .maybe(Nonce::new(nonce.as_str()).ok().as_ref())
            .maybe(offer(&self.config).as_ref())
            .maybe(third_party.as_ref());
        // A challenge is not signed: the client has no valid credentials yet (RFC 8489, section 9.2.4).
        self.finish(&Exchange { integrity: None, ..exchange.clone() }, response)
    }

    /// Writes a 420 with the list of what is unknown.
    pub(super) fn refuse_unknown(
        &mut self,
        exchange: &Exchange,
        types: &[[u8; 2]],
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let response = self.error(exchange, Refusal::UnknownAttribute, reply);
        self.finish(exchange, response.attribute(&UnknownAttributes::new(types)))
    }

    /// Begins an error response and counts it.
    fn error<'b>(
        &mut self,
        exchange: &Exchange,
        why: Refusal,
        reply: &'b mut [u8; MAX_REPLY],
    ) -> MessageBuilder<'b> {
        self.counters.refusals += 1;
        self.counters.refused.count(why.code());
        let response = MessageBuilder::new(Class::ErrorResponse, exchange.method, exchange.id, reply);
        response.attribute(&why.error())
    }

    /// Where new clients are sent; nowhere when it is empty.
    pub(super) fn alternates(&self) -> &[SocketAddr] {
        self.draining.as_deref().unwrap_or(&self.config.alternates)
    }

    /// Where to go instead: an address of the client's own family first, and whose certificate it has (RFC 8489, section
    /// 10).
    fn name_alternates<'b>(&self, exchange: &Exchange, response: MessageBuilder<'b>) -> MessageBuilder<'b> {
        let all = self.alternates().iter();
        let is_own = |other: &&SocketAddr| other.is_ipv4() == exchange.from.tuple.client.is_ipv4();
        let own = all.clone().find(is_own).copied().map(AlternateServer);
        let other = all.clone().find(|other| !is_own(other)).copied().map(AlternateServer);
        let certified = matches!(exchange.from.tuple.transport, Transport::Tls | Transport::Dtls)
            && exchange.integrity == Some(Integrity::Sha256);
        let domain = self.config.alternate_domain.as_deref().filter(|_| certified);
        let domain = domain.and_then(|domain| AlternateDomain::new(domain).ok());
        response.maybe(own.as_ref()).maybe(other.as_ref()).maybe(domain.as_ref())
    }

    fn finish(&self, exchange: &Exchange, response: MessageBuilder<'_>) -> usize {
        let software = self.config.software.as_deref().and_then(|software| Software::new(software).ok());
        let response = response.maybe(software.as_ref()).maybe(exchange.transmission.as_ref());
        let response = match (&exchange.known, exchange.integrity) {
            (Some(known), Some(integrity)) => response.integrity_of(integrity, &known.key),
            _ => response,
        };
        let response = if exchange.fingerprint { response.fingerprint() } else { response };
        response.finish().expect("a response fits its buffer")
    }
}
