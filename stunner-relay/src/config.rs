//! What a server is told once.

use std::{sync::Arc, time::Duration};

use crate::{Authenticator, LiveRelays, PeerPolicy};

/// Settings of a [`Server`](crate::Server). Durations count in whole seconds.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The domain of the credentials, at most 127 characters.
    pub realm: String,
    /// Who may use the server.
    pub authenticator: Arc<dyn Authenticator>,
    /// Which peers clients may reach.
    pub policy: Arc<dyn PeerPolicy>,
    /// The relayed transport addresses that are in use, across all workers.
    pub relays: Arc<LiveRelays>,
    /// What SOFTWARE says; nothing by default, since it tells attackers more than users.
    pub software: Option<String>,
    /// The lifetime of an allocation whose client asks for none, or less: 600 s.
    pub default_lifetime: Duration,
    /// The longest lifetime a client gets: 3,600 s.
    pub max_lifetime: Duration,
    /// How long a nonce is good for: 3,600 s.
    pub nonce_lifetime: Duration,
    /// Allocations in all, for each worker: 100,000.
    pub max_allocations: usize,
    /// Allocations of one user, for each worker; no limit by default.
    pub max_allocations_per_user: Option<usize>,
    /// Whether channel numbers 0x5000 to 0x7FFF may be bound, which RFC 5766 had and RFC 8656 reserves: no by default.
    /// Older clients choose them, coturn's among them.
    pub wide_channels: bool,
    /// Permissions of one allocation: 256.
    pub max_permissions: usize,
    /// Channels of one allocation: 256.
    pub max_channels: usize,
}

impl Config {
    /// The settings above, for these users and peers.
    #[must_use]
    pub fn new(realm: &str, authenticator: impl Authenticator, policy: impl PeerPolicy) -> Self {
        Self::shared(realm, Arc::new(authenticator), Arc::new(policy))
    }

    /// The same, where users and policy belong to others too.
    #[must_use]
    pub fn shared(realm: &str, authenticator: Arc<dyn Authenticator>, policy: Arc<dyn PeerPolicy>) -> Self {
        Self {
            realm: realm.to_owned(),
            authenticator,
            policy,
            relays: Arc::new(LiveRelays::default()),
            software: None,
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3_600),
            nonce_lifetime: Duration::from_secs(3_600),
            max_allocations: 100_000,
            max_allocations_per_user: None,
            wide_channels: false,
            max_permissions: 256,
            max_channels: 256,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("realm", &self.realm).finish_non_exhaustive()
    }
}
