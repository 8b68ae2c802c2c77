//! What a server tells about itself: events, and counters by reason.

use std::net::SocketAddr;

use stunner_proto::attribute::ConnectionId;

use crate::{Client, Refusal, RelayId};

/// Something that happened to a relayed transport address: an allocation has one, or one of each family.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It was allocated.
    Opened {
        /// The relayed transport address, by its handle.
        relay: RelayId,
        /// Who has it.
        client: Client,
        /// What peers see.
        relayed: SocketAddr,
        /// Whose credentials it was made with.
        user: Box<str>,
    },
    /// It is gone; its socket is to be freed. The allocation ends with its last.
    Closed {
        /// The relayed transport address, by its handle.
        relay: RelayId,
        /// Who had it.
        client: Client,
        /// What peers saw.
        relayed: SocketAddr,
        /// Whose credentials it was made with.
        user: Box<str>,
        /// Why it is gone.
        why: Closed,
        /// What it carried.
        traffic: Traffic,
    },
    /// A connection with a peer is over: close it on both sides (RFC 6062).
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
}

/// Why an allocation is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// The client asked for it.
    Deleted,
    /// It was not refreshed in time.
    Expired,
    /// The client's connection ended.
    Disconnected,
    /// Whoever runs the server ended it.
    Ended,
}

/// Application data of one allocation, without headers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Packets from the client to peers.
    pub packets_to_peers: u64,
    /// Their bytes.
    pub bytes_to_peers: u64,
    /// Packets from peers to the client.
    pub packets_to_client: u64,
    /// Their bytes.
    pub bytes_to_client: u64,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Live allocations.
    pub allocations: u64,
    /// Allocations made since the start.
    pub opened: u64,
    /// Requests that were answered with success.
    pub successes: u64,
    /// Requests that were answered with an error.
    pub refusals: u64,
    /// Of these, how many with which code.
    pub refused: Refused,
    /// Packets of clients that were neither answered nor relayed.
    pub dropped_from_clients: u64,
    /// Packets of peers that were not relayed.
    pub dropped_from_peers: u64,
    /// Packets, of either side, that exceeded the bandwidth of an allocation or of a user; not counted elsewhere.
    pub dropped_for_bandwidth: u64,
    /// Packets that the operating system dropped because the socket of a listener or of a relayed transport address was
    /// full, as far as it tells: Linux does with the next packet of that socket, and counts packets that came joined (GRO)
    /// as one. A [`Server`](crate::Server) alone has no sockets, and counts none.
    pub dropped_by_kernel: u64,
    /// Packets from a client of one worker to that of another that found its mailbox full, or its relayed transport address
    /// gone. A [`Server`](crate::Server) alone is one worker, and counts none.
    pub dropped_between_workers: u64,
    /// Frames that were dropped because a client over TCP reads more slowly than they come: the oldest that waited.
    pub dropped_on_streams: u64,
    /// ICMP errors that were told to clients.
    pub icmp_errors: u64,
    /// Application data, both ways, in all.
    pub traffic: Traffic,
}

/// How many requests were refused with which code.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refused([u64; Refusal::CODES.len()]);

impl Refused {
    /// The codes that there are, and how often each was answered.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + use<'_> {
        Refusal::CODES.into_iter().zip(self.0)
    }

    /// How often this code was answered.
    #[must_use]
    pub fn get(&self, code: u16) -> u64 {
        self.iter().find(|&(known, _)| known == code).map_or(0, |(_, count)| count)
    }

    pub(crate) fn count(&mut self, code: u16) {
        if let Some(at) = Refusal::CODES.iter().position(|&known| known == code) {
            self.0[at] += 1;
        }
    }
}

impl std::ops::Add for Refused {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at]))
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets_to_peers: self.packets_to_peers + other.packets_to_peers,
            bytes_to_peers: self.bytes_to_peers + other.bytes_to_peers,
            packets_to_client: self.packets_to_client + other.packets_to_client,
            bytes_to_client: self.bytes_to_client + other.bytes_to_client,
        }
    }
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            allocations: self.allocations + other.allocations,
            opened: self.opened + other.opened,
            successes: self.successes + other.successes,
            refusals: self.refusals + other.refusals,
            refused: self.refused + other.refused,
            dropped_from_clients: self.dropped_from_clients + other.dropped_from_clients,
            dropped_from_peers: self.dropped_from_peers + other.dropped_from_peers,
            dropped_for_bandwidth: self.dropped_for_bandwidth + other.dropped_for_bandwidth,
            dropped_by_kernel: self.dropped_by_kernel + other.dropped_by_kernel,
            dropped_between_workers: self.dropped_between_workers + other.dropped_between_workers,
            dropped_on_streams: self.dropped_on_streams + other.dropped_on_streams,
            icmp_errors: self.icmp_errors + other.icmp_errors,
            traffic: self.traffic + other.traffic,
        }
    }
}
