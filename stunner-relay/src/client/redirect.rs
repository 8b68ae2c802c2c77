//! 300: another server is named (RFC 8489, section 10).

use std::net::SocketAddr;

use stunner_proto::{
    Attribute, AttributeType, Message,
    attribute::{AlternateDomain, AlternateServer},
};

use super::{
    Client, Event, Failure, Request,
    allocate::{State, Wishes},
    credentials::Credentials,
};
use crate::Transport;

/// A server is not asked again within 300 s.
const MEMORY: u64 = 300_000;

/// No more servers than this are asked on account of one another.
const MAX_SERVERS: usize = 8;

/// The servers that have named others, and when.
#[derive(Debug, Default)]
pub(super) struct Redirects(Vec<(SocketAddr, u64)>);

impl Redirects {
    /// Notes a server; `false` where the next one was asked already, or too many were.
    fn admit(&mut self, server: SocketAddr, next: SocketAddr, now: u64) -> bool {
        self.0.retain(|(_, at)| now - at < MEMORY);
        self.0.push((server, now));
        self.0.len() < MAX_SERVERS && !self.0.iter().any(|(tried, _)| *tried == next)
    }
}

impl Client {
    /// Turns to the server that a signed response names; `false` where it names none.
    pub(super) fn redirected(&mut self, message: &Message<'_>, now: u64) -> bool {
        let id = message.transaction_id();
        let named = || {
            let named = message.attributes().filter(|found| found.kind == AttributeType::ALTERNATE_SERVER);
            named.filter_map(|found| AlternateServer::decode(found.value, id).ok())
        };
        let own = |server: &AlternateServer| server.0.is_ipv4() == self.tuple.server.is_ipv4();
        let Some(AlternateServer(server)) = named().find(own).or_else(|| named().next()) else {
            return false;
        };
        if !self.redirects.admit(self.tuple.server, server, now) {
            self.allocate_failed(Failure::RedirectLoop, now);
            return true;
        }
        let domain = message.get::<AlternateDomain<'_>>().ok().flatten();
        let domain = domain.map(|domain| domain.as_str().into());
        let at_hand = self.tuple.transport == Transport::Udp && own(&AlternateServer(server));
        // The same credentials, but nothing of what the first server said of itself counts for the second.
        self.credentials = Credentials::default();
        self.wishes = Wishes::new(&self.config);
        self.transactions.forget_path();
        self.tuple.server = server;
        self.events.push_back(Event::Redirected { server, domain });
        if at_hand {
            self.ask(Request::Allocate, now);
        } else {
            self.state = State::Idle;
        }
        true
    }
}
