//! BAS: what every STUN server does (RFC 8489, sections 6 and 12), and HDR: which bytes are a message at all (section 5).

use stunner_proto::{
    AttributeType, Class, Method,
    attribute::{UnknownAttributes, XorMappedAddress},
};

use crate::{
    client::send,
    message::{Answer, Draft, append, channel_data},
    report::{Check, Outcome, ensure, fail, skip},
    wire::Wire,
    world::World,
};

pub(crate) fn binding() -> Draft {
    Draft::request(Method::BINDING)
}

pub(crate) const CHECKS: &[Check] = &[
    ("HDR-02", "types of responses are 0x0101 and 0x0111", |w| {
        let wire = w.wire()?;
        let answer = wire.ask(&binding().bytes())?;
        ensure(answer.bytes().starts_with(&[1, 1]), "0x0101", answer.to_string())?;
        let answer = wire.ask(&binding().raw(0x7FFF, &[]).bytes())?;
        ensure(answer.bytes().starts_with(&[1, 0x11]), "0x0111", answer.to_string())
    }),
    ("HDR-03", "19 bytes are no message", |w| w.udp_wire()?.drops(&binding().bytes()[..19])),
    ("HDR-04", "a first byte from 0x40 is no message", |w| {
        each(w, (0x40..=0xFF_u8).step_by(0x10), |bytes, first| bytes[0] = first)
    }),
    ("HDR-05", "a cookie that is off by one bit is no message", |w| {
        each(w, 0..32_u8, |bytes, bit| bytes[4 + usize::from(bit / 8)] ^= 1 << (bit % 8))
    }),
    ("HDR-06", "a length that four does not divide is no message", |w| {
        each(w, 1..=3, |bytes, length| bytes[3] = length)
    }),
    ("HDR-07", "a length beyond the datagram is no message", |w| {
        each(w, [4, 8, 252], |bytes, length| bytes[3] = length)
    }),
    ("HDR-08", "bytes behind the message make the datagram none", |w| {
        w.udp_wire()?.drops(&[binding().bytes(), vec![0; 4]].concat())
    }),
    ("HDR-09", "20 bytes are a whole message", |w| w.wire()?.ask(&binding().bytes())?.success().map(drop)),
    ("HDR-10", "a message of 65,552 bytes on a stream", |w| {
        let wire = w.tcp_wire()?;
        let long = append(binding().bytes(), 0xC0DE, &vec![0; 65_528]);
        match wire.answer(&long)? {
            Some(answer) => answer.success().map(drop),
            None => skip("the server takes no messages of this length"),
        }
    }),
    ("HDR-11", "responses have the request's method and transaction ID", |w| {
        let answer = w.wire()?.ask(&binding().bytes())?;
        let method = answer.message().method();
        ensure(method == Method::BINDING, "Binding", answer.to_string())
    }),
    ("HDR-14", "random bytes are dropped, and the server lives", |w| {
        let wire = w.udp_wire()?;
        for length in (0..1_200).step_by(7) {
            let mut bytes: Vec<u8> = std::iter::repeat_with(rand::random).take(length).collect();
            bytes.iter_mut().take(1).for_each(|first| *first &= 0x7F);
            wire.send(&bytes);
        }
        wire.stays_silent()?;
        wire.ask(&binding().bytes())?.success().map(drop)
    }),
    ("HDR-15", "what is neither STUN nor ChannelData gets no STUN", |w| {
        each(w, [16, 21, 64, 80, 128, 200, 255], |bytes, first| bytes[0] = first)
    }),
    ("BAS-01", "Binding tells where it came from", |w| mapped(&w.udp_wire()?)),
    ("BAS-02", "Binding over TCP, on the same connection", |w| mapped(&w.tcp_wire()?)),
    ("BAS-03", "an unknown required attribute is 420", |w| unknown(w, &[0x7FFF])),
    ("BAS-04", "two unknown required attributes are both listed", |w| unknown(w, &[0x7FFF, 0x7F01])),
    ("BAS-05", "an unknown optional attribute is ignored", |w| {
        w.wire()?.ask(&binding().raw(0xFFFE, &[1, 2, 3]).bytes())?.success().map(drop)
    }),
    ("BAS-06", "LIFETIME in Binding is ignored", |w| {
        w.wire()?.ask(&binding().raw(0x000D, &[0, 0, 2, 88]).bytes())?.success().map(drop)
    }),
    ("BAS-07", "a Binding indication is not answered", |w| {
        w.wire()?.drops(&Draft::new(Class::Indication, Method::BINDING).bytes())
    }),
    ("BAS-08", "an indication with an unknown required attribute is not answered", |w| {
        w.wire()?.drops(&Draft::new(Class::Indication, Method::BINDING).raw(0x7FFF, &[]).bytes())
    }),
    ("BAS-09", "a method that does not exist is not answered", |w| {
        w.udp_wire()?.drops(&Draft::request(Method(0x00D)).bytes())
    }),
    ("BAS-10", "classes that a method does not have are not answered", |w| {
        let wire = w.udp_wire()?;
        wire.drops(&Draft::new(Class::Indication, Method::ALLOCATE).bytes())?;
        wire.drops(&Draft::request(Method::SEND).bytes())?;
        wire.drops(&Draft::request(Method::DATA).bytes())
    }),
    ("BAS-11", "responses are not answered", |w| {
        let wire = w.udp_wire()?;
        wire.drops(&Draft::new(Class::SuccessResponse, Method::BINDING).bytes())?;
        wire.drops(&Draft::new(Class::ErrorResponse, Method::ALLOCATE).bytes())
    }),
    ("BAS-12", "the answer comes from where the request went", |w| {
        // The socket is connected: an answer from another address would not be seen.
        w.udp_wire()?.ask(&binding().bytes())?.success().map(drop)
    }),
    ("BAS-13", "the same request gets the same answer", |w| {
        let (wire, request) = (w.wire()?, binding().bytes());
        let (first, second) = (wire.ask(&request)?, wire.ask(&request)?);
        ensure(first.bytes() == second.bytes(), "the same bytes twice", "others")
    }),
    ("BAS-14", "SOFTWARE is in all responses or in none", |w| {
        let answer = w.wire()?.ask(&binding().bytes())?;
        let has = answer.has(AttributeType::SOFTWARE);
        ensure(has == w.features.software, "the same in Binding and Allocate", format!("{has} in Binding"))
    }),
    ("BAS-20", "over DTLS a request without cookie is 500", |_| skip("DTLS is not looked at")),
    ("BAS-21", "FINGERPRINT is not required, and not in the way", |w| {
        let wire = w.wire()?;
        wire.ask(&binding().bytes())?.success()?;
        wire.ask(&binding().fingerprinted())?.success().map(drop)
    }),
    ("BAS-22", "without credentials answers stay below 256 bytes", |w| {
        let answer = w.udp_wire()?.ask(&Draft::allocate().bytes())?;
        let length = answer.bytes().len();
        ensure(length <= 256, "at most 256 bytes", format!("{length} bytes"))
    }),
    ("GEN-02", "data of a client without allocation is dropped", |w| {
        let (wire, peer) = (w.udp_wire()?, w.peer()?);
        wire.send(&send(peer.address, b"nobody's").bytes());
        wire.send(&channel_data(0x4000, 4, b"data"));
        wire.stays_silent()?;
        peer.hears_nothing()
    }),
    ("GEN-09", "TURN of RFC 3489's form is dropped", |w| {
        let mut bytes = Draft::allocate().bytes();
        bytes[4..8].fill(7);
        w.udp_wire()?.drops(&bytes)
    }),
];

