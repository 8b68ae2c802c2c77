//! Who may use the server: the seam for user databases, and the two kinds that need none.

use std::sync::Arc;

use stunner_auth::{Secret, SharedSecrets};
use stunner_proto::Key;

use crate::Client;

/// Finds the credentials of who asks.
///
/// It is called while a request waits, on the thread that relays packets: it must answer from memory. A slow source
/// belongs behind a cache that a task of its own fills.
pub trait Authenticator: Send + Sync + 'static {
    /// Offers each credential that `who` may have (several while secrets are rotated) to `try_key`, until it returns
    /// `true`. Nothing offered means that the user is unknown.
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool);
}

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Identity<'a> {
    /// The name in the request.
    pub user: UserId<'a>,
    /// The server's realm.
    pub realm: &'a str,
    /// Where the request came from.
    pub client: Client,
}

/// How a request names its user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UserId<'a> {
    /// USERNAME.
    Name(&'a str),
}

/// What a request is checked with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The key of the long-term credential.
    pub key: Key,
    /// Whom quotas and events count it for.
    pub user: Box<str>,
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
        let UserId::Name(name) = who.user;
        if name == &*self.username {
            let key = Key::long_term(name, who.realm, self.password.expose());
            try_key(Credential { key, user: name.into() });
        }
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
        let UserId::Name(name) = who.user;
        let Ok(admitted) = self.secrets.admit(name, self.clock.unix_seconds()) else { return };
        for password in self.secrets.passwords(name) {
            let key = Key::long_term(name, who.realm, password.expose());
            if try_key(Credential { key, user: admitted.user.into() }) {
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
}
