//! Time-limited credentials: the convention known as "TURN REST".

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The password that belongs to a time-limited username: its HMAC-SHA1 with the shared secret, in base64.
///
/// ```
/// assert_eq!(stunner_auth::password("1652173256", b"my-secret"), "CguKE5jD1SnJajHjrQEwyx+pHBk=");
/// ```
#[must_use]
pub fn password(username: &str, secret: &[u8]) -> String {
    let mac: Hmac<Sha1> = Hmac::new_from_slice(secret).expect("an HMAC takes a key of any length");
    STANDARD.encode(mac.chain_update(username).finalize().into_bytes())
}

/// The UNIX second at which a time-limited username expires: the first of its parts, split at colons, that is a whole
/// number. `None` where no part is.
#[must_use]
pub fn expires(username: &str) -> Option<u64> {
    username.split(':').find_map(|part| part.parse().ok())
}
