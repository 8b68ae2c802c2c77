//! LTS: long-term credentials (RFC 8489, section 9.2).

use std::time::Duration;

use stunner_proto::{
    AttributeType, Key, Method, SecurityFeatures,
    attribute::{Nonce, Realm, Userhash},
};

use crate::{
    attribute::with,
    base::lists,
    client::{Client, refresh, send},
    message::{Answer, Draft, Integrity, Signing, append},
    report::{Check, Outcome, ensure, skip},
    security::{NONCE_LIFETIME, with_short_nonces},
    world::World,
};

const SHA256_MD5: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];
/// What only a client says, and what an answer without credentials must not hold.
const PRIVATE: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::USERHASH,
    AttributeType::MESSAGE_INTEGRITY,
    AttributeType::MESSAGE_INTEGRITY_SHA256,
];
const CHALLENGE: &[AttributeType] = &[AttributeType::REALM, AttributeType::NONCE];

pub(crate) const CHECKS: &[Check] = &[
    ("LTS-01", "Allocate without credentials is 401 with realm, nonce and algorithms", |w| {
        let answer = first(w)?.carrying(CHALLENGE)?.without(PRIVATE)?;
        let realm = answer.get::<Realm<'_>>()?.as_str();
        let wanted = w.realm.as_deref().unwrap_or(realm);
        ensure(realm == wanted, wanted, realm)?;
        answer.carrying(&[AttributeType::PASSWORD_ALGORITHMS]).map(drop)
    }),
    ("LTS-02", "the nonce begins with the cookie of RFC 8489 and its features", |w| {
        let answer = first(w)?;
        let nonce = answer.get::<Nonce<'_>>()?;
        ensure(nonce.features().is_some(), "obMatJos2 and four characters", nonce.as_str())
    }),
    ("LTS-03", "the nonce announces PASSWORD-ALGORITHMS where they are", |w| {
        let answer = first(w)?;
        let bit = answer.get::<Nonce<'_>>()?.features().is_some_and(|features| features.password_algorithms);
        let there = answer.has(AttributeType::PASSWORD_ALGORITHMS);
        ensure(bit == there, &format!("bit 0 is {there}"), bit.to_string())
    }),
    ("LTS-04", "two sources get two nonces", |w| {
        let (a, b) = (first(w)?, first(w)?);
        ensure(a.get::<Nonce<'_>>()? != b.get::<Nonce<'_>>()?, "two nonces", "one")
    }),
    ("LTS-05", "the nonce of another address is 438", |w| {
        let other = w.client()?.signing().nonce;
        with(w, |signing| signing.nonce.clone_from(&other), 438)
    }),
    ("LTS-06", "integrity without USERNAME is 400", |w| bare_400(w, |signing| signing.username = None)),
    ("LTS-07", "integrity without REALM or NONCE is 400", |w| {
        bare_400(w, |signing| signing.realm = None)?;
        bare_400(w, |signing| signing.nonce = None)
    }),
    ("LTS-08", "USERHASH instead of USERNAME is accepted", |w| {
        let client = w.client()?;
        let hash = Userhash::new(&w.user.name, &client.realm()).0.to_vec();
        let signing = Signing { username: None, userhash: Some(hash), ..client.signing() };
        accepted(&client, &signing).map(drop)
    }),
    ("LTS-09", "the USERHASH of nobody is 401", |w| {
        let hashed = |signing: &mut Signing| {
            signing.username = None;
            signing.userhash = Some(vec![7; 32]);
        };
        with(w, hashed, 401)
    }),
    ("LTS-10", "MD5 and SHA-1 without algorithms are accepted and answered alike", |w| {
        let client = w.client()?;
        let answer = accepted(&client, &client.plain_signing())?.authentic(&client.md5())?;
        answer.carrying(&[AttributeType::MESSAGE_INTEGRITY]).map(drop)
    }),
    ("LTS-11", "PASSWORD-ALGORITHM alone is 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        with(w, |signing| signing.algorithms = None, 400)
    }),
    ("LTS-12", "PASSWORD-ALGORITHMS alone is 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        with(w, |signing| signing.algorithm = None, 400)
    }),
    ("LTS-13", "PASSWORD-ALGORITHMS that were cut or reordered are 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        let offered = w.client()?.signing().algorithms.unwrap_or_default();
        let reordered: Vec<u8> = offered.chunks(4).rev().flatten().copied().collect();
        if reordered != offered {
            with(w, |signing| signing.algorithms = Some(reordered.clone()), 400)?;
        }
        with(w, |signing| signing.algorithms = Some(vec![0, 2, 0, 0, 0, 3, 0, 0]), 400)
    }),
    ("LTS-14", "a PASSWORD-ALGORITHM that was not offered is 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        with(w, |signing| signing.algorithm = Some(vec![0, 9, 0, 0]), 400)
    }),
    ("LTS-15", "SHA-256 is accepted and answered alike", |w| {
        let client = w.client()?;
        let key = Key::long_term_sha256(&w.user.name, &client.realm(), &w.user.password);
        let signing = chosen(&client, 2, Integrity::Sha256(key.clone()));
        let answer = accepted(&client, &signing)?.authentic(&key)?;
        answer.carrying(&[AttributeType::MESSAGE_INTEGRITY_SHA256]).map(drop)
    }),
    ("LTS-16", "MD5 by name with MESSAGE-INTEGRITY-SHA256 is accepted", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        let client = w.client()?;
        let signing = chosen(&client, 1, Integrity::Sha256(client.md5()));
        accepted(&client, &signing)?.authentic(&client.md5()).map(drop)
    }),
    ("LTS-17", "an unknown user is 401 with realm and nonce", |w| {
        let answer = strange(w, |signing| signing.username = Some(b"nobody".to_vec()))?;
        challenges(w, answer)
    }),
    ("LTS-18", "a wrong password is 401 with realm and nonce", |w| {
        let answer = strange(w, |signing| signing.integrity = wrong())?;
        challenges(w, answer)
    }),
    ("LTS-19", "a wrong MESSAGE-INTEGRITY-SHA256 beside a good MESSAGE-INTEGRITY is 401", |w| {
        let client = w.client()?;
        let both = Integrity::both(client.md5(), Key::new(b"wrong"));
        let signing = Signing { integrity: both, ..client.plain_signing() };
        client.ask_as(&Draft::allocate(), &signing)?.refused(401).map(drop)
    }),
    ("LTS-20", "a good MESSAGE-INTEGRITY-SHA256 beside a wrong MESSAGE-INTEGRITY is accepted", |w| {
        let client = w.client()?;
        let both = Integrity::both(Key::new(b"wrong"), client.md5());
        accepted(&client, &Signing { integrity: both, ..client.plain_signing() }).map(drop)
    }),
    ("LTS-21", "an expired nonce is 438, and the new one is good", |w| {
        let w = with_short_nonces(w)?;
        let client = w.client()?;
        std::thread::sleep(NONCE_LIFETIME + Duration::from_secs(1));
        let answer = client.ask_as(&Draft::allocate(), &client.signing())?.refused(438)?;
        answer.carrying(CHALLENGE)?.without(PRIVATE)?;
        client.allocate().map(drop)
    }),
    ("LTS-22", "a bad nonce with a wrong password is 401: the nonce comes last", |w| {
        let both = |signing: &mut Signing| {
            signing.nonce = Some(made_up(signing));
            signing.integrity = wrong();
        };
        with(w, both, 401)
    }),
    ("LTS-23", "a nonce that was never issued is 438 with a new one", |w| {
        let client = w.client()?;
        let signing = Signing { nonce: Some(made_up(&client.signing())), ..client.signing() };
        let answer = client.ask_as(&Draft::allocate(), &signing)?.refused(438)?;
        challenges(w, answer)
    }),
    ("LTS-24", "the nonce in 438 is good", |w| {
        let client = w.client()?;
        let bad = Signing { nonce: Some(made_up(&client.signing())), ..client.signing() };
        let answer = client.ask_as(&Draft::allocate(), &bad)?.refused(438)?;
        let nonce = answer.get::<Nonce<'_>>()?.as_str().as_bytes().to_vec();
        accepted(&client, &Signing { nonce: Some(nonce), ..client.signing() }).map(drop)
    }),
    ("LTS-25", "changed features in a good nonce are 438", |w| {
        let client = w.client()?;
        let mut signing = client.plain_signing();
        let nonce =
            signing.nonce.as_mut().filter(|nonce| nonce.starts_with(SecurityFeatures::COOKIE.as_bytes()));
        let Some(nonce) = nonce else { return skip("the nonce announces nothing") };
        nonce[9..13].copy_from_slice(b"AAAA");
        client.ask_as(&Draft::allocate(), &signing)?.refused(438).map(drop)
    }),
    ("LTS-26", "another REALM is 401 with the right one", |w| {
        let client = w.client()?;
        let signing = Signing { realm: Some(b"elsewhere.example".to_vec()), ..client.signing() };
        let answer = client.ask_as(&Draft::allocate(), &signing)?.refused(401)?;
        let realm = answer.get::<Realm<'_>>()?.as_str();
        ensure(realm == client.realm(), &client.realm(), realm)
    }),
    ("LTS-27", "a success after authentication is signed, and says no more of the user", |w| {
        let client = w.client()?;
        let answer = client.success(&Draft::allocate())?.authentic(&client.key())?;
        let names = [AttributeType::USERNAME, AttributeType::REALM, AttributeType::NONCE];
        answer.without(&names).map(drop)
    }),
    ("LTS-28", "errors after authentication are signed", |w| {
        let client = w.client()?;
        for draft in [
            Draft::request(Method::ALLOCATE),
            Draft::request(Method::ALLOCATE).raw(0x0019, &[99, 0, 0, 0]),
            Draft::allocate().raw(0x7FFF, &[]),
            Draft::allocate().raw(0x0022, &[7; 8]),
            refresh(600),
            Draft::request(Method::CREATE_PERMISSION),
        ] {
            client.ask(&draft)?.authentic(&client.key())?;
        }
        Ok(())
    }),
    ("LTS-29", "an unknown attribute without credentials is 401", |w| {
        w.pace();
        w.wire()?.ask(&Draft::allocate().raw(0x7FFF, &[]).bytes())?.refused(401).map(drop)
    }),
    ("LTS-30", "an unknown attribute with credentials is 420, signed", |w| {
        let client = w.client()?;
        let answer = client.refused(&Draft::allocate().raw(0x7FFF, &[]), 420)?;
        lists(&answer, &[0x7FFF])?;
        answer.authentic(&client.key()).map(drop)
    }),
    ("LTS-31", "an unknown attribute behind the integrity is ignored", |w| {
        let (client, _) = w.allocated()?;
        client.wire.ask(&append(refresh(700).signed(&client.signing()), 0x7FFF, &[]))?.success().map(drop)
    }),
    ("LTS-32", "a nonce of more than an hour is 438", |_| skip("nonces live for up to an hour")),
    ("LTS-33", "401 does not tell whether the user exists", |w| {
        let unknown = strange(w, |signing| signing.username = Some(b"nobody".to_vec()))?;
        let known = strange(w, |signing| signing.integrity = wrong())?;
        let kinds = |answer: &Answer| answer.message().attributes().map(|a| a.kind).collect::<Vec<_>>();
        let (unknown, known) = (kinds(&unknown), kinds(&known));
        ensure(unknown == known, &format!("{known:?} for both"), format!("{unknown:?}"))
    }),
    ("LTS-34", "beside USERNAME a USERHASH does not count", |w| {
        let client = w.client()?;
        accepted(&client, &Signing { userhash: Some(vec![7; 32]), ..client.signing() }).map(drop)
    }),
    ("LTS-35", "the integrity of a Send indication is not looked at", |w| {
        let path = w.path()?;
        let signing = Signing { integrity: wrong(), ..path.client.plain_signing() };
        path.client.wire.send(&send(path.peer.address, b"hello").signed(&signing));
        path.peer.hears(b"hello").map(drop)
    }),
];

