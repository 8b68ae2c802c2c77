//! CHD: ChannelData messages (RFC 8656, sections 12.4 to 12.7).

use crate::{
    channel::bound,
    message::channel_data,
    report::{Check, Outcome, ensure, fail},
    wire::describe,
    world::{Path, World},
};

pub(crate) const CHECKS: &[Check] = &[
    ("CHD-01", "data on a channel goes to its peer from the relayed address", |w| {
        let path = bound(w)?;
        path.client.wire.send(&padded(0x4000, b"hello"));
        let from = path.peer.hears(b"hello")?;
        ensure(from == path.relayed, &path.relayed.to_string(), from.to_string())
    }),
    ("CHD-02", "a length of 0 is an empty datagram", |w| {
        let path = bound(w)?;
        path.client.wire.send(&channel_data(0x4000, 0, b""));
        path.peer.hears(b"").map(drop)
    }),
    ("CHD-03", "a length beyond the datagram is dropped", |w| {
        let path = datagrams(w)?;
        path.client.wire.send(&channel_data(0x4000, 6, b"hello"));
        nothing(&path)
    }),
    ("CHD-04", "bytes behind the length are not relayed", |w| {
        let path = datagrams(w)?;
        for tail in 1..=9 {
            let data = [b"hello".as_slice(), &vec![0xAA; tail]].concat();
            path.client.wire.send(&channel_data(0x4000, 5, &data));
            if path.peer.hears(b"hello").is_err() {
                return fail(format!("5 bytes at the peer, of 5 and {tail}"), "nothing, or others");
            }
        }
        Ok(())
    }),
    ("CHD-05", "a channel that is not bound is dropped", |w| {
        let path = bound(w)?;
        path.client.wire.send(&channel_data(0x4001, 4, b"data"));
        nothing(&path)
    }),
    ("CHD-06", "numbers from 0x5000 are dropped", |w| {
        let path = datagrams(w)?;
        for number in [0x5000, 0x7FFF, 0x8000, 0xFFFF] {
            path.client.wire.send(&channel_data(number, 4, b"data"));
        }
        nothing(&path)
    }),
    ("CHD-07", "data refreshes neither channel nor permission", |w| {
        w.need_slow(305)?;
        let path = bound(w)?;
        w.wait(280)?;
        path.client.wire.send(&channel_data(0x4000, 4, b"data"));
        path.peer.hears(b"data")?;
        w.wait(25)?;
        path.holds_back()
    }),
    ("CHD-08", "a peer with a channel is heard as ChannelData", |w| {
        let path = bound(w)?;
        comes(&path, b"data")
    }),
    ("CHD-09", "to UDP clients ChannelData is not padded, to TCP clients it is", |w| {
        let path = datagrams(w)?;
        path.peer.says(path.relayed, b"hello");
        let got = path.client.wire.expect("ChannelData")?;
        ensure(got == channel_data(0x4000, 5, b"hello"), "9 bytes of ChannelData", describe(&got))
    }),
    ("CHD-10", "a channel of another five-tuple is dropped", |w| {
        let path = bound(w)?;
        let (other, _) = w.allocated()?;
        other.wire.send(&channel_data(0x4000, 4, b"data"));
        other.wire.stays_silent()?;
        nothing(&path)
    }),
    ("CHD-11", "a channel carries data to its peer after the permission has run out", |w| {
        w.need_slow(310)?;
        let path = bound(w)?;
        w.wait(310)?;
        path.client.wire.send(&channel_data(0x4000, 4, b"data"));
        path.peer.hears(b"data").map(drop)
    }),
    ("CHD-14", "datagrams of one to three bytes are dropped", |w| {
        let path = datagrams(w)?;
        for length in 1..=3 {
            path.client.wire.send(&channel_data(0x4000, 0, b"")[..length]);
        }
        nothing(&path)?;
        comes(&path, b"alive")
    }),
];

/// A path over UDP whose peer has channel 0x4000.
fn datagrams(w: &World) -> Outcome<Path<'_>> {
    let path = w.path_of(w.udp_client()?)?;
    path.client.bind(0x4000, path.peer.address)?;
    Ok(path)
}

fn padded(number: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut bytes = channel_data(number, length, data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// That neither the client nor the peer gets anything.
fn nothing(path: &Path<'_>) -> Outcome {
    path.client.wire.stays_silent()?;
    path.peer.hears_nothing()
}

/// That the peer's data comes on channel 0x4000.
fn comes(path: &Path<'_>, data: &[u8]) -> Outcome {
    path.peer.says(path.relayed, data);
    let got = path.client.wire.expect("ChannelData")?;
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    ensure(got.starts_with(&channel_data(0x4000, length, data)), "ChannelData", describe(&got))
}
