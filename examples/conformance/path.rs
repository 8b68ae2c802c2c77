//! NAT: behaviour discovery (RFC 5780), where a server has a second address.

use std::net::{SocketAddr, UdpSocket};

use stunner_proto::{
    AttributeType,
    attribute::{ChangeRequest, OtherAddress, ResponseOrigin},
};

use crate::{
    base::{binding, lists},
    message::Answer,
    own,
    report::{Check, Outcome, ensure, fail, skip},
    wire::PATIENCE,
    world::World,
};

const CHANGE: u16 = 0x0003;
const PADDING: u16 = 0x0026;
const PORT: u16 = 0x0027;

pub(crate) const CHECKS: &[Check] = &[
    ("NAT-01", "Binding tells both addresses of the server", |w| {
        discovery(w)?;
        let answer = w.udp_wire()?.ask(&binding().bytes())?.success()?;
        let origin = answer.get::<ResponseOrigin>()?.0;
        ensure(origin == w.server, &w.server.to_string(), origin.to_string())?;
        let other = answer.get::<OtherAddress>()?.0;
        let apart = other.ip() != w.server.ip() && other.port() != w.server.port();
        ensure(apart, "another address and port", other.to_string())?;
        answer.carrying(&[AttributeType::MAPPED_ADDRESS]).map(drop)
    }),
    ("NAT-02", "CHANGE-REQUEST changes where the answer comes from, on each of the four addresses", |w| {
        discovery(w)?;
        let OtherAddress(other) = w.udp_wire()?.ask(&binding().bytes())?.success()?.get()?;
        for own in [w.server, other] {
            for (ip, port) in [(false, true), (true, false), (true, true)] {
                let (answer, from) = ask_from_anywhere(own, ChangeRequest { ip, port })?;
                let changed = (from.ip() != own.ip(), from.port() != own.port());
                ensure(changed == (ip, port), &format!("{ip} {port} from {own}"), from.to_string())?;
                let origin = answer.get::<ResponseOrigin>()?.0;
                ensure(origin == from, &from.to_string(), origin.to_string())?;
            }
        }
        Ok(())
    }),
    ("NAT-03", "CHANGE-REQUEST to a server with one address is 420", |w| {
        single(w, |w| {
            lists(&w.udp_wire()?.ask(&binding().raw(CHANGE, &[0, 0, 0, 6]).bytes())?.refused(420)?, &[CHANGE])
        })
    }),
    ("NAT-04", "a server with one address tells no other", |w| {
        single(w, |w| {
            w.udp_wire()?
                .ask(&binding().bytes())?
                .success()?
                .without(&[AttributeType::OTHER_ADDRESS])
                .map(drop)
        })
    }),
    ("NAT-05", "RESPONSE-PORT is where the answer goes", |w| {
        discovery(w)?;
        let (asking, hearing) = (w.udp_wire()?, w.udp_wire()?);
        let [high, low] = hearing.local().port().to_be_bytes();
        asking.send(&binding().raw(PORT, &[high, low, 0, 0]).bytes());
        hearing.expect("an answer at the other port").map(drop)
    }),
    ("NAT-06", "RESPONSE-PORT to a server with one address is 420", |w| {
        single(w, |w| {
            lists(
                &w.udp_wire()?.ask(&binding().raw(PORT, &[0x9C, 0x40, 0, 0]).bytes())?.refused(420)?,
                &[PORT],
            )
        })
    }),
    ("NAT-07", "PADDING is answered with PADDING", |w| {
        discovery(w)?;
        let answer = w.udp_wire()?.ask(&binding().raw(PADDING, &[0; 1_200]).bytes())?;
        padded(&answer)?;
        answer.success()?.carrying(&[AttributeType::PADDING]).map(drop)
    }),
    ("NAT-08", "PADDING with RESPONSE-PORT is 400", |w| {
        discovery(w)?;
        let draft = binding().raw(PADDING, &[0; 8]).raw(PORT, &[0x9C, 0x40, 0, 0]);
        let answer = w.udp_wire()?.ask(&draft.bytes())?;
        padded(&answer)?;
        answer.refused(400).map(drop)
    }),
    ("NAT-09", "Binding names no alternate server", |w| {
        let answer = w.udp_wire()?.ask(&binding().bytes())?.success()?;
        answer.without(&[AttributeType::ALTERNATE_SERVER]).map(drop)
    }),
    ("NAT-13", "RESPONSE-PORT reaches the source's address only", |_| skip("a client cannot see others")),
];

fn discovery(w: &World) -> Outcome {
    w.need(w.features.other_address, "a second address")
}

/// A check of a server with one address: the one that is looked at, or one of ours.
fn single(w: &World, check: impl Fn(&World) -> Outcome) -> Outcome {
    if w.features.other_address {
        return check(&*own::with(w, "a server with one address", |builder| builder)?);
    }
    check(w)
}

/// PADDING may be unknown to a server: it is good for amplification.
fn padded(answer: &Answer) -> Outcome {
    if answer.code() == Some(420) { skip("the server does not know PADDING") } else { Ok(()) }
}

/// The answer to a Binding request, wherever it comes from.
fn ask_from_anywhere(server: SocketAddr, change: ChangeRequest) -> Outcome<(Answer, SocketAddr)> {
    let ask = || {
        let socket = UdpSocket::bind((if server.is_ipv4() { "0.0.0.0" } else { "::" }, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&binding().with(&change).bytes(), server)?;
        let mut bytes = vec![0; 2_000];
        let (length, from) = socket.recv_from(&mut bytes)?;
        bytes.truncate(length);
        Ok::<_, std::io::Error>((bytes, from))
    };
    match ask() {
        Ok((bytes, from)) => match Answer::parse(&bytes) {
            Some(answer) => Ok((answer, from)),
            None => fail("an answer", "bytes that are no message"),
        },
        Err(error) => fail("an answer", error.to_string()),
    }
}
