//! What all requests share: who asks, whether the nonce is good, and whether everything in them is known.

use std::sync::Arc;

use stunner_proto::{
    AttributeType, Authenticated, BadAttribute, Class, Fingerprint, IntegrityError, Message, Method,
    attribute::{Nonce, Realm, Username, XorMappedAddress},
};

use super::{MAX_REPLY, Output, Refusal, RelayId, Server, response::Exchange};
use crate::{Client, Credential, Identity, UserId};

/// More unknown attributes than this are not listed.
const MAX_UNKNOWN: usize = 64;

/// A request whose sender is who it says, and who may ask for what it asks.
pub(super) struct Request<'p> {
    pub(super) message: Authenticated<'p>,
    pub(super) exchange: Exchange,
    pub(super) credential: Arc<Credential>,
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
            Method::BINDING => return Some(Output::Reply(self.binding(message, &exchange, reply))),
            Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND => {}
            _ => return None,
        }
        let (message, credential) = match self.authenticate(message, from, now) {
            Ok(authenticated) => authenticated,
            Err(why) => return Some(Output::Reply(self.refuse(&exchange, why, reply, now))),
        };
        exchange.signature = Some((credential.clone(), message.integrity()));
        let mut unknown = [[0; 2]; MAX_UNKNOWN];
        let unknown = unknown_attributes(&message, &mut unknown);
        if !unknown.is_empty() {
            return Some(Output::Reply(self.refuse_unknown(&exchange, unknown, reply)));
        }
        let request = Request { message, exchange, credential, now };
        let handled = match message.method() {
            Method::ALLOCATE => match self.allocate(&request, reply) {
                Ok(Output::Reply(len)) => Ok(len),
                Ok(output) => return Some(output),
                Err(why) => Err(why),
            },
            Method::REFRESH => self.refresh(&request, reply),
            Method::CREATE_PERMISSION => self.create_permission(&request, reply),
            _ => self.channel_bind(&request, reply),
        };
        Some(Output::Reply(handled.unwrap_or_else(|why| self.refuse(&request.exchange, why, reply, now))))
    }

    /// Binding needs no credentials (RFC 8489, section 12).
    fn binding(&mut self, message: Message<'_>, exchange: &Exchange, reply: &mut [u8; MAX_REPLY]) -> usize {
        let mut unknown = [[0; 2]; MAX_UNKNOWN];
        let unknown = unknown_attributes(&message, &mut unknown);
        if !unknown.is_empty() {
            return self.refuse_unknown(exchange, unknown, reply);
        }
        let response = exchange.success(reply).attribute(&XorMappedAddress(exchange.from.tuple.client));
        self.succeed(exchange, response)
    }

    /// The checks of RFC 8489, section 9.2.4, in its order; the nonce comes last.
    fn authenticate<'p>(
        &self,
        message: Message<'p>,
        from: Client,
        now: u64,
    ) -> Result<(Authenticated<'p>, Arc<Credential>), Refusal> {
        let signed = message.contains(AttributeType::MESSAGE_INTEGRITY)
            || message.contains(AttributeType::MESSAGE_INTEGRITY_SHA256);
        if !signed {
            return Err(Refusal::Unauthenticated);
        }
        let username = unless_malformed(message.require::<Username<'_>>())?;
        let realm = unless_malformed(message.require::<Realm<'_>>())?;
        let nonce = unless_malformed(message.require::<Nonce<'_>>())?;
        if realm.as_str() != self.config.realm {
            return Err(Refusal::Unauthenticated);
        }
        let found = self.table.by_tuple(&from.tuple).and_then(|relay| self.table.get(relay));
        let known =
            found.map(|allocation| &allocation.credential).filter(|known| *known.user == *username.as_str());
        let authenticated =
            match known.and_then(|known| Some((message.authenticate(&known.key).ok()?, known.clone()))) {
                Some(authenticated) => authenticated,
                None => self.try_credentials(message, username.as_str(), from)?,
            };
        let repeated = message.method() == Method::ALLOCATE
            && found.is_some_and(|allocation| allocation.created_by == message.transaction_id());
        if repeated || self.nonces.is_valid(nonce.as_str(), from.tuple.client, now) {
            Ok(authenticated)
        } else {
            Err(Refusal::StaleNonce)
        }
    }

    fn try_credentials<'p>(
        &self,
        message: Message<'p>,
        username: &str,
        client: Client,
    ) -> Result<(Authenticated<'p>, Arc<Credential>), Refusal> {
        let who = Identity { user: UserId::Name(username), realm: &self.config.realm, client };
        let mut authenticated = Err(IntegrityError::Missing);
        let mut credential = None;
        self.config.authenticator.credentials(&who, &mut |offered| {
            authenticated = message.authenticate(&offered.key);
            credential = Some(offered);
            authenticated.is_ok()
        });
        match (authenticated, credential) {
            (Ok(message), Some(credential)) => Ok((message, Arc::new(credential))),
            _ => Err(Refusal::Unauthenticated),
        }
    }

    /// The allocation of who asks (437), made with the same credentials (441).
    pub(super) fn allocation_of(&self, request: &Request<'_>) -> Result<RelayId, Refusal> {
        let relay = self.table.by_tuple(&request.exchange.from.tuple).ok_or(Refusal::AllocationMismatch)?;
        let allocation = self.table.get(relay).ok_or(Refusal::AllocationMismatch)?;
        if allocation.expires <= request.now {
            return Err(Refusal::AllocationMismatch);
        }
        if allocation.credential.user != request.credential.user {
            return Err(Refusal::WrongCredentials);
        }
        Ok(relay)
    }
}

/// Text that is no text cannot be anybody's name: that is a wrong credential (401), and a missing one a bad request (400).
fn unless_malformed<T>(attribute: Result<T, BadAttribute>) -> Result<T, Refusal> {
    attribute.map_err(|bad| match bad {
        BadAttribute::Malformed(_) => Refusal::Unauthenticated,
        missing => missing.into(),
    })
}

/// The comprehension-required attributes that this server does not know.
fn unknown_attributes<'u>(message: &Message<'_>, unknown: &'u mut [[u8; 2]; MAX_UNKNOWN]) -> &'u [[u8; 2]] {
    let types = message.attributes().map(|attribute| attribute.kind);
    let mut len = 0;
    for kind in types.filter(|&kind| kind.is_required() && !is_known(kind)).take(MAX_UNKNOWN) {
        unknown[len] = kind.0.to_be_bytes();
        len += 1;
    }
    &unknown[..len]
}

/// Below 0x8000, what the server understands, or knows to mean nothing in what it is sent.
pub(super) const fn is_known(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::MAPPED_ADDRESS
            | AttributeType::USERNAME
            | AttributeType::MESSAGE_INTEGRITY
            | AttributeType::ERROR_CODE
            | AttributeType::UNKNOWN_ATTRIBUTES
            | AttributeType::CHANNEL_NUMBER
            | AttributeType::LIFETIME
            | AttributeType::XOR_PEER_ADDRESS
            | AttributeType::DATA
            | AttributeType::REALM
            | AttributeType::NONCE
            | AttributeType::XOR_RELAYED_ADDRESS
            | AttributeType::REQUESTED_ADDRESS_FAMILY
            | AttributeType::EVEN_PORT
            | AttributeType::REQUESTED_TRANSPORT
            | AttributeType::DONT_FRAGMENT
            | AttributeType::MESSAGE_INTEGRITY_SHA256
            | AttributeType::XOR_MAPPED_ADDRESS
            | AttributeType::RESERVATION_TOKEN
            | AttributeType::PRIORITY
            | AttributeType::USE_CANDIDATE
    )
}
