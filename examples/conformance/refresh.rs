//! REF: Refresh (RFC 8656, section 8).

use std::net::SocketAddr;

use stunner_proto::{Method, attribute::Lifetime};

use crate::{
    allocate::{dual, lives},
    client::{channel, permission, refresh},
    general::{one_of, other},
    message::Draft,
    report::{Check, ensure},
};

const RAF: u16 = 0x0017;
const V4: &[u8] = &[1, 0, 0, 0];
const V6: &[u8] = &[2, 0, 0, 0];

pub(crate) const CHECKS: &[Check] = &[
    ("REF-01", "no LIFETIME is 600 s", |w| {
        let (client, _) = w.allocated()?;
        lives(&client.success(&Draft::request(Method::REFRESH))?, 600)
    }),
    ("REF-02", "a LIFETIME of 10, 1200 or 9999 is 600, 1200 or 3600", |w| {
        let (client, _) = w.allocated()?;
        [(10, 600), (1_200, 1_200), (9_999, 3_600)]
            .into_iter()
            .try_for_each(|(asked, granted)| lives(&client.refresh(asked)?, granted))
    }),
    ("REF-03", "a LIFETIME of 0 ends the allocation", |w| {
        let (client, _) = w.allocated()?;
        lives(&client.refresh(0)?, 0)?;
        client.refused(&permission(&[w.peer()?.address]), 437).map(drop)
    }),
    ("REF-04", "the same end again is 437 or the same success", |w| {
        let (client, _) = w.allocated()?;
        let draft = refresh(0);
        client.success(&draft)?;
        let again = client.ask(&draft)?;
        if again.code().is_none() { lives(&again, 0) } else { one_of(&again, &[437]) }
    }),
    ("REF-05", "IPv6 on an allocation without is 443", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&refresh(600).raw(RAF, V6), 443).map(drop)
    }),
    ("REF-06", "the family of the allocation may be named", |w| {
        let (client, _) = w.allocated()?;
        lives(&client.success(&refresh(700).raw(RAF, V4))?, 700)
    }),
    ("REF-07", "one family ends, the other stays", |w| {
        let (client, _, six) = dual(w)?;
        let peer = w.peer()?;
        client.permit(peer.address)?;
        lives(&client.success(&refresh(0).raw(RAF, V6))?, 0)?;
        client.refused(&permission(&[SocketAddr::new(six.ip(), 9)]), 443)?;
        client.says(peer.address, b"still here");
        peer.hears(b"still here").map(drop)
    }),
    ("REF-08", "one family of two is refreshed", |w| {
        let (client, ..) = dual(w)?;
        lives(&client.success(&refresh(1_200).raw(RAF, V4))?, 1_200)
    }),
    ("REF-09", "both families are refreshed", |w| {
        let (client, ..) = dual(w)?;
        lives(&client.refresh(1_200)?, 1_200)
    }),
    ("REF-10", "one family after the other ends, and the allocation with them", |w| {
        let (client, ..) = dual(w)?;
        client.success(&refresh(0).raw(RAF, V4))?;
        client.success(&refresh(0).raw(RAF, V6))?;
        client.refused(&refresh(600), 437).map(drop)
    }),
    ("REF-11", "another user is 441", |w| {
        let (client, _) = w.allocated()?;
        let (signing, _) = other(w, &client)?;
        client.ask_as(&refresh(0), &signing)?.refused(441)?;
        client.refresh(600).map(drop)
    }),
    ("REF-12", "an allocation that ended in time is 437", |w| {
        w.need_slow(605)?;
        let (client, _) = w.allocated()?;
        w.wait(605)?;
        client.refused(&refresh(600), 437).map(drop)
    }),
    ("REF-13", "Refresh does not keep permissions", |w| {
        w.need_slow(310)?;
        let path = w.path()?;
        w.wait(200)?;
        path.client.refresh(1_200)?;
        w.wait(110)?;
        path.holds_back()
    }),
    ("REF-14", "REQUESTED-TRANSPORT in Refresh is ignored", |w| {
        let (client, _) = w.allocated()?;
        client.success(&refresh(600).raw(0x0019, &[17, 0, 0, 0])).map(drop)
    }),
    ("REF-15", "refreshed in time an allocation lives on", |w| {
        w.need_slow(1_190)?;
        let (client, _) = w.allocated()?;
        w.wait(595)?;
        client.refresh(600)?;
        w.wait(595)?;
        let left = client.success(&Draft::request(Method::REFRESH).with(&Lifetime(600)))?;
        lives(&left, 600)
    }),
    ("CHB-14", "the same channel number in two allocations means two peers", |w| {
        let (a, b) = (w.path()?, w.path()?);
        a.client.bind(0x4000, a.peer.address)?;
        b.client.bind(0x4000, b.peer.address)?;
        let data = crate::message::channel_data(0x4000, 4, b"mine");
        a.client.wire.send(&data);
        let from = a.peer.hears(b"mine")?;
        ensure(from == a.relayed, &a.relayed.to_string(), from.to_string())?;
        b.peer.hears_nothing()
    }),
    ("CHB-15", "the same ChannelBind again succeeds", |w| {
        let path = w.path()?;
        let draft = channel(0x4000, path.peer.address);
        path.client.success(&draft)?;
        path.client.success(&draft).map(drop)
    }),
];
