//! Time-limited credentials: the convention known as "TURN REST".

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::Secret;

/// What a TURN client authenticates with.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize, serde::Serialize))]
pub struct Credentials {
    /// USERNAME in TURN.
    pub username: String,
    /// The password; `credential` in JSON.
    #[cfg_attr(feature = "config", serde(rename = "credential"))]
    pub password: Secret,
    /// REALM in TURN.
    pub realm: String,
}

/// The hash in the HMAC that makes a time-limited password.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// What every TURN server of the convention expects.
    #[default]
    Sha1,
    /// For who controls both sides.
    Sha256,
}

impl Algorithm {
    /// The password that belongs to a time-limited username: its HMAC with the shared secret, in base64.
    #[must_use]
    pub fn password(self, username: &str, secret: &Secret) -> Secret {
        let secret = secret.expose().as_bytes();
        match self {
            Self::Sha1 => encoded(keyed::<Hmac<Sha1>>(secret, username).finalize().into_bytes().as_mut()),
            Self::Sha256 => encoded(keyed::<Hmac<Sha256>>(secret, username).finalize().into_bytes().as_mut()),
        }
    }

    /// Whether a password is the one that belongs to a time-limited username, found out in constant time.
    #[must_use]
    pub fn verify(self, username: &str, password: &str, secret: &Secret) -> bool {
        let Ok(code) = STANDARD.decode(password) else { return false };
        let secret = secret.expose().as_bytes();
        match self {
            Self::Sha1 => keyed::<Hmac<Sha1>>(secret, username).verify_slice(&code).is_ok(),
            Self::Sha256 => keyed::<Hmac<Sha256>>(secret, username).verify_slice(&code).is_ok(),
        }
    }
}

/// The password that belongs to a time-limited username, with the algorithm that is the norm: SHA-1.
///
/// ```
/// use stunner_auth::Secret;
///
/// let password = stunner_auth::password("1652173256", &Secret::new("my-secret"));
/// assert_eq!(password.expose(), "CguKE5jD1SnJajHjrQEwyx+pHBk=");
/// ```
#[must_use]
pub fn password(username: &str, secret: &Secret) -> Secret {
    Algorithm::Sha1.password(username, secret)
}

/// An HMAC that has taken in the username.
fn keyed<M: Mac + KeyInit>(secret: &[u8], username: &str) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(secret).expect("an HMAC takes a key of any length");
    mac.update(username.as_bytes());
    mac
}

fn encoded(code: &mut [u8]) -> Secret {
    let text = STANDARD.encode(&*code);
    code.zeroize();
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rst_01_passwords_are_those_of_other_implementations() {
        for (secret, username, expected) in [
            ("my-secret", "1652173256", "CguKE5jD1SnJajHjrQEwyx+pHBk="),
            ("my-secret", "1652173361", "X54Uk1dmF1fhXy2nGfyNdLSddvk="),
            ("my-secret", "1652173411", "qaTqeZNcAov2fd6IYZZPsJhlLuY="),
            ("another-secret", "1652173494", "e64kdQvh7aW5rqb2PauFwjJ/CFs="),
            ("another-secret", "1652177046", "igZpgV86ECJutlpW9AOr2IOQASU="),
            ("another-secret", "1652209461", "98pQ6dr9x2f5f7kUxRq+6xU3qOY="),
            ("north", "1700000000:alice", "Cd/49soE35ICqcJF/bCTn8Z4OyE="),
            ("north", "1700000000", "CWyHi3zCeWqXBir9thl4m+iZPRY="),
            ("s3cr3t", "2000000000:bob@example.com", "1U7XikxTvCZ/Q3/2yHRjVVwegiw="),
        ] {
            assert_eq!(password(username, &secret.into()).expose(), expected);
        }
    }

    #[test]
    fn a_password_of_one_algorithm_is_none_of_the_other() {
        let secret = Secret::new("north");
        let long = Algorithm::Sha256.password("1700000000:alice", &secret);

        assert_eq!(long.expose().len(), 44);
        assert!(Algorithm::Sha256.verify("1700000000:alice", long.expose(), &secret));
        assert!(!Algorithm::Sha1.verify("1700000000:alice", long.expose(), &secret));
    }

    #[test]
    fn what_is_no_base64_is_no_password() {
        assert!(!Algorithm::Sha1.verify("1700000000", "*", &Secret::new("north")));
    }
}
