//! Which channel is bound to which peer, both ways.

use std::{collections::HashMap, net::SocketAddr};

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use stunner_proto::{ChannelNumber, attribute::AddressFamily};

use super::{Address, Judged};
use crate::{Refusal, Verdict};

/// How long a channel lives: 600 s (RFC 8656, section 12).
pub(crate) const CHANNEL_LIFETIME: u64 = 600_000;

/// Up to this many entries are searched one by one; more have an index.
const FEW: usize = 8;

/// The channels of one allocation. The first lies beside what else a packet reads of it.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    entries: SmallVec<[Channel; 1]>,
    index: Option<Box<Index>>,
}

/// Where [many](FEW) channels are among the entries.
#[derive(Debug, Default)]
struct Index {
    by_number: HashMap<ChannelNumber, usize, RandomState>,
    by_peer: HashMap<SocketAddr, usize, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    peer: Address,
    number: ChannelNumber,
    judged: Judged,
    expires: u64,
}

impl Channels {
    /// The peer that a live channel is bound to, and what the policy said of it.
    #[inline]
    pub(crate) fn peer(&self, number: ChannelNumber, now: u64) -> Option<(SocketAddr, Judged)> {
        let channel = &self.entries[self.numbered(number)?];
        (now < channel.expires).then(|| (channel.peer.into(), channel.judged))
    }

    /// The live channel that is bound to a peer.
    #[inline]
    pub(crate) fn number(&self, peer: SocketAddr, now: u64) -> Option<ChannelNumber> {
        let channel = &self.entries[self.bound_to(peer)?];
        (now < channel.expires).then_some(channel.number)
    }

    /// Whether the two may be bound: both free, or bound to one another (RFC 8656, section 12.2).
    pub(crate) fn check(&self, number: ChannelNumber, peer: SocketAddr, now: u64) -> Result<(), Refusal> {
        let same = self.peer(number, now).is_none_or(|(bound, _)| bound == peer)
            && self.number(peer, now).is_none_or(|bound| bound == number);
        if same { Ok(()) } else { Err(Refusal::BadRequest) }
    }

    /// Takes down what another policy says of a channel: a denial ends it, and what nobody knows yet is asked again.
    pub(crate) fn judge(&mut self, number: ChannelNumber, judged: Judged) {
        let Some(at) = self.numbered(number) else { return };
        match judged.verdict {
            Verdict::Deny => self.entries[at].expires = 0,
            Verdict::NotYet => {}
            _ => self.entries[at].judged = judged,
        }
    }

    /// Binds or refreshes what [`check`](Self::check) allowed.
    pub(crate) fn bind(
        &mut self,
        number: ChannelNumber,
        peer: SocketAddr,
        judged: Judged,
        max: usize,
        now: u64,
    ) -> Result<(), Refusal> {
        let fresh = Channel { peer: peer.into(), number, judged, expires: now + CHANNEL_LIFETIME };
        let numbered = self.numbered(number);
        if let Some(at) = numbered.filter(|&at| self.entries[at].peer == fresh.peer) {
            self.entries[at] = fresh;
            return Ok(());
        }
        // Either end may be left over from a binding that has expired.
        if numbered.is_some() || self.bound_to(peer).is_some() || self.entries.len() >= max {
            let before = self.entries.len();
            self.entries.retain(|entry| now < entry.expires);
            if self.entries.len() < before {
                self.index = None;
            }
        }
        if self.entries.len() >= max {
            self.reindex();
            return Err(Refusal::InsufficientCapacity);
        }
        self.entries.push(fresh);
        self.reindex();
        Ok(())
    }

    /// Forgets channels to peers of a family.
    pub(crate) fn forget_family(&mut self, family: AddressFamily) {
        self.entries.retain(|entry| entry.peer.family() != family);
        self.index = None;
        self.reindex();
    }

    #[inline]
    fn numbered(&self, number: ChannelNumber) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|entry| entry.number == number),
            Some(index) => index.by_number.get(&number).copied(),
        }
    }

    #[inline]
    fn bound_to(&self, peer: SocketAddr) -> Option<usize> {
        match &self.index {
            None => {
                let peer = Address::from(peer);
                self.entries.iter().position(|entry| entry.peer == peer)
            }
            Some(index) => index.by_peer.get(&peer).copied(),
        }
    }

    /// Adds to the index what is not there yet.
    fn reindex(&mut self) {
        if self.entries.len() <= FEW {
            return;
        }
        let Index { by_number, by_peer } = &mut **self.index.get_or_insert_default();
        for (at, entry) in self.entries.iter().enumerate().skip(by_number.len()) {
            by_number.insert(entry.number, at);
            by_peer.insert(entry.peer.into(), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Judged = Judged { verdict: Verdict::Allow, generation: 0 };

    fn number(n: u16) -> ChannelNumber {
        ChannelNumber::new(0x4000 + n).unwrap()
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 1], port))
    }

    /// Channels 1 to `n` are bound to ports of the same numbers.
    fn bound(n: u16) -> Channels {
        let mut channels = Channels::default();
        (1..=n).for_each(|n| channels.bind(number(n), peer(n), ALLOWED, 100, 0).unwrap());
        channels
    }

    fn peer_of(channels: &Channels, n: u16, now: u64) -> Option<SocketAddr> {
        channels.peer(number(n), now).map(|(peer, _)| peer)
    }

    #[test]
    fn a_hundred_channels_are_found_both_ways() {
        let channels = bound(100);

        for n in 1..=100 {
            assert_eq!(peer_of(&channels, n, 1), Some(peer(n)));
            assert_eq!(channels.number(peer(n), 1), Some(number(n)));
        }
    }

    #[test]
    fn an_expired_channel_leaves_its_number_and_its_peer_free() {
        let mut channels = bound(20);
        let later = CHANNEL_LIFETIME;

        assert_eq!(channels.check(number(1), peer(2), later), Ok(()));
        channels.bind(number(1), peer(2), ALLOWED, 100, later).unwrap();

        assert_eq!(peer_of(&channels, 1, later), Some(peer(2)));
        assert_eq!(channels.number(peer(1), later), None);
    }

    #[test]
    fn one_channel_too_many_is_refused_until_others_expire() {
        let mut channels = bound(20);
        let mut bind = |now| channels.bind(number(21), peer(21), ALLOWED, 20, now);

        assert_eq!(bind(1), Err(Refusal::InsufficientCapacity));
        assert_eq!(bind(CHANNEL_LIFETIME), Ok(()));
    }

    #[test]
    fn a_refused_channel_leaves_the_others_as_they_are() {
        let mut channels = bound(20);

        assert!(channels.bind(number(21), peer(21), ALLOWED, 20, 1).is_err());

        assert_eq!(peer_of(&channels, 20, 1), Some(peer(20)));
        assert_eq!(channels.number(peer(20), 1), Some(number(20)));
    }
}
