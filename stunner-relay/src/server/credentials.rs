//! Who asks: the long-term credentials of RFC 8489, section 9.2.4, and the keys that were good before.

use std::{collections::HashMap, hint::black_box, sync::Arc};

use stunner_proto::{
    AttributeType, Authenticated, BadAttribute, Integrity, Key, Message, Method, SecurityFeatures,
    attribute::{Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Userhash, Username},
};

use super::{Refusal, Server, allocation::Allocation, millis};
use crate::{Algorithm, Client, Config, Credential, Identity, UserId};

/// The algorithms that are offered, the better one first (RFC 8656, section 6).
pub(super) fn offer(config: &Config) -> Option<PasswordAlgorithms<'static>> {
    if config.sha256_only {
        Some(PasswordAlgorithms::SHA256)
    } else {
        config.password_algorithms.then_some(PasswordAlgorithms::SHA256_MD5)
    }
}

/// Keys that one worker remembers; beyond that it forgets them all and begins anew.
const MAX_KEYS: usize = 4_096;

/// A credential that was good, and the name that it was asked for by.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: Key,
    /// Whom quotas and events count it for.
    pub(super) user: Box<str>,
    name: Box<[u8]>,
    kind: Kind,
    /// Until when it is good without asking again.
    until: u64,
    /// Under which configuration it was found.
    generation: u32,
    /// Until when allocations may live that were made with it: tokens end for good.
    pub(super) limit: Option<u64>,
    /// Whether there is nothing behind it: its owner showed no credentials, and needed none.
    is_nobody: bool,
}

/// By name or by hash, and by which algorithm.
type Kind = (bool, Algorithm);

impl Known {
    /// The key from a token: it is good for the allocation that it makes, and not for another.
    pub(super) fn by_token(key: Key, identifier: &str, until: u64, generation: u32) -> Self {
        Self {
            key,
            user: identifier.into(),
            name: identifier.as_bytes().into(),
            kind: (false, Algorithm::Md5),
            until,
            generation,
            limit: Some(until),
            is_nobody: false,
        }
    }

    /// What stands for whoever needs no credentials.
    fn nobody() -> Self {
        Self {
            key: Key::new(&[]),
            user: "".into(),
            // No name has this byte: nobody asks for it.
            name: [0xFF].into(),
            kind: (false, Algorithm::Md5),
            until: 0,
            generation: 0,
            limit: None,
            is_nobody: true,
        }
    }

    /// Whether what belongs to the one is the other's, too.
    pub(super) fn is_same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.is_nobody == other.is_nobody
    }

    fn is(&self, user: UserId<'_>, algorithm: Algorithm) -> bool {
        self.kind == kind(user, algorithm) && *self.name == *bytes(user)
    }
}

fn kind(user: UserId<'_>, algorithm: Algorithm) -> Kind {
    (matches!(user, UserId::Hash(_)), algorithm)
}

fn bytes(user: UserId<'_>) -> &[u8] {
    match user {
        UserId::Name(name) => name.as_bytes(),
        UserId::Hash(hash) => hash,
    }
}

/// Keys by name. Only who has shown that it knows its password gets in.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: HashMap<Kind, HashMap<Box<[u8]>, Arc<Known>>>,
    len: usize,
}

impl Keys {
    fn get(&self, user: UserId<'_>, algorithm: Algorithm, now: u64) -> Option<&Arc<Known>> {
        let found = self.known.get(&kind(user, algorithm))?.get(bytes(user))?;
        (now < found.until).then_some(found)
    }

    fn insert(&mut self, known: &Arc<Known>) {
        if self.len >= MAX_KEYS {
            *self = Self::default();
        }
        let new = self.known.entry(known.kind).or_default().insert(known.name.clone(), known.clone());
        self.len += usize::from(new.is_none());
    }
}

/// A request whose sender is who it says, or need not say it.
pub(super) struct Admitted<'p> {
    pub(super) message: Message<'p>,
    pub(super) known: Arc<Known>,
    /// Which integrity the response carries.
    pub(super) answer: Option<Integrity>,
}

/// What nonces announce.
pub(super) fn features(config: &Config) -> SecurityFeatures {
    let password_algorithms = offer(config).is_some();
    SecurityFeatures {
        password_algorithms,
        username_anonymity: password_algorithms && config.authenticator.knows_hashes(),
    }
}

