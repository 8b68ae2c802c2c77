//! TCP: connections that are relayed (RFC 6062).

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use stunner_proto::{
    AttributeType, Method,
    attribute::{ConnectionId, RequestedTransport, XorPeerAddress, XorRelayedAddress},
};

use crate::{
    client::{Client, permission},
    general::{empty, other},
    message::Draft,
    report::{Check, Outcome, ensure, fail, skip},
    wire::now,
    world::World,
};

pub(crate) const CHECKS: &[Check] = &[
    ("TCP-01", "protocol 6 over TCP gets a relayed address that listens", |w| {
        let (_client, relayed) = relay(w)?;
        let reached = reach(relayed);
        // Who has no permission is closed at once, which may be before it knows that it is connected.
        let closed = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        ensure(reached.as_ref().map_or_else(closed, |_| true), "a listening address", format!("{reached:?}"))
    }),
    ("TCP-02", "protocol 6 over UDP is 400", |w| {
        offered(w)?;
        w.udp_client()?.refused(&allocate(), 400).map(drop)
    }),
    ("TCP-03", "protocol 6 with DONT-FRAGMENT, EVEN-PORT or RESERVATION-TOKEN is 400", |w| {
        offered(w)?;
        for (kind, value) in [(0x001A, &[][..]), (0x0018, &[0]), (0x0022, &[7; 8])] {
            w.tcp_client()?.refused(&allocate().raw(kind, value), 400)?;
        }
        Ok(())
    }),
    ("TCP-04", "protocol 99 over TCP is 442", |w| {
        let draft = empty(Method::ALLOCATE).raw(0x0019, &[99, 0, 0, 0]);
        w.tcp_client()?.refused(&draft, 442).map(drop)
    }),
    ("TCP-05", "protocol 17 where only connections are relayed is 403", |_| skip("needs such a server")),
    ("TCP-06", "no RESERVATION-TOKEN in the answer", |w| {
        offered(w)?;
        w.tcp_client()?.success(&allocate())?.without(&[AttributeType::RESERVATION_TOKEN]).map(drop)
    }),
    ("TCP-07", "Connect without allocation is 437", |w| {
        offered(w)?;
        w.tcp_client()?.refused(&connect(listener(w)?.1), 437).map(drop)
    }),
    ("TCP-08", "Connect reaches the peer from the relayed address", |w| {
        let ((client, relayed), (listener, peer)) = (relay(w)?, listener(w)?);
        client.success(&connect(peer))?.get::<ConnectionId>()?;
        let (_stream, from) = accept(&listener)?;
        ensure(from == relayed, &relayed.to_string(), from.to_string())
    }),
    ("TCP-09", "a peer that refuses is 447", |w| {
        let (client, _) = relay(w)?;
        let closed = listener(w)?.1;
        client.refused(&connect(closed), 447).map(drop)
    }),
    ("TCP-10", "a peer that does not answer is 447 after 30 s", |_| skip("needs such a peer")),
    ("TCP-11", "a second Connect to the same peer is 446", |w| {
        let ((client, _), (_listener, peer)) = (relay(w)?, listener(w)?);
        client.success(&connect(peer))?;
        client.refused(&connect(peer), 446).map(drop)
    }),
    ("TCP-12", "after its end the same peer can be reached again", |w| {
        let joined = join(w)?;
        drop((joined.data, joined.peer));
        std::thread::sleep(w.quiet);
        joined.client.success(&connect(joined.address)).map(drop)
    }),
    ("TCP-13", "Connect without peer is 400", |w| {
        let (client, _) = relay(w)?;
        client.refused(&empty(Method::CONNECT), 400).map(drop)
    }),
    ("TCP-14", "Connect to a peer that is not allowed is 403", |w| {
        let (client, _) = relay(w)?;
        client.refused(&connect(SocketAddr::new(w.denied, 9)), 403).map(drop)
    }),
    ("TCP-15", "a connection that is not taken within 30 s ends", |w| {
        w.need_slow(40)?;
        let ((client, _), (listener, peer)) = (relay(w)?, listener(w)?);
        client.success(&connect(peer))?;
        let (mut stream, _) = accept(&listener)?;
        w.wait(40)?;
        ensure(ended(&mut stream), "the end of the connection", "it is open")
    }),
    ("TCP-16", "a peer with a permission is told as ConnectionAttempt", |w| {
        let (client, relayed) = relay(w)?;
        client.permit(SocketAddr::new(w.peer_address, 9))?;
        let stream = reach(relayed).or_else(|error| fail("a connection", error.to_string()))?;
        let told = client.indication(Method::CONNECTION_ATTEMPT)?;
        told.get::<ConnectionId>()?;
        let (peer, local) = (told.get::<XorPeerAddress>()?.0, stream.local_addr().ok());
        ensure(Some(peer) == local, &format!("{local:?}"), peer.to_string())
    }),
    ("TCP-17", "a peer without permission is closed at once", |w| {
        let (client, relayed) = relay(w)?;
        client.success(&permission(&[SocketAddr::from(([127, 9, 9, 9], 9))]))?;
        let stream = reach(relayed);
        client.wire.stays_silent()?;
        let Ok(mut stream) = stream else { return Ok(()) };
        ensure(ended(&mut stream), "the end of the connection", "it is open")
    }),
    ("TCP-18", "after ConnectionBind bytes go both ways as they are", |w| {
        let mut joined = join(w)?;
        joined.data.wire.send(b"\xFFraw");
        let mut got = [0; 4];
        let read = joined.peer.read_exact(&mut got);
        ensure(read.is_ok() && got == *b"\xFFraw", "4 bytes at the peer", "others")?;
        let _ = joined.peer.write_all(b"back");
        let back = joined.data.wire.raw(4);
        ensure(back == b"back", "4 bytes at the client", format!("{} bytes", back.len()))
    }),
    ("TCP-19", "ConnectionBind over UDP is 400", |w| {
        offered(w)?;
        w.udp_client()?.refused(&bind(ConnectionId(7)), 400).map(drop)
    }),
    ("TCP-20", "ConnectionBind without an id, or with one of nothing, is 400", |w| {
        let (client, _) = relay(w)?;
        data(w, &client)?.refused(&empty(Method::CONNECTION_BIND), 400)?;
        data(w, &client)?.refused(&bind(ConnectionId(0xDEAD_BEEF)), 400).map(drop)
    }),
    ("TCP-21", "another user's ConnectionBind is refused", |w| {
        let ((client, _), (_listener, peer)) = (relay(w)?, listener(w)?);
        let id = client.success(&connect(peer))?.get::<ConnectionId>()?;
        let data = data(w, &client)?;
        let (mut signing, _) = other(w, &data)?;
        let mut answer = data.wire.answer(&bind(id).signed(&signing))?;
        if let Some(stale) = answer.as_ref().filter(|answer| answer.code() == Some(438)) {
            signing.nonce = stale.value(AttributeType::NONCE).map(<[u8]>::to_vec);
            answer = data.wire.answer(&bind(id).signed(&signing))?;
        }
        match answer {
            Some(answer) => ensure(answer.code().is_some(), "an error", answer.to_string()),
            None => ensure(data.wire.is_closed(), "an error, or the end of the connection", "neither"),
        }
    }),
    ("TCP-22", "what the peer says before ConnectionBind comes first", |w| {
        let ((client, _), (listener, peer)) = (relay(w)?, listener(w)?);
        let id = client.success(&connect(peer))?.get::<ConnectionId>()?;
        let (mut stream, _) = accept(&listener)?;
        let _ = stream.write_all(b"early");
        std::thread::sleep(w.quiet);
        let data = data(w, &client)?;
        data.success(&bind(id))?;
        let got = data.wire.raw(5);
        ensure(got == b"early", "5 bytes", format!("{} bytes", got.len()))
    }),
    ("TCP-23", "what follows ConnectionBind at once is data", |_| skip("TCP-18 sees data")),
    ("TCP-24", "when the client ends the connection the peer's ends", |w| {
        let mut joined = join(w)?;
        drop(joined.data);
        ensure(ended(&mut joined.peer), "the end of the connection", "it is open")
    }),
    ("TCP-25", "when the allocation ends its connections end", |w| {
        let mut joined = join(w)?;
        joined.client.refresh(0)?;
        ensure(ended(&mut joined.peer), "the end of the connection", "it is open")
    }),
    ("TCP-26", "a slow reader slows the writer", |_| skip("a client cannot see the server's memory")),
    ("TCP-27", "before ConnectionBind little is kept", |_| skip("a client cannot see the server's memory")),
    ("TCP-29", "ConnectionBind needs no allocation on its own five-tuple", |w| join(w).map(drop)),
    ("TCP-30", "ChannelBind on such an allocation is refused", |w| {
        let (client, _) = relay(w)?;
        let answer = client.ask(&crate::client::channel(0x4000, SocketAddr::new(w.peer_address, 9)))?;
        ensure(answer.code().is_some(), "an error", answer.to_string())
    }),
    ("TCP-31", "the success of ConnectionBind is signed", |w| {
        let ((client, _), (_listener, peer)) = (relay(w)?, listener(w)?);
        let id = client.success(&connect(peer))?.get::<ConnectionId>()?;
        let data = data(w, &client)?;
        data.success(&bind(id))?.authentic(&data.key()).map(drop)
    }),
];

