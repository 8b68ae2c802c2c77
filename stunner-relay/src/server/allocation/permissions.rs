//! Which peers may send to a client, and be sent to: by their address.

use std::{collections::HashMap, net::IpAddr};

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use stunner_proto::attribute::AddressFamily;

use super::Ip;
use crate::{Refusal, Verdict};

/// How long a permission lives: 300 s (RFC 8656, section 9).
pub(crate) const PERMISSION_LIFETIME: u64 = 300_000;

/// Up to this many entries are searched one by one; more have an index.
const FEW: usize = 8;

/// The permissions of one allocation. The first lies beside what else a packet reads of it.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    entries: SmallVec<[Permission; 1]>,
    index: Option<Box<Index>>,
}

/// Where [many](FEW) permissions are among the entries.
#[derive(Debug, Default)]
struct Index {
    by_peer: HashMap<IpAddr, usize, RandomState>,
}

/// What the policy said about a peer, and under which configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Permission {
    peer: Ip,
    verdict: Verdict,
    generation: u32,
    expires: u64,
}

impl Permissions {
    /// What the policy said when this peer was permitted; `None` without a live permission.
    #[inline]
    pub(crate) fn get(&self, peer: IpAddr, now: u64) -> Option<Judged> {
        let entry = &self.entries[self.position(peer)?];
        (now < entry.expires).then_some(Judged { verdict: entry.verdict, generation: entry.generation })
    }

    /// Installs or refreshes a permission.
    pub(crate) fn install(&mut self, peer: IpAddr, judged: Judged, now: u64) {
        let Judged { verdict, generation } = judged;
        let fresh = Permission { peer: peer.into(), verdict, generation, expires: now + PERMISSION_LIFETIME };
        match self.position(peer) {
            Some(at) => self.entries[at] = fresh,
            None => {
                self.entries.push(fresh);
                self.reindex();
            }
        }
    }

    /// Takes down what another policy says of a peer: a denial ends the permission, and what nobody knows yet is asked again.
    pub(crate) fn judge(&mut self, peer: IpAddr, judged: Judged) {
        let Some(at) = self.position(peer) else { return };
        let entry = &mut self.entries[at];
        match judged.verdict {
            Verdict::Deny => entry.expires = 0,
            Verdict::NotYet => {}
            verdict => (entry.verdict, entry.generation) = (verdict, judged.generation),
        }
    }

    /// Makes sure that `peers` fit, forgetting what has expired only when there is no room otherwise.
    pub(crate) fn make_room(&mut self, peers: &[IpAddr], max: usize, now: u64) -> Result<(), Refusal> {
        let new = |this: &Self| peers.iter().filter(|&&peer| this.position(peer).is_none()).count();
        if self.entries.len() + new(self) > max {
            let before = self.entries.len();
            self.entries.retain(|entry| now < entry.expires);
            if self.entries.len() < before {
                self.index = None;
                self.reindex();
            }
        }
        if self.entries.len() + new(self) > max { Err(Refusal::InsufficientCapacity) } else { Ok(()) }
    }

    /// Forgets peers of a family.
    pub(crate) fn forget_family(&mut self, family: AddressFamily) {
        self.entries.retain(|entry| entry.peer.family() != family);
        self.index = None;
        self.reindex();
    }

    #[inline]
    fn position(&self, peer: IpAddr) -> Option<usize> {
        match &self.index {
            None => {
                let peer = Ip::from(peer);
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
        let Index { by_peer } = &mut **self.index.get_or_insert_default();
        for (at, entry) in self.entries.iter().enumerate().skip(by_peer.len()) {
            by_peer.insert(entry.peer.into(), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Judged = Judged { verdict: Verdict::Allow, generation: 0 };

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, n])
    }

    #[test]
    fn one_permission_too_many_is_refused_until_others_expire() {
        let mut permissions = Permissions::default();
        (0..20).for_each(|n| permissions.install(ip(n), ALLOWED, 0));

        assert_eq!(permissions.make_room(&[ip(20)], 20, 1), Err(Refusal::InsufficientCapacity));
        assert_eq!(permissions.make_room(&[ip(19)], 20, 1), Ok(()));
        assert_eq!(permissions.get(ip(19), 1).map(|judged| judged.verdict), Some(Verdict::Allow));
        assert_eq!(permissions.make_room(&[ip(20)], 20, PERMISSION_LIFETIME), Ok(()));
    }

    #[test]
    fn a_permission_that_another_policy_ends_is_gone_and_can_be_installed_again() {
        let mut permissions = Permissions::default();
        permissions.install(ip(1), ALLOWED, 0);

        permissions.judge(ip(1), Judged { verdict: Verdict::Deny, generation: 1 });
        assert!(permissions.get(ip(1), 1).is_none());

        permissions.install(ip(1), ALLOWED, 1);
        assert!(permissions.get(ip(1), 2).is_some());
    }
}
