//! GEN: what all of TURN shares (RFC 8656, section 5), and ALT: other servers (RFC 8489, section 10).

use std::{collections::HashSet, net::SocketAddr};

use stunner_proto::{AttributeType, Fingerprint, Key, Method, attribute::AlternateServer};
use stunner_relay::net::{Listener, TurnServerBuilder};

use crate::{
    client::{Client, channel, permission, refresh},
    message::{Answer, Draft, Integrity, Signing},
    own,
    report::{Check, Outcome, ensure, fail, skip},
    wire::Wire,
    world::World,
};

/// Allocations made one after another.
const MANY: usize = 64;

pub(crate) const CHECKS: &[Check] = &[
    ("GEN-01", "Refresh, CreatePermission and ChannelBind without allocation are 437, signed", |w| {
        let (client, peer) = (w.client()?, w.peer()?);
        for draft in [refresh(600), permission(&[peer.address]), channel(0x4000, peer.address)] {
            client.refused(&draft, 437)?.authentic(&client.key())?;
        }
        Ok(())
    }),
    ("GEN-03", "another user on the five-tuple is 441, signed for that one", |w| {
        let (client, _) = w.allocated()?;
        let (signing, key) = other(w, &client)?;
        client.ask_as(&refresh(600), &signing)?.refused(441)?.authentic(&key).map(drop)
    }),
    ("GEN-04", "another user with a wrong password is 401, not 441", |w| {
        let (client, _) = w.allocated()?;
        let (signing, _) = other(w, &client)?;
        let signing = Signing { integrity: Integrity::Sha1(Key::new(b"wrong")), ..signing };
        client.ask_as(&refresh(600), &signing)?.refused(401).map(drop)
    }),
    ("GEN-05", "one client address, two server ports: two allocations", |w| {
        let w =
            own::with(w, "two ports of one server", |builder| builder.listen(Listener::tcp("127.0.0.1:0")))?;
        let Ok(second) = w.server_at(2).parse() else { return fail("a second listener", w.server_at(2)) };
        let port = w.udp_wire()?.local().port();
        let (Ok(a), Ok(b)) =
            (Wire::open(w.server, true, port, w.quiet), Wire::open(second, true, port, w.quiet))
        else {
            return skip("the port is taken on TCP");
        };
        let (a, b) = (Client::challenged(&w, a, &w.user)?, Client::challenged(&w, b, &w.user)?);
        let (first, second) = (a.allocate()?, b.allocate()?);
        ensure(first != second, "two relayed transport addresses", format!("{first} twice"))
    }),
    ("GEN-06", "one client address over UDP and TCP: two allocations", |w| {
        w.tcp_wire()?;
        let udp = w.udp_client()?;
        let port = udp.wire.local().port();
        let Ok(wire) = Wire::open(w.server, true, port, w.quiet) else {
            return skip("the port is taken on TCP");
        };
        let tcp = Client::challenged(w, wire, &w.user)?;
        let (a, b) = (udp.allocate()?, tcp.allocate()?);
        ensure(a != b, "two relayed transport addresses", format!("{a} twice"))
    }),
    ("GEN-07", "SOFTWARE is in Allocate and Refresh", |w| {
        w.need(w.features.software, "SOFTWARE")?;
        let client = w.client()?;
        client.success(&Draft::allocate())?.carrying(&[AttributeType::SOFTWARE])?;
        client.refresh(600)?.carrying(&[AttributeType::SOFTWARE]).map(drop)
    }),
    ("GEN-08", "who sends FINGERPRINT gets it", |w| {
        let client = w.client()?;
        let bytes = refresh(600).signed_and_fingerprinted(&client.signing());
        let fingerprint = client.wire.ask(&bytes)?.message().fingerprint();
        ensure(matches!(fingerprint, Fingerprint::Right), "a right FINGERPRINT", format!("{fingerprint:?}"))
    }),
    ("GEN-10", "relayed transport addresses are unique", |w| {
        let all = many(w)?;
        let unique: HashSet<_> = all.iter().collect();
        ensure(unique.len() == all.len(), "unique addresses", format!("{} of {}", unique.len(), all.len()))
    }),
    ("GEN-11", "data does not keep an allocation", |w| {
        w.need_slow(630)?;
        let path = w.path()?;
        for _ in 0..63 {
            path.client.says(path.peer.address, b"tick");
            w.wait(10)?;
        }
        path.client.refused(&refresh(600), 437).map(drop)
    }),
    ("GEN-12", "after its end an allocation delivers nothing", |w| {
        let path = w.path()?;
        path.client.refresh(0)?;
        path.holds_back()?;
        path.client.says(path.peer.address, b"late");
        path.peer.hears_nothing()
    }),
    ("GEN-13", "UDP is served", |w| w.udp_client()?.allocate().map(drop)),
    ("ALC-42", "ports are above 1023", |w| {
        let low = many(w)?.into_iter().find(|relayed| relayed.port() < 1024);
        ensure(low.is_none(), "no port below 1024", format!("{low:?}"))
    }),
    ("ALC-43", "ports do not follow one another", |w| {
        let all = many(w)?;
        let next = |pair: &&[SocketAddr]| pair[1].port().wrapping_sub(pair[0].port()) <= 2;
        let followers = all.windows(2).filter(next).count();
        ensure(
            followers < MANY / 4,
            "random ports",
            format!("{followers} of {MANY} follow their predecessor"),
        )
    }),
    ("ALT-01", "without credentials there is no 300", |w| {
        redirected(w, |w| w.wire()?.ask(&Draft::allocate().bytes())?.refused(401).map(drop))
    }),
    ("ALT-02", "300 is signed and names a server of the client's family", |w| {
        redirected(w, |w| {
            let client = w.client()?;
            let answer = client.refused(&Draft::allocate(), 300)?.authentic(&client.key())?;
            let other = answer.get::<AlternateServer>()?.0;
            ensure(other.is_ipv4() == w.server.is_ipv4(), "the client's family", other.to_string())
        })
    }),
    ("ALT-03", "a second ALTERNATE-SERVER is of the other family", |w| {
        redirected(w, |w| {
            let answer = w.client()?.refused(&Draft::allocate(), 300)?;
            let all: Vec<_> = answer.message().all::<AlternateServer>().flatten().collect();
            let [first, second] = all[..] else { return skip("one server is named") };
            ensure(first.0.is_ipv4() != second.0.is_ipv4(), "two families", format!("{first:?}, {second:?}"))
        })
    }),
    ("ALT-04", "ALTERNATE-DOMAIN over TLS", |_| skip("TLS is not looked at")),
];

