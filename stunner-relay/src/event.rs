//! What a server tells about itself: events, and counters by reason.

use std::net::SocketAddr;

use crate::{Client, RelayId};

/// Something that happened to an allocation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An allocation was made.
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
    /// An allocation is gone; its socket is to be freed.
    Closed {
        /// The relayed transport address, by its handle.
        relay: RelayId,
        /// Who had it.
        client: Client,
        /// What peers saw.
        relayed: SocketAddr,
        /// Why it is gone.
        why: Closed,
        /// What it carried.
        traffic: Traffic,
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
    /// Packets of clients that were neither answered nor relayed.
    pub dropped_from_clients: u64,
    /// Packets of peers that were not relayed.
    pub dropped_from_peers: u64,
    /// Application data, both ways, in all.
    pub traffic: Traffic,
}
