//! All state of one client on one five-tuple: its permissions, its channels, its time.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use stunner_proto::{ChannelNumber, TransactionId, attribute::ReservationToken};

use crate::{Client, Credential, Refusal, Traffic, Verdict};

/// How long a permission lives: 300 s (RFC 8656, section 9).
pub(super) const PERMISSION_LIFETIME: u64 = 300_000;

/// How long a channel lives: 600 s (RFC 8656, section 12).
pub(super) const CHANNEL_LIFETIME: u64 = 600_000;

/// Up to this many entries are searched one by one; more have an index.
const FEW: usize = 8;

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: Client,
    pub(super) credential: Arc<Credential>,
    pub(super) relayed: SocketAddr,
    pub(super) created_by: TransactionId,
    pub(super) reservation: Option<ReservationToken>,
    pub(super) expires: u64,
    /// When the table's heap looks at it next: never later than `expires`.
    pub(super) queued: u64,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
    pub(super) traffic: Traffic,
}

/// Which peers may send, by their address.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    entries: Vec<Permission>,
    index: HashMap<IpAddr, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Permission {
    peer: IpAddr,
    verdict: Verdict,
    expires: u64,
}

impl Permissions {
    /// What the policy said when this peer was permitted; `None` without a live permission.
    #[inline]
    pub(super) fn get(&self, peer: IpAddr, now: u64) -> Option<Verdict> {
        let entry = &self.entries[self.position(peer)?];
        (now < entry.expires).then_some(entry.verdict)
    }

    /// Installs or refreshes a permission.
    pub(super) fn install(&mut self, peer: IpAddr, verdict: Verdict, now: u64) {
        let fresh = Permission { peer, verdict, expires: now + PERMISSION_LIFETIME };
        match self.position(peer) {
            Some(at) => self.entries[at] = fresh,
            None => {
                self.entries.push(fresh);
                self.reindex();
            }
        }
    }

    /// Makes sure that `peers` fit, forgetting what has expired only when there is no room otherwise.
    pub(super) fn make_room(&mut self, peers: &[IpAddr], max: usize, now: u64) -> Result<(), Refusal> {
        let new = |this: &Self| peers.iter().filter(|&&peer| this.position(peer).is_none()).count();
        if self.entries.len() + new(self) > max {
            self.entries.retain(|entry| now < entry.expires);
            self.index.clear();
            self.reindex();
        }
        if self.entries.len() + new(self) > max { Err(Refusal::InsufficientCapacity) } else { Ok(()) }
    }

    #[inline]
    fn position(&self, peer: IpAddr) -> Option<usize> {
        if self.entries.len() <= FEW {
            self.entries.iter().position(|entry| entry.peer == peer)
        } else {
            self.index.get(&peer).copied()
        }
    }

    fn reindex(&mut self) {
        if self.entries.len() > FEW {
            for at in self.index.len()..self.entries.len() {
                self.index.insert(self.entries[at].peer, at);
            }
        }
    }
}

/// Which channel is bound to which peer, both ways.
#[derive(Debug, Default)]
pub(super) struct Channels {
    entries: Vec<Channel>,
    by_number: HashMap<ChannelNumber, usize>,
    by_peer: HashMap<SocketAddr, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    peer: SocketAddr,
    expires: u64,
}

impl Channels {
    /// The peer that a live channel is bound to.
    #[inline]
    pub(super) fn peer(&self, number: ChannelNumber, now: u64) -> Option<SocketAddr> {
        let channel = &self.entries[self.numbered(number)?];
        (now < channel.expires).then_some(channel.peer)
    }

    /// The live channel that is bound to a peer.
    #[inline]
    pub(super) fn number(&self, peer: SocketAddr, now: u64) -> Option<ChannelNumber> {
        let channel = &self.entries[self.bound_to(peer)?];
        (now < channel.expires).then_some(channel.number)
    }

    /// Whether the two may be bound: both free, or bound to one another (RFC 8656, section 12.2).
    pub(super) fn check(&self, number: ChannelNumber, peer: SocketAddr, now: u64) -> Result<(), Refusal> {
        let same = self.peer(number, now).is_none_or(|bound| bound == peer)
            && self.number(peer, now).is_none_or(|bound| bound == number);
        if same { Ok(()) } else { Err(Refusal::BadRequest) }
    }

