//! Where allocations are kept: a slab with generations, indices, and a heap of expiries.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
};

use foldhash::quality::RandomState;
use slab::Slab;
use stunner_proto::attribute::AddressFamily;

use super::{
    allocation::{Allocation, Half, place},
    index::Index,
    limits::Buckets,
};
use crate::FiveTuple;

/// Users without allocations who are remembered for their use of bandwidth.
const MAX_IDLE: usize = 4_096;

/// Entries that the heap may have beyond two for each allocation.
const SLACK: usize = 64;

/// The handle of an allocation. Its generation keeps one that has ended from reaching its successor.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AllocationId {
    index: u32,
    generation: u32,
}

impl AllocationId {
    /// Eight bytes, for tickets.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.index) << 32 | u64::from(self.generation)).to_be_bytes()
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    pub(super) const fn from_bytes([a, b, c, d, e, f, g, h]: [u8; 8]) -> Self {
        Self { index: u32::from_be_bytes([a, b, c, d]), generation: u32::from_be_bytes([e, f, g, h]) }
    }
}

/// The handle of a relayed transport address: an allocation has one, or one of each family.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RelayId {
    pub(super) allocation: AllocationId,
    pub(super) family: AddressFamily,
}

impl RelayId {
    /// A small number that no other live relay of the same server has: fit for a slab of the shell's.
    #[must_use]
    pub const fn index(self) -> usize {
        2 * self.allocation.index as usize + place(self.family)
    }

    /// The allocation that it is part of.
    #[must_use]
    pub const fn allocation(self) -> AllocationId {
        self.allocation
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slab<Allocation>,
    hasher: RandomState,
    /// Places in the slab, by where the client is and where it is about to move.
    by_tuple: Index,
    /// Indices of relays.
    by_relayed: Index,
    by_source: HashMap<IpAddr, usize>,
    by_user: HashMap<Box<str>, usize>,
    users: Slab<User>,
    /// Users without allocations whose use of bandwidth is remembered for a while.
    idle: VecDeque<usize>,
    expiries: BinaryHeap<Reverse<(u64, AllocationId)>>,
    generation: u32,
}

/// Where a five-tuple leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) id: AllocationId,
    /// Whether the client is about to move here, and is still reached elsewhere.
    pub(super) moving: bool,
}

/// What the allocations of one user share.
#[derive(Debug)]
struct User {
    name: Box<str>,
    allocations: usize,
    first: Option<AllocationId>,
    buckets: Buckets,
    /// Whether it is among those that are remembered for a while: once, however often it comes and goes.
    idle: bool,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many allocations a user has.
    pub(super) fn of_user(&self, user: &str) -> usize {
        self.by_user.get(user).map_or(0, |&user| self.users[user].allocations)
    }

    /// How many allocations a network has.
    pub(super) fn of_source(&self, source: IpAddr) -> usize {
        self.by_source.get(&source).copied().unwrap_or(0)
    }

    /// One of a user's allocations.
    pub(super) fn any_of_user(&self, user: &str) -> Option<AllocationId> {
        self.by_user.get(user).and_then(|&user| self.users[user].first)
    }

    #[inline]
    pub(super) fn by_tuple(&self, tuple: &FiveTuple) -> Option<AllocationId> {
        self.path(tuple).map(|path| path.id)
    }

    /// The same, and whether the client is about to move there.
    #[inline]
    pub(super) fn path(&self, tuple: &FiveTuple) -> Option<Path> {
        let mut moving = false;
        let leads_here = |index: u32| {
            self.slots.get(index as usize).is_some_and(|found| {
                moving = found.client.tuple != *tuple;
                !moving || found.moving_to() == Some(*tuple)
            })
        };
        let index = self.by_tuple.find(self.hasher.hash_one(tuple), leads_here)?;
        let generation = self.slots.get(index as usize)?.generation;
        Some(Path { id: AllocationId { index, generation }, moving })
    }

    /// Another five-tuple that leads to an allocation.
    pub(super) fn add_path(&mut self, tuple: &FiveTuple, id: AllocationId) {
        self.by_tuple.insert(self.hasher.hash_one(tuple), id.index);
    }

    pub(super) fn forget_path(&mut self, tuple: &FiveTuple, id: AllocationId) {
        self.by_tuple.remove(self.hasher.hash_one(tuple), id.index);
    }

    #[inline]
    pub(super) fn by_relayed(&self, relayed: SocketAddr) -> Option<RelayId> {
        let family = AddressFamily::of(relayed.ip());
        let half = |index: u32| self.slots.get(index as usize)?.half_of(family);
        let is_it = |index| half(index).is_some_and(|half| half.relayed() == relayed);
        let index = self.by_relayed.find(self.hasher.hash_one(relayed), is_it)?;
        let generation = self.slots.get(index as usize)?.generation;
        Some(RelayId { allocation: AllocationId { index, generation }, family })
    }

    #[inline]
    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.slots.get(id.index as usize).filter(|found| found.generation == id.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.slots.get_mut(id.index as usize).filter(|found| found.generation == id.generation)
    }

    /// What an allocation, and all of its user's together, may still send and receive.
    pub(super) fn buckets(&mut self, id: AllocationId) -> Option<(&mut Buckets, &mut Buckets)> {
        let allocation = self.slots.get_mut(id.index as usize);
        let allocation = allocation.filter(|found| found.generation == id.generation)?;
        let user = self.users.get_mut(allocation.rest.user)?;
        Some((&mut allocation.rest.buckets, &mut user.buckets))
    }

