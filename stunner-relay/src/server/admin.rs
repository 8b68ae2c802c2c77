//! What whoever runs a server can ask of it and tell it while it runs.

use std::{net::SocketAddr, sync::Arc};

use super::{AllocationId, FAMILIES, Half, Server, credentials, millis};
use crate::{Client, Closed, Config, Traffic};

/// One allocation, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AllocationInfo {
    /// Its handle.
    pub id: AllocationId,
    /// Who has it.
    pub client: Client,
    /// Whose credentials it was made with.
    pub user: Box<str>,
    /// Its relayed transport addresses, IPv4 and IPv6, as peers see them.
    pub relayed: [Option<SocketAddr>; 2],
    /// For how many milliseconds it lives yet, unless it is refreshed.
    pub expires_in: u64,
    /// What it has carried so far.
    pub traffic: Traffic,
}

impl Server {
    /// A page of the allocations, from `place` on, with the place where the next page begins: none of them is copied
    /// that is not taken. 0 is the first place. What is opened or closed meanwhile may be missed; nothing comes twice.
    pub fn allocations(
        &self,
        place: usize,
        now: std::time::Instant,
    ) -> impl Iterator<Item = (usize, AllocationInfo)> {
        let now = self.time(now);
        self.table.from(place).map(move |(next, id, allocation)| {
            let traffic = allocation.halves().fold(Traffic::default(), |sum, half| sum + half.traffic);
            let info = AllocationInfo {
                id,
                client: allocation.client,
                user: allocation.rest.known.user.clone(),
                relayed: FAMILIES.map(|family| allocation.half_of(family).map(Half::relayed)),
                expires_in: allocation.lives_for(now).1,
                traffic,
            };
            (next, info)
        })
    }

    /// Ends one allocation. `false` when there is none of this handle any more.
    pub fn end_allocation(&mut self, id: AllocationId) -> bool {
        let there = self.table.get(id).is_some();
        self.end(id, Closed::Ended);
        there
    }

    /// Ends all allocations of a user, and says how many there were.
    pub fn end_user(&mut self, user: &str) -> usize {
        let mut ended = 0;
        while let Some(id) = self.table.any_of_user(user) {
            self.end(id, Closed::Ended);
            ended += 1;
        }
        ended
    }

    /// Makes no more allocations: who asks for one is sent to `alternates` (300, RFC 8489, section 10), or told that
    /// there is no capacity (508) where none is named. Those there are go on.
    pub fn drain(&mut self, alternates: &[SocketAddr]) {
        self.draining = Some(alternates.into());
    }

    /// Makes allocations again, unless its settings [send clients elsewhere](Config::alternates).
    pub fn resume(&mut self) {
        self.draining = None;
    }

    /// Takes other settings. Live allocations go on; their permissions and channels are judged anew by the new policy
    /// as their next packets come. Unless [sessions outlive their credentials](Config::sessions_outlive_credentials), their
    /// next requests need credentials that the new authenticator knows.
    ///
    /// `config.relays` must be what it was, and so must the realm, unless clients are to authenticate anew.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        let features = credentials::features(&config);
        self.nonces.announce(features, millis(config.nonce_lifetime));
        self.keys = credentials::Keys::default();
        self.generation = self.generation.wrapping_add(1);
        self.config = config;
    }
}
