//! ICM: ICMP errors of what was relayed (RFC 8656, section 11.5).

use stunner_proto::{
    AttributeType, Method,
    attribute::{Icmp, XorPeerAddress},
};

use crate::{
    message::channel_data,
    own::Sockets,
    report::{Check, Outcome, ensure, skip},
    world::World,
};

const UNTOLD: &str = "the portable sockets are not told of ICMP errors";
const FORGED: &str = "needs a router, or raw sockets on the server's network";

pub(crate) const CHECKS: &[Check] = &[
    ("ICM-01", "a closed port of a peer is told in a Data indication with ICMP 3/3", |w| {
        refused_port(w, false)
    }),
    ("ICM-02", "too big for the next hop: ICMP 3/4 with its MTU", |_| skip(FORGED)),
    ("ICM-03", "too big in IPv6: type 2 with the MTU", |_| skip(FORGED)),
    ("ICM-04", "time exceeded is told", |_| skip(FORGED)),
    ("ICM-05", "other types are not told", |_| skip(FORGED)),
    ("ICM-06", "errors of TCP are not told", |_| skip(FORGED)),
    ("ICM-07", "errors of others' packets are not told", |_| skip(FORGED)),
    ("ICM-08", "errors about a peer without permission are not told", |_| skip(FORGED)),
    ("ICM-09", "whichever router sent it", |_| skip(FORGED)),
    ("ICM-10", "a closed port is told in a Data indication though it has a channel", |w| {
        refused_port(w, true)
    }),
    ("ICM-11", "without a port it is told for port 0", |_| skip(FORGED)),
];

fn refused_port(w: &World, by_channel: bool) -> Outcome {
    if !w.server.ip().is_loopback() {
        return skip("needs a peer on the server's machine");
    }
    if w.own && w.sockets == Sockets::Portable {
        return skip(UNTOLD);
    }
    let ((client, _), closed) = (w.allocated()?, w.closed_peer()?);
    let peer = closed.address;
    client.permit(peer)?;
    if by_channel {
        client.bind(0x4000, peer)?;
        client.wire.send(&channel_data(0x4000, 4, b"data"));
    } else {
        client.says(peer, b"data");
    }
    let answer = client.indication(Method::DATA)?.without(&[AttributeType::DATA])?;
    let (icmp, about) = (answer.get::<Icmp>()?, answer.get::<XorPeerAddress>()?.0);
    ensure(about == peer, &peer.to_string(), about.to_string())?;
    let told = (icmp.kind, icmp.code, icmp.data);
    ensure(told == (3, 3, 0), "type 3, code 3, data 0", format!("{told:?}"))
}
