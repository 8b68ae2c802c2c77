//! Making and checking time-limited credentials: both sides of a secret that a web application shares with TURN servers.

use crate::{Algorithm, Credentials, Secret};

/// The secrets in use, how passwords are made of them, and how exact clocks must be.
///
/// ```
/// use stunner_auth::{Denied, SharedSecrets};
///
/// let application = SharedSecrets::new("north");
/// let credentials = application.issue(Some("alice"), "stunner.l7mp.io", 1_700_000_000, 3600);
/// assert_eq!(credentials.username, "1700003600:alice");
///
/// let server = SharedSecrets::new("south").or("north").leeway(5);
/// let password = credentials.password.expose();
/// assert_eq!(server.verify(&credentials.username, password, 1_700_003_605), Ok("alice"));
/// assert_eq!(server.verify(&credentials.username, password, 1_700_003_606), Err(Denied::Expired));
/// ```
#[derive(Clone, Debug)]
pub struct SharedSecrets {
    secrets: Vec<Secret>,
    algorithm: Algorithm,
    leeway: u64,
}

impl SharedSecrets {
    /// One secret. Credentials are made with it, and it is the first that they are checked with.
    #[must_use]
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self { secrets: vec![secret.into()], algorithm: Algorithm::Sha1, leeway: 0 }
    }

    /// Accepts another secret too, for as long as both are in use.
    #[must_use]
    pub fn or(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Makes and checks passwords with another algorithm than SHA-1.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Accepts credentials for this many seconds after they expired, for clocks that differ.
    #[must_use]
    pub fn leeway(mut self, seconds: u64) -> Self {
        self.leeway = seconds;
        self
    }

    /// Credentials that are good from `now` (seconds since 1970) for `lifetime` seconds.
    ///
    /// A user id with a colon in it makes good credentials, but servers take the whole username for the user.
    #[must_use]
    pub fn issue(&self, user: Option<&str>, realm: &str, now: u64, lifetime: u64) -> Credentials {
        let expires = now.saturating_add(lifetime).min(i64::MAX.unsigned_abs());
        let username = user.map_or_else(|| expires.to_string(), |user| format!("{expires}:{user}"));
        let password = self.algorithm.password(&username, &self.secrets[0]);
        Credentials { username, password, realm: realm.to_owned() }
    }

    /// Reads a username and checks its time; whether the user knows the password is for TURN's message integrity, with
    /// one of [`passwords`](Self::passwords).
    ///
    /// # Errors
    /// [`Denied::Malformed`] and [`Denied::Expired`].
    pub fn admit<'a>(&self, username: &'a str, now: u64) -> Result<Admitted<'a>, Denied> {
        let TimeLimited { expires, user } = TimeLimited::parse(username).ok_or(Denied::Malformed)?;
        let left = i128::from(expires) + i128::from(self.leeway) - i128::from(now);
        let seconds = |left: i128| u64::try_from(left).unwrap_or(u64::MAX);
        if left < 0 { Err(Denied::Expired) } else { Ok(Admitted { user, left: seconds(left) }) }
    }

    /// The passwords that a username may have: one for each secret.
    pub fn passwords<'a>(&'a self, username: &'a str) -> impl Iterator<Item = Secret> + 'a {
        self.secrets.iter().map(move |secret| self.algorithm.password(username, secret))
    }

    /// Checks a username and its password, and returns whom quotas count it for.
    ///
    /// # Errors
    /// Why not.
    pub fn verify<'a>(&self, username: &'a str, password: &str, now: u64) -> Result<&'a str, Denied> {
        let user = self.admit(username, now)?.user;
        let known = self.secrets.iter().any(|secret| self.algorithm.verify(username, password, secret));
        if known { Ok(user) } else { Err(Denied::Password) }
    }
}

/// A username whose time has not come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Admitted<'a> {
    /// Whom quotas count it for; see [`TimeLimited::user`].
    pub user: &'a str,
    /// For how many seconds more it is admitted, the leeway included. In the very second at which it expires it is.
    pub left: u64,
}

