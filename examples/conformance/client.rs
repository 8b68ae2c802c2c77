//! A TURN client that does what a check says, right or wrong.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
};

use stunner_proto::{
    AttributeType, Class, Key, Method,
    attribute::{Data, Lifetime, Nonce, Realm, XorPeerAddress, XorRelayedAddress},
};

use crate::{
    message::{Answer, Draft, Integrity, Signing},
    report::{Outcome, ensure, fail},
    wire::{Wire, describe},
    world::{User, World},
};

/// Who asks, on a socket of its own.
pub(crate) struct Client<'w> {
    pub(crate) wire: Wire,
    user: &'w User,
    signing: RefCell<Signing>,
    allocated: Cell<bool>,
}

impl<'w> Client<'w> {
    /// A client that has got its first 401.
    pub(crate) fn challenged(world: &World, wire: Wire, user: &'w User) -> Outcome<Self> {
        world.pace();
        let challenge = wire.ask(&Draft::allocate().bytes())?.refused(401)?;
        let signing = RefCell::new(signing(&challenge, user)?);
        Ok(Self { wire, user, signing, allocated: Cell::new(false) })
    }

    /// The same client on another socket, with the realm and the nonce that it has.
    pub(crate) fn on(&self, wire: Wire) -> Self {
        Self { wire, user: self.user, signing: RefCell::new(self.signing()), allocated: Cell::new(false) }
    }

    /// The credentials as they must be, to be changed.
    pub(crate) fn signing(&self) -> Signing {
        self.signing.borrow().clone()
    }

    pub(crate) fn key(&self) -> Key {
        match self.signing().integrity {
            Integrity::Sha1(key) | Integrity::Sha256(key) => key,
            Integrity::Truncated(key, _) => key,
            Integrity::Both(keys) => keys.1,
        }
    }

    /// The key by MD5, which is good without PASSWORD-ALGORITHM.
    pub(crate) fn md5(&self) -> Key {
        Key::long_term(&self.user.name, &self.realm(), &self.user.password)
    }

    pub(crate) fn realm(&self) -> String {
        String::from_utf8_lossy(&self.signing().realm.unwrap_or_default()).into_owned()
    }

    /// The credentials of a client that knows neither PASSWORD-ALGORITHMS nor SHA-256.
    pub(crate) fn plain_signing(&self) -> Signing {
        Signing {
            algorithms: None,
            algorithm: None,
            integrity: Integrity::Sha1(self.md5()),
            ..self.signing()
        }
    }

    /// The answer to a request with good credentials. A nonce that has become stale is replaced.
    pub(crate) fn ask(&self, draft: &Draft) -> Outcome<Answer> {
        let answer = self.wire.ask(&draft.signed(&self.signing()))?;
        if answer.code() != Some(438) {
            return Ok(answer);
        }
        self.signing.replace(signing(&answer, self.user)?);
        self.wire.ask(&draft.signed(&self.signing()))
    }

    pub(crate) fn success(&self, draft: &Draft) -> Outcome<Answer> {
        let answer = self.ask(draft)?.success()?;
        if answer.message().method() == Method::ALLOCATE {
            self.allocated.set(true);
        }
        Ok(answer)
    }

    pub(crate) fn refused(&self, draft: &Draft, code: u16) -> Outcome<Answer> {
        self.ask(draft)?.refused(code)
    }

    /// The answer to a request with these credentials.
    pub(crate) fn ask_as(&self, draft: &Draft, signing: &Signing) -> Outcome<Answer> {
        let answer = self.wire.ask(&draft.signed(signing))?;
        let made = answer.has(AttributeType::XOR_RELAYED_ADDRESS);
        self.allocated.set(self.allocated.get() || made);
        Ok(answer)
    }

    /// Ends the connection at once, without a word to the server, and gives its port back.
    pub(crate) fn reset(self) -> u16 {
        self.allocated.set(false);
        self.wire.reset();
        self.wire.local().port()
    }

    pub(crate) fn allocate(&self) -> Outcome<SocketAddr> {
        Ok(self.success(&Draft::allocate())?.get::<XorRelayedAddress>()?.0)
    }

