//! Binding, and what it tells a client of the NATs before it (RFC 8489, section 12; RFC 5780).

use std::net::SocketAddr;

use stunner_proto::{
    AttributeType, BadAttribute, Message,
    attribute::{ChangeRequest, MappedAddress, OtherAddress, ResponseOrigin, ResponsePort, XorMappedAddress},
};

use super::{MAX_REPLY, Output, Refusal, Server, request::knows, response::Exchange};
use crate::Client;

/// Two addresses of one server, each with the same two ports: what the tests of RFC 5780 need. The server listens on all
/// four, over UDP, and its shell can answer from each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Discovery {
    /// One address, with the port that clients know.
    pub primary: SocketAddr,
    /// The other address, with the other port.
    pub alternate: SocketAddr,
}

/// One of the four, and the one that differs from it in both parts.
struct Place {
    own: SocketAddr,
    other: SocketAddr,
}

impl Discovery {
    fn place(self, own: SocketAddr) -> Option<Place> {
        let Self { primary, alternate } = self;
        let ip = [(primary.ip(), alternate.ip()), (alternate.ip(), primary.ip())];
        let port = [(primary.port(), alternate.port()), (alternate.port(), primary.port())];
        let (_, ip) = ip.into_iter().find(|&(ip, _)| ip == own.ip())?;
        let (_, port) = port.into_iter().find(|&(port, _)| port == own.port())?;
        Some(Place { own, other: SocketAddr::new(ip, port) })
    }
}

fn at_port(address: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

impl Server {
    /// Binding needs no credentials.
    pub(super) fn binding<'p>(
        &mut self,
        message: Message<'_>,
        exchange: &Exchange,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<Output<'p>> {
        let place = self.place(exchange.from);
        let config = self.config.clone();
        let known = |kind| {
            let asks = kind == AttributeType::CHANGE_REQUEST || kind == AttributeType::RESPONSE_PORT;
            asks && place.is_some() || knows(&config, kind)
        };
        if let Some(len) = self.refuse_if_unknown(&message, exchange, known, reply) {
            return Some(Output::Reply(len));
        }
        let client = exchange.from.tuple.client;
        let response = exchange.success(reply).attribute(&XorMappedAddress(client));
        let Some(place) = place else { return Some(Output::Reply(self.succeed(exchange, response))) };
        let (from, to) = match directions(&message, client, &place) {
            Ok(directions) => directions,
            Err(bad) => {
                return Some(Output::Reply(self.refuse(exchange, Refusal::BadAttribute(bad), reply, now)));
            }
        };
        if to != client && !self.may_challenge(exchange.from, now) {
            return None;
        }
        let response = response
            .attribute(&MappedAddress(client))
            .attribute(&ResponseOrigin(from))
            .attribute(&OtherAddress(place.other));
        let len = self.succeed(exchange, response);
        let as_usual = from == place.own && to == client;
        Some(if as_usual { Output::Reply(len) } else { Output::ReplyFrom { from, to, len } })
    }

    fn place(&self, from: Client) -> Option<Place> {
        let discovery = self.config.discovery.filter(|_| !from.tuple.transport.is_stream());
        discovery?.place(from.tuple.server)
    }
}

/// Where the response comes from, and where it goes.
fn directions(
    message: &Message<'_>,
    client: SocketAddr,
    place: &Place,
) -> Result<(SocketAddr, SocketAddr), BadAttribute> {
    let change = message.get::<ChangeRequest>()?.unwrap_or_default();
    let ip = if change.ip { place.other.ip() } else { place.own.ip() };
    let port = if change.port { place.other.port() } else { place.own.port() };
    let to = message.get::<ResponsePort>()?.map_or(client, |ResponsePort(port)| at_port(client, port));
    Ok((SocketAddr::new(ip, port), to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nat_02_each_of_the_four_knows_the_one_that_differs_in_both_parts() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let discovery =
            Discovery { primary: address("192.0.2.1:3478"), alternate: address("192.0.2.2:3479") };

        for (own, other) in [
            ("192.0.2.1:3478", Some("192.0.2.2:3479")),
            ("192.0.2.1:3479", Some("192.0.2.2:3478")),
            ("192.0.2.2:3478", Some("192.0.2.1:3479")),
            ("192.0.2.2:3479", Some("192.0.2.1:3478")),
            ("192.0.2.3:3478", None),
            ("192.0.2.1:3480", None),
        ] {
            let found = discovery.place(address(own)).map(|place| place.other);
            assert_eq!(found, other.map(address), "{own}");
        }
    }
}
