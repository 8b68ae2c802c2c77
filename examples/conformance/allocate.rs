//! ALC: Allocate (RFC 8656, section 7).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use stunner_proto::{
    AttributeType, Method,
    attribute::{
        AddressErrorCode, AddressFamily, Lifetime, ReservationToken, XorMappedAddress, XorRelayedAddress,
    },
};
use stunner_relay::net::TurnServerBuilder;

use crate::{
    base::lists,
    client::{Client, refresh},
    general::other,
    message::{Answer, Draft},
    own::{self, Own},
    report::{Check, Outcome, ensure, fail, skip},
    wire::Wire,
    world::World,
};

const RAF: u16 = 0x0017;
const EVEN: u16 = 0x0018;
const TRANSPORT: u16 = 0x0019;
const FRAGMENT: u16 = 0x001A;
const TOKEN: u16 = 0x0022;
const AAF: u16 = 0x8000;
const V4: &[u8] = &[1, 0, 0, 0];
const V6: &[u8] = &[2, 0, 0, 0];
const PAIR: &[u8] = &[0x80];

pub(crate) const CHECKS: &[Check] = &[
    ("ALC-01", "the least Allocate gets relayed and mapped address and 600 s, signed", |w| {
        let client = w.client()?;
        let answer = client.success(&Draft::allocate())?.authentic(&client.key())?;
        answer.get::<XorRelayedAddress>()?;
        let (mapped, local) = (answer.get::<XorMappedAddress>()?.0, client.wire.local());
        ensure(mapped == local, &local.to_string(), mapped.to_string())?;
        lives(&answer, 600)
    }),
    ("ALC-02", "a second Allocate is 437", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&Draft::allocate(), 437).map(drop)
    }),
    ("ALC-03", "the same Allocate again gets the same answer", |w| {
        let (client, draft) = (w.udp_client()?, Draft::allocate());
        let first = client.success(&draft)?.get::<XorRelayedAddress>()?;
        let second = client.success(&draft)?;
        ensure(second.get::<Lifetime>()?.0 <= 600, "at most 600 s", "more")?;
        let second = second.get::<XorRelayedAddress>()?;
        ensure(first == second, &format!("{first:?}"), format!("{second:?}"))
    }),
    ("ALC-04", "the same Allocate again gets the same token", |w| {
        let (client, draft) = (w.udp_client()?, Draft::allocate().raw(EVEN, PAIR));
        let first = client.success(&draft)?.get::<ReservationToken>()?;
        let second = client.success(&draft)?.get::<ReservationToken>()?;
        ensure(first == second, &format!("{first:?}"), format!("{second:?}"))
    }),
    ("ALC-05", "a second Allocate is 437 whatever it lacks", |w| {
        let (client, _) = w.allocated()?;
        client.refused(&Draft::request(Method::ALLOCATE), 437).map(drop)
    }),
    ("ALC-06", "no REQUESTED-TRANSPORT is 400", |w| refused(w, &Draft::request(Method::ALLOCATE), 400)),
    ("ALC-07", "a REQUESTED-TRANSPORT of three or five bytes is 400", |w| {
        refused(w, &transport(&[17, 0, 0]), 400)?;
        refused(w, &transport(&[17, 0, 0, 0, 0]), 400)
    }),
    ("ALC-08", "protocol 99 or 0 is 442", |w| {
        refused(w, &transport(&[99, 0, 0, 0]), 442)?;
        refused(w, &transport(&[0; 4]), 442)
    }),
    ("ALC-09", "protocol 6 where connections are not relayed is 442", |w| {
        if w.features.tcp_relay {
            return skip("the server relays connections");
        }
        refused(w, &transport(&[6, 0, 0, 0]), 442)
    }),
    ("ALC-10", "DONT-FRAGMENT where it cannot be done is 420", |w| {
        let unable =
            |w: &World| lists(&w.client()?.refused(&Draft::allocate().raw(FRAGMENT, &[]), 420)?, &[FRAGMENT]);
        if w.features.dont_fragment {
            return unable(&*own::with(w, "a server that cannot", TurnServerBuilder::portable)?);
        }
        unable(w)
    }),
    ("ALC-11", "DONT-FRAGMENT where it can be done", |w| {
        w.need(w.features.dont_fragment, "DONT-FRAGMENT")?;
        w.client()?.success(&Draft::allocate().raw(FRAGMENT, &[])).map(drop)
    }),
    ("ALC-12", "RESERVATION-TOKEN with EVEN-PORT is 400", |w| {
        refused(w, &Draft::allocate().raw(TOKEN, &[7; 8]).raw(EVEN, &[0]), 400)
    }),
    ("ALC-13", "RESERVATION-TOKEN with REQUESTED-ADDRESS-FAMILY is 400", |w| {
        refused(w, &Draft::allocate().raw(TOKEN, &[7; 8]).raw(RAF, V4), 400)
    }),
    ("ALC-14", "RESERVATION-TOKEN with ADDITIONAL-ADDRESS-FAMILY is 400", |w| {
        refused(w, &Draft::allocate().raw(TOKEN, &[7; 8]).raw(AAF, V6), 400)
    }),
    ("ALC-15", "a token of nobody is 508", |w| refused(w, &Draft::allocate().raw(TOKEN, &[7; 8]), 508)),
    ("ALC-16", "a token that is too old is 508", |w| {
        w.need_slow(90)?;
        let (_client, _, token) = reserved(w)?;
        w.wait(90)?;
        refused(w, &Draft::allocate().raw(TOKEN, &token.0), 508)
    }),
    ("ALC-17", "a token that was used is 508", |w| {
        let (_first, _, token) = reserved(w)?;
        let draft = Draft::allocate().raw(TOKEN, &token.0);
        let second = w.client()?;
        second.success(&draft)?;
        refused(w, &draft.anew(), 508)
    }),
    ("ALC-18", "a token gives another client the next port", |w| {
        let (_first, even, token) = reserved(w)?;
        redeemed(w, even, token)
    }),
    ("ALC-19", "a token is good for 29 s", |w| {
        w.need_slow(29)?;
        let (_first, even, token) = reserved(w)?;
        w.wait(29)?;
        redeemed(w, even, token)
    }),
    ("ALC-25", "EVEN-PORT gives an even port and no token", |w| {
        let answer = w.client()?.success(&Draft::allocate().raw(EVEN, &[0]))?;
        even(answer.get::<XorRelayedAddress>()?.0)?;
        answer.without(&[AttributeType::RESERVATION_TOKEN]).map(drop)
    }),
    ("ALC-26", "EVEN-PORT with the next gives an even port and a token", |w| even(reserved(w)?.1)),
    ("ALC-27", "no pair of ports is 508", |w| {
        let w = with_one_port(w)?;
        w.client()?.refused(&Draft::allocate().raw(EVEN, PAIR), 508).map(drop)
    }),
    ("ALC-35", "a LIFETIME of 0, 1 or 599 is 600", |w| {
        [0, 1, 599].into_iter().try_for_each(|asked| granted(w, asked, 600))
    }),
    ("ALC-36", "a LIFETIME of 1200 is granted", |w| granted(w, 1_200, 1_200)),
    ("ALC-37", "a LIFETIME of 7200 or more is 3600", |w| {
        [7_200, u32::MAX].into_iter().try_for_each(|asked| granted(w, asked, 3_600))
    }),
    ("ALC-38", "a LIFETIME of two bytes is 400", |w| {
        refused(w, &Draft::allocate().raw(0x000D, &[2, 88]), 400)
    }),
    ("ALC-39", "above the quota is 486", |w| {
        let w = with_quota(w)?;
        let (_first, _) = w.allocated()?;
        w.client()?.refused(&Draft::allocate(), 486).map(drop)
    }),
    ("ALC-40", "a quota is a user's, not an address's", |w| {
        let w = with_quota(w)?;
        let (_first, _) = w.allocated()?;
        let client = w.client()?;
        let (signing, _) = other(&w, &client)?;
        client.ask_as(&Draft::allocate(), &signing)?.success().map(drop)
    }),
    ("ALC-41", "a deleted allocation does not count", |w| {
        let w = with_quota(w)?;
        let (first, _) = w.allocated()?;
        first.refresh(0)?;
        w.allocated().map(drop)
    }),
    ("ALC-44", "no port left is 508", |w| {
        let w = with_one_port(w)?;
        let (_first, _) = w.allocated()?;
        w.client()?.refused(&Draft::allocate(), 508).map(drop)
    }),
    ("ALC-45", "after a refused Allocate a right one is granted", |w| {
        let client = w.client()?;
        client.refused(&Draft::request(Method::ALLOCATE), 400)?;
        client.allocate().map(drop)
    }),
    ("ALC-46", "a client with a Teredo or 6to4 address is refused", |_| skip("needs such an address")),
    ("ALC-47", "where no credentials are needed an allocation is granted, unsigned", |w| {
        let w = own::with(w, "a server without credentials", TurnServerBuilder::unauthenticated)?;
        let answer = w.wire()?.ask(&Draft::allocate().bytes())?.success()?;
        answer.get::<XorRelayedAddress>()?;
        answer.without(&[AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256]).map(drop)
    }),
    ("ALC-49", "a new allocation has no permissions", |w| {
        let ((client, relayed), peer) = (w.allocated()?, w.peer()?);
        peer.says(relayed, b"early");
        client.wire.stays_silent()
    }),
    ("ALC-50", "a stream that ends takes its allocation along", |w| {
        let client = w.tcp_client()?;
        client.allocate()?;
        let port = client.reset();
        let Ok(wire) = Wire::open(w.server, true, port, w.quiet) else {
            return skip("the port cannot be used again at once");
        };
        Client::challenged(w, wire, &w.user)?.refused(&refresh(600), 437).map(drop)
    }),
];

