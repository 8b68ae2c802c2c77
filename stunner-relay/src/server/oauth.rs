//! Credentials that a third party hands out as sealed tokens (RFC 7635).

use std::{collections::HashMap, sync::Arc};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInOut, Nonce as Unique},
};
use stunner_proto::{
    AttributeType, Key, Message,
    attribute::{AccessToken, Nonce, TokenContent, Username},
};

use super::{
    Refusal, Server,
    credentials::{Admitted, Known, unless_malformed},
};
use crate::{Client, TimeSource};

/// How far the clocks of the two servers may differ, in seconds (RFC 7635, section 7).
const SKEW: u64 = 5;

/// The longest token that is opened: a key, a time, a lifetime and the seal take less than 128 bytes.
const MAX_TOKEN: usize = 512;

/// A server that lets in whom an authorization server gave a token, besides those who have credentials.
///
/// The two share keys for AES-256-GCM, each known by its identifier, which clients give as their username.
pub struct OAuth {
    server_name: String,
    keys: HashMap<Box<str>, Aes256Gcm>,
    clock: Arc<dyn TimeSource>,
}

impl OAuth {
    /// Without keys yet. `server_name` is told to clients and sealed into their tokens.
    #[must_use]
    pub fn new(server_name: &str, clock: impl TimeSource) -> Self {
        Self { server_name: server_name.to_owned(), keys: HashMap::new(), clock: Arc::new(clock) }
    }

    /// Opens tokens that were sealed with this key, too.
    #[must_use]
    pub fn key(mut self, identifier: &str, key: [u8; 32]) -> Self {
        self.keys.insert(identifier.into(), Aes256Gcm::new(&key.into()));
        self
    }

    /// What THIRD-PARTY-AUTHORIZATION says.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The key for message integrity, and how many seconds it is good for yet.
    fn open(&self, identifier: &str, token: AccessToken<'_>) -> Option<(Key, u64)> {
        let cipher = self.keys.get(identifier)?;
        let unique = Unique::<Aes256Gcm>::try_from(token.nonce()).ok()?;
        let (sealed, tag) = token.sealed().split_last_chunk::<16>()?;
        let mut text = [0; MAX_TOKEN];
        let text = text.get_mut(..sealed.len())?;
        text.copy_from_slice(sealed);
        let name = self.server_name.as_bytes();
        cipher.decrypt_inout_detached(&unique, name, (&mut *text).into(), &(*tag).into()).ok()?;
        let content = TokenContent::parse(text)?;
        let age = self.clock.unix_seconds().abs_diff(content.made());
        let left = (u64::from(content.lifetime) + SKEW).checked_sub(age).filter(|&left| left > 0)?;
        Some((Key::new(content.mac_key), left))
    }
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Server {
    /// A request with a token (RFC 7635, section 7); `None` where there is none, or none is taken.
    pub(super) fn authorize<'p>(
        &self,
        message: Message<'p>,
        from: Client,
        now: u64,
    ) -> Option<Result<Admitted<'p>, Refusal>> {
        let oauth = self.config.oauth.as_ref()?;
        let token = message.contains(AttributeType::ACCESS_TOKEN);
        token.then(|| {
            let identifier = unless_malformed(message.require::<Username<'_>>())?.as_str();
            let nonce = unless_malformed(message.require::<Nonce<'_>>())?;
            let token = message.require::<AccessToken<'_>>()?;
            let (key, left) = oauth.open(identifier, token).ok_or(Refusal::Unauthenticated)?;
            let message = message.authenticate(&key).map_err(|_| Refusal::Unauthenticated)?;
            if !self.nonces.is_valid(nonce.as_str(), from.tuple.client, now) {
                return Err(Refusal::StaleNonce);
            }
            let answer = Some(message.integrity());
            let known = Known::by_token(key, identifier, now + 1_000 * left, self.generation);
            Ok(Admitted { message: *message, known: Arc::new(known), answer })
        })
    }
}
