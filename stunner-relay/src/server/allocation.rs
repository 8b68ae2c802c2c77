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

mod address;
mod channels;
mod permissions;

use address::{Address, Ip};
pub(super) use channels::Channels;
pub(super) use permissions::{Judged, Permissions};

/// All that a relayed packet reads and writes, in four cache lines: with a hundred thousand allocations these, and one
/// of the index, are what a packet costs.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Allocation {
    /// Whose slot of the table it is: a handle of an earlier one does not fit. The table sets it.
    pub(super) generation: u32,
    pub(super) client: Client,
    pub(super) channels: Channels,
    /// A relayed transport address: the only one, or that of IPv4. It is there while the allocation is.
    half: Option<Half>,
    pub(super) permissions: Permissions,
    pub(super) rest: Box<Rest>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Allocation>() == 256);

/// What requests read, and packets do not.
#[derive(Debug)]
pub(super) struct Rest {
    /// The second relayed transport address, where there are two.
    other: Option<Half>,
    pub(super) known: Arc<Known>,
    /// The network that it is counted for.
    pub(super) source: IpAddr,
    /// Where the table keeps what all allocations of this user share.
    pub(super) user: usize,
    /// The allocations of this user before and behind it.
    pub(super) siblings: [Option<AllocationId>; 2],
    pub(super) created_by: TransactionId,
    pub(super) reservation: Option<ReservationToken>,
    /// Why one of two families that were asked for is not there.
    pub(super) failed: Option<(AddressFamily, Refusal)>,
    /// When the table's heap looks at it next: never later than the first half expires.
    pub(super) queued: u64,
    pub(super) buckets: Buckets,
    /// Its connections with peers, where it is one of RFC 6062.
    pub(super) connections: Vec<ConnectionId>,
    /// Its tickets, where the client asked for one.
    pub(super) mobility: Option<Box<Mobility>>,
}

/// One relayed transport address, which may end before the other. Permissions and channels are a peer's and have its
/// family, so that those of a half that is gone are out of reach.
#[derive(Debug)]
pub(super) struct Half {
    relayed: Address,
    /// Whether it is for connections and not for datagrams (RFC 6062).
    tcp: bool,
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
    pub(super) fn new(relayed: SocketAddr, tcp: bool, expires: u64) -> Self {
        Self { relayed: relayed.into(), tcp, expires, traffic: Traffic::default() }
    }

    #[inline]
    pub(super) fn relayed(&self) -> SocketAddr {
        self.relayed.into()
    }

    #[inline]
    fn is_of(&self, family: AddressFamily) -> bool {
        self.relayed.family() == family
    }
}

impl Rest {
    pub(super) fn new(known: Arc<Known>, source: IpAddr, created_by: TransactionId) -> Self {
        Self {
            other: None,
            known,
            source,
            user: 0,
            siblings: [None; 2],
            created_by,
            reservation: None,
            failed: None,
            queued: u64::MAX,
            buckets: Buckets::default(),
            connections: Vec::new(),
            mobility: None,
        }
    }
}

impl Allocation {
    /// Without channels and permissions. Of two relayed transport addresses, each has a family of its own.
    pub(super) fn new(client: Client, halves: [Option<Half>; 2], rest: Rest) -> Self {
        let mut halves = halves.into_iter().flatten();
        let (half, other) = (halves.next(), halves.next());
        Self {
            generation: 0,
            client,
            channels: Channels::default(),
            half,
            permissions: Permissions::default(),
            rest: Box::new(Rest { other, ..rest }),
        }
    }

    /// Its relayed transport addresses, whether they live or are still to be closed.
    pub(super) fn halves(&self) -> impl Iterator<Item = &Half> + Clone {
        self.half.iter().chain(&self.rest.other)
    }

    /// The relayed transport address of a family, whether it lives or not.
    #[inline]
    pub(super) fn half_of(&self, family: AddressFamily) -> Option<&Half> {
        let half = self.half.as_ref()?;
        if half.is_of(family) {
            Some(half)
        } else {
            self.rest.other.as_ref().filter(|half| half.is_of(family))
        }
    }

    #[inline]
    fn half_of_mut(&mut self, family: AddressFamily) -> Option<&mut Half> {
        let half = self.half.as_mut()?;
        if half.is_of(family) {
            Some(half)
        } else {
            self.rest.other.as_mut().filter(|half| half.is_of(family))
        }
    }

    /// The relayed transport address of a family, while it lives.
    #[inline]
    pub(super) fn half(&self, family: AddressFamily, now: u64) -> Option<&Half> {
        self.half_of(family).filter(|half| now < half.expires)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn half_mut(&mut self, family: AddressFamily, now: u64) -> Option<&mut Half> {
        self.half_of_mut(family).filter(|half| now < half.expires)
    }

    /// Takes one away. The other takes its place.
    pub(super) fn take_half(&mut self, family: AddressFamily) -> Option<Half> {
        if self.half.as_ref()?.is_of(family) {
            return std::mem::replace(&mut self.half, self.rest.other.take());
        }
        self.rest.other.take_if(|half| half.is_of(family))
    }

    /// Whether it has no relayed transport address any more.
    pub(super) const fn is_over(&self) -> bool {
        self.half.is_none()
    }

    /// Where its client is about to move.
    #[inline]
    pub(super) fn moving_to(&self) -> Option<FiveTuple> {
        self.rest.mobility.as_ref()?.moving_to()
    }

    /// Whether it is for connections and not for datagrams.
    #[inline]
    pub(super) fn is_tcp(&self) -> bool {
        self.half.as_ref().is_some_and(|half| half.tcp)
    }

    /// Whether its client is nowhere: its connection has ended, and it may come back with its ticket.
    #[inline]
    pub(super) const fn is_stranded(&self) -> bool {
        self.client.tuple.client.port() == 0
    }

    /// Whether anything of it lives.
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.halves().any(|half| now < half.expires)
    }

    /// Forgets what belongs to a half that is gone.
    pub(super) fn forget_family(&mut self, family: AddressFamily) {
        self.permissions.forget_family(family);
        self.channels.forget_family(family);
    }

    /// For how many milliseconds its halves that live live yet: the first and the last of them.
    pub(super) fn lives_for(&self, now: u64) -> (u64, u64) {
        let left = self.halves().filter_map(|half| half.expires.checked_sub(now));
        let left = left.filter(|&left| left > 0);
        (left.clone().min().unwrap_or(0), left.max().unwrap_or(0))
    }

    /// When the first of its halves expires.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.halves().map(|half| half.expires).min()
    }
}