pub(crate) const FAMILIES: &[Check] = &[
    ("ALC-20", "both families' attributes together are 400", |w| {
        refused(w, &Draft::allocate().raw(RAF, V4).raw(AAF, V6), 400)
    }),
    ("ALC-21", "an IPv6 relay, or 440", |w| {
        let draft = Draft::allocate().raw(RAF, V6);
        if !w.features.ipv6 {
            return refused(w, &draft, 440);
        }
        let relayed = w.client()?.success(&draft)?.get::<XorRelayedAddress>()?.0;
        ensure(relayed.is_ipv6(), "an IPv6 address", relayed.to_string())
    }),
    ("ALC-22", "a family that does not exist is 440", |w| {
        refused(w, &Draft::allocate().raw(RAF, &[0; 4]), 440)?;
        refused(w, &Draft::allocate().raw(RAF, &[3, 0, 0, 0]), 440)
    }),
    ("ALC-23", "who asks for no family gets IPv4", |w| {
        let (_client, relayed) = w.allocated()?;
        ensure(relayed.is_ipv4(), "an IPv4 address", relayed.to_string())
    }),
    ("ALC-24", "no family where IPv4 is not relayed is 440", |w| {
        w.need(w.features.ipv6, "IPv6 relays")?;
        let six = [Ipv6Addr::LOCALHOST.into()];
        let w = own::with_families(w, "a server with IPv6 only", &six, |builder| builder)?;
        w.client()?.refused(&Draft::allocate(), 440).map(drop)
    }),
    ("ALC-28", "EVEN-PORT with the next and ADDITIONAL-ADDRESS-FAMILY is 400", |w| {
        refused(w, &Draft::allocate().raw(EVEN, PAIR).raw(AAF, V6), 400)
    }),
    ("ALC-29", "ADDITIONAL-ADDRESS-FAMILY gives two relayed addresses and one LIFETIME", |w| {
        w.need(w.features.ipv6, "IPv6 relays")?;
        let (_client, four, six) = dual(w)?;
        ensure(four.is_ipv4() && six.is_ipv6(), "one of each family", format!("{four}, {six}"))
    }),
    ("ALC-30", "IPv4 as additional family is 400", |w| refused(w, &Draft::allocate().raw(AAF, V4), 400)),
    ("ALC-31", "an additional family that does not exist is 400", |w| {
        refused(w, &Draft::allocate().raw(AAF, &[3, 0, 0, 0]), 400)
    }),
    ("ALC-32", "an additional family that is not there is ADDRESS-ERROR-CODE 440", |w| {
        if !w.features.ipv6 {
            return lacks_v6(w, 440);
        }
        let four = [Ipv4Addr::LOCALHOST.into()];
        lacks_v6(&*own::with_families(w, "a server with IPv4 only", &four, |builder| builder)?, 440)
    }),
    ("ALC-33", "no IPv6 port left is ADDRESS-ERROR-CODE 508", |w| {
        w.need(w.features.ipv6, "IPv6 relays")?;
        let w = with_one_port(w)?;
        let first = w.client()?;
        first.success(&Draft::allocate().raw(RAF, V6))?;
        lacks_v6(&w, 508)
    }),
    ("ALC-34", "no port of either family left is 508", |w| {
        w.need(w.features.ipv6, "IPv6 relays")?;
        let w = with_one_port(w)?;
        let (_first, ..) = dual(&w)?;
        refused(&w, &Draft::allocate().raw(AAF, V6), 508)
    }),
    ("ALC-48", "a server without the additional family ignores it", |_| skip("ALC-29 or ALC-32 applies")),
];

