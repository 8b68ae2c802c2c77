//! SND: Send and Data indications (RFC 8656, section 11).

use std::net::SocketAddr;

use stunner_proto::{
    AttributeType, Class, Method,
    attribute::{Data, XorPeerAddress},
};

use crate::{
    client::send,
    message::Draft,
    report::{Check, Outcome, ensure, skip},
    world::Path,
};

pub(crate) const CHECKS: &[Check] = &[
    ("SND-01", "Send goes to just that peer, from the relayed address, without padding", |w| {
        let path = w.path()?;
        path.client.says(path.peer.address, b"hello");
        let from = path.peer.hears(b"hello")?;
        ensure(from == path.relayed, &path.relayed.to_string(), from.to_string())
    }),
    ("SND-02", "Send without permission is dropped", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        client.says(peer.address, b"hello");
        client.wire.stays_silent()?;
        peer.hears_nothing()
    }),
    ("SND-03", "Send without DATA or without peer is dropped", |w| {
        let path = w.path()?;
        path.client.wire.send(&indication().with(&XorPeerAddress(path.peer.address)).bytes());
        path.client.wire.send(&indication().with(&Data(b"hello")).bytes());
        nothing(&path)
    }),
    ("SND-04", "Send with empty DATA is an empty datagram", |w| {
        let path = w.path()?;
        path.client.says(path.peer.address, b"");
        path.peer.hears(b"").map(drop)
    }),
    ("SND-05", "Send with an unknown required attribute is dropped", |w| {
        let path = w.path()?;
        path.client.wire.send(&send(path.peer.address, b"hello").raw(0x7FFF, &[]).bytes());
        nothing(&path)
    }),
    ("SND-06", "Send with DONT-FRAGMENT is sent where that can be done, and dropped where not", |w| {
        let path = w.path()?;
        path.client.wire.send(&send(path.peer.address, b"whole").raw(0x001A, &[]).bytes());
        if w.features.dont_fragment { path.peer.hears(b"whole").map(drop) } else { nothing(&path) }
    }),
    ("SND-07", "Send to a peer that is not allowed is dropped", |w| {
        let path = w.path()?;
        path.client.says(SocketAddr::new(w.denied, 9), b"hello");
        nothing(&path)
    }),
    ("SND-08", "Send to a peer with a channel is relayed", |w| {
        let path = w.path()?;
        path.client.bind(0x4000, path.peer.address)?;
        path.client.says(path.peer.address, b"long form");
        path.peer.hears(b"long form").map(drop)
    }),
    ("SND-09", "Send to port 0 is dropped", |w| {
        let path = w.path()?;
        path.client.says(SocketAddr::new(path.peer.address.ip(), 0), b"hello");
        nothing(&path)?;
        path.client.refresh(600).map(drop)
    }),
    ("SND-11", "a peer's datagram is a Data indication with its address", |w| w.path()?.delivers(b"hello")),
    ("SND-12", "a peer's empty datagram is a Data indication with empty DATA", |w| w.path()?.delivers(b"")),
    ("SND-13", "a peer's datagram without permission is dropped", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        peer.says(relayed, b"hello");
        client.wire.stays_silent()
    }),
    ("SND-14", "beside a channel another port of the peer gets Data indications", |w| {
        let path = w.path()?;
        path.client.bind(0x4000, path.peer.address)?;
        let second = w.peer()?;
        second.says(path.relayed, b"hello");
        path.client.hears(second.address, b"hello")
    }),
    ("SND-15", "indications carry no integrity", |w| {
        let path = w.path()?;
        path.peer.says(path.relayed, b"hello");
        let data = path.client.indication(Method::DATA)?;
        let integrity = [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256];
        data.without(&integrity).map(drop)
    }),
    ("SND-18", "1 to 1,500 bytes go both ways as they are", |w| {
        let path = w.path()?;
        for length in [1, 2, 3, 4, 5, 576, 1_200, 1_400, 1_472, 1_500] {
            both_ways(&path, length)?;
        }
        Ok(())
    }),
    ("SND-19", "of two peers or two DATA the first counts", |w| {
        let path = w.path()?;
        let twice = send(path.peer.address, b"first").with(&Data(b"second"));
        path.client.wire.send(&twice.with(&XorPeerAddress(SocketAddr::new(w.denied, 9))).bytes());
        path.peer.hears(b"first")?;
        path.peer.hears_nothing()
    }),
    ("ATT-34", "60,000 bytes go both ways as they are", |w| {
        if !w.server.ip().is_loopback() {
            return skip("such datagrams are for loopback");
        }
        both_ways(&w.path()?, 60_000)
    }),
];

fn indication() -> Draft {
    Draft::new(Class::Indication, Method::SEND)
}

/// That neither the client nor the peer gets anything.
fn nothing(path: &Path<'_>) -> Outcome {
    path.client.wire.stays_silent()?;
    path.peer.hears_nothing()
}

fn both_ways(path: &Path<'_>, length: usize) -> Outcome {
    let data: Vec<u8> = (0..=250).cycle().take(length).collect();
    path.client.says(path.peer.address, &data);
    path.peer.hears(&data)?;
    path.delivers(&data)
}
