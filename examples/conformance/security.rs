//! SEC: what a client could try (RFC 8656, section 21).

use std::net::{IpAddr, SocketAddr};

use stunner_proto::AttributeType;

use crate::{
    channel::{six_to_four, teredo},
    client::permission,
    general::{one_of, other},
    message::{Draft, Signing},
    report::{Check, Outcome, ensure, fail, skip},
    world::World,
};

pub(crate) const CHECKS: &[Check] = &[
    ("SEC-01", "Teredo and 6to4 peers are refused", |w| {
        let client = match crate::allocate::dual(w) {
            Ok((client, ..)) => client,
            Err(_) => w.allocated()?.0,
        };
        for peer in [teredo(), six_to_four()] {
            one_of(&client.ask(&permission(&[peer]))?, &[403, 443])?;
        }
        Ok(())
    }),
    ("SEC-02", "unspecified, link-local, multicast and broadcast peers are 403", |w| {
        denied(w, &["0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255"])
    }),
    ("SEC-03", "IPv4 inside IPv6 is judged as IPv4", |w| {
        let (client, ..) = crate::allocate::dual(w)?;
        for peer in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "ff02::1", "::"] {
            let Ok(peer) = peer.parse::<IpAddr>() else { return fail("an address", peer) };
            client.refused(&permission(&[SocketAddr::new(peer, 9)]), 403)?;
        }
        Ok(())
    }),
    ("SEC-04", "a policy that changes reaches live permissions", |_| skip("needs a change of configuration")),
    ("SEC-05", "clients reach one another by their relayed addresses, or are refused", |w| {
        let ((a, from), (b, to)) = (w.allocated()?, w.allocated()?);
        let answer = a.ask(&permission(&[to]))?;
        if answer.code() == Some(403) {
            return Ok(());
        }
        b.permit(from)?;
        a.says(to, b"hairpin");
        b.hears(from, b"hairpin")
    }),
    ("SEC-06", "above the bandwidth data is dropped", |_| skip("needs a server with a limit")),
    ("SEC-07", "unauthenticated requests leave nothing behind", |_| skip("a client cannot see it")),
    ("SEC-08", "challenges are limited", |_| skip("would starve the other checks")),
    ("SEC-09", "who does not name itself does so nowhere", |w| {
        if w.features.software {
            return skip("the server names itself");
        }
        let client = w.client()?;
        let software = [AttributeType::SOFTWARE];
        client.success(&Draft::allocate())?.without(&software)?;
        client.refused(&Draft::allocate(), 437)?.without(&software).map(drop)
    }),
    ("SEC-10", "no secret is logged", |_| skip("a client cannot see it")),
    ("SEC-11", "permissions have a limit, or there is room", |w| {
        let IpAddr::V4(ip) = w.peer_address else { return skip("needs a peer with an IPv4 address") };
        if !ip.is_loopback() {
            return skip("needs peers on loopback");
        }
        let (client, _) = w.allocated()?;
        for count in 0..1_000_u32 {
            let peer = SocketAddr::from((std::net::Ipv4Addr::from(0x7F01_0001 + count), 9));
            let answer = client.ask(&permission(&[peer]))?;
            if answer.code().is_some() {
                return one_of(&answer, &[508]);
            }
        }
        Ok(())
    }),
    ("SEC-13", "a request that is replayed after its nonce has run out", |_| skip("nonces live for an hour")),
    ("SEC-14", "another user with the nonce of another address is 438", |w| {
        let (first, second) = (w.client()?, w.client()?);
        let (signing, _) = other(w, &second)?;
        let signing = Signing { nonce: first.signing().nonce, ..signing };
        second.ask_as(&Draft::allocate(), &signing)?.refused(438).map(drop)
    }),
    ("SEC-15", "ports are far apart", |w| {
        let clients = (0..16).map(|_| w.allocated()).collect::<Outcome<Vec<_>>>()?;
        let ports = || clients.iter().map(|(_, relayed)| relayed.port());
        let spread = ports().max().unwrap_or(0) - ports().min().unwrap_or(0);
        ensure(spread > 2_000, "16 ports over a range of more than 2,000", spread.to_string())
    }),
];

/// That these peers are 403.
fn denied(w: &World, peers: &[&str]) -> Outcome {
    let (client, _) = w.allocated()?;
    for peer in peers {
        let Ok(ip) = peer.parse::<IpAddr>() else { return fail("an address", *peer) };
        let answer = client.ask(&permission(&[SocketAddr::new(ip, 9)]))?;
        if answer.code() != Some(403) {
            return fail(format!("error 403 for {peer}"), answer.to_string());
        }
    }
    Ok(())
}
