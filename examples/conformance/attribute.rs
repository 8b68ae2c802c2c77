//! ATT: attributes that are long, short, repeated or cut (RFC 8489, section 14; RFC 8656, section 18).

use stunner_proto::{
    AttributeType, Method,
    attribute::{Lifetime, Nonce, XorPeerAddress},
};

use crate::{
    base::binding,
    client::refresh,
    message::{Draft, Integrity, Signing, append},
    report::{Check, Outcome, ensure},
    world::World,
};

pub(crate) const CHECKS: &[Check] = &[
    ("ATT-02", "padding that is not zero is ignored", |w| {
        let mut bytes = binding().raw(0x8022, b"check").bytes();
        bytes[29..32].fill(0x20);
        w.wire()?.ask(&bytes)?.success().map(drop)
    }),
    ("ATT-03", "half an attribute header is dropped", |w| {
        let mut bytes = [binding().bytes(), vec![0x80, 0x22]].concat();
        bytes[3] = 2;
        w.udp_wire()?.drops(&bytes)
    }),
    ("ATT-04", "an attribute that ends behind the message is dropped", |w| {
        w.udp_wire()?.drops(&with_tail(&[0x80, 0x22, 0xFF, 0xFF, 0, 0, 0, 0]))
    }),
    ("ATT-05", "an attribute whose padding ends behind the message is dropped", |w| {
        w.udp_wire()?.drops(&with_tail(&[0x80, 0x22, 0, 5, 0, 0, 0, 0]))
    }),
    ("ATT-06", "of the same attribute twice the first counts", |w| {
        let (client, _) = w.allocated()?;
        let granted = client.success(&refresh(1_200).with(&Lifetime(1_800)))?.get::<Lifetime>()?;
        ensure(granted.0 == 1_200, "1200 s", format!("{} s", granted.0))
    }),
    ("ATT-07", "an unknown optional attribute in front is passed over", |w| {
        let draft = Draft::request(Method::ALLOCATE).raw(0x8FFF, &[1]).raw(0x0019, &[17, 0, 0, 0]);
        w.client()?.success(&draft).map(drop)
    }),
    ("ATT-13", "UNKNOWN-ATTRIBUTES with one entry has two bytes", |w| {
        let answer = w.wire()?.ask(&binding().raw(0x7FFF, &[]).bytes())?.refused(420)?;
        let value = answer.value(AttributeType::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        ensure(value == [0x7F, 0xFF], "7fff", format!("{value:02x?}"))
    }),
    ("ATT-14", "a USERNAME of 763 bytes is an unknown user", |w| {
        with(w, |signing| signing.username = Some(vec![b'x'; 763]), 401)
    }),
    ("ATT-15", "a USERNAME that is no UTF-8 is an unknown user", |w| {
        with(w, |signing| signing.username = Some(vec![0xFF, 0xFE, 0xFD]), 401)
    }),
    ("ATT-16", "a REALM of 763 bytes is another realm", |w| {
        with(w, |signing| signing.realm = Some(vec![b'x'; 763]), 401)
    }),
    ("ATT-17", "a NONCE has below 128 characters, and no quotes", |w| {
        let challenge = w.wire()?.ask(&Draft::allocate().bytes())?;
        let nonce = challenge.get::<Nonce<'_>>()?.as_str();
        let plain = nonce.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
        ensure(plain && nonce.chars().count() < 128, "qdtext below 128 characters", nonce)
    }),
    ("ATT-18", "PASSWORD-ALGORITHMS holds SHA-256 and MD5", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        let challenge = w.wire()?.ask(&Draft::allocate().bytes())?;
        let value = challenge.value(AttributeType::PASSWORD_ALGORITHMS).unwrap_or_default();
        let both = value.chunks(4).any(|entry| entry == [0, 2, 0, 0])
            && value.chunks(4).any(|entry| entry == [0, 1, 0, 0]);
        ensure(both, "00020000 and 00010000", format!("{value:02x?}"))
    }),
    ("ATT-20", "a cut PASSWORD-ALGORITHMS is 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        with(w, |signing| signing.algorithms = Some(vec![0, 2, 0, 9, 0, 1, 0, 0]), 400)
    }),
    ("ATT-21", "a PASSWORD-ALGORITHM of two bytes is 400", |w| {
        w.need(w.features.password_algorithms, "PASSWORD-ALGORITHMS")?;
        with(w, |signing| signing.algorithm = Some(vec![0, 2]), 400)
    }),
    ("ATT-22", "a USERHASH of 31 bytes is 400", |w| {
        let hashed = |signing: &mut Signing| {
            signing.username = None;
            signing.userhash = Some(vec![7; 31]);
        };
        with(w, hashed, 400)
    }),
    ("ATT-23", "a SOFTWARE of 763 bytes is taken", |w| {
        w.wire()?.ask(&binding().raw(0x8022, &[b'x'; 763]).bytes())?.success().map(drop)
    }),
    ("ATT-25", "the reserved bytes of CHANNEL-NUMBER are ignored", |w| {
        let path = w.path()?;
        let draft = Draft::request(Method::CHANNEL_BIND).raw(0x000C, &[0x40, 0, 0xFF, 0xFF]);
        path.client.success(&draft.with(&XorPeerAddress(path.peer.address))).map(drop)
    }),
    ("ATT-26", "a LIFETIME that has not four bytes is 400", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&Draft::request(Method::REFRESH).raw(0x000D, &[0, 0, 2]), 400).map(drop)
    }),
    ("ATT-27", "the reserved bytes of REQUESTED-ADDRESS-FAMILY are ignored", |w| {
        w.client()?.success(&Draft::allocate().raw(0x0017, &[1, 0xFF, 0xFF, 0xFF])).map(drop)
    }),
    ("ATT-28", "of EVEN-PORT one bit counts", |w| {
        let answer = w.client()?.success(&Draft::allocate().raw(0x0018, &[0x7F]))?;
        answer.without(&[AttributeType::RESERVATION_TOKEN]).map(drop)
    }),
    ("ATT-29", "the reserved bytes of REQUESTED-TRANSPORT are ignored", |w| {
        let draft = Draft::request(Method::ALLOCATE).raw(0x0019, &[17, 1, 2, 3]);
        w.client()?.success(&draft).map(drop)
    }),
    ("ATT-31", "a RESERVATION-TOKEN of seven bytes is 400", |w| {
        w.client()?.refused(&Draft::allocate().raw(0x0022, &[1; 7]), 400).map(drop)
    }),
    ("ATT-35", "what stands behind MESSAGE-INTEGRITY is ignored", |w| {
        let (client, _) = w.allocated()?;
        let bytes = append(refresh(700).signed(&client.plain_signing()), 0x7FFF, &[]);
        client.wire.ask(&bytes)?.success().map(drop)
    }),
    ("ATT-36", "what stands behind MESSAGE-INTEGRITY-SHA256 is ignored", |w| {
        let (client, _) = w.allocated()?;
        let signing = Signing { integrity: Integrity::Sha256(client.md5()), ..client.plain_signing() };
        let bytes = append(refresh(700).signed(&signing), 0x7FFF, &[]);
        client.wire.ask(&bytes)?.success().map(drop)
    }),
    ("ATT-37", "FINGERPRINT that is not the last is dropped", |w| {
        w.udp_wire()?.drops(&append(binding().fingerprinted(), 0x8022, b"late"))
    }),
];

fn with_tail(tail: &[u8]) -> Vec<u8> {
    let mut bytes = [binding().bytes(), tail.to_vec()].concat();
    bytes[3] = 8;
    bytes
}

/// That an Allocate with credentials changed in this way gets this error.
pub(crate) fn with(w: &World, change: impl Fn(&mut Signing), code: u16) -> Outcome {
    let client = w.client()?;
    let mut signing = client.signing();
    change(&mut signing);
    client.ask_as(&Draft::allocate(), &signing)?.refused(code).map(drop)
}