fn with_quota(w: &World) -> Outcome<Own> {
    own::with(w, "a server with a quota", |builder| builder.user_quota(1))
}

/// A server with one relay port of each family.
fn with_one_port(w: &World) -> Outcome<Own> {
    own::with(w, "a server with few ports", |builder| {
        let port = own::free_port();
        builder.relay_ports(port..=port)
    })
}

/// That a dual allocation has IPv4 only, and is told why.
fn lacks_v6(w: &World, code: u16) -> Outcome {
    let client = w.client()?;
    let answer = client.success(&Draft::allocate().raw(AAF, V6))?;
    let error = answer.get::<AddressErrorCode<'_>>()?;
    let fits = error.family == AddressFamily::V6 && error.error.code() == code;
    ensure(fits, &format!("IPv6 and {code}"), format!("{error:?}"))
}

fn transport(value: &[u8]) -> Draft {
    Draft::request(Method::ALLOCATE).raw(TRANSPORT, value)
}

fn refused(w: &World, draft: &Draft, code: u16) -> Outcome {
    w.client()?.refused(draft, code).map(drop)
}

pub(crate) fn lives(answer: &Answer, seconds: u32) -> Outcome {
    let got = answer.get::<Lifetime>()?.0;
    ensure(got == seconds, &format!("LIFETIME {seconds}"), got.to_string())
}