/// What a time-limited username says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeLimited<'a> {
    /// The UNIX second at which it expires: the first of its parts, split at colons, that is a whole number. Whoever can
    /// make passwords can write a time before 1970.
    pub expires: i64,
    /// Whom quotas count it for: `alice` in `1700000000:alice`, and the whole username in any other form.
    pub user: &'a str,
}

impl<'a> TimeLimited<'a> {
    /// Reads a username. `None` where no part is a whole number, or the first that is one is zero.
    #[must_use]
    pub fn parse(username: &'a str) -> Option<Self> {
        let number = |part: &str| part.parse::<i64>().ok();
        let expires = username.split(':').find_map(number).filter(|&seconds| seconds != 0)?;
        let user = match username.split_once(':') {
            Some((time, user)) if number(time).is_some() && !user.contains(':') => user,
            _ => username,
        };
        Some(Self { expires, user })
    }
}

/// Why credentials are not good.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The username holds no time.
    #[error("the username holds no expiry time")]
    Malformed,
    /// The time is past.
    #[error("the credentials have expired")]
    Expired,
    /// The password belongs to none of the secrets.
    #[error("the password is wrong")]
    Password,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(username: &str) -> Option<(i64, &str)> {
        TimeLimited::parse(username).map(|found| (found.expires, found.user))
    }

    #[test]
    fn a_username_is_a_time_and_a_user_in_any_order() {
        for (username, user) in [
            ("1700000000", "1700000000"),
            ("1700000000:alice", "alice"),
            ("1700000000:", ""),
            ("alice:1700000000", "alice:1700000000"),
            ("alice:1700000000:x", "alice:1700000000:x"),
            ("1700000000:a:b", "1700000000:a:b"),
        ] {
            assert_eq!(read(username), Some((1_700_000_000, user)), "{username}");
        }
    }

    #[test]
    fn the_first_number_is_the_time() {
        assert_eq!(read("42:1700000000"), Some((42, "1700000000")));
        assert_eq!(read("-1:alice"), Some((-1, "alice")));
        assert_eq!(read("99999999999999999999:1700000000").unwrap().0, 1_700_000_000);
    }

    #[test]
    fn rst_03_without_a_time_or_with_zero_there_is_no_time_limited_username() {
        for username in ["", "alice", "alice:bob", "0", "0:1700000000", "1700000000.5", "1e9"] {
            assert_eq!(read(username), None, "{username}");
        }
    }

    #[test]
    fn rst_02_credentials_are_good_in_the_second_at_which_they_expire_and_in_the_leeway() {
        let secrets = SharedSecrets::new("north");
        let expired = |secrets: &SharedSecrets, now| secrets.admit("1000:a", now).err();

        assert_eq!(secrets.admit("1000:a", 1000), Ok(Admitted { user: "a", left: 0 }));
        assert_eq!(expired(&secrets, 1001), Some(Denied::Expired));
        let secrets = secrets.leeway(u64::MAX);
        assert_eq!(expired(&secrets, u64::MAX), None);
        assert_eq!(secrets.admit("1000:a", 0).unwrap().left, u64::MAX);
    }

    #[test]
    fn rst_05_during_a_rotation_the_old_and_the_new_secret_are_good_and_a_third_is_not() {
        let server = SharedSecrets::new("new").or("old");
        let verify = |secret: &str| {
            let made = SharedSecrets::new(secret).issue(Some("alice"), "realm", 1000, 60);
            server.verify(&made.username, made.password.expose(), 1000).map(str::to_owned)
        };

        assert_eq!((verify("new"), verify("old")), (Ok("alice".to_owned()), Ok("alice".to_owned())));
        assert_eq!(verify("older"), Err(Denied::Password));
    }

    #[test]
    fn the_passwords_offered_are_one_for_each_secret_in_order() {
        let server = SharedSecrets::new("new").or("old");
        let offered: Vec<Secret> = server.passwords("1000").collect();

        assert_eq!(offered, [crate::password("1000", &"new".into()), crate::password("1000", &"old".into())]);
    }

    #[test]
    fn a_lifetime_beyond_the_end_of_time_ends_with_it() {
        let made = SharedSecrets::new("north").issue(None, "realm", 1000, u64::MAX);
        assert_eq!(made.username, i64::MAX.to_string());
    }
}
