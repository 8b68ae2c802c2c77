//! Clients that reach one another, and nobody else.

use std::{net::IpAddr, sync::Arc};

use super::{Cidr, PeerPolicy, Replicas, Verdict};
use crate::Client;

/// Clients of this server, and of its replicas, reach one another and nothing else, so that it is no open relay at all.
#[derive(Clone, Debug, Default)]
pub struct RelayOnly {
    allowed: Vec<Cidr>,
    replicas: Option<Arc<Replicas>>,
}

impl RelayOnly {
    /// Live relayed transport addresses of this server only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens one range besides.
    #[must_use]
    pub fn allow(mut self, range: Cidr) -> Self {
        self.allowed.push(range);
        self
    }

    /// Opens the relayed transport addresses of the other replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: Arc<Replicas>) -> Self {
        self.replicas = Some(replicas);
        self
    }
}

impl PeerPolicy for RelayOnly {
    fn judge(&self, peer: IpAddr, port: Option<u16>, _: &Client, _: &str) -> Verdict {
        if self.allowed.iter().any(|range| range.contains(peer)) {
            return Verdict::Allow;
        }
        self.replicas.as_ref().map_or(Verdict::Deny, |replicas| replicas.judge(peer, port))
    }
}