/// A check of a server that redirects: the one that is looked at, or one of ours.
fn redirected(w: &World, check: impl Fn(&World) -> Outcome) -> Outcome {
    if w.redirects {
        return check(w);
    }
    let others = [
        SocketAddr::from(([192, 0, 2, 99], 3478)),
        SocketAddr::from(([0x2001, 0xDB8, 0, 0, 0, 0, 0, 99], 3478)),
    ];
    let w = own::with(w, "a server that redirects, and --redirects", |builder| {
        others.into_iter().rev().fold(builder, TurnServerBuilder::alternate_server)
    })?;
    check(&w)
}

/// The relayed transport addresses of many clients that live at the same time.
fn many(w: &World) -> Outcome<Vec<SocketAddr>> {
    let clients = (0..MANY).map(|_| w.allocated()).collect::<Outcome<Vec<_>>>()?;
    Ok(clients.iter().map(|(_, relayed)| *relayed).collect())
}

/// The second user's credentials on a client's five-tuple, and their key.
pub(crate) fn other(w: &World, client: &Client<'_>) -> Outcome<(Signing, Key)> {
    let user = w.other()?;
    let key = Key::long_term(&user.name, &client.realm(), &user.password);
    let username = Some(user.name.clone().into_bytes());
    Ok((Signing { username, integrity: Integrity::Sha1(key.clone()), ..client.plain_signing() }, key))
}

/// The error that is meant where several could be right, or a success.
pub(crate) fn one_of(answer: &Answer, codes: &[u16]) -> Outcome {
    let fits = answer.code().is_some_and(|code| codes.contains(&code));
    ensure(fits, &format!("one of {codes:?}"), answer.to_string())
}

/// A request of a method without attributes.
pub(crate) fn empty(method: Method) -> Draft {
    Draft::request(method)
}
