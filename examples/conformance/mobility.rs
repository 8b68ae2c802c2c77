//! MOB: allocations that follow their clients (RFC 8016).

use stunner_proto::{AttributeType, attribute::XorRelayedAddress};

use crate::{
    client::{Client, refresh},
    general::other,
    message::{Draft, Signing},
    own,
    report::{Check, Outcome, ensure, skip},
    world::{Path, World},
};

const TICKET: u16 = 0x8030;

pub(crate) const CHECKS: &[Check] = &[
    ("MOB-01", "who asks for a ticket gets it", |w| moving(w).map(drop)),
    ("MOB-02", "where there is no mobility the wish is 405 or ignored", |w| {
        let stays = |w: &World| {
            let answer = w.client()?.ask(&Draft::allocate().raw(TICKET, &[]))?;
            if answer.code() == Some(405) { Ok(()) } else { answer.success().map(drop) }
        };
        if w.features.mobility {
            return stays(&*own::with(w, "a server without mobility", |builder| builder)?);
        }
        stays(w)
    }),
    ("MOB-03", "a ticket in Allocate is 400", |w| {
        offered(w)?;
        w.client()?.refused(&Draft::allocate().raw(TICKET, &[7; 8]), 400).map(drop)
    }),
    ("MOB-04", "who does not ask gets no ticket", |w| {
        w.client()?.success(&Draft::allocate())?.without(&[AttributeType::MOBILITY_TICKET]).map(drop)
    }),
    ("MOB-05", "an allocation follows to another address, with a new ticket", |w| {
        let (path, ticket) = moving(w)?;
        let (moved, next) = follow(w, &ticket)?;
        ensure(next != ticket, "another ticket", "the same")?;
        moved.says(path.peer.address, b"moved");
        let from = path.peer.hears(b"moved")?;
        ensure(from == path.relayed, &path.relayed.to_string(), from.to_string())
    }),
    ("MOB-06", "a ticket from the same address is 400", |w| {
        let (path, ticket) = moving(w)?;
        path.client.refused(&refresh(600).raw(TICKET, &ticket), 400).map(drop)
    }),
    ("MOB-07", "a ticket that was changed is 400", |w| {
        let (_path, mut ticket) = moving(w)?;
        ticket.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
        w.client()?.refused(&refresh(600).raw(TICKET, &ticket), 400).map(drop)
    }),
    ("MOB-08", "the ticket of a deleted allocation is 437", |w| {
        let (path, ticket) = moving(w)?;
        path.client.refresh(0)?;
        w.client()?.refused(&refresh(600).raw(TICKET, &ticket), 437).map(drop)
    }),
    ("MOB-09", "a ticket of another user is 441", |w| {
        let (_path, ticket) = moving(w)?;
        let client = w.client()?;
        let (signing, _) = other(w, &client)?;
        client.ask_as(&refresh(600).raw(TICKET, &ticket), &signing)?.refused(441).map(drop)
    }),
    ("MOB-10", "a ticket when mobility was switched off is 405", |_| skip("needs a change of configuration")),
    ("MOB-11", "until the client sends from its new address the old one is served", |w| {
        let (path, ticket) = moving(w)?;
        let (_moved, _) = follow(w, &ticket)?;
        path.delivers(b"to the old one")
    }),
    ("MOB-12", "once the client sends from its new address that is served", |w| {
        let (path, ticket) = moving(w)?;
        let (moved, _) = follow(w, &ticket)?;
        moved.says(path.peer.address, b"here I am");
        path.peer.hears(b"here I am")?;
        path.peer.says(path.relayed, b"to the new one");
        moved.hears(path.peer.address, b"to the new one")?;
        path.client.refused(&refresh(600), 437).map(drop)
    }),
    ("MOB-13", "the same Refresh again is the same success", |w| {
        let (_path, ticket) = moving(w)?;
        let client = w.client()?;
        let draft = refresh(600).raw(TICKET, &ticket);
        client.success(&draft)?;
        client.success(&draft).map(drop)
    }),
    ("MOB-14", "a ticket that was used is refused from a third address", |w| {
        let (path, ticket) = moving(w)?;
        let (moved, _) = follow(w, &ticket)?;
        moved.says(path.peer.address, b"moved");
        path.peer.hears(b"moved")?;
        let answer = w.client()?.ask(&refresh(600).raw(TICKET, &ticket))?;
        ensure(answer.code().is_some(), "an error", answer.to_string())
    }),
    ("MOB-15", "a ticket does not show addresses", |w| {
        let (path, ticket) = moving(w)?;
        let signing: Signing = path.client.signing();
        let name = signing.username.unwrap_or_default();
        let port = path.relayed.port().to_be_bytes();
        let plain = ticket.windows(name.len()).any(|part| part == name)
            || ticket.windows(6).any(|part| part[..4] == [127, 0, 0, 1] && part[4..] == port);
        ensure(!plain && ticket.len() >= 16, "sealed bytes", format!("{ticket:02x?}"))
    }),
];

fn offered(w: &World) -> Outcome {
    w.need(w.features.mobility, "mobility")
}

/// A path whose client may move, and its ticket.
fn moving(w: &World) -> Outcome<(Path<'_>, Vec<u8>)> {
    offered(w)?;
    let (client, peer) = (w.client()?, w.peer()?);
    let answer = client.success(&Draft::allocate().raw(TICKET, &[]))?;
    let relayed = answer.get::<XorRelayedAddress>()?.0;
    let ticket = answer.value(AttributeType::MOBILITY_TICKET).unwrap_or_default().to_vec();
    ensure(!ticket.is_empty(), "a ticket", "none")?;
    client.permit(peer.address)?;
    Ok((Path { client, relayed, peer }, ticket))
}

/// Refreshes the allocation of a ticket from another address: that client, and its ticket.
fn follow<'w>(w: &'w World, ticket: &[u8]) -> Outcome<(Client<'w>, Vec<u8>)> {
    let client = w.client()?;
    let answer = client.success(&refresh(600).raw(TICKET, ticket))?;
    // coturn sends a piece of an answer first; what counts here is where data go.
    client.wire.forget();
    let ticket = answer.value(AttributeType::MOBILITY_TICKET).unwrap_or_default().to_vec();
    Ok((client, ticket))
}
