//! STR: messages on a stream (RFC 8489, section 6.2.2; RFC 8656, section 12.5).

use std::{thread, time::Duration};

use stunner_proto::framing::frame_len;

use crate::{
    base::binding,
    message::{Answer, channel_data},
    report::{Check, Outcome, ensure, fail, skip},
    wire::{Wire, describe},
    world::{Path, World},
};

pub(crate) const CHECKS: &[Check] = &[
    ("STR-01", "three frames that come byte by byte", |w| {
        let path = stream(w)?;
        let frames = [binding().bytes(), channel_data(0x4000, 5, b"hello\0\0\0"), binding().bytes()].concat();
        for byte in frames {
            path.client.wire.send(&[byte]);
            thread::sleep(Duration::from_millis(1));
        }
        path.peer.hears(b"hello")?;
        succeeds(&path.client.wire)?;
        succeeds(&path.client.wire)
    }),
    ("STR-02", "ChannelData of 5 bytes takes 12, both ways", |w| {
        let path = stream(w)?;
        let twice = [channel_data(0x4000, 5, b"first\0\0\0"), channel_data(0x4000, 4, b"next")].concat();
        path.client.wire.send(&twice);
        path.peer.hears(b"first")?;
        path.peer.hears(b"next")?;
        path.peer.says(path.relayed, b"hello");
        let got = path.client.wire.expect("ChannelData")?;
        ensure(
            got.len() == 12 && got.starts_with(&channel_data(0x4000, 5, b"hello")),
            "12 bytes",
            describe(&got),
        )
    }),
    ("STR-03", "ChannelData of 65,535 bytes is consumed", |w| {
        let path = stream(w)?;
        let mut frame = channel_data(0x4000, 65_535, &vec![7; 65_536]);
        frame.extend(binding().bytes());
        ensure(frame_len(&frame) == Ok(Some(65_540)), "a frame of 65,540 bytes", "another")?;
        path.client.wire.send(&frame);
        succeeds(&path.client.wire)
    }),
    ("STR-04", "a first byte from 0x80 ends the stream", |w| closes(w, &[0x80; 24])),
    ("STR-05", "a wrong cookie ends the stream", |w| {
        let mut bytes = binding().bytes();
        bytes[4] ^= 0xFF;
        closes(w, &bytes)?;
        let mut bytes = [binding().bytes(), vec![0; 3]].concat();
        bytes[3] = 3;
        closes(w, &bytes)
    }),
    ("STR-06", "a frame of channel 0x5000 is passed over", |w| {
        let path = stream(w)?;
        path.client.wire.send(&channel_data(0x5000, 4, b"data"));
        let answer = path.client.wire.ask(&binding().bytes())?;
        answer.success()?;
        path.peer.hears_nothing()
    }),
    ("STR-09", "two requests at once are both answered", |w| {
        let wire = w.tcp_wire()?;
        let (a, b) = (binding(), binding());
        wire.send(&[a.bytes(), b.bytes()].concat());
        let mut got = [answer(&wire)?, answer(&wire)?].map(|answer| answer.message().transaction_id().0);
        let mut sent = [a.id.0, b.id.0];
        got.sort_unstable();
        sent.sort_unstable();
        ensure(got == sent, "both transactions", "others")
    }),
    ("STR-10", "the server opens no connection to a client", |_| {
        skip("a client cannot see what is not done")
    }),
    ("STR-11", "a stream with an allocation stays open though nothing comes", |w| {
        w.need_slow(300)?;
        let path = stream(w)?;
        w.wait(300)?;
        path.client.refresh(600).map(drop)
    }),
    ("STR-14", "DTLS asks for a cookie first", |_| skip("DTLS is not looked at")),
    ("STR-16", "ALPN", |_| skip("TLS is not looked at")),
    ("STR-17", "STUN and TLS on one port", |_| skip("TLS is not looked at")),
    ("STR-18", "half a frame does not keep a stream open for ever", |w| {
        w.need_slow(180)?;
        let wire = w.tcp_wire()?;
        wire.send(&binding().bytes()[..7]);
        w.wait(180)?;
        ensure(wire.is_closed(), "the end of the stream", "it is open")
    }),
    ("XLT-05", "data of TCP clients is relayed with DONT-FRAGMENT too", |w| {
        w.need(w.features.dont_fragment, "DONT-FRAGMENT")?;
        let path = stream(w)?;
        path.client.wire.send(&crate::client::send(path.peer.address, b"tcp").raw(0x001A, &[]).bytes());
        path.peer.hears(b"tcp").map(drop)
    }),
];

/// A path over TCP whose peer has channel 0x4000.
fn stream(w: &World) -> Outcome<Path<'_>> {
    let path = w.path_of(w.tcp_client()?)?;
    path.client.bind(0x4000, path.peer.address)?;
    Ok(path)
}

fn answer(wire: &Wire) -> Outcome<Answer> {
    let packet = wire.expect("an answer")?;
    Answer::parse(&packet).map_or_else(|| fail("an answer", describe(&packet)), Ok)
}

fn succeeds(wire: &Wire) -> Outcome {
    answer(wire)?.success().map(drop)
}

/// That the server ends a stream with this.
fn closes(w: &World, bytes: &[u8]) -> Outcome {
    let wire = w.tcp_wire()?;
    wire.send(bytes);
    ensure(wire.is_closed(), "the end of the stream", "it is open")
}