impl Server {
    /// The checks of RFC 8489, section 9.2.4, in its order; the nonce comes last.
    pub(super) fn authenticate<'p>(
        &mut self,
        message: Message<'p>,
        from: Client,
        now: u64,
    ) -> Result<Admitted<'p>, Refusal> {
        let signed = message.contains(AttributeType::MESSAGE_INTEGRITY)
            || message.contains(AttributeType::MESSAGE_INTEGRITY_SHA256);
        if !signed {
            let admitted = || Admitted { message, known: Arc::new(Known::nobody()), answer: None };
            return self.config.unauthenticated.then(admitted).ok_or(Refusal::Unauthenticated);
        }
        if let Some(authorized) = self.authorize(message, from, now) {
            return authorized;
        }
        let hash;
        let user = if message.contains(AttributeType::USERHASH) && !message.contains(AttributeType::USERNAME)
        {
            Userhash(hash) = message.require()?;
            UserId::Hash(&hash)
        } else {
            UserId::Name(unless_malformed(message.require::<Username<'_>>())?.as_str())
        };
        let own = self.own(&message, from, now);
        let by_token = own.is_some_and(|own| own.limit.is_some() && own.is(user, Algorithm::Md5));
        // Tokens have no realm (RFC 7635, section 4).
        let realm = if by_token { None } else { Some(unless_malformed(message.require::<Realm<'_>>())?) };
        let nonce = unless_malformed(message.require::<Nonce<'_>>())?;
        let chosen = self.chosen(&message, nonce)?;
        if realm.is_some_and(|realm| realm.as_str() != self.config.realm) {
            return Err(Refusal::Unauthenticated);
        }
        let algorithm = chosen.unwrap_or(Algorithm::Md5);
        let (message, known) = self.verify(message, user, algorithm, from, now)?;
        let known_again = self.is_repeated(&message, from, now);
        if !known_again && !self.nonces.is_valid(nonce.as_str(), from.tuple.client, now) {
            return Err(Refusal::StaleNonce);
        }
        let answer = if chosen.is_some() { Integrity::Sha256 } else { message.integrity() };
        Ok(Admitted { message: *message, known, answer: Some(answer) })
    }

    /// The credential that the live allocation on a client's five-tuple was made with, or the one that is to come there.
    fn own(&self, message: &Message<'_>, client: Client, now: u64) -> Option<&Arc<Known>> {
        let found = self.live(client, now).or_else(|| self.followed(message, now));
        found.map(|allocation| &allocation.rest.known)
    }

    fn live(&self, client: Client, now: u64) -> Option<&Allocation> {
        let id = self.table.by_tuple(&client.tuple)?;
        self.table.get(id).filter(|allocation| allocation.is_live(now))
    }

    /// What the client chose of the offer. Who repeats the offer shows that nobody took the better one out on the way;
    /// who shows neither is a client of RFC 5389, for whom there is MD5 only.
    fn chosen(&self, message: &Message<'_>, nonce: Nonce<'_>) -> Result<Option<Algorithm>, Refusal> {
        let offer = offer(&self.config);
        // A nonce may be older than the settings.
        let announced = nonce.features().is_some_and(|features| features.password_algorithms);
        if offer.is_none() && !announced {
            return Ok(None);
        }
        let offer = offer.unwrap_or(PasswordAlgorithms::SHA256_MD5);
        let list = message.get::<PasswordAlgorithms<'_>>()?;
        let chosen = message.get::<PasswordAlgorithm<'_>>()?;
        match (list, chosen) {
            // MD5 is meant, and not offered.
            (None, None) if self.config.sha256_only => Err(Refusal::Unauthenticated),
            (None, None) => Ok(None),
            (Some(list), Some(chosen)) if list == offer && offer.iter().any(|offered| offered == chosen) => {
                let sha256 = chosen == PasswordAlgorithm::SHA256;
                Ok(Some(if sha256 { Algorithm::Sha256 } else { Algorithm::Md5 }))
            }
            _ => Err(Refusal::BadRequest),
        }
    }

    /// With the key of the client's own allocation, or one that was good before, or what the authenticator offers.
    fn verify<'p>(
        &mut self,
        message: Message<'p>,
        user: UserId<'_>,
        algorithm: Algorithm,
        client: Client,
        now: u64,
    ) -> Result<(Authenticated<'p>, Arc<Known>), Refusal> {
        let outlives = self.config.sessions_outlive_credentials;
        let own = self.own(&message, client, now);
        let own = own.filter(|known| known.limit.is_none_or(|limit| now < limit)).filter(|known| {
            known.is(user, algorithm)
                && (outlives || now < known.until && known.generation == self.generation)
        });
        for known in own.into_iter().chain(self.keys.get(user, algorithm, now)) {
            if let Ok(message) = message.authenticate(&known.key) {
                return Ok((message, known.clone()));
            }
        }
        let (message, credential) = self.ask(message, user, algorithm, client)?;
        let Credential { key, user: name, lifetime } = credential;
        let until = now.saturating_add(millis(lifetime));
        let known = Known {
            key,
            user: name,
            name: bytes(user).into(),
            kind: kind(user, algorithm),
            until,
            generation: self.generation,
            limit: None,
            is_nobody: false,
        };
        let known = Arc::new(known);
        if until > now {
            self.keys.insert(&known);
        }
        Ok((message, known))
    }

    fn ask<'p>(
        &self,
        message: Message<'p>,
        user: UserId<'_>,
        algorithm: Algorithm,
        client: Client,
    ) -> Result<(Authenticated<'p>, Credential), Refusal> {
        let who = Identity { user, realm: &self.config.realm, algorithm, client };
        let mut good = None;
        let mut offered = false;
        self.config.authenticator.credentials(&who, &mut |credential| {
            offered = true;
            if let Ok(message) = message.authenticate(&credential.key) {
                good = Some((message, credential));
            }
            good.is_some()
        });
        if !offered {
            // An unknown user takes as long as a wrong password, so that nobody learns who there is.
            let _ = black_box(message.authenticate(&who.key("", "")));
        }
        good.ok_or(Refusal::Unauthenticated)
    }

    /// Whether this is the request that made the client's allocation: it is answered again, however old its nonce is.
    fn is_repeated(&self, message: &Message<'_>, from: Client, now: u64) -> bool {
        message.method() == Method::ALLOCATE
            && self
                .live(from, now)
                .is_some_and(|allocation| allocation.rest.created_by == message.transaction_id())
    }
}

/// Text that is no text cannot be anybody's name: that is a wrong credential (401), and a missing one a bad request (400).
pub(super) fn unless_malformed<T>(attribute: Result<T, BadAttribute>) -> Result<T, Refusal> {
    attribute.map_err(|bad| match bad {
        BadAttribute::Malformed(_) => Refusal::Unauthenticated,
        missing => missing.into(),
    })
}
