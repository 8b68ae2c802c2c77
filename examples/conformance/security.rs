//! SEC: what a client could try (RFC 8656, section 21).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use stunner_proto::AttributeType;
use stunner_relay::Bandwidth;

use crate::{
    channel::{six_to_four, teredo},
    client::{permission, refresh},
    general::{one_of, other},
    message::{Draft, Signing},
    own::{self, Own},
    report::{Check, Outcome, ensure, fail, skip},
    world::World,
};

/// How long nonces are good for where that is waited for.
pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(1);

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
    ("SEC-06", "above the bandwidth data is dropped, and the allocation stays", |w| {
        let limit = Bandwidth { bytes_per_second: 1, burst: 1_000 };
        let w = own::with(w, "a server with a limit", |builder| {
            builder.configure(move |config| config.allocation_bandwidth = Some(limit))
        })?;
        let path = w.path()?;
        path.client.says(path.peer.address, &[7; 900]);
        path.peer.hears(&[7; 900])?;
        path.client.says(path.peer.address, &[7; 900]);
        path.peer.hears_nothing()?;
        path.client.refresh(600).map(drop)
    }),
    ("SEC-07", "unauthenticated requests leave nothing behind", |_| skip("a client cannot see it")),
    ("SEC-08", "challenges are limited", |w| {
        let w = own::with(w, "a server of its own: it would starve the others", |builder| {
            builder.configure(|config| config.max_challenges = 5)
        })?;
        let wire = w.udp_wire()?;
        (0..50).for_each(|_| wire.send(&Draft::allocate().bytes()));
        let answered = std::iter::from_fn(|| wire.receive(w.quiet)).count();
        // Half of them may come in the next second.
        ensure((5..=10).contains(&answered), "5 to 10 challenges", answered.to_string())
    }),
    ("SEC-09", "who does not name itself does so nowhere", |w| {
        if w.features.software {
            return nameless(&*own::with(w, "a server that does not name itself", |builder| builder)?);
        }
        nameless(w)
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
    ("SEC-13", "a request that is replayed after its nonce has run out is 438", |w| {
        let w = with_short_nonces(w)?;
        let (client, _) = w.allocated()?;
        let end = refresh(0).signed(&client.signing());
        std::thread::sleep(NONCE_LIFETIME + Duration::from_secs(1));
        client.wire.ask(&end)?.refused(438)?;
        client.refresh(600).map(drop)
    }),
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

fn nameless(w: &World) -> Outcome {
    let client = w.client()?;
    let software = [AttributeType::SOFTWARE];
    client.success(&Draft::allocate())?.without(&software)?;
    client.refused(&Draft::allocate(), 437)?.without(&software).map(drop)
}

/// A server whose nonces are good for a second.
pub(crate) fn with_short_nonces(w: &World) -> Outcome<Own> {
    own::with(w, "a server whose nonces live for seconds", |builder| {
        builder.configure(|config| config.nonce_lifetime = NONCE_LIFETIME)
    })
}
