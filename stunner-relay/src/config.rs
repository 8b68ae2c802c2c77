//! What a server is told once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{Authenticator, Bandwidth, Discovery, LiveRelays, OAuth, PeerPolicy};

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
    /// Whether SHA-256 is offered beside MD5 for the keys of credentials (RFC 8489, section 9.2): yes. Clients that know
    /// MD5 only pass over the offer.
    pub password_algorithms: bool,
    /// Whether SHA-256 is all that is offered: no. Clients that know MD5 only are left out, and as of today that is every
    /// browser.
    pub sha256_only: bool,
    /// Whether who shows no credentials is served all the same, with responses that carry no integrity: no. The
    /// authenticator is asked about those who show some.
    ///
    /// **This is an open relay.** Whoever reaches the server sends through it in its name, to all that the policy allows,
    /// and by an address that may be forged: allocations cost the sender nothing, and one client's five-tuple is all that
    /// another needs to end its allocation. RFC 8656, section 7.2, has it for servers which the access network offers to
    /// those who are in it (RFC 8155, section 5): keep it behind a firewall, and set the limits for
    /// [each network](Self::max_allocations_per_source) and [allocation](Self::allocation_bandwidth). What is nobody's counts
    /// as that of a user without a name.
    pub unauthenticated: bool,
    /// Where clients are sent that ask for an allocation, over the same transport, with the credentials that they have
    /// (300, RFC 8489, section 10): nowhere. One of each family is told. [`Server::drain`](crate::Server::drain) overrides it.
    pub alternates: Vec<SocketAddr>,
    /// The name in the certificate of the [alternates](Self::alternates), where theirs is another than this server's: clients
    /// that came over TLS or DTLS and chose SHA-256 are told it (RFC 8489, section 10). ASCII, at most 255 bytes.
    pub alternate_domain: Option<String>,
    /// Whether an allocation may be refreshed with the credentials that made it after those have expired: yes, so that a
    /// call is not cut by the end of a time-limited credential.
    pub sessions_outlive_credentials: bool,
    /// Whether an allocation may follow its client to another address (RFC 8016): no.
    pub mobility: bool,
    /// Who lets clients in by tokens, besides the authenticator (RFC 7635): nobody.
    pub oauth: Option<Arc<OAuth>>,
    /// Where clients can find out about NATs before them (RFC 5780): nowhere.
    pub discovery: Option<Discovery>,
    /// Whether Binding requests of classic STUN (RFC 3489) are answered: no.
    pub classic: bool,
    /// Whether Binding is all that is answered: no.
    pub stun_only: bool,
    /// Allocations in all, for each worker: 100,000.
    pub max_allocations: usize,
    /// Allocations of one user, for each worker; no limit by default.
    pub max_allocations_per_user: Option<usize>,
    /// Allocations of one network of clients, for each worker; no limit by default.
    pub max_allocations_per_source: Option<usize>,
    /// Challenges (401 and 438) that one address gets over UDP in a second; more requests are dropped: 200. It is what a
    /// sender of forged addresses can make this server send to their owners.
    pub max_challenges: u32,
    /// How many bits of an IPv4 and of an IPv6 address say which network it is in: 32 and 64.
    pub source_prefix: (u8, u8),
    /// Application data of one allocation, each way; no limit by default.
    pub allocation_bandwidth: Option<Bandwidth>,
    /// Application data of all allocations of one user on one worker, each way; no limit by default.
    pub user_bandwidth: Option<Bandwidth>,
    /// Whether the shell can set the DF bit where DONT-FRAGMENT asks for it; otherwise clients are told that the attribute
    /// is unknown (RFC 8656, section 7.2): no.
    pub dont_fragment: bool,
    /// Whether channel numbers 0x5000 to 0x7FFF may be bound, which RFC 5766 had and RFC 8656 reserves: no by default.
    /// Older clients choose them, coturn's among them.
    pub wide_channels: bool,
    /// Permissions of one allocation: 256.
    pub max_permissions: usize,
    /// Channels of one allocation: 256.
    pub max_channels: usize,
    /// Whether datagrams are relayed: yes.
    pub udp: bool,
    /// Whether connections are relayed for clients that come over TCP or TLS (RFC 6062): no. The shell must be able to.
    pub tcp: bool,
    /// Connections with peers of one allocation: 64.
    pub max_connections: usize,
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
            password_algorithms: true,
            sha256_only: false,
            unauthenticated: false,
            alternates: Vec::new(),
            alternate_domain: None,
            sessions_outlive_credentials: true,
            mobility: false,
            oauth: None,
            discovery: None,
            classic: false,
            stun_only: false,
            max_allocations: 100_000,
            max_allocations_per_user: None,
            max_allocations_per_source: None,
            max_challenges: 200,
            source_prefix: (32, 64),
            allocation_bandwidth: None,
            user_bandwidth: None,
            dont_fragment: false,
            wide_channels: false,
            max_permissions: 256,
            max_channels: 256,
            udp: true,
            tcp: false,
            max_connections: 64,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("realm", &self.realm).finish_non_exhaustive()
    }
}
