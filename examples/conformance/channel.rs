//! CHB: ChannelBind (RFC 8656, section 12).

use std::{net::SocketAddr, time::Duration};

use stunner_proto::{Method, attribute::XorPeerAddress};

use crate::{
    client::channel,
    general::one_of,
    message::{Draft, channel_data},
    report::{Check, Outcome, ensure, fail, skip},
    wire::now,
    world::{Path, World},
};

pub(crate) const CHECKS: &[Check] = &[
    ("CHB-01", "the first and the last number are bound", |w| {
        let (client, _) = w.allocated()?;
        client.bind(0x4000, w.peer()?.address)?;
        client.bind(0x4FFF, w.peer()?.address)
    }),
    ("CHB-02", "numbers that are none are 400", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        for number in [0x3FFF, 0x5000, 0x7FFF, 0x0000, 0xFFFF] {
            client.refused(&channel(number, peer.address), 400)?;
        }
        Ok(())
    }),
    ("CHB-03", "no number or no peer is 400", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        let draft = || Draft::request(Method::CHANNEL_BIND);
        client.refused(&draft().with(&XorPeerAddress(peer.address)), 400)?;
        client.refused(&draft().raw(0x000C, &[0x40, 0, 0, 0]), 400).map(drop)
    }),
    ("CHB-04", "a number that another peer has is 400, and stays there", |w| {
        let path = bound(w)?;
        let other = SocketAddr::new(path.peer.address.ip(), 9);
        path.client.refused(&channel(0x4000, other), 400)?;
        path.client.wire.send(&channel_data(0x4000, 4, b"kept"));
        path.peer.hears(b"kept").map(drop)
    }),
    ("CHB-05", "a number that another port has is 400", |w| {
        let path = bound(w)?;
        path.client.refused(&channel(0x4000, w.peer()?.address), 400).map(drop)
    }),
    ("CHB-06", "a peer that has another number is 400", |w| {
        let path = bound(w)?;
        path.client.refused(&channel(0x4001, path.peer.address), 400).map(drop)
    }),
    ("CHB-07", "the same pair again succeeds", |w| {
        let path = bound(w)?;
        path.client.bind(0x4000, path.peer.address)
    }),
    ("CHB-09", "a peer that is not allowed is 403", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&channel(0x4000, SocketAddr::new(w.denied, 9)), 403).map(drop)
    }),
    ("CHB-10", "more channels than there is room for are 508", |w| {
        let (_, code) = bind_all(w)?;
        if code.is_none() {
            skip("there is room for all")
        } else {
            ensure(code == Some(508), "508", "another")
        }
    }),
    ("CHB-11", "ChannelBind makes a permission", |w| {
        let ((client, relayed), peer, other) = (w.allocated()?, w.peer()?, w.peer()?);
        client.bind(0x4000, peer.address)?;
        other.says(relayed, b"permitted");
        client.hears(other.address, b"permitted")
    }),
    ("CHB-12", "a channel lasts 600 s", |w| {
        w.need_slow(605)?;
        let path = bound(w)?;
        path.client.refresh(1_200)?;
        w.wait(595)?;
        path.client.wire.send(&channel_data(0x4000, 4, b"late"));
        path.peer.hears(b"late")?;
        w.wait(10)?;
        path.client.permit(path.peer.address)?;
        path.client.wire.send(&channel_data(0x4000, 4, b"more"));
        path.peer.hears_nothing()?;
        path.delivers(b"not by channel")
    }),
    ("CHB-13", "a number that ran out is free for another peer", |w| {
        w.need_slow(605)?;
        let path = bound(w)?;
        path.client.refresh(1_200)?;
        w.wait(605)?;
        path.client.bind(0x4000, w.peer()?.address)
    }),
    ("CHB-16", "4,096 channels, or 508 where there is a limit", |w| {
        let (count, code) = bind_all(w)?;
        let fits = code.is_none() || code == Some(508) && count > 0;
        ensure(fits, "success, or 508 at a limit", format!("error {code:?} after {count}"))
    }),
    ("CHB-17", "a Teredo or 6to4 peer is refused", |w| {
        let (client, _) = w.allocated()?;
        for peer in [teredo(), six_to_four()] {
            one_of(&client.ask(&channel(0x4000, peer))?, &[403, 443])?;
        }
        Ok(())
    }),
    ("CHB-18", "port 0 is 400", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        client.refused(&channel(0x4000, SocketAddr::new(peer.address.ip(), 0)), 400).map(drop)
    }),
    ("CHB-19", "a refused ChannelBind makes no permission", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.refused(&channel(0x3FFF, peer.address), 400)?;
        peer.says(relayed, b"not permitted");
        client.wire.stays_silent()
    }),
];

/// How long all channels of an allocation may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn teredo() -> SocketAddr {
    SocketAddr::from(([0x2001, 0, 0x4136, 0xE378, 0x8000, 0x63BF, 0x3FFF, 0xFDD2], 9))
}

pub(crate) fn six_to_four() -> SocketAddr {
    SocketAddr::from(([0x2002, 0xC000, 0x0204, 0, 0, 0, 0, 1], 9))
}

/// A path whose peer has channel 0x4000.
pub(crate) fn bound(w: &World) -> Outcome<Path<'_>> {
    let path = w.path()?;
    path.client.bind(0x4000, path.peer.address)?;
    Ok(path)
}

/// Binds every number until one is refused: how many were bound, and the error.
fn bind_all(w: &World) -> Outcome<(usize, Option<u16>)> {
    let (client, _) = w.allocated()?;
    let end = now() + PATIENCE;
    for number in 0x4000..=0x4FFF_u16 {
        if now() > end && !w.slow {
            return skip(format!("{} channels took {} s", number - 0x4000, PATIENCE.as_secs()));
        }
        let peer = SocketAddr::new(w.peer_address, number - 0x3000);
        let answer = client.ask(&channel(number, peer))?;
        match (answer.code(), answer.clone().success()) {
            (None, Ok(_)) => {}
            (Some(code), _) => return Ok((usize::from(number - 0x4000), Some(code))),
            (None, Err(_)) => return fail("a response", answer.to_string()),
        }
    }
    Ok((4_096, None))
}
