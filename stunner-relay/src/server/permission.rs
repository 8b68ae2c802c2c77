//! CreatePermission, and the rules that every peer's address must pass (RFC 8656, sections 9 and 10).

use std::net::{IpAddr, SocketAddr};

use stunner_proto::{
    Attribute, AttributeType,
    attribute::{AddressFamily, XorPeerAddress},
};

use super::{
    MAX_REPLY, Refusal, Server,
    allocation::{Allocation, Judged},
    request::{Handled, Request},
};
use crate::{Config, Verdict, policy};

/// More peers than this in one request are refused: no client needs them.
const MAX_PEERS: usize = 32;

impl Server {
    /// All or nothing: every peer is judged before any is permitted.
    pub(super) fn create_permission(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8; MAX_REPLY],
    ) -> Handled {
        let id = self.allocation_for(request)?;
        let Self { table, config, generation, .. } = self;
        let allocation = table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        let mut peers = [IpAddr::from([0; 4]); MAX_PEERS];
        let peers = self::peers(request, &mut peers)?;
        if peers.iter().any(|&peer| allocation.half(AddressFamily::of(peer), request.now).is_none()) {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        let mut judged = [Judged { verdict: Verdict::Deny, generation: *generation }; MAX_PEERS];
        for (&peer, judged) in peers.iter().zip(&mut judged) {
            judged.verdict = judge(config, allocation, peer, None, request.now)?;
        }
        allocation.permissions.make_room(peers, config.max_permissions, request.now)?;
        for (&peer, judged) in peers.iter().zip(judged) {
            allocation.permissions.install(peer, judged, request.now);
        }
        let response = request.exchange.success(reply);
        Ok(self.succeed(&request.exchange, response))
    }
}

/// The peers of a request, each once.
fn peers<'a>(request: &Request<'_>, peers: &'a mut [IpAddr; MAX_PEERS]) -> Result<&'a [IpAddr], Refusal> {
    let kind = AttributeType::XOR_PEER_ADDRESS;
    let mut len = 0;
    for attribute in request.message.attributes().filter(|attribute| attribute.kind == kind) {
        let XorPeerAddress(peer) = XorPeerAddress::decode(attribute.value, request.exchange.id)?;
        if !peers[..len].contains(&peer.ip()) {
            *peers.get_mut(len).ok_or(Refusal::InsufficientCapacity)? = peer.ip();
            len += 1;
        }
    }
    if len == 0 { Err(Refusal::BadRequest) } else { Ok(&peers[..len]) }
}

/// What to say about a peer: 443 where its family is another, 403 where policy says no.
pub(super) fn judge(
    config: &Config,
    allocation: &Allocation,
    peer: IpAddr,
    port: Option<u16>,
    now: u64,
) -> Result<Verdict, Refusal> {
    if allocation.half(AddressFamily::of(peer), now).is_none() {
        return Err(Refusal::PeerAddressFamilyMismatch);
    }
    match verdict(config, allocation, peer, port) {
        Verdict::Deny => Err(Refusal::Forbidden),
        Verdict::NotYet => Err(Refusal::NotYet),
        verdict => Ok(verdict),
    }
}

/// What the policy says about a peer, and about one of our own relayed transport addresses if it leaves those to us.
fn verdict(config: &Config, allocation: &Allocation, peer: IpAddr, port: Option<u16>) -> Verdict {
    let Some(canonical) = policy::canonical(peer) else { return Verdict::Deny };
    let verdict = config.policy.judge(canonical, port, &allocation.client, &allocation.rest.known.user);
    if verdict == Verdict::Allow || !config.policy.relay_to_relay() || !config.relays.has_address(peer) {
        return verdict;
    }
    match port {
        // It depends on whether the port is a live relay's.
        None => Verdict::AskPort,
        Some(port) if config.relays.is_live(SocketAddr::new(peer, port)) => Verdict::AskPort,
        Some(_) => verdict,
    }
}

/// Whether a packet to or from a permitted peer may pass now, where that depends on its port.
#[inline]
pub(super) fn passes(config: &Config, allocation: &Allocation, verdict: Verdict, peer: SocketAddr) -> bool {
    match verdict {
        Verdict::Allow => true,
        Verdict::Deny | Verdict::NotYet => false,
        Verdict::AskPort => self::verdict(config, allocation, peer.ip(), Some(peer.port())).permits(),
    }
}

/// What the policy that is in force now says about a peer, or about one port of it, that an earlier policy permitted.
#[cold]
pub(super) fn judge_again(
    config: &Config,
    allocation: &Allocation,
    peer: IpAddr,
    port: Option<u16>,
    generation: u32,
) -> Judged {
    let of_peer = verdict(config, allocation, peer, None);
    let of_port = verdict(config, allocation, peer, port);
    let verdict = if of_peer.permits() && !of_port.permits() { of_port } else { of_peer };
    Judged { verdict, generation }
}
