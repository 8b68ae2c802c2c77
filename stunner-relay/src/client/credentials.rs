//! Who the client is: the long-term credentials of RFC 8489, sections 9.2.3 and 9.2.5.
//!
//! What a response is worth is said by [`judge`]; what a challenge changes, by [`Credentials::challenged`]; how
//! requests are signed from then on, by [`Credentials::sign`].

use stunner_proto::{
    Attribute, AttributeType, Authenticated, Class, Integrity, Key, Message, MessageBuilder, TransactionId,
    attribute::{ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Userhash, Username},
};

use super::{Config, Failure};
use crate::Algorithm;

/// What a request was signed with: its response is checked with the same.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) key: Key,
    realm: Box<str>,
    hashed: bool,
}

/// What a response is worth.
pub(super) enum Judged<'a> {
    /// It is to be treated as if it had never come.
    Ignored,
    /// The server has not signed it, and had to.
    Violated,
    /// Sign the request, or sign it anew: 401 or 438. These are not signed.
    Challenge(u16),
    /// It is the server's.
    Authentic(Authenticated<'a>),
}

/// The checks of RFC 8489, section 9.2.5, in its order.
pub(super) fn judge<'a>(message: Message<'a>, signature: Option<&Signature>) -> Judged<'a> {
    let code = match message.get::<ErrorCode<'_>>() {
        Ok(Some(error)) if message.class() == Class::ErrorResponse => error.code(),
        _ => 0,
    };
    if matches!(code, 401 | 438) {
        return Judged::Challenge(code);
    }
    let nonce = message.get::<Nonce<'_>>().ok().flatten();
    if is_bid_down(nonce, &message) {
        return Judged::Ignored;
    }
    let integrity = [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256];
    if code == 400 && !integrity.iter().any(|&kind| message.contains(kind)) {
        return Judged::Ignored;
    }
    // A request without credentials has no key, so that only a challenge can answer it.
    match signature.map(|signature| message.authenticate(&signature.key)) {
        Some(Ok(message)) => Judged::Authentic(message),
        _ => Judged::Violated,
    }
}

/// Whether a nonce announces password algorithms that the message does not have: somebody took them out.
fn is_bid_down(nonce: Option<Nonce<'_>>, message: &Message<'_>) -> bool {
    let announced = nonce.and_then(|nonce| nonce.features()).unwrap_or_default().password_algorithms;
    announced && !message.contains(AttributeType::PASSWORD_ALGORITHMS)
}

/// What the server has told, so that requests can be signed.
struct Session {
    realm: Box<str>,
    nonce: Box<str>,
    hash: Option<Userhash>,
    algorithm: Algorithm,
    /// The server's offer, to be repeated byte for byte.
    offered: Option<Box<[u8]>>,
    key: Key,
}

/// Nothing at first, then what the server's challenges say.
#[derive(Default)]
pub(super) struct Credentials {
    session: Option<Session>,
    /// Whether the server has ever offered algorithms: SHA-256 signs everything from then on.
    offered: bool,
}

