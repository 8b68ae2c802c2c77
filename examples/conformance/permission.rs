//! PRM: permissions (RFC 8656, sections 9 and 10).

use std::net::SocketAddr;

use stunner_proto::{Method, attribute::XorPeerAddress};

use crate::{
    allocate::dual,
    client::{permission, refresh},
    general::empty,
    message::{Draft, channel_data},
    own,
    report::{Check, Outcome, ensure, skip},
    world::World,
};

pub(crate) const CHECKS: &[Check] = &[
    ("PRM-01", "a permission is for all ports of an address", |w| {
        let path = w.path()?;
        path.delivers(b"from this port")?;
        let second = w.peer()?;
        second.says(path.relayed, b"from that port");
        path.client.hears(second.address, b"from that port")
    }),
    ("PRM-02", "three peers in one request", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.success(&permission(&[at(w, 2)?, at(w, 3)?, peer.address]))?;
        peer.says(relayed, b"the third");
        client.hears(peer.address, b"the third")
    }),
    ("PRM-03", "no peer is 400", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&empty(Method::CREATE_PERMISSION), 400).map(drop)
    }),
    ("PRM-04", "one bad peer is 400, and none is installed", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.refused(&permission(&[peer.address]).raw(0x0012, &[0, 1, 7, 7]), 400)?;
        peer.says(relayed, b"none");
        client.wire.stays_silent()
    }),
    ("PRM-05", "an IPv6 peer of an IPv4 allocation is 443", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&permission(&[six()]), 443).map(drop)
    }),
    ("PRM-06", "peers of both families in one request", |w| {
        let (client, _, relayed) = dual(w)?;
        let peers = [w.peer()?.address, SocketAddr::new(relayed.ip(), 9)];
        client.success(&permission(&peers)).map(drop)
    }),
    ("PRM-07", "a peer that is not allowed is 403, and none is installed", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.refused(&permission(&[peer.address, SocketAddr::new(w.denied, 9)]), 403)?;
        peer.says(relayed, b"none");
        client.wire.stays_silent()
    }),
    ("PRM-08", "more permissions than there is room for are 508", |w| {
        let w = own::with(w, "a server with few", |builder| {
            builder.configure(|config| config.max_permissions = 2)
        })?;
        let (client, _) = w.allocated()?;
        let peer = |n| SocketAddr::from(([127, 0, 1, n], 9));
        client.success(&permission(&[peer(1), peer(2)]))?;
        client.refused(&permission(&[peer(3)]), 508)?;
        client.success(&permission(&[peer(2)])).map(drop)
    }),
    ("PRM-09", "a permission lasts 300 s", |w| {
        w.need_slow(305)?;
        let path = w.path()?;
        w.wait(295)?;
        path.delivers(b"in time")?;
        w.wait(10)?;
        path.holds_back()
    }),
    ("PRM-10", "CreatePermission renews a permission", |w| {
        w.need_slow(490)?;
        let path = w.path()?;
        w.wait(200)?;
        path.client.permit(path.peer.address)?;
        w.wait(290)?;
        path.delivers(b"renewed")
    }),
    ("PRM-11", "data does not renew a permission", |w| {
        w.need_slow(310)?;
        let path = w.path()?;
        w.wait(280)?;
        path.delivers(b"in")?;
        path.client.says(path.peer.address, b"out");
        path.peer.hears(b"out")?;
        w.wait(30)?;
        path.holds_back()
    }),
    ("PRM-12", "ChannelBind renews a permission", |w| {
        w.need_slow(490)?;
        let path = w.path()?;
        w.wait(200)?;
        path.client.bind(0x4000, path.peer.address)?;
        w.wait(290)?;
        path.peer.says(path.relayed, b"data");
        let got = path.client.wire.expect("ChannelData")?;
        ensure(got == channel_data(0x4000, 4, b"data"), "ChannelData", "something else")
    }),
    ("PRM-13", "a channel alone does not let a peer in", |w| {
        w.need_slow(400)?;
        let path = w.path()?;
        path.client.bind(0x4000, path.peer.address)?;
        w.wait(400)?;
        path.holds_back()
    }),
    ("PRM-14", "a permission for one is none for another", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.permit(at(w, 2)?)?;
        peer.says(relayed, b"another");
        client.wire.stays_silent()
    }),
    ("PRM-15", "a permission is one allocation's", |w| {
        let path = w.path()?;
        let (client, relayed) = w.allocated()?;
        path.peer.says(relayed, b"elsewhere");
        client.wire.stays_silent()
    }),
    ("PRM-16", "the port of a permission does not count", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        client.permit(SocketAddr::new(peer.address.ip(), 0))?;
        peer.says(relayed, b"any port");
        client.hears(peer.address, b"any port")
    }),
    ("PRM-17", "the same CreatePermission again succeeds", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        let draft = permission(&[peer.address]);
        client.success(&draft)?;
        client.success(&draft).map(drop)
    }),
    ("PRM-18", "a new allocation does not inherit permissions", |w| {
        let path = w.path()?;
        path.client.refresh(0)?;
        let relayed = path.client.allocate()?;
        path.peer.says(relayed, b"inherited");
        path.client.wire.stays_silent()
    }),
    ("PRM-19", "the same peer twice in one request", |w| {
        let ((client, _), peer) = (w.allocated()?, w.peer()?);
        client.success(&permission(&[peer.address, peer.address])).map(drop)
    }),
    ("CHB-08", "a channel to an IPv6 peer of an IPv4 allocation is 443", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&crate::client::channel(0x4000, six()), 443).map(drop)
    }),
    ("SND-10", "a Send indication to an IPv6 peer of an IPv4 allocation is dropped", |w| {
        let path = w.path()?;
        path.client.says(six(), b"six");
        path.client.wire.stays_silent()?;
        path.client.refresh(600).map(drop)
    }),
    ("SEC-12", "another user cannot end an allocation", |w| {
        let path = w.path()?;
        let (signing, _) = crate::general::other(w, &path.client)?;
        path.client.ask_as(&refresh(0), &signing)?.refused(441)?;
        path.delivers(b"unharmed")
    }),
    ("XLT-10", "an IPv4 client reaches an IPv6 peer, and the reverse", |w| {
        let (client, _, relayed) = dual(w)?;
        let socket = std::net::UdpSocket::bind((relayed.ip(), 0)).and_then(|s| Ok((s.local_addr()?, s)));
        let Ok((peer, socket)) = socket else { return skip("no peer on IPv6") };
        client.success(&Draft::request(Method::CREATE_PERMISSION).with(&XorPeerAddress(peer)))?;
        let _ = socket.send_to(b"six", relayed);
        client.hears(peer, b"six")
    }),
];

/// Another address beside the peer's, on the same network.
fn at(w: &World, last: u8) -> Outcome<SocketAddr> {
    match w.peer_address {
        std::net::IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            Ok(SocketAddr::from(([a, b, c, d ^ last << 1], 9)))
        }
        std::net::IpAddr::V6(_) => skip("needs a peer with an IPv4 address"),
    }
}

fn six() -> SocketAddr {
    SocketAddr::from(([0x2606, 0x4700, 0, 0, 0, 0, 0, 1], 9))
}
