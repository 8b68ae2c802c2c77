//! How clients authenticate: what a TURN server and whoever makes its users' credentials must agree about.

use std::str::FromStr;

use crate::{
    Algorithm, Credentials, Secret, SharedSecrets,
    config::{ConfigError, Generation, Problem, cursor::Fields},
};

/// The realm where nobody says another.
pub(crate) const DEFAULT_REALM: &str = "stunner.l7mp.io";

/// How clients authenticate.
///
/// ```
/// use stunner_auth::{Auth, AuthKind};
///
/// let kind = AuthKind::TimeLimited { secret: "my-secret".into(), algorithm: Default::default() };
/// let auth = Auth { realm: "stunner.l7mp.io".to_owned(), kind };
/// let credentials = auth.credentials(Some("alice"), 1_652_118_264, 3600).expect("there are users");
/// assert_eq!(credentials.username, "1652121864:alice");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Auth {
    /// The domain of the credentials.
    pub realm: String,
    /// Which credentials.
    pub kind: AuthKind,
}

/// Which credentials are in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthKind {
    /// One username and password for everybody.
    Static {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// The username holds the second at which it expires, and the password is its HMAC.
    TimeLimited {
        /// What the HMAC is made with.
        secret: Secret,
        /// How.
        algorithm: Algorithm,
    },
    /// Nobody has credentials: STUN only.
    None,
}

/// The name of a kind of credentials.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AuthType {
    /// `static` or `plaintext`.
    #[default]
    Static,
    /// `ephemeral`, `longterm` or `timewindowed`.
    TimeLimited,
    /// `none`.
    None,
}

/// A text that is no [`AuthType`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("static (plaintext), ephemeral (longterm, timewindowed) or none")]
pub struct NotAnAuthType;

impl FromStr for AuthType {
    type Err = NotAnAuthType;

    /// In any case of letters.
    fn from_str(text: &str) -> Result<Self, NotAnAuthType> {
        match text.to_ascii_lowercase().as_str() {
            "static" | "plaintext" => Ok(Self::Static),
            "ephemeral" | "longterm" | "timewindowed" => Ok(Self::TimeLimited),
            "none" => Ok(Self::None),
            _ => Err(NotAnAuthType),
        }
    }
}

impl Auth {
    /// Credentials for a user that are good from `now` (seconds since 1970) for `lifetime` seconds; the name of the user
    /// and the times do not matter where everybody has the same. `None` where nobody has any.
    #[must_use]
    pub fn credentials(&self, user: Option<&str>, now: u64, lifetime: u64) -> Option<Credentials> {
        match &self.kind {
            AuthKind::Static { username, password } => Some(Credentials {
                username: username.clone(),
                password: password.clone(),
                realm: self.realm.clone(),
            }),
            AuthKind::TimeLimited { .. } => {
                self.shared_secrets().map(|secrets| secrets.issue(user, &self.realm, now, lifetime))
            }
            AuthKind::None => None,
        }
    }

    /// What time-limited credentials are checked with; `None` where they are not in use.
    #[must_use]
    pub fn shared_secrets(&self) -> Option<SharedSecrets> {
        let AuthKind::TimeLimited { secret, algorithm } = &self.kind else { return None };
        Some(SharedSecrets::new(secret.clone()).algorithm(*algorithm))
    }
}

/// Reads `auth` of a configuration file, of which v0.9 has the realm elsewhere.
pub(crate) fn read(
    body: &Fields<'_>,
    generation: Generation,
    realm: Option<String>,
) -> Result<Auth, ConfigError> {
    let fields = body.child("auth")?;
    let kind = match fields.filled("type")? {
        Some(text) => {
            text.parse().map_err(|expected: NotAnAuthType| fields.at("type").wrong(&expected.to_string()))?
        }
        None => AuthType::Static,
    };
    let realm = fields.filled("realm")?.or(realm).unwrap_or_else(|| DEFAULT_REALM.to_owned());
    let credentials = fields.child("credentials")?;
    let (username, password) = (credentials.secret("username")?, credentials.secret("password")?);
    let secret = credentials.secret("secret")?;
    credentials.end();
    fields.end();
    let kind = match kind {
        AuthType::None => AuthKind::None,
        AuthType::TimeLimited => match secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => AuthKind::TimeLimited { secret, algorithm: Algorithm::Sha1 },
            None => return Err(credentials.missing("secret", "a secret")),
        },
        AuthType::Static if generation == Generation::V0_9 => {
            let filled = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
            let (username, password) = (filled(username), filled(password));
            if username.is_none() || password.is_none() {
                body.at("auth").at("credentials").warn(Problem::DefaultUser);
            }
            AuthKind::Static {
                username: username.map_or("user1".to_owned(), |name| name.expose().to_owned()),
                password: password.unwrap_or_else(|| "passwd1".into()),
            }
        }
        AuthType::Static => AuthKind::Static {
            username: username
                .ok_or_else(|| credentials.missing("username", "a username"))?
                .expose()
                .to_owned(),
            password: password.ok_or_else(|| credentials.missing("password", "a password"))?,
        },
    };
    Ok(Auth { realm, kind })
}
