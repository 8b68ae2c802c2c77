//! What all requests share: who asks, whether the nonce is good, and whether everything in them is known.

use std::sync::Arc;

use stunner_proto::{
    AttributeType, Class, Fingerprint, Message, Method,
    attribute::{AddressFamily, RequestedAddressFamily},
};

use super::{
    AllocationId, MAX_REPLY, Output, Refusal, Server,
    credentials::{Admitted, Known},
    response::Exchange,
};
use crate::{Client, Config};

/// More unknown attributes than this are not listed.
const MAX_UNKNOWN: usize = 64;

/// A request whose sender is who it says, and who may ask for what it asks. Only [`Server::request`] makes one.
pub(super) struct Request<'p> {
    pub(super) message: Message<'p>,
    pub(super) exchange: Exchange,
    pub(super) known: Arc<Known>,
    pub(super) now: u64,
}

/// What a handler has to say: the length of a success response in the reply, or why not.
pub(super) type Handled = Result<usize, Refusal>;

impl Server {
    /// Takes in a message. `None` when it is to be dropped.
    pub(super) fn message<'p>(
        &mut self,
        message: Message<'p>,
        from: Client,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<Output<'p>> {
        match message.class() {
            Class::Indication if message.method() == Method::SEND => self.send_indication(message, from, now),
            Class::Request if message.fingerprint() != Fingerprint::Wrong => {
                self.request(message, from, now, reply)
            }
            _ => None,
        }
    }

    fn request<'p>(
        &mut self,
        message: Message<'p>,
        from: Client,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<Output<'p>> {
        let mut exchange = Exchange::new(&message, from);
        match message.method() {
            Method::BINDING => return self.binding(message, &exchange, now, reply),
            Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND
                if !self.config.stun_only => {}
            Method::CONNECT | Method::CONNECTION_BIND if self.config.tcp && !self.config.stun_only => {}
            _ => return None,
        }
        let Admitted { message, known, answer } = match self.authenticate(message, from, now) {
            Ok(admitted) => admitted,
            Err(why) if why.is_challenge() && !self.may_challenge(from, now) => return None,
            Err(why) => return Some(Output::Reply(self.refuse(&exchange, why, reply, now))),
        };
        exchange.known = Some(known.clone());
        exchange.integrity = answer;
        let config = self.config.clone();
        let translated = translates(&message, from);
        let understood = |kind| knows(&config, kind) && !(translated && kind == AttributeType::DONT_FRAGMENT);
        if let Some(len) = self.refuse_if_unknown(&message, &exchange, understood, reply) {
            return Some(Output::Reply(len));
        }
        let request = Request { message, exchange, known, now };
        let handled = match message.method() {
            Method::ALLOCATE => self.allocate(&request, reply),
            Method::CONNECT => self.connect(&request),
            Method::CONNECTION_BIND => self.connection_bind(&request, reply),
            Method::REFRESH => self.refresh(&request, reply).map(Output::Reply),
            Method::CREATE_PERMISSION => self.create_permission(&request, reply).map(Output::Reply),
            _ => self.channel_bind(&request, reply).map(Output::Reply),
        };
        match handled {
            Ok(output) => Some(output),
            Err(Refusal::NotYet) if !from.tuple.transport.is_stream() => None,
            Err(why) => Some(Output::Reply(self.refuse(&request.exchange, why, reply, now))),
        }
    }

    /// A datagram's source can be forged, and whose it is gets the challenges.
    pub(super) fn may_challenge(&mut self, from: Client, now: u64) -> bool {
        let limit = self.config.max_challenges;
        from.tuple.transport.is_stream() || self.challenges.admits(from.tuple.client.ip(), limit, now)
    }

    /// Answers a request that carries comprehension-required attributes which are not `known`.
    pub(super) fn refuse_if_unknown(
        &mut self,
        message: &Message<'_>,
        exchange: &Exchange,
        known: impl Fn(AttributeType) -> bool,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<usize> {
        let mut unknown = [[0; 2]; MAX_UNKNOWN];
        let mut len = 0;
        let types = message.attributes().map(|attribute| attribute.kind);
        for kind in types.filter(|&kind| !known(kind)).take(MAX_UNKNOWN) {
            unknown[len] = kind.0.to_be_bytes();
            len += 1;
        }
        (len > 0).then(|| self.refuse_unknown(exchange, &unknown[..len], reply))
    }

    /// The allocation of who asks (437), made with the same credentials (441).
    pub(super) fn allocation_for(&self, request: &Request<'_>) -> Result<AllocationId, Refusal> {
        let id = self.table.by_tuple(&request.exchange.from.tuple).ok_or(Refusal::AllocationMismatch)?;
        let allocation = self.table.get(id).ok_or(Refusal::AllocationMismatch)?;
        if !allocation.is_live(request.now) {
            return Err(Refusal::AllocationMismatch);
        }
        if !allocation.rest.known.is_same_user(&request.known) {
            return Err(Refusal::WrongCredentials);
        }
        Ok(id)
    }
}

/// Whether an attribute does not stand in the way of a message: the server understands it, or may ignore it.
#[inline]
pub(super) fn knows(config: &Config, kind: AttributeType) -> bool {
    match kind {
        AttributeType::DONT_FRAGMENT => config.dont_fragment,
        AttributeType::CONNECTION_ID => config.tcp,
        AttributeType::ACCESS_TOKEN => config.oauth.is_some(),
        // Of ICE, whose checks are Binding requests: known, and of no meaning here.
        AttributeType::PRIORITY | AttributeType::USE_CANDIDATE => true,
        kind => !kind.is_required() || kind.is_required_by_turn(),
    }
}

/// Whether a request is an Allocate by which IPv4 would become IPv6. The DF bits of what comes in are out of sight, and
/// so DONT-FRAGMENT cannot be kept (RFC 8656, section 3.7).
fn translates(message: &Message<'_>, from: Client) -> bool {
    let to_v6 = || {
        message.contains(AttributeType::ADDITIONAL_ADDRESS_FAMILY)
            || message.get() == Ok(Some(RequestedAddressFamily(AddressFamily::V6)))
    };
    message.method() == Method::ALLOCATE && from.tuple.client.is_ipv4() && to_v6()
}

/// The family that a request names; one that does not exist is refused with `unknown`.
pub(super) fn requested_family(
    message: &Message<'_>,
    unknown: Refusal,
) -> Result<Option<AddressFamily>, Refusal> {
    let kind = AttributeType::REQUESTED_ADDRESS_FAMILY;
    match message.get::<RequestedAddressFamily>() {
        Ok(family) => Ok(family.map(|family| family.0)),
        Err(bad) => {
            let whole = message.attributes().any(|found| found.kind == kind && found.value.len() == 4);
            Err(if whole { unknown } else { bad.into() })
        }
    }
}
