//! BAD: bytes that must be dropped without an answer and without a trace.

use stunner_proto::{Class, Method};

use crate::{
    base::{binding, classic_aside},
    client::refresh,
    message::{Answer, Draft, channel_data},
    report::{Check, Outcome, ensure, fail},
    world::World,
};

/// RFC 8489, B.1, as it is printed: its length counts the header.
const PRINTED: &str = "0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f2481941556\
9e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39465354767936347341000000\
0014000b6578616d706c652e6f726700001c0020e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01";

/// RFC 5769, 2.2, whose last byte is one too high.
const WRONG_FINGERPRINT: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147\
e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c97";

pub(crate) const CHECKS: &[Check] = &[
    ("HDR-13", "the misprinted vector of RFC 8489 is no message", |w| dropped(w, &hex(PRINTED))),
    ("BAD-01", "an empty datagram", |w| dropped(w, &[])),
    ("BAD-02", "one zero", |w| dropped(w, &[0])),
    ("BAD-03", "19 bytes of a header", |w| dropped(w, &binding().bytes()[..19])),
    ("BAD-04", "a length of 4 without four bytes", |w| changed(w, |bytes| bytes[3] = 4)),
    ("BAD-05", "a length of 1", |w| changed(w, |bytes| bytes[3] = 1)),
    ("BAD-06", "a first byte of 0x80 or 0x40", |w| {
        changed(w, |bytes| bytes[0] = 0x80)?;
        changed(w, |bytes| bytes[0] = 0x40)
    }),
    ("BAD-07", "a cookie one too high", |w| {
        let (wire, mut bytes) = (w.udp_wire()?, binding().bytes());
        bytes[7] += 1;
        wire.send(&bytes);
        classic_aside(&wire)
    }),
    ("BAD-08", "an attribute whose value is missing", |w| tail(w, &[0, 6, 0, 4])),
    ("BAD-09", "an attribute of 65,535 bytes", |w| tail(w, &[0, 6, 0xFF, 0xFF, 0, 0, 0, 0])),
    ("BAD-10", "an attribute that needs four bytes more", |w| tail(w, &[0, 6, 0, 5, 0, 0, 0, 0])),
    ("BAD-11", "a response with a wrong FINGERPRINT", |w| dropped(w, &hex(WRONG_FINGERPRINT))),
    ("BAD-12", "ChannelData of 16 bytes with three", |w| dropped(w, &channel_data(0x4000, 16, b"abc"))),
    ("BAD-13", "ChannelData of 65,535 bytes with none", |w| dropped(w, &channel_data(0x4000, 65_535, b""))),
    ("BAD-14", "ChannelData of channel 0x5000", |w| dropped(w, &channel_data(0x5000, 4, b"abcd"))),
    ("BAD-15", "a Data indication to the server", |w| {
        dropped(w, &Draft::new(Class::Indication, Method::DATA).bytes())
    }),
    ("BAD-16", "an Allocate success to the server", |w| {
        dropped(w, &Draft::new(Class::SuccessResponse, Method::ALLOCATE).bytes())
    }),
    ("BAD-17", "65,507 zeros", |w| dropped(w, &vec![0; 65_507])),
    ("BAD-18", "the misprinted vector with a request's method", |w| {
        let mut bytes = hex(PRINTED);
        bytes[1] = 3;
        dropped(w, &bytes)
    }),
    ("BAD-19", "a signed request cut at every length", |w| {
        let client = w.udp_client()?;
        client.allocate()?;
        let bytes = refresh(0).signed(&client.signing());
        (0..bytes.len()).for_each(|length| client.wire.send(&bytes[..length]));
        client.wire.stays_silent()?;
        client.refresh(600).map(drop)
    }),
    ("BAD-20", "a signed request with any one byte changed is not done", |w| {
        let client = w.udp_client()?;
        client.allocate()?;
        let bytes = refresh(0).signed(&client.signing());
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            w.pace();
            client.wire.send(&bytes);
        }
        while let Some(packet) = client.wire.receive(w.quiet) {
            let answer = Answer::parse(&packet);
            let done = answer.as_ref().filter(|answer| answer.message().class() == Class::SuccessResponse);
            ensure(done.is_none(), "errors or nothing", "a success")?;
        }
        client.refresh(600).map(drop)
    }),
];

/// That nothing comes back, and that the server lives.
fn dropped(w: &World, bytes: &[u8]) -> Outcome {
    let wire = w.udp_wire()?;
    wire.drops(bytes)?;
    match wire.answer(&binding().bytes())? {
        Some(answer) => answer.success().map(drop),
        None => fail("a server that lives", "no answer to Binding"),
    }
}

fn changed(w: &World, change: impl Fn(&mut [u8])) -> Outcome {
    let mut bytes = binding().bytes();
    change(&mut bytes);
    dropped(w, &bytes)
}

/// A Binding request with these attributes, whatever they are.
fn tail(w: &World, attributes: &[u8]) -> Outcome {
    let mut bytes = [binding().bytes(), attributes.to_vec()].concat();
    bytes[3] = u8::try_from(attributes.len()).unwrap_or(u8::MAX);
    dropped(w, &bytes)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
