//! ADR: addresses on the wire (RFC 8489, section 14.2), and INT: integrity and fingerprints (14.5 to 14.7).

use std::net::{Ipv4Addr, SocketAddr};

use stunner_proto::{AttributeType, HEADER_LEN, MAGIC_COOKIE, Method};

use crate::{
    base::binding,
    client::{permission, refresh},
    message::{Draft, Integrity, Signing, append},
    report::{Check, Outcome, ensure, fail, skip},
    world::World,
};

pub(crate) const CHECKS: &[Check] = &[
    ("ADR-01", "XOR-MAPPED-ADDRESS is the address, XORed", |w| {
        let wire = w.wire()?;
        let SocketAddr::V4(local) = wire.local() else { return skip("needs an IPv4 server") };
        let answer = wire.ask(&binding().bytes())?;
        let port = (local.port() ^ 0x2112).to_be_bytes();
        let ip = (local.ip().to_bits() ^ MAGIC_COOKIE).to_be_bytes();
        let expected = [&[0, 1], &port[..], &ip].concat();
        let got = answer.value(AttributeType::XOR_MAPPED_ADDRESS).unwrap_or_default();
        ensure(got == expected, &format!("{expected:02x?}"), format!("{got:02x?}"))
    }),
    ("ADR-03", "the first byte of an address is ignored", |w| {
        let (client, _) = w.allocated()?;
        client.success(&peer(&[7, 1, 0x21, 0x12, 0x5E, 0x12, 0xA4, 0x43])).map(drop)
    }),
    ("ADR-04", "an address whose length is not its family's is 400", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&peer(&[[0, 1].as_slice(), &[7; 18]].concat()), 400)?;
        client.refused(&peer(&[0, 2, 7, 7, 7, 7, 7, 7]), 400).map(drop)
    }),
    ("ADR-05", "an address of no family is refused", |w| {
        let (client, _) = w.allocated()?;
        for family in [0, 3] {
            let answer = client.ask(&peer(&[0, family, 7, 7, 7, 7, 7, 7]))?;
            if !matches!(answer.code(), Some(400 | 440 | 443)) {
                return fail("error 400", answer.to_string());
            }
        }
        Ok(())
    }),
    ("ADR-08", "IPv4 inside IPv6 is an IPv6 peer, which IPv4 does not reach: 443", |w| {
        let (client, _) = w.allocated()?;
        let mapped = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1).to_ipv6_mapped(), 9));
        client.refused(&permission(&[mapped]), 443).map(drop)
    }),
    ("INT-04", "a bit that is flipped in front of the integrity is 401", |w| {
        let (client, _) = w.allocated()?;
        for offset in [HEADER_LEN + 7, HEADER_LEN + 4] {
            let mut bytes = refresh(700).signed(&client.signing());
            bytes[offset] ^= 1;
            client.wire.ask(&bytes)?.refused(401)?;
        }
        Ok(())
    }),
    ("INT-05", "integrity in front of FINGERPRINT", |w| {
        let (client, _) = w.allocated()?;
        let bytes = refresh(700).signed_and_fingerprinted(&client.plain_signing());
        client.wire.ask(&bytes)?.success().map(drop)
    }),
    ("INT-06", "both integrities in front of FINGERPRINT", |w| {
        let (client, _) = w.allocated()?;
        let both = Integrity::both(client.md5(), client.md5());
        let signing = Signing { integrity: both, ..client.plain_signing() };
        client.wire.ask(&refresh(700).signed_and_fingerprinted(&signing))?.success().map(drop)
    }),
    ("INT-08", "MESSAGE-INTEGRITY-SHA256 of 12 or 36 bytes is 401", |w| {
        resized(w, 0x001C, 12)?;
        resized(w, 0x001C, 36)
    }),
    ("INT-09", "MESSAGE-INTEGRITY-SHA256 cut to 16 bytes is 401", |w| {
        let client = w.client()?;
        let cut = Integrity::Truncated(client.key(), 16);
        let signing = Signing { integrity: cut, ..client.signing() };
        client.ask_as(&Draft::allocate(), &signing)?.refused(401).map(drop)
    }),
    ("INT-10", "MESSAGE-INTEGRITY of 19 or 21 bytes is 401", |w| {
        resized(w, 0x0008, 19)?;
        resized(w, 0x0008, 21)
    }),
    ("INT-11", "padding that changed behind the signature is 401", |w| {
        let (client, _) = w.allocated()?;
        let mut bytes = refresh(700).raw(0x8022, b"check").signed(&client.signing());
        bytes[HEADER_LEN + 8 + 4 + 5] = 0x20;
        client.wire.ask(&bytes)?.refused(401).map(drop)
    }),
    ("INT-12", "a wrong FINGERPRINT is dropped", |w| {
        let mut bytes = binding().fingerprinted();
        bytes.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
        w.udp_wire()?.drops(&bytes)
    }),
    ("INT-13", "a FINGERPRINT made before the integrity is dropped", |w| {
        let client = w.udp_client()?;
        let mut bytes = refresh(700).signed_and_fingerprinted(&client.plain_signing());
        // The integrity stands in front of the 8 bytes of FINGERPRINT.
        let integrity = bytes.len() - 8 - 20;
        bytes[integrity..integrity + 20].fill(0);
        client.wire.drops(&bytes)
    }),
];

fn peer(value: &[u8]) -> Draft {
    Draft::request(Method::CREATE_PERMISSION).raw(0x0012, value)
}

/// That an Allocate whose integrity has this many bytes is 401.
fn resized(w: &World, kind: u16, length: usize) -> Outcome {
    let client = w.client()?;
    let signed = Draft::allocate().signed(&client.plain_signing());
    let unsigned = signed[..signed.len() - 24].to_vec();
    client.wire.ask(&append(unsigned, kind, &vec![7; length]))?.refused(401).map(drop)
}