fn granted(w: &World, asked: u32, seconds: u32) -> Outcome {
    lives(&w.client()?.success(&Draft::allocate().with(&Lifetime(asked)))?, seconds)
}

fn even(relayed: SocketAddr) -> Outcome {
    ensure(relayed.port().is_multiple_of(2), "an even port", relayed.port().to_string())
}

/// An allocation that holds the next port too.
fn reserved(w: &World) -> Outcome<(Client<'_>, SocketAddr, ReservationToken)> {
    let client = w.client()?;
    let answer = client.success(&Draft::allocate().raw(EVEN, PAIR))?;
    Ok((client, answer.get::<XorRelayedAddress>()?.0, answer.get()?))
}

fn redeemed(w: &World, even: SocketAddr, token: ReservationToken) -> Outcome {
    let client = w.client()?;
    let next = client.success(&Draft::allocate().raw(TOKEN, &token.0))?.get::<XorRelayedAddress>()?.0;
    let expected = SocketAddr::new(even.ip(), even.port() + 1);
    ensure(next == expected, &expected.to_string(), next.to_string())
}

/// An allocation with an address of each family.
pub(crate) fn dual(w: &World) -> Outcome<(Client<'_>, SocketAddr, SocketAddr)> {
    w.need(w.features.ipv6, "IPv6 relays")?;
    let client = w.client()?;
    let answer = client.success(&Draft::allocate().raw(AAF, V6))?;
    let all: Vec<_> =
        answer.message().all::<XorRelayedAddress>().flatten().map(|relayed| relayed.0).collect();
    match all[..] {
        [a, b] if a.is_ipv4() => Ok((client, a, b)),
        [a, b] => Ok((client, b, a)),
        _ => fail("two relayed transport addresses", format!("{}", all.len())),
    }
}
