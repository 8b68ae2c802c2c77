//! All state of one client: its relayed transport addresses, its permissions, its channels, its time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use stunner_proto::{
    TransactionId,
    attribute::{AddressFamily, ConnectionId, ReservationToken},
};

use super::{AllocationId, credentials::Known, limits::Buckets, mobility::Mobility};
use crate::{Client, FiveTuple, Refusal, Traffic};

mod channels;
mod permissions;

pub(super) use channels::Channels;
pub(super) use permissions::{Judged, Permissions};

/// What every packet reads comes first, and in one piece, so that it is in the fewest cache lines: with a hundred
/// thousand allocations these are what a packet costs.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Allocation {
    /// Whose slot of the table it is: a handle of an earlier one does not fit. The table sets it.
    pub(super) generation: u32,
    pub(super) client: Client,
    pub(super) channels: Channels,
    pub(super) permissions: Permissions,
    /// One relayed transport address for each family: IPv4, IPv6.
    pub(super) halves: [Option<Half>; 2],
    /// Its connections with peers, where it is one of RFC 6062.
    pub(super) tcp: Option<Vec<ConnectionId>>,
    /// Its tickets, where the client asked for one.
    pub(super) mobility: Option<Box<Mobility>>,
    pub(super) known: Arc<Known>,
    /// Where the table keeps what all allocations of this user share.
    pub(super) user: usize,
    pub(super) buckets: Buckets,
    /// The network that it is counted for.
    pub(super) source: IpAddr,
    /// The allocations of this user before and behind it.
    pub(super) siblings: [Option<AllocationId>; 2],
    pub(super) created_by: TransactionId,
    pub(super) reservation: Option<ReservationToken>,
    /// Why one of two families that were asked for is not there.
    pub(super) failed: Option<(AddressFamily, Refusal)>,
    /// When the table's heap looks at it next: never later than the first half expires.
    pub(super) queued: u64,
}

/// One relayed transport address, which may end before the other. Permissions and channels are a peer's and have its
/// family, so that those of a half that is gone are out of reach.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) relayed: SocketAddr,
    pub(super) expires: u64,
    pub(super) traffic: Traffic,
}

/// Where the half of a family is.
pub(super) const fn place(family: AddressFamily) -> usize {
    match family {
        AddressFamily::V4 => 0,
        AddressFamily::V6 => 1,
    }
}

pub(super) const FAMILIES: [AddressFamily; 2] = [AddressFamily::V4, AddressFamily::V6];

impl Half {
    pub(super) fn new(relayed: SocketAddr, expires: u64) -> Self {
        Self { relayed, expires, traffic: Traffic::default() }
    }
}

impl Allocation {
    /// The relayed transport address of a family, while it lives.
    #[inline]
    pub(super) fn half(&self, family: AddressFamily, now: u64) -> Option<&Half> {
        self.halves[place(family)].as_ref().filter(|half| now < half.expires)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn half_mut(&mut self, family: AddressFamily, now: u64) -> Option<&mut Half> {
        self.halves[place(family)].as_mut().filter(|half| now < half.expires)
    }

    /// Where its client is about to move.
    #[inline]
    pub(super) fn moving_to(&self) -> Option<FiveTuple> {
        self.mobility.as_ref()?.moving_to()
    }

    /// Whether it is for connections and not for datagrams.
    pub(super) const fn is_tcp(&self) -> bool {
        self.tcp.is_some()
    }

    /// Its connections with peers.
    pub(super) fn connections(&self) -> &[ConnectionId] {
        self.tcp.as_deref().unwrap_or_default()
    }

    /// Whether anything of it lives.
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.halves.iter().flatten().any(|half| now < half.expires)
    }

    /// Forgets what belongs to a half that is gone.
    pub(super) fn forget_family(&mut self, family: AddressFamily) {
        self.permissions.forget_family(family);
        self.channels.forget_family(family);
    }

    /// For how many milliseconds its halves that live live yet: the first and the last of them.
    pub(super) fn lives_for(&self, now: u64) -> (u64, u64) {
        let left = self.halves.iter().flatten().filter_map(|half| half.expires.checked_sub(now));
        let left = left.filter(|&left| left > 0);
        (left.clone().min().unwrap_or(0), left.max().unwrap_or(0))
    }

    /// When the first of its halves expires.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.halves.iter().flatten().map(|half| half.expires).min()
    }
}