/// The first 401.
fn first(w: &World) -> Outcome<Answer> {
    w.pace();
    w.wire()?.ask(&Draft::allocate().bytes())?.refused(401)
}

fn wrong() -> Integrity {
    Integrity::Sha1(Key::new(b"wrong"))
}

/// A nonce like the server's, but not one.
fn made_up(signing: &Signing) -> Vec<u8> {
    let mut nonce = signing.nonce.clone().unwrap_or_default();
    nonce.iter_mut().rev().take(6).for_each(|digit| *digit = if *digit == b'0' { b'1' } else { b'0' });
    nonce
}

/// The credentials with an algorithm by its number.
fn chosen(client: &Client<'_>, algorithm: u8, integrity: Integrity) -> Signing {
    let signing = client.signing();
    let algorithms = signing.algorithms.clone().unwrap_or_else(|| SHA256_MD5.to_vec());
    let algorithm = Some(vec![0, algorithm, 0, 0]);
    Signing { algorithms: Some(algorithms), algorithm, integrity, ..signing }
}

fn accepted(client: &Client<'_>, signing: &Signing) -> Outcome<Answer> {
    client.ask_as(&Draft::allocate(), signing)?.success()
}

/// The 401 for credentials changed in this way.
fn strange(w: &World, change: impl Fn(&mut Signing)) -> Outcome<Answer> {
    let client = w.client()?;
    let mut signing = client.plain_signing();
    change(&mut signing);
    client.ask_as(&Draft::allocate(), &signing)?.refused(401)
}

fn challenges(w: &World, answer: Answer) -> Outcome {
    let offered: &[AttributeType] =
        if w.features.password_algorithms { &[AttributeType::PASSWORD_ALGORITHMS] } else { &[] };
    answer.carrying(CHALLENGE)?.carrying(offered)?.without(PRIVATE).map(drop)
}

/// That it is 400, and says nothing of realm, nonce and user.
fn bare_400(w: &World, change: impl Fn(&mut Signing)) -> Outcome {
    let client = w.client()?;
    let mut signing = client.plain_signing();
    change(&mut signing);
    let answer = client.ask_as(&Draft::allocate(), &signing)?.refused(400)?;
    answer.without(CHALLENGE)?.without(PRIVATE).map(drop)
}
