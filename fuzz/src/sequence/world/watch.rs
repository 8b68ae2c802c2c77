//! What must hold, whatever was done.

use std::{hash::Hasher, net::SocketAddr, time::Duration};

use stunner_proto::{
    AttributeType, ChannelData, Class, Key, Message, Method,
    attribute::{Data, ErrorCode, XorPeerAddress},
};
use stunner_relay::{Client, RelayId};

use super::World;
use crate::sequence::{
    ledger::Entry,
    setup::{KEYS, MAX_ALLOCATIONS, MAX_CHALLENGES, MAX_PER_USER, USERS},
};

/// An answer to who shows no credentials is this many times as long as the request, at most.
const AMPLIFICATION: usize = 7;

impl World {
    /// A request was answered. Success is for who signed it, and signed by the same; a challenge is short and rare.
    pub(super) fn watch_answer(&mut self, bytes: &[u8], from: Client, answer: &[u8]) {
        let request = Message::parse(bytes).expect("only messages are answered");
        let answer = Message::parse(answer).expect("an answer is a message");
        let of = |message: &Message<'_>| (message.method(), message.transaction_id());
        assert_eq!((request.class(), of(&answer)), (Class::Request, of(&request)));
        let signer = signer(request);
        let signed = is_signed(answer);
        if signed {
            let (_, key) = signer.expect("who signs nothing gets nothing signed");
            assert!(answer.authenticate(key).is_ok(), "signed with another key");
        }
        assert!(signer.is_some() || answer.as_bytes().len() <= AMPLIFICATION * bytes.len());
        match answer.get::<ErrorCode<'_>>().expect("well formed").map(|error| error.code()) {
            Some(401 | 438) => self.watch_challenge(from),
            None if request.method() != Method::BINDING => {
                assert_eq!(answer.class(), Class::SuccessResponse);
                let nobody = self.config.unauthenticated && !is_signed(request);
                let user = if nobody { "" } else { signer.expect("only who signs is granted anything").0 };
                assert!(signed != nobody, "what is granted is signed");
                if let Some(id) = self.server.allocation_of(&from.tuple) {
                    self.ledger.granted(id, from, user, [&request, &answer], self.now);
                }
            }
            _ => {}
        }
    }

    fn watch_challenge(&mut self, from: Client) {
        let tuple = from.tuple;
        if !tuple.transport.is_stream() {
            let second = (self.now - self.start).as_secs();
            let count = self.challenged.entry((tuple.client.ip(), second)).or_default();
            *count += 1;
            assert!(*count <= MAX_CHALLENGES, "{count} challenges in a second");
        }
    }

    /// Whoever sends data from a new place has arrived there.
    pub(super) fn watch_data(&mut self, bytes: &[u8], from: Client) {
        let is_data = ChannelData::parse(bytes).is_some()
            || Message::parse(bytes).is_ok_and(|message| message.class() == Class::Indication);
        if is_data && self.server.allocations(0, self.now).any(|(_, info)| info.client == from) {
            self.ledger.sent(from);
        }
    }

    /// Data go to a peer: by a live permission or a live channel, as policy has it now, unchanged.
    pub(super) fn watch_to_peer(
        &mut self,
        bytes: &[u8],
        from: Client,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
    ) {
        self.ledger.sent(from);
        self.transcript.write(data);
        let own = self.sockets.iter().find(|(_, other)| **other == relay).expect("it has a socket").0;
        assert_eq!(own.is_ipv4(), peer.is_ipv4());
        let entry = &self.ledger.0[&relay.allocation()];
        assert_eq!(entry.at, from, "only the client sends");
        assert!(!entry.tcp && entry.is_live(self.now));
        assert!(self.passes(peer), "{peer} is denied");
        if let Some(channel) = ChannelData::parse(bytes) {
            assert_eq!(entry.bound(channel.number.get(), self.now), Some(peer), "no live channel");
            assert_eq!(channel.data, data);
        } else {
            let message = Message::parse(bytes).expect("a Send indication");
            assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
            assert_eq!(message.require(), Ok(XorPeerAddress(peer)));
            assert_eq!(message.require(), Ok(Data(data)));
            assert!(entry.permits(peer.ip(), self.now), "no live permission");
        }
    }

    /// A peer's data go to a client: to the one that permitted it, where it is, unchanged.
    pub(super) fn watch_to_client(
        &self,
        bytes: &[u8],
        data: &[u8],
        peer: SocketAddr,
        client: Client,
        relay: RelayId,
    ) {
        self.watch_client(client, peer, relay);
        let entry = &self.ledger.0[&relay.allocation()];
        assert!(!entry.tcp);
        if let Some(channel) = ChannelData::parse(bytes) {
            assert_eq!(entry.bound(channel.number.get(), self.now), Some(peer), "no live channel");
            assert_eq!(channel.data, data);
            let stream = client.tuple.transport.is_stream();
            assert!(if stream { bytes.len().is_multiple_of(4) } else { bytes.len() == 4 + data.len() });
        } else {
            let message = Message::parse(bytes).expect("a Data indication");
            assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
            assert_eq!(message.require(), Ok(XorPeerAddress(peer)));
            assert_eq!(message.require(), Ok(Data(data)));
        }
    }

    /// Whatever a client hears of a peer, it permitted that peer.
    pub(super) fn watch_client(&self, client: Client, peer: SocketAddr, relay: RelayId) {
        assert!(self.sockets.values().any(|other| *other == relay), "it has a socket");
        let entry = &self.ledger.0[&relay.allocation()];
        assert_eq!(entry.at, client, "the client is elsewhere");
        assert!(entry.is_live(self.now));
        assert!(entry.permits(peer.ip(), self.now), "no live permission");
        assert!(self.passes(peer), "{peer} is denied");
    }

    /// Whether policy lets a peer pass now. Relayed transport addresses of the server itself do, while they live.
    fn passes(&self, peer: SocketAddr) -> bool {
        self.policy.permits(peer) || self.sockets.contains_key(&peer)
    }

    /// After each step: nothing is overdue, and the books of both sides agree.
    pub(in crate::sequence) fn check(&mut self) {
        if !std::mem::take(&mut self.late) {
            self.expire();
        }
        let listed: Vec<_> = self.server.allocations(0, self.now).map(|(_, info)| info).collect();
        assert_eq!(listed.len(), self.ledger.0.len());
        assert_eq!(self.server.counters().allocations, listed.len() as u64);
        let mut sockets = 0;
        for info in &listed {
            let entry = &self.ledger.0[&info.id];
            assert_eq!((entry.at, entry.user), (info.client, &*info.user));
            for relayed in info.relayed.into_iter().flatten() {
                sockets += 1;
                assert_eq!(self.server.relay_at(relayed), self.sockets.get(&relayed).copied());
                assert!(self.config.relays.is_live(relayed));
            }
        }
        assert_eq!(sockets, self.sockets.len(), "each socket is a live relay's");
        assert!(listed.len() <= MAX_ALLOCATIONS);
        let of = |user: &str| listed.iter().filter(|info| *info.user == *user).count();
        assert!(USERS.into_iter().all(|user| of(user) <= MAX_PER_USER));
        let owned = |owner| self.ledger.0.contains_key(owner);
        assert!(self.open.values().all(owned), "connections end with their allocation");
        self.ledger.check(&self.config, self.now);
    }

    /// Ends what has expired, until nothing is left.
    fn expire(&mut self) {
        for _ in 0..=4 * MAX_ALLOCATIONS {
            if self.server.poll_timeout().is_none_or(|at| at > self.now) {
                break;
            }
            self.server.handle_timeout(self.now);
        }
        self.note_events();
        assert!(self.server.poll_timeout().is_none_or(|at| at > self.now), "it is overdue for ever");
        let live = |entry: &Entry| entry.is_live(self.now);
        assert!(self.ledger.0.values().all(live), "what has expired is gone");
    }

    /// An hour later nothing is left. What was seen, as a number.
    pub(in crate::sequence) fn end(mut self) -> u64 {
        self.pass(Duration::from_secs(3_600), false);
        self.check();
        assert!(self.sockets.is_empty() && self.open.is_empty());
        assert_eq!(self.server.poll_timeout(), None);
        self.transcript.finish()
    }
}

fn is_signed(message: Message<'_>) -> bool {
    let kinds = [AttributeType::MESSAGE_INTEGRITY, AttributeType::MESSAGE_INTEGRITY_SHA256];
    kinds.into_iter().any(|kind| message.contains(kind))
}

/// Whose key signed a message, and which.
fn signer(message: Message<'_>) -> Option<(&'static str, &'static Key)> {
    let keys = USERS.into_iter().zip(KEYS.iter());
    let mut keys = keys.flat_map(|(user, keys)| keys.iter().map(move |key| (user, key)));
    keys.find(|(_, key)| message.authenticate(key).is_ok())
}