/// Shows no secrets.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// Whether the server has answered once.
    pub(super) const fn is_challenged(&self) -> bool {
        self.session.is_some()
    }

    /// Takes in a challenge: 401, or 438. `Ok` when the request is worth another try.
    pub(super) fn challenged(
        &mut self,
        config: &Config,
        message: &Message<'_>,
        code: u16,
        signature: Option<&Signature>,
    ) -> Result<(), Failure> {
        let malformed = |_| Failure::Malformed;
        let nonce = message.require::<Nonce<'_>>().map_err(malformed)?;
        if is_bid_down(Some(nonce), message) {
            return Err(Failure::BidDown);
        }
        // A longer one than may be sent cannot be repeated.
        let nonce = Nonce::new(nonce.as_str()).map_err(|_| Failure::Malformed)?;
        let offered = message.get::<PasswordAlgorithms<'_>>().map_err(malformed)?;
        let offered = offered.filter(|_| config.sha256);
        // A stale nonce changes nothing but the nonce.
        let realm = match &self.session {
            Some(session) if code == 438 => session.realm.clone(),
            _ => {
                let realm = message.require::<Realm<'_>>().map_err(malformed)?;
                Realm::new(realm.as_str()).map_err(|_| Failure::Malformed)?.as_str().into()
            }
        };
        if config.realm.as_deref().is_some_and(|own| own != &*realm) {
            return Err(Failure::WrongRealm);
        }
        let features = nonce.features().unwrap_or_default();
        let hashed = config.userhash && features.username_anonymity;
        let same = |tried: &Signature| tried.realm == realm && tried.hashed == hashed;
        if code == 401 && signature.is_some_and(same) {
            return Err(refused(message));
        }
        let algorithm = choose(offered)?;
        self.offered |= offered.is_some();
        let key = self.key(config, &realm, algorithm);
        let hash = hashed.then(|| Userhash::new(&config.username, &realm));
        let offered = offered.map(|offered| offered.as_bytes().into());
        self.session = Some(Session { realm, nonce: nonce.as_str().into(), hash, algorithm, offered, key });
        Ok(())
    }

    /// The key, which is made only once for a realm.
    fn key(&self, config: &Config, realm: &str, algorithm: Algorithm) -> Key {
        let known = self
            .session
            .as_ref()
            .filter(|session| *session.realm == *realm && session.algorithm == algorithm);
        match (known, algorithm) {
            (Some(session), _) => session.key.clone(),
            (None, Algorithm::Md5) => Key::long_term(&config.username, realm, &config.password),
            (None, Algorithm::Sha256) => Key::long_term_sha256(&config.username, realm, &config.password),
        }
    }

    /// Signs a request, once the server has told how.
    pub(super) fn sign<'b>(
        &self,
        config: &Config,
        request: MessageBuilder<'b>,
    ) -> (MessageBuilder<'b>, Option<Signature>) {
        let Some(session) = &self.session else { return (request, None) };
        let username = Username::new(&config.username).ok().filter(|_| session.hash.is_none());
        let offered = session.offered.as_deref();
        let offered = offered.and_then(|list| PasswordAlgorithms::decode(list, TransactionId([0; 12])).ok());
        let algorithm = offered.map(|_| match session.algorithm {
            Algorithm::Md5 => PasswordAlgorithm::MD5,
            Algorithm::Sha256 => PasswordAlgorithm::SHA256,
        });
        let kind = if self.offered { Integrity::Sha256 } else { Integrity::Sha1 };
        let request = request
            .maybe(username.as_ref())
            .maybe(session.hash.as_ref())
            .maybe(Realm::new(&session.realm).ok().as_ref())
            .maybe(Nonce::new(&session.nonce).ok().as_ref())
            .maybe(offered.as_ref())
            .maybe(algorithm.as_ref())
            .integrity_of(kind, &session.key);
        let (key, realm, hashed) = (session.key.clone(), session.realm.clone(), session.hash.is_some());
        (request, Some(Signature { key, realm, hashed }))
    }
}

/// SHA-256 wherever it is offered (RFC 8656, section 6), and MD5 where nothing is.
fn choose(offered: Option<PasswordAlgorithms<'_>>) -> Result<Algorithm, Failure> {
    let Some(offered) = offered else { return Ok(Algorithm::Md5) };
    if offered.iter().any(|algorithm| algorithm == PasswordAlgorithm::SHA256) {
        Ok(Algorithm::Sha256)
    } else if offered.iter().any(|algorithm| algorithm == PasswordAlgorithm::MD5) {
        Ok(Algorithm::Md5)
    } else {
        Err(Failure::NoAlgorithm)
    }
}

/// The refusal that an error response is.
pub(super) fn refused(response: &Message<'_>) -> Failure {
    match response.require::<ErrorCode<'_>>() {
        Ok(error) => Failure::Refused { code: error.code(), reason: error.reason().into() },
        Err(_) => Failure::Malformed,
    }
}
