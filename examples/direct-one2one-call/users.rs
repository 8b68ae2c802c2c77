//! Who may use TURN, while credentials change: the old ones are good for as long as somebody may hold them.

use std::sync::{Arc, PoisonError, RwLock};

use stunner_auth::{Auth, AuthKind, TimeLimited};
use stunner_relay::{
    Authenticator, Credential, Identity, SharedSecret, StaticUser, SystemClock, TimeSource, UserId,
};

/// For how long the server may use a key without asking again: a change is to reach users that it knows, too.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(60);

/// The credentials that are good now. Copies share them.
#[derive(Clone)]
pub(crate) struct Users<T = SystemClock> {
    all: Arc<RwLock<Vec<Accepted>>>,
    clock: T,
}

struct Accepted {
    auth: Auth,
    check: Arc<dyn Authenticator>,
    /// When the last of those who hold them has none any more, in seconds since 1970; `None` for those in use.
    until: Option<u64>,
}

impl<T: TimeSource + Clone> Users<T> {
    pub(crate) fn new(auth: &Auth, previous: Option<&Auth>, clock: T) -> Self {
        let users = Self { all: Arc::default(), clock };
        users.change(auth, previous, 0);
        users
    }

    /// From now on these are in use, and those that are named as the previous ones. All others are accepted for so many
    /// seconds more, unless they come back.
    pub(crate) fn change(&self, auth: &Auth, previous: Option<&Auth>, overlap: u64) {
        let now = self.clock.unix_seconds();
        let named = [Some(auth), previous];
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|accepted| {
            !named.contains(&Some(&accepted.auth)) && accepted.until.is_none_or(|until| until >= now)
        });
        for accepted in all.iter_mut() {
            accepted.until.get_or_insert(now.saturating_add(overlap));
        }
        for auth in named.into_iter().flatten() {
            if let Some(check) = check(auth, &self.clock) {
                all.push(Accepted { auth: auth.clone(), check, until: None });
            }
        }
    }
}

/// What the credentials of a kind are checked with; nothing where nobody has any.
fn check<T: TimeSource + Clone>(auth: &Auth, clock: &T) -> Option<Arc<dyn Authenticator>> {
    match &auth.kind {
        AuthKind::Static { username, password } => {
            Some(Arc::new(StaticUser::new(username, password.expose())))
        }
        AuthKind::TimeLimited { .. } | AuthKind::None => {
            auth.shared_secrets().map(|secrets| Arc::new(SharedSecret::with(secrets, clock.clone())) as _)
        }
    }
}

impl Accepted {
    /// For how many seconds more a user is let in; `None` for one that has come too late. What was made with an old secret
    /// ends while it is accepted: whoever knows the secret can make no more.
    fn left(&self, who: &Identity<'_>, now: u64) -> Option<u64> {
        let Some(until) = self.until else { return Some(u64::MAX) };
        let left = until.checked_sub(now)?;
        match (&self.auth.kind, who.user) {
            (AuthKind::TimeLimited { .. }, UserId::Name(name)) => {
                let expires = TimeLimited::parse(name)?.expires;
                (i128::from(expires) <= i128::from(until)).then_some(left)
            }
            _ => Some(left),
        }
    }
}

impl<T: TimeSource> Authenticator for Users<T> {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let now = self.clock.unix_seconds();
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = false;
        for accepted in all.iter() {
            let Some(left) = accepted.left(who, now).filter(|_| !found) else { continue };
            accepted.check.credentials(who, &mut |mut credential| {
                let longest = REMEMBERED.min(std::time::Duration::from_secs(left));
                credential.lifetime = credential.lifetime.min(longest);
                found = try_key(credential);
                found
            });
        }
    }

    fn knows_hashes(&self) -> bool {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|accepted| accepted.check.knows_hashes())
    }
}

#[cfg(test)]
#[path = "users/tests.rs"]
mod tests;
