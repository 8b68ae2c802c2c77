//! CreatePermission, and the rules that every peer's address must pass (RFC 8656, sections 9 and 10).

use std::net::{IpAddr, SocketAddr};

use stunner_proto::{
    Attribute, AttributeType,
    attribute::{AddressFamily, XorPeerAddress},
};

use super::{
    MAX_REPLY, Refusal, Server,
    allocation::Allocation,
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
        let relay = self.allocation_of(request)?;
        let Self { table, config, .. } = self;
        let allocation = table.get_mut(relay).ok_or(Refusal::AllocationMismatch)?;
        let mut peers = [IpAddr::from([0; 4]); MAX_PEERS];
        let mut verdicts = [Verdict::Deny; MAX_PEERS];
        let mut len = 0;
        let kind = AttributeType::XOR_PEER_ADDRESS;
        for attribute in request.message.attributes().filter(|attribute| attribute.kind == kind) {
            if len == MAX_PEERS {
                return Err(Refusal::InsufficientCapacity);
            }
            let XorPeerAddress(peer) = XorPeerAddress::decode(attribute.value, request.exchange.id)?;
            verdicts[len] = judge(config, allocation, peer.ip(), None)?;
            peers[len] = peer.ip();
            len += 1;
        }
        if len == 0 {
            return Err(Refusal::BadRequest);
        }
        allocation.permissions.make_room(&peers[..len], config.max_permissions, request.now)?;
        for (&peer, &verdict) in peers.iter().zip(&verdicts).take(len) {
            allocation.permissions.install(peer, verdict, request.now);
        }
        let response = request.exchange.success(reply);
        Ok(self.succeed(&request.exchange, response))
    }
}

/// What to say about a peer: 443 where its family is another, 403 where policy says no.
pub(super) fn judge(
    config: &Config,
    allocation: &Allocation,
    peer: IpAddr,
    port: Option<u16>,
) -> Result<Verdict, Refusal> {
    if AddressFamily::of(peer) != AddressFamily::of(allocation.relayed.ip()) {
        return Err(Refusal::PeerAddressFamilyMismatch);
    }
    let canonical = policy::canonical(peer).ok_or(Refusal::Forbidden)?;
    let verdict = config.policy.judge(canonical, port, &allocation.client, &allocation.credential.user);
    let verdict = match (verdict, port) {
        (Verdict::Allow, _) => Verdict::Allow,
        (other, _) if !config.policy.relay_to_relay() || !config.relays.has_address(peer) => other,
        // One of our own addresses: it depends on whether the port is a live relay's.
        (_, None) => Verdict::AskPort,
        (other, Some(port)) => {
            if config.relays.is_live(SocketAddr::new(peer, port)) {
                Verdict::AskPort
            } else {
                other
            }
        }
    };
    if verdict == Verdict::Deny { Err(Refusal::Forbidden) } else { Ok(verdict) }
}

/// Whether a packet to or from a permitted peer may pass, where that depends on its port.
#[inline]
pub(super) fn port_passes(
    config: &Config,
    allocation: &Allocation,
    verdict: Verdict,
    peer: SocketAddr,
) -> bool {
    match verdict {
        Verdict::Allow => true,
        Verdict::Deny => false,
        Verdict::AskPort => judge(config, allocation, peer.ip(), Some(peer.port())).is_ok(),
    }
}
