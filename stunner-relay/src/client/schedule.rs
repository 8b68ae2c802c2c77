//! What is due, and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// What becomes due without anybody asking for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Due {
    /// The allocation is to be refreshed.
    Refresh,
    /// The allocation has expired.
    Expiry,
    /// A permission is to be renewed.
    Permission(IpAddr),
    /// A permission has expired.
    PermissionEnd(IpAddr),
    /// A channel is to be renewed.
    Channel(SocketAddr),
    /// A channel has expired.
    ChannelEnd(SocketAddr),
    /// A channel that has expired may be bound otherwise.
    ChannelFree(SocketAddr),
}

/// One time for each thing that is due, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    times: BTreeMap<Due, u64>,
    order: BTreeSet<(u64, Due)>,
}

impl Schedule {
    pub(super) fn set(&mut self, due: Due, at: u64) {
        self.cancel(due);
        self.times.insert(due, at);
        self.order.insert((at, due));
    }

    /// `true` when it was due some time.
    pub(super) fn cancel(&mut self, due: Due) -> bool {
        let at = self.times.remove(&due);
        at.is_some_and(|at| self.order.remove(&(at, due)))
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self, now: u64) -> Option<Due> {
        let (_, due) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.cancel(due);
        Some(due)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
