//! Who may use the server: the seam for user databases, and the two kinds that need none.

use std::{sync::Arc, time::Duration};

use stunner_auth::{Secret, SharedSecrets};
use stunner_proto::{Key, attribute::Userhash};

use crate::Client;

/// Finds the credentials of who asks.
///
/// It is called while a request waits, on the thread that relays packets: it must answer from memory. A slow source
/// belongs behind a cache that a task of its own fills.
pub trait Authenticator: Send + Sync + 'static {
    /// Offers each credential that `who` may have (several while secrets are rotated) to `try_key`, until it returns
    /// `true`. Nothing offered means that the user is unknown.
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool);

    /// Whether users are found by [`UserId::Hash`] too, so that clients need not tell their names (RFC 8489, section
    /// 9.2, username anonymity). It is asked once, when a server starts or takes this authenticator.
    fn knows_hashes(&self) -> bool {
        false
    }
}

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Identity<'a> {
    /// The name in the request.
    pub user: UserId<'a>,
    /// The server's realm.
    pub realm: &'a str,
    /// What the key is to be made with.
    pub algorithm: Algorithm,
    /// Where the request came from.
    pub client: Client,
}

impl Identity<'_> {
    /// The key of a long-term credential, by the algorithm that is asked for.
    #[must_use]
    pub fn key(&self, username: &str, password: &str) -> Key {
        match self.algorithm {
            Algorithm::Md5 => Key::long_term(username, self.realm, password),
            Algorithm::Sha256 => Key::long_term_sha256(username, self.realm, password),
        }
    }
}

/// What a key is made of a password with (RFC 8489, section 18.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// MD5, which every client knows.
    Md5,
    /// SHA-256, where a client chose it.
    Sha256,
}

/// How a request names its user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UserId<'a> {
    /// USERNAME.
    Name(&'a str),
    /// USERHASH: SHA-256 of name and realm.
    Hash(&'a [u8; 32]),
}

/// What a request is checked with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Credential {
    /// The key of the long-term credential.
    pub key: Key,
    /// Whom quotas and events count it for.
    pub user: Box<str>,
    /// For how long the server may use the key again without asking: not at all by default.
    pub lifetime: Duration,
}

impl Credential {
    /// A key that is good for this request only.
    #[must_use]
    pub fn new(key: Key, user: &str) -> Self {
        Self { key, user: user.into(), lifetime: Duration::ZERO }
    }

    /// Lets the server keep the key for a while, so that it need not be made again for every allocation.
    #[must_use]
    pub fn good_for(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }
}

/// One user with one password, as most gateways have ("static" or "plaintext" in STUNner).
#[derive(Clone, Debug)]
pub struct StaticUser {
    username: Box<str>,
    password: Secret,
}

impl StaticUser {
    /// A user and the password.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.into(), password: password.into() }
    }
}

impl Authenticator for StaticUser {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let known = match who.user {
            UserId::Name(name) => *name == *self.username,
            UserId::Hash(hash) => *hash == Userhash::new(&self.username, who.realm).0,
        };
        if known {
            let key = who.key(&self.username, self.password.expose());
            try_key(Credential::new(key, &self.username).good_for(Duration::MAX));
        }
    }

    fn knows_hashes(&self) -> bool {
        true
    }
}

/// Time-limited users ("longterm" or "ephemeral" in STUNner, the TURN REST convention): the username holds the second at
/// which it expires, the password is its HMAC with a secret that the server shares with a web application.
#[derive(Clone, Debug)]
pub struct SharedSecret<T> {
    secrets: SharedSecrets,
    clock: T,
}

impl<T: TimeSource> SharedSecret<T> {
    /// One secret and a clock.
    #[must_use]
    pub fn new(secret: &str, clock: T) -> Self {
        Self::with(SharedSecrets::new(secret), clock)
    }

    /// Secrets that were set up elsewhere: with a leeway for clocks that differ, or with another algorithm.
    #[must_use]
    pub fn with(secrets: SharedSecrets, clock: T) -> Self {
        Self { secrets, clock }
    }

    /// Accepts another secret too, for as long as both are in use.
    #[must_use]
    pub fn or(mut self, secret: &str) -> Self {
        self.secrets = self.secrets.or(secret);
        self
    }
}

/// The user that counts for quotas and in events is what follows the time in `TIME:USER`, so that fresh credentials of
/// a user are the same user.
impl<T: TimeSource> Authenticator for SharedSecret<T> {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        // A name that is made of a time cannot be found by its hash.
        let UserId::Name(name) = who.user else { return };
        let Ok(admitted) = self.secrets.admit(name, self.clock.unix_seconds()) else { return };
        for password in self.secrets.passwords(name) {
            let credential = Credential::new(who.key(name, password.expose()), admitted.user);
            if try_key(credential.good_for(Duration::from_secs(admitted.left))) {
                return;
            }
        }
    }
}

/// Tells the time of day; a test gives its own.
pub trait TimeSource: Send + Sync + 'static {
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
}

impl<F: Fn() -> u64 + Send + Sync + 'static> TimeSource for F {
    fn unix_seconds(&self) -> u64 {
        self()
    }
}

impl<A: Authenticator> Authenticator for Arc<A> {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        (**self).credentials(who, try_key);
    }

    fn knows_hashes(&self) -> bool {
        (**self).knows_hashes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FiveTuple, ListenerId, Transport};

    /// What is offered to who asks under this name at the second 1000: whom it counts for, and for how long it is good.
    fn offered(secrets: &SharedSecret<impl TimeSource>, name: &str) -> Vec<(String, u64)> {
        let address = ([192, 0, 2, 1], 3478).into();
        let tuple = FiveTuple { client: address, server: address, transport: Transport::Udp };
        let client = Client { tuple, listener: ListenerId(0), link: 0 };
        let who = Identity { user: UserId::Name(name), realm: "realm", algorithm: Algorithm::Md5, client };
        let mut all = Vec::new();
        secrets.credentials(&who, &mut |credential| {
            all.push((credential.user.into(), credential.lifetime.as_secs()));
            false
        });
        all
    }

    #[test]
    fn rst_04_and_08_a_time_limited_name_counts_for_its_user_and_is_good_for_what_is_left() {
        let secrets = SharedSecret::new("north", || 1000);

        assert_eq!(offered(&secrets, "1060:alice"), [("alice".to_owned(), 60)]);
        assert_eq!(offered(&secrets, "1060"), [("1060".to_owned(), 60)]);
    }

    #[test]
    fn rst_05_during_a_rotation_there_is_a_key_for_each_secret() {
        let secrets = SharedSecret::new("north", || 1000).or("south");
        assert_eq!(offered(&secrets, "1000:alice"), vec![("alice".to_owned(), 0); 2]);
    }

    #[test]
    fn an_expired_name_is_unknown_once_the_leeway_is_over() {
        let with = |leeway| SharedSecret::with(SharedSecrets::new("north").leeway(leeway), || 1000);

        assert_eq!(offered(&with(1), "999:alice"), [("alice".to_owned(), 0)]);
        assert_eq!(offered(&with(0), "999:alice"), []);
        assert_eq!(offered(&with(0), "alice"), []);
    }
}
