//! Where allocations are kept: a slab with generations, two indices, and a heap of expiries.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
};

use slab::Slab;

use super::allocation::Allocation;
use crate::FiveTuple;

/// The handle of a relayed transport address. Its generation keeps one that was freed from reaching its successor.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RelayId {
    index: u32,
    generation: u32,
}

impl RelayId {
    /// A small number that no other live relay of the same server has: fit for a slab of the shell's.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slab<(u32, Allocation)>,
    by_tuple: HashMap<FiveTuple, RelayId>,
    by_relayed: HashMap<SocketAddr, RelayId>,
    by_user: HashMap<Box<str>, usize>,
    expiries: BinaryHeap<Reverse<(u64, RelayId)>>,
    generation: u32,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many allocations a user has.
    pub(super) fn of_user(&self, user: &str) -> usize {
        self.by_user.get(user).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn by_tuple(&self, tuple: &FiveTuple) -> Option<RelayId> {
        self.by_tuple.get(tuple).copied()
    }

    pub(super) fn by_relayed(&self, relayed: SocketAddr) -> Option<RelayId> {
        self.by_relayed.get(&relayed).copied()
    }

    #[inline]
    pub(super) fn get(&self, id: RelayId) -> Option<&Allocation> {
        let (generation, allocation) = self.slots.get(id.index())?;
        (*generation == id.generation).then_some(allocation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: RelayId) -> Option<&mut Allocation> {
        let (generation, allocation) = self.slots.get_mut(id.index())?;
        (*generation == id.generation).then_some(allocation)
    }

    /// Adds an allocation whose five-tuple is free. `None` when there are four billion already.
    pub(super) fn insert(&mut self, allocation: Allocation) -> Option<RelayId> {
        let index = u32::try_from(self.slots.vacant_key()).ok()?;
        self.generation = self.generation.wrapping_add(1);
        let id = RelayId { index, generation: self.generation };
        self.by_tuple.insert(allocation.client.tuple, id);
        self.by_relayed.insert(allocation.relayed, id);
        *self.by_user.entry(allocation.credential.user.clone()).or_default() += 1;
        self.expiries.push(Reverse((allocation.expires, id)));
        self.slots.insert((id.generation, allocation));
        Some(id)
    }

    pub(super) fn remove(&mut self, id: RelayId) -> Option<Allocation> {
        self.get(id)?;
        let (_, allocation) = self.slots.try_remove(id.index())?;
        self.by_tuple.remove(&allocation.client.tuple);
        self.by_relayed.remove(&allocation.relayed);
        let user = &allocation.credential.user;
        if let Some(count) = self.by_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(user);
            }
        }
        Some(allocation)
    }

    /// Sets when an allocation expires. A later time adds nothing to the heap: an entry that comes up early is put back.
    pub(super) fn set_expiry(&mut self, id: RelayId, expires: u64) {
        let Some(allocation) = self.get_mut(id) else { return };
        allocation.expires = expires;
        if expires < allocation.queued {
            allocation.queued = expires;
            self.expiries.push(Reverse((expires, id)));
        }
    }

    /// An allocation that has expired; it is still to be removed.
    pub(super) fn pop_expired(&mut self, now: u64) -> Option<RelayId> {
        while let Some(&Reverse((at, id))) = self.expiries.peek() {
            if at > now {
                return None;
            }
            self.expiries.pop();
            // An entry that is not the one the allocation waits for was overtaken by an earlier one.
            let Some(allocation) = self.get_mut(id).filter(|allocation| allocation.queued == at) else {
                continue;
            };
            if allocation.expires <= now {
                return Some(id);
            }
            let expires = allocation.expires;
            allocation.queued = expires;
            self.expiries.push(Reverse((expires, id)));
        }
        None
    }

    /// When to look for expired allocations next.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiries.peek().map(|Reverse((at, _))| *at)
    }
}