/// That Binding requests changed in this way are all dropped.
fn each<T>(w: &World, values: impl IntoIterator<Item = T>, change: impl Fn(&mut [u8], T)) -> Outcome {
    let wire = w.udp_wire()?;
    for value in values {
        let mut bytes = binding().bytes();
        change(&mut bytes, value);
        wire.send(&bytes);
    }
    classic_aside(&wire)
}

/// That nothing comes back but, where the server has them, answers to classic STUN, whose cookie is any.
pub(crate) fn classic_aside(wire: &Wire) -> Outcome {
    while let Some(packet) = wire.receive(std::time::Duration::from_millis(300)) {
        if let Some(answer) = Answer::parse(&packet) {
            return fail("no answer", answer.to_string());
        }
    }
    Ok(())
}

/// That XOR-MAPPED-ADDRESS is the socket's.
fn mapped(wire: &Wire) -> Outcome {
    let mapped = wire.ask(&binding().bytes())?.success()?.get::<XorMappedAddress>()?.0;
    let local = wire.local();
    ensure(mapped == local, &format!("{local}, without a NAT on the way"), mapped.to_string())
}

fn unknown(w: &World, kinds: &[u16]) -> Outcome {
    let request = kinds.iter().fold(binding(), |draft, &kind| draft.raw(kind, &[]));
    let answer = w.wire()?.ask(&request.bytes())?.refused(420)?;
    lists(&answer, kinds)
}

/// That UNKNOWN-ATTRIBUTES names these.
pub(crate) fn lists(answer: &Answer, kinds: &[u16]) -> Outcome {
    let listed: Vec<u16> = answer.get::<UnknownAttributes<'_>>()?.iter().map(|kind| kind.0).collect();
    let all = kinds.iter().all(|kind| listed.contains(kind)) && listed.len() == kinds.len();
    ensure(all, &format!("UNKNOWN-ATTRIBUTES {kinds:04x?}"), format!("{listed:04x?}"))
}
