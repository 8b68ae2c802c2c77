//! What clients, peers and whoever runs a server may do, in any order.

use std::net::SocketAddr;

use proptest::prelude::*;
use stunner_proto::attribute::AddressFamily;

use crate::world::{other_port, peer, peer_v6};

/// How many clients there are. Three of them are one user's, and the last one has a connection.
pub(super) const CLIENTS: usize = 4;
pub(super) const NAMES: [&str; CLIENTS] = ["alice", "alice", "bob", "alice"];
pub(super) const CONNECTED: usize = 3;

/// Somebody to send to, or to hear from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// One of a few hosts; two of these are two ports of one.
    Host(usize),
    /// The relayed transport address that a client has, or had last.
    Relayed(usize, AddressFamily),
}

/// Which families an Allocate asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Families {
    One(AddressFamily),
    Both,
}

/// What is done.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Allocate {
        families: Families,
        lifetime: u32,
    },
    Refresh {
        family: Option<AddressFamily>,
        lifetime: u32,
    },
    Permit(Vec<Peer>),
    Bind(u16, Peer),
    Send(Peer),
    SendChannel(u16),
    /// A peer sends to what a client has, or had last.
    Hear(Peer),
    /// A connection ends, and there is another one at once.
    Disconnect,
    /// Whoever runs the server ends an allocation.
    End,
    Drain(bool),
    /// Another policy, which denies one host, or none.
    Deny(Option<usize>),
    /// So many milliseconds pass.
    Wait(u64),
}

/// Somebody's operation; `impostor` says that it is tried with the credentials of another user.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) client: usize,
    pub(super) impostor: bool,
    pub(super) operation: Operation,
}

/// Where the hosts are.
pub(super) fn hosts() -> [SocketAddr; 6] {
    [peer(1), other_port(peer(1)), peer(2), peer(3), peer_v6(1), peer_v6(2)]
}

/// How many of them come first, and have IPv4.
const V4_HOSTS: usize = 4;

/// What a server of a run is told: how much room there is for permissions and channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(pub(super) usize);

/// Some family; that of most.
fn family() -> impl Strategy<Value = AddressFamily> {
    prop_oneof![3 => Just(AddressFamily::V4), 1 => Just(AddressFamily::V6)]
}

fn somebody() -> impl Strategy<Value = Peer> {
    prop_oneof![
        6 => (0..V4_HOSTS).prop_map(Peer::Host),
        2 => (V4_HOSTS..hosts().len()).prop_map(Peer::Host),
        2 => (0..CLIENTS, family()).prop_map(|(client, family)| Peer::Relayed(client, family)),
    ]
}

/// A channel and its peer.
fn binding() -> impl Strategy<Value = (u16, Peer)> {
    (0x4000..0x4003_u16, somebody())
}

fn lifetime() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 2 => Just(600), 2 => Just(900), 4 => Just(3_600), 1 => any::<u32>()]
}

fn wait() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..20_000_u64,
        1 => Just(1),
        1 => Just(100_000),
        1 => Just(299_999),
        1 => Just(300_000),
        1 => 0..700_000_u64,
    ]
}

fn allocate(dual: bool) -> impl Strategy<Value = Operation> {
    (family(), proptest::bool::weighted(0.8), lifetime()).prop_map(move |(family, both, lifetime)| {
        let families = if both && dual { Families::Both } else { Families::One(family) };
        Operation::Allocate { families, lifetime }
    })
}

fn operation(dual: bool) -> impl Strategy<Value = Operation> {
    prop_oneof![
        16 => allocate(dual),
        10 => (proptest::option::weighted(0.5, prop_oneof![family(), Just(AddressFamily::V6)]), lifetime())
            .prop_map(|(family, lifetime)| Operation::Refresh { family, lifetime }),
        20 => proptest::collection::vec(somebody(), 1..4).prop_map(Operation::Permit),
        20 => binding().prop_map(|(number, peer)| Operation::Bind(number, peer)),
        20 => somebody().prop_map(Operation::Send),
        20 => (0x4000..if dual { 0x4006 } else { 0x4003_u16 }).prop_map(Operation::SendChannel),
        20 => somebody().prop_map(Operation::Hear),
        1 => Just(Operation::Disconnect),
        1 => Just(Operation::End),
        1 => Just(Operation::Drain(true)),
        3 => Just(Operation::Drain(false)),
        2 => proptest::option::of(0..hosts().len()).prop_map(Operation::Deny),
        12 => wait().prop_map(Operation::Wait),
    ]
}

/// A run of some steps, after every client has asked for an allocation.
pub(super) fn runs() -> impl Strategy<Value = (Room, Vec<Step>)> {
    any::<bool>().prop_flat_map(|dual| {
        let client = prop_oneof![3 => Just(0), 1 => 1..CLIENTS];
        let step = (client, proptest::bool::weighted(0.03), operation(dual));
        let step = step.prop_map(|(client, impostor, operation)| Step { client, impostor, operation });
        let first = proptest::collection::vec(allocate(dual), CLIENTS);
        let room = Room(if dual { 100 } else { 2 });
        (first, proptest::collection::vec(step, 1..120)).prop_map(move |(first, steps)| {
            let first = first.into_iter().enumerate();
            let first = first.map(|(client, operation)| Step { client, impostor: false, operation });
            (room, first.chain(steps).collect())
        })
    })
}