/// A connection between a client and a peer.
struct Joined<'w> {
    client: Client<'w>,
    data: Client<'w>,
    peer: TcpStream,
    address: SocketAddr,
}

fn offered(w: &World) -> Outcome {
    w.need(w.features.tcp_relay, "relayed connections")
}

fn allocate() -> Draft {
    empty(Method::ALLOCATE).with(&RequestedTransport::TCP)
}

fn connect(peer: SocketAddr) -> Draft {
    empty(Method::CONNECT).with(&XorPeerAddress(peer))
}

fn bind(id: ConnectionId) -> Draft {
    empty(Method::CONNECTION_BIND).with(&id)
}

/// A client over TCP with a relayed address for connections.
fn relay(w: &World) -> Outcome<(Client<'_>, SocketAddr)> {
    offered(w)?;
    let client = w.tcp_client()?;
    let relayed = client.success(&allocate())?.get::<XorRelayedAddress>()?.0;
    Ok((client, relayed))
}

/// A connection that is to carry data. It begins with ConnectionBind, signed as the client signs elsewhere: some servers
/// challenge nobody who begins so, and close the connection.
fn data<'w>(w: &World, client: &Client<'w>) -> Outcome<Client<'w>> {
    Ok(client.on(w.tcp_wire()?))
}