    /// Allocations from a place in the slab on, with the place of the next.
    pub(super) fn from(&self, place: usize) -> impl Iterator<Item = (usize, AllocationId, &Allocation)> {
        let slots = (place..self.slots.capacity()).filter_map(|at| Some((at, self.slots.get(at)?)));
        slots.filter_map(|(at, allocation)| {
            let id = AllocationId { index: u32::try_from(at).ok()?, generation: allocation.generation };
            Some((at + 1, id, allocation))
        })
    }

    /// Adds an allocation whose five-tuple is free. `None` when there are four billion already.
    pub(super) fn insert(&mut self, mut allocation: Allocation) -> Option<AllocationId> {
        let index = u32::try_from(self.slots.vacant_key()).ok()?;
        self.generation = self.generation.wrapping_add(1);
        let id = AllocationId { index, generation: self.generation };
        allocation.generation = id.generation;
        self.add_path(&allocation.client.tuple, id);
        for half in allocation.halves() {
            self.by_relayed.insert(self.hasher.hash_one(half.relayed()), index);
        }
        *self.by_source.entry(allocation.rest.source).or_default() += 1;
        let users = &mut self.users;
        let name = &allocation.rest.known.user;
        let user = *self.by_user.entry(name.clone()).or_insert_with(|| {
            users.insert(User {
                name: name.clone(),
                allocations: 0,
                first: None,
                buckets: Buckets::default(),
                idle: false,
            })
        });
        allocation.rest.user = user;
        let next = self.users[user].first.replace(id);
        self.users[user].allocations += 1;
        allocation.rest.siblings = [None, next];
        if let Some(next) = next.and_then(|next| self.get_mut(next)) {
            next.rest.siblings[0] = Some(id);
        }
        self.slots.insert(allocation);
        self.queue(id);
        Some(id)
    }

    /// Takes one relayed transport address from an allocation, and the allocation away with its last.
    pub(super) fn remove(&mut self, relay: RelayId) -> Option<Half> {
        let allocation = self.get_mut(relay.allocation)?;
        let half = allocation.take_half(relay.family)?;
        let empty = allocation.is_over();
        self.by_relayed.remove(self.hasher.hash_one(half.relayed()), relay.allocation.index);
        if empty {
            self.forget(relay.allocation);
        }
        Some(half)
    }

    fn forget(&mut self, id: AllocationId) {
        let Some(allocation) = self.slots.try_remove(id.index as usize) else { return };
        self.forget_path(&allocation.client.tuple, id);
        if let Some(tuple) = allocation.moving_to() {
            self.forget_path(&tuple, id);
        }
        if let Some(count) = self.by_source.get_mut(&allocation.rest.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&allocation.rest.source);
            }
        }
        let [previous, next] = allocation.rest.siblings;
        if let Some(next) = next.and_then(|next| self.get_mut(next)) {
            next.rest.siblings[0] = previous;
        }
        match previous.and_then(|previous| self.get_mut(previous)) {
            Some(previous) => previous.rest.siblings[1] = next,
            None => self.users[allocation.rest.user].first = next,
        }
        self.users[allocation.rest.user].allocations -= 1;
        self.rest(allocation.rest.user);
        self.tidy();
    }

    /// Forgets a user without allocations: at once, or later when it has used bandwidth, so that it does not come back
    /// with all of it.
    fn rest(&mut self, user: usize) {
        if self.users[user].allocations > 0 {
            return;
        }
        if !self.users[user].buckets.is_touched() {
            return self.forget_user(user);
        }
        if std::mem::replace(&mut self.users[user].idle, true) {
            return;
        }
        self.idle.push_back(user);
        if self.idle.len() > MAX_IDLE
            && let Some(oldest) = self.idle.pop_front()
        {
            self.users[oldest].idle = false;
            if self.users[oldest].allocations == 0 {
                self.forget_user(oldest);
            }
        }
    }

    fn forget_user(&mut self, user: usize) {
        let User { name, .. } = self.users.remove(user);
        self.by_user.remove(&name);
    }

    /// Takes from the heap what allocations left there that have ended, before it grows.
    fn tidy(&mut self) {
        let Self { slots, expiries, .. } = self;
        let waits = |&Reverse((at, id)): &Reverse<(u64, AllocationId)>| {
            let found = slots.get(id.index as usize).filter(|found| found.generation == id.generation);
            found.is_some_and(|found| found.rest.queued == at)
        };
        if expiries.len() > 2 * slots.len() + SLACK {
            expiries.retain(waits);
        }
        while expiries.peek().is_some_and(|entry| !waits(entry)) {
            expiries.pop();
        }
    }

    /// Sees to it that the heap comes back to an allocation in time. A later expiry adds nothing: the entry that is there
    /// comes up early and is put back.
    pub(super) fn queue(&mut self, id: AllocationId) {
        let Some(allocation) = self.get_mut(id) else { return };
        let Some(at) = allocation.next_expiry().filter(|&at| at < allocation.rest.queued) else { return };
        allocation.rest.queued = at;
        self.expiries.push(Reverse((at, id)));
    }

    /// An allocation of which something may have expired; that is still to be removed, and the rest to be
    /// [queued](Self::queue).
    pub(super) fn pop_expired(&mut self, now: u64) -> Option<AllocationId> {
        while let Some(&Reverse((at, id))) = self.expiries.peek() {
            if at > now {
                return None;
            }
            self.expiries.pop();
            // An entry that is not the one the allocation waits for was overtaken by an earlier one.
            let Some(allocation) = self.get_mut(id).filter(|allocation| allocation.rest.queued == at) else {
                continue;
            };
            allocation.rest.queued = u64::MAX;
            return Some(id);
        }
        None
    }

    /// When to look for expired allocations next.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiries.peek().map(|Reverse((at, _))| *at)
    }
}
