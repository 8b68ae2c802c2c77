//! OAU: tokens of an authorization server (RFC 7635). To seal one, the key that it shares with the server must be known.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInOut, Nonce as Unique},
};
use stunner_proto::{
    Attribute, AttributeType, Key, Method,
    attribute::{AccessToken, Lifetime, Nonce},
};
use stunner_relay::{SystemClock, TimeSource};

use crate::{
    base::lists,
    client::{permission, refresh},
    message::{Answer, Draft, Integrity, Signing},
    own,
    report::{Check, Outcome, ensure, skip},
    wire::Wire,
    world::World,
};

const TOKEN: u16 = 0x001B;
const MAC_KEY: [u8; 20] = [5; 20];

pub(crate) const CHECKS: &[Check] = &[
    ("OAU-02", "the first 401 names the authorization server", |w| {
        w.need(w.features.oauth, "tokens")?;
        w.pace();
        let answer = w.wire()?.ask(&Draft::allocate().bytes())?.refused(401)?;
        answer.carrying(&[AttributeType::THIRD_PARTY_AUTHORIZATION]).map(drop)
    }),
    ("OAU-03", "a good token is accepted", |w| Holder::new(w)?.allocate()?.success().map(drop)),
    ("OAU-04", "ACCESS-TOKEN where none was asked for is 420", |w| {
        if w.features.oauth {
            return unknown(&*own::with(w, "a server that takes no tokens", |builder| builder)?);
        }
        unknown(w)
    }),
    ("OAU-05", "an unknown key id is 401", |w| {
        Holder { id: "south", ..Holder::new(w)? }.allocate()?.refused(401).map(drop)
    }),
    ("OAU-06", "a token that was changed is 401", |w| {
        let mut holder = Holder::new(w)?;
        holder.token.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
        holder.allocate()?.refused(401).map(drop)
    }),
    ("OAU-07", "a token that ran out is 401", |w| {
        let token = sealed(now() - 600, 590);
        Holder { token, ..Holder::new(w)? }.allocate()?.refused(401).map(drop)
    }),
    ("OAU-08", "a token of the future is 401", |w| {
        let token = sealed(now() + 620, 600);
        Holder { token, ..Holder::new(w)? }.allocate()?.refused(401).map(drop)
    }),
    ("OAU-09", "integrity by another key is 401", |w| {
        Holder { key: Key::new(b"another"), ..Holder::new(w)? }.allocate()?.refused(401).map(drop)
    }),
    ("OAU-10", "no LIFETIME beyond the token's", |w| {
        let Lifetime(seconds) = Holder::new(w)?.allocate()?.success()?.get()?;
        ensure((595..=605).contains(&seconds), "what is left of 600 s, and 5 s", seconds.to_string())
    }),
    ("OAU-11", "later requests need no token", |w| {
        let holder = Holder::new(w)?;
        holder.allocate()?.success()?;
        let peer = w.peer()?.address;
        holder.ask(&permission(&[peer]))?.success()?.authentic(&holder.key).map(drop)
    }),
    ("OAU-12", "Refresh with a new token", |w| {
        let mut holder = Holder::new(w)?;
        holder.allocate()?.success()?;
        holder.token = sealed(now(), 1_200);
        let answer = holder.ask(&refresh(1_100).raw(TOKEN, &holder.token))?.success()?;
        let Lifetime(seconds) = answer.get()?;
        ensure(seconds == 1_100, "1100 s", seconds.to_string())
    }),
];

fn unknown(w: &World) -> Outcome {
    let draft = Draft::request(Method::ALLOCATE).raw(TOKEN, &[7; 16]).raw(0x0019, &[17, 0, 0, 0]);
    lists(&w.client()?.refused(&draft, 420)?, &[TOKEN])
}

/// Who shows a token, and signs with what is in it.
struct Holder {
    wire: Wire,
    nonce: Vec<u8>,
    id: &'static str,
    key: Key,
    token: Vec<u8>,
}

impl Holder {
    /// With a token for ten minutes.
    fn new(w: &World) -> Outcome<Self> {
        if !w.own || !w.features.oauth {
            return skip("needs a key that is shared with the server");
        }
        w.pace();
        let wire = w.wire()?;
        let challenge = wire.ask(&Draft::allocate().bytes())?.refused(401)?;
        let nonce = challenge.get::<Nonce<'_>>()?.as_str().as_bytes().to_vec();
        Ok(Self { wire, nonce, id: own::KEY_ID, key: Key::new(&MAC_KEY), token: sealed(now(), 600) })
    }

    fn allocate(&self) -> Outcome<Answer> {
        self.ask(&Draft::allocate().with(&Lifetime(3_600)).raw(TOKEN, &self.token))
    }

    fn ask(&self, draft: &Draft) -> Outcome<Answer> {
        let signing = Signing {
            username: Some(self.id.into()),
            userhash: None,
            realm: None,
            nonce: Some(self.nonce.clone()),
            algorithms: None,
            algorithm: None,
            integrity: Integrity::Sha1(self.key.clone()),
        };
        self.wire.ask(&draft.signed(&signing))
    }
}

fn now() -> u64 {
    SystemClock.unix_seconds()
}

/// The value of ACCESS-TOKEN, as an authorization server makes it.
fn sealed(made: u64, lifetime: u32) -> Vec<u8> {
    let mut content = [&[0, 20], &MAC_KEY[..], &(made << 16).to_be_bytes(), &lifetime.to_be_bytes()].concat();
    let nonce = rand::random::<[u8; 12]>();
    let tag = Aes256Gcm::new(&own::KEY.into())
        .encrypt_inout_detached(
            &Unique::<Aes256Gcm>::from(nonce),
            own::SERVER_NAME.as_bytes(),
            content.as_mut_slice().into(),
        )
        .expect("a few bytes can be sealed");
    content.extend_from_slice(&tag);
    let token = AccessToken::new(&nonce, &content).expect("a short token");
    let mut value = vec![0; token.encoded_len()];
    token.encode(&mut value, Draft::allocate().id);
    value
}