/// A connection of a peer to a relayed address.
fn reach(relayed: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&relayed, Duration::from_secs(2))
}

/// A peer that listens.
fn listener(w: &World) -> Outcome<(TcpListener, SocketAddr)> {
    let bound = TcpListener::bind((w.peer_address, 0)).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok((socket.local_addr()?, socket))
    });
    bound.map(|(address, socket)| (socket, address)).or_else(|error| skip(error.to_string()))
}

fn accept(listener: &TcpListener) -> Outcome<(TcpStream, SocketAddr)> {
    let end = now() + Duration::from_secs(2);
    while now() < end {
        if let Ok((stream, from)) = listener.accept() {
            let _ = stream.set_nonblocking(false);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            return Ok((stream, from));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    fail("a connection at the peer", "none")
}

/// Whether the other side has ended the connection.
fn ended(stream: &mut TcpStream) -> bool {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    match stream.read(&mut [0; 64]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn join(w: &World) -> Outcome<Joined<'_>> {
    let ((client, _), (listener, address)) = (relay(w)?, listener(w)?);
    let id = client.success(&connect(address))?.get::<ConnectionId>()?;
    let (peer, _) = accept(&listener)?;
    let data = data(w, &client)?;
    data.success(&bind(id))?;
    Ok(Joined { client, data, peer, address })
}
