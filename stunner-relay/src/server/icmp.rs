//! ICMP errors that came back to a relayed transport address (RFC 8656, section 11.5).

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use rand::Rng;
use stunner_proto::{
    Class, MessageBuilder, Method, TransactionId,
    attribute::{Icmp, XorPeerAddress},
};

use super::{MAX_REPLY, RelayId, Server, permission::passes};
use crate::Client;

/// An ICMP error as the kernel tells of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IcmpError {
    /// Its type: of ICMP or of ICMPv6, as the peer's address is.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The next hop's MTU, where the error is about that.
    pub mtu: u32,
}

impl IcmpError {
    /// What a client is told of it; `None` of what is none of its business.
    fn attribute(self, peer: IpAddr) -> Option<Icmp> {
        let known = match peer {
            IpAddr::V4(_) => matches!(self.kind, 3 | 11),
            IpAddr::V6(_) => matches!(self.kind, 1..=3),
        };
        let too_big = match peer {
            IpAddr::V4(_) => (self.kind, self.code) == (3, 4),
            IpAddr::V6(_) => self.kind == 2,
        };
        let data = if too_big { self.mtu } else { 0 };
        known.then_some(Icmp { kind: self.kind, code: self.code, data })
    }
}

impl Server {
    /// Takes in an ICMP error about a datagram that was sent from a relayed transport address to `peer`, as far as the
    /// error quotes it (port 0 where it does not tell). A Data indication for the client is written to `reply`; `None`
    /// where the client did not permit the peer, or the error is of a kind that is not told.
    pub fn handle_icmp(
        &mut self,
        error: IcmpError,
        peer: SocketAddr,
        relay: RelayId,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<(Client, usize)> {
        let now = self.time(now);
        let icmp = error.attribute(peer.ip())?;
        let judged = self.permission(relay.allocation, peer, now)?;
        let allocation = self.table.get(relay.allocation).filter(|allocation| !allocation.is_stranded())?;
        allocation.half(relay.family, now)?;
        // No policy says anything about a port that is not known.
        if peer.port() != 0 && !passes(&self.config, allocation, judged.verdict, peer) {
            return None;
        }
        let client = allocation.client;
        let id = TransactionId(self.rng.random());
        let len = MessageBuilder::new(Class::Indication, Method::DATA, id, reply)
            .attribute(&XorPeerAddress(peer))
            .attribute(&icmp)
            .finish()
            .expect("an ICMP error fits a reply");
        self.counters.icmp_errors += 1;
        Some((client, len))
    }
}