    /// Binds or refreshes what [`check`](Self::check) allowed.
    pub(super) fn bind(
        &mut self,
        number: ChannelNumber,
        peer: SocketAddr,
        max: usize,
        now: u64,
    ) -> Result<(), Refusal> {
        let fresh = Channel { number, peer, expires: now + CHANNEL_LIFETIME };
        let numbered = self.numbered(number);
        if let Some(at) = numbered.filter(|&at| self.entries[at].peer == peer) {
            self.entries[at] = fresh;
            return Ok(());
        }
        // Either end may be left over from a binding that has expired.
        if numbered.is_some() || self.bound_to(peer).is_some() || self.entries.len() >= max {
            self.entries.retain(|entry| now < entry.expires);
            self.by_number.clear();
            self.by_peer.clear();
        }
        if self.entries.len() >= max {
            self.reindex();
            return Err(Refusal::InsufficientCapacity);
        }
        self.entries.push(fresh);
        self.reindex();
        Ok(())
    }

    #[inline]
    fn numbered(&self, number: ChannelNumber) -> Option<usize> {
        if self.entries.len() <= FEW {
            self.entries.iter().position(|entry| entry.number == number)
        } else {
            self.by_number.get(&number).copied()
        }
    }

    #[inline]
    fn bound_to(&self, peer: SocketAddr) -> Option<usize> {
        if self.entries.len() <= FEW {
            self.entries.iter().position(|entry| entry.peer == peer)
        } else {
            self.by_peer.get(&peer).copied()
        }
    }

    fn reindex(&mut self) {
        if self.entries.len() > FEW {
            for at in self.by_number.len()..self.entries.len() {
                self.by_number.insert(self.entries[at].number, at);
                self.by_peer.insert(self.entries[at].peer, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u16) -> ChannelNumber {
        ChannelNumber::new(0x4000 + n).unwrap()
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 1], port))
    }

    #[test]
    fn a_hundred_channels_are_found_both_ways() {
        let mut channels = Channels::default();
        (1..=100).for_each(|n| channels.bind(number(n), peer(n), 100, 0).unwrap());

        for n in 1..=100 {
            assert_eq!(channels.peer(number(n), 1), Some(peer(n)));
            assert_eq!(channels.number(peer(n), 1), Some(number(n)));
        }
    }

    #[test]
    fn an_expired_channel_leaves_its_number_and_its_peer_free() {
        let mut channels = Channels::default();
        (1..=20).for_each(|n| channels.bind(number(n), peer(n), 100, 0).unwrap());
        let later = CHANNEL_LIFETIME;

        assert_eq!(channels.check(number(1), peer(2), later), Ok(()));
        channels.bind(number(1), peer(2), 100, later).unwrap();

        assert_eq!(channels.peer(number(1), later), Some(peer(2)));
        assert_eq!(channels.number(peer(1), later), None);
    }

    #[test]
    fn one_channel_too_many_is_refused_until_others_expire() {
        let mut channels = Channels::default();
        (1..=20).for_each(|n| channels.bind(number(n), peer(n), 20, 0).unwrap());

        assert_eq!(channels.bind(number(21), peer(21), 20, 1), Err(Refusal::InsufficientCapacity));
        assert_eq!(channels.peer(number(20), 1), Some(peer(20)));
        assert_eq!(channels.bind(number(21), peer(21), 20, CHANNEL_LIFETIME), Ok(()));
    }

    #[test]
    fn one_permission_too_many_is_refused_until_others_expire() {
        let mut permissions = Permissions::default();
        let ip = |n| IpAddr::from([203, 0, 113, n]);
        (0..20).for_each(|n| permissions.install(ip(n), Verdict::Allow, 0));

        assert_eq!(permissions.make_room(&[ip(20)], 20, 1), Err(Refusal::InsufficientCapacity));
        assert_eq!(permissions.make_room(&[ip(19)], 20, 1), Ok(()));
        assert_eq!(permissions.get(ip(19), 1), Some(Verdict::Allow));
        assert_eq!(permissions.make_room(&[ip(20)], 20, PERMISSION_LIFETIME), Ok(()));
    }
}
