//! Clients of classic STUN (RFC 3489), which have no magic cookie: answered where that is asked for (RFC 8489, section 11).

use stunner_proto::{
    AttributeType, Class, Classic, MessageBuilder, Method,
    attribute::{ErrorCode, MappedAddress, UnknownAttributes},
};

use super::{MAX_REPLY, Server};
use crate::{Client, Transport};

/// More unknown attributes than this are not listed.
const MAX_UNKNOWN: usize = 8;

impl Server {
    /// Takes in what is a message but for the cookie; returns the length of a response.
    pub(super) fn classic(
        &mut self,
        packet: &[u8],
        from: Client,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<usize> {
        let request = Classic::parse(packet).ok().filter(|message| message.class() == Class::Request)?;
        // DTLS is younger than the cookie: who has the one and not the other is mistaken (RFC 7350, section 3).
        if from.tuple.transport == Transport::Dtls {
            return self.refuse_classic(&request, &ErrorCode::SERVER_ERROR, &[], reply);
        }
        if !self.config.classic || request.method() != Method::BINDING {
            return None;
        }
        let mut unknown = [[0; 2]; MAX_UNKNOWN];
        let mut len = 0;
        let kinds = request.attributes().map(|attribute| attribute.kind);
        for kind in kinds.filter(|&kind| kind.is_required() && !means_nothing(kind)).take(MAX_UNKNOWN) {
            unknown[len] = kind.0.to_be_bytes();
            len += 1;
        }
        if len > 0 {
            return self.refuse_classic(&request, &ErrorCode::UNKNOWN_ATTRIBUTE, &unknown[..len], reply);
        }
        self.counters.successes += 1;
        MessageBuilder::classic_response(&request, Class::SuccessResponse, reply)
            .attribute(&MappedAddress(from.tuple.client))
            .finish()
            .ok()
    }

    fn refuse_classic(
        &mut self,
        request: &Classic<'_>,
        error: &ErrorCode<'_>,
        unknown: &[[u8; 2]],
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<usize> {
        self.counters.refusals += 1;
        self.counters.refused.count(error.code());
        let unknown = (!unknown.is_empty()).then(|| UnknownAttributes::new(unknown));
        let response = MessageBuilder::classic_response(request, Class::ErrorResponse, reply);
        response.attribute(error).maybe(unknown.as_ref()).finish().ok()
    }
}

/// Whether a public server may pass over an attribute: nobody needs a password to ask for an address. What asks for
/// answers from or to elsewhere is not passed over, since the answer would mean something else.
const fn means_nothing(kind: AttributeType) -> bool {
    matches!(kind, AttributeType::USERNAME | AttributeType::MESSAGE_INTEGRITY)
}