    pub(crate) fn permit(&self, peer: SocketAddr) -> Outcome {
        self.success(&permission(&[peer])).map(drop)
    }

    pub(crate) fn bind(&self, number: u16, peer: SocketAddr) -> Outcome {
        self.success(&channel(number, peer)).map(drop)
    }

    pub(crate) fn refresh(&self, seconds: u32) -> Outcome<Answer> {
        self.success(&refresh(seconds))
    }

    /// Sends application data in a Send indication.
    pub(crate) fn says(&self, peer: SocketAddr, data: &[u8]) {
        self.wire.send(&send(peer, data).bytes());
    }

    /// That the next packet is a Data indication with this.
    pub(crate) fn hears(&self, peer: SocketAddr, data: &[u8]) -> Outcome {
        let answer = self.indication(Method::DATA)?;
        let (from, got) = (answer.get::<XorPeerAddress>()?.0, answer.get::<Data<'_>>()?.0);
        ensure(from == peer, &format!("data from {peer}"), format!("from {from}"))?;
        ensure(
            got == data,
            &format!("{} bytes of data", data.len()),
            format!("{} bytes, or others", got.len()),
        )
    }

    pub(crate) fn indication(&self, method: Method) -> Outcome<Answer> {
        let packet = self.wire.expect("an indication")?;
        match Answer::parse(&packet) {
            Some(answer) if is_indication(&answer, method) => Ok(answer),
            _ => fail("an indication", describe(&packet)),
        }
    }
}

/// Leaves nothing behind on the server.
impl Drop for Client<'_> {
    fn drop(&mut self) {
        if self.allocated.get() {
            self.wire.send(&refresh(0).signed(&self.signing()));
        }
    }
}

fn is_indication(answer: &Answer, method: Method) -> bool {
    (answer.message().class(), answer.message().method()) == (Class::Indication, method)
}

/// What a 401 or a 438 tells a client to sign with: SHA-256 where it is offered.
fn signing(challenge: &Answer, user: &User) -> Outcome<Signing> {
    let realm = challenge.get::<Realm<'_>>()?.as_str();
    let nonce = challenge.get::<Nonce<'_>>()?.as_str();
    let algorithms = challenge.value(AttributeType::PASSWORD_ALGORITHMS).map(<[u8]>::to_vec);
    let sha256 = algorithms.as_deref().is_some_and(|list| list.chunks(4).any(|entry| entry == [0, 2, 0, 0]));
    let (integrity, algorithm) = if sha256 {
        let key = Key::long_term_sha256(&user.name, realm, &user.password);
        (Integrity::Sha256(key), Some(vec![0, 2, 0, 0]))
    } else {
        (Integrity::Sha1(Key::long_term(&user.name, realm, &user.password)), None)
    };
    Ok(Signing {
        username: Some(user.name.clone().into_bytes()),
        userhash: None,
        realm: Some(realm.as_bytes().to_vec()),
        nonce: Some(nonce.as_bytes().to_vec()),
        algorithms: algorithms.filter(|_| sha256),
        algorithm,
        integrity,
    })
}

pub(crate) fn permission(peers: &[SocketAddr]) -> Draft {
    let draft = Draft::request(Method::CREATE_PERMISSION);
    peers.iter().fold(draft, |draft, &peer| draft.with(&XorPeerAddress(peer)))
}

pub(crate) fn channel(number: u16, peer: SocketAddr) -> Draft {
    let [high, low] = number.to_be_bytes();
    Draft::request(Method::CHANNEL_BIND).raw(0x000C, &[high, low, 0, 0]).with(&XorPeerAddress(peer))
}

pub(crate) fn refresh(seconds: u32) -> Draft {
    Draft::request(Method::REFRESH).with(&Lifetime(seconds))
}

pub(crate) fn send(peer: SocketAddr, data: &[u8]) -> Draft {
    Draft::new(Class::Indication, Method::SEND).with(&XorPeerAddress(peer)).with(&Data(data))
}
