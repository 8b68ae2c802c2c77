//! A running server, sockets and tasks and timer and all, allocates nothing while it relays: on Linux's sockets, with
//! io_uring and without, and on the portable ones.
//!
//! Worker, clients and peers are on this thread, but where it is said otherwise. What is to pass is sent while the worker rests, so that each time the same
//! comes in one batch; what the thread allocates is counted from there until all of it has arrived. Clients and peers
//! allocate nothing then, or it would be counted, too.
#![cfg(feature = "tokio")]

use stunner_proto::{Class, MessageBuilder, Method, TransactionId};

#[path = "zero_alloc_net/link.rs"]
mod link;
#[path = "zero_alloc_net/world.rs"]
mod world;

use world::{Client, World, each_world};

/// What passes at once.
const BURST: usize = 20;

const DATA: [u8; 1_200] = [1; 1_200];

/// What the header of an indication adds to data for or from IPv4.
const INDICATION: usize = 36;

/// What a client sends to a peer arrives; how often that allocates.
fn to_peer(world: &World, client: &mut Client, port: usize) -> u64 {
    let peer = &world.peers[port];
    let packet = client.frame(&DATA, peer.address());
    world.allocations(
        |times| (0..times).for_each(|_| client.link.send(&packet)),
        async |times| peer.take(times, times * DATA.len()).await,
    )
}

/// What a peer sends to a client arrives, with so long a header; how often that allocates.
fn to_client(world: &World, client: &mut Client, port: usize, head: usize) -> u64 {
    let peer = &world.peers[port];
    peer.connect(client.relayed);
    world.allocations(
        |times| (0..times).for_each(|_| peer.send(&DATA)),
        async |times| client.link.take(times, times * (head + DATA.len())).await,
    )
}

#[test]
fn channel_data_both_ways_allocate_nothing() {
    each_world(|world| {
        let mut client = world.udp_client();
        world.bind(&mut client, world.peers[0].address());

        assert_eq!(to_peer(world, &mut client, 0), 0);
        assert_eq!(to_client(world, &mut client, 0, 4), 0);
    });
}

#[test]
fn indications_both_ways_allocate_nothing() {
    each_world(|world| {
        let mut client = world.udp_client();
        world.permit(&mut client, world.peers[1].address());

        assert_eq!(to_peer(world, &mut client, 1), 0);
        assert_eq!(to_client(world, &mut client, 1, INDICATION), 0);
    });
}

#[test]
fn clients_over_tcp_make_nobody_allocate() {
    each_world(|world| {
        let mut client = world.tcp_client();
        world.bind(&mut client, world.peers[0].address());

        assert_eq!(to_peer(world, &mut client, 0), 0);
        assert_eq!(to_client(world, &mut client, 0, 4), 0);
        assert_eq!(to_peer(world, &mut client, 1), 0);
        assert_eq!(to_client(world, &mut client, 1, INDICATION), 0);
    });
}

/// From one client to the other, by ChannelData or indications on both sides.
fn between(world: &World, from: &mut Client, to: &Client, head: usize) -> u64 {
    let packet = from.frame(&DATA, to.relayed);
    world.allocations(
        |times| (0..times).for_each(|_| from.link.send(&packet)),
        async |times| to.link.take(times, times * (head + DATA.len())).await,
    )
}

#[test]
fn from_client_to_client_nothing_is_allocated() {
    each_world(|world| {
        for mut pair in [
            [world.udp_client(), world.udp_client()],
            [world.udp_client(), world.tcp_client()],
            [world.tcp_client(), world.udp_client()],
            [world.tcp_client(), world.tcp_client()],
        ] {
            let [one, other] = &mut pair;
            world.permit(one, other.relayed);
            world.permit(other, one.relayed);
            assert_eq!(between(world, one, other, INDICATION), 0);

            world.bind(one, other.relayed);
            world.bind(other, one.relayed);
            assert_eq!(between(world, one, other, 4), 0);
        }
    });
}

/// Between two workers packets go through sockets, and on Linux as trains.
#[test]
fn from_worker_to_worker_nothing_is_allocated() {
    each_world(|world| {
        let [mut one, mut other] = [world.udp_client(), world.client_of_the_other()];
        world.bind(&mut one, other.relayed);
        world.bind(&mut other, one.relayed);

        assert_eq!(between(world, &mut one, &other, 4), 0);
        assert_eq!(between(world, &mut other, &one, 4), 0);
    });
}

/// Its clients and peers are in another thread here, and send one packet at a time.
#[test]
fn a_worker_that_sleeps_before_each_packet_allocates_nothing() {
    each_world(|world| {
        let mut client = world.udp_client();
        let peer = &world.peers[0];
        world.bind(&mut client, peer.address());
        peer.connect(client.relayed);
        let packet = client.frame(&DATA, peer.address());
        let link = &client.link;

        let allocations = world.allocations_meanwhile(|| {
            for _ in 0..100 {
                link.send(&packet);
                peer.wait();
                peer.send(&DATA);
                link.wait();
            }
        });

        assert_eq!(allocations, 0);
    });
}

#[test]
fn binding_allocates_nothing() {
    each_world(|world| {
        let mut request = [0; 20];
        let message =
            MessageBuilder::new(Class::Request, Method::BINDING, TransactionId([1; 12]), &mut request);
        message.finish().expect("it fits");
        let client = world.udp_client();

        let allocations = world.allocations(
            |times| (0..times).for_each(|_| client.link.send(&request)),
            async |times| client.link.take(times, times * 32).await,
        );

        assert_eq!(allocations, 0);
    });
}

#[test]
fn a_second_that_passes_allocates_nothing() {
    each_world(|world| {
        let _client = world.udp_client();

        assert_eq!(world.allocations_of_seconds(100), 0);

        assert_eq!(world.allocated(), 1);
        world.allocations_of_seconds(600);
        assert_eq!(world.allocated(), 0, "the seconds were noticed");
    });
}

#[test]
fn what_a_worker_does_allocate_is_counted() {
    each_world(|world| {
        let mut clients = Vec::new();

        let counted = world.count(|| clients.push(world.udp_client()));

        assert!(counted > 0);
    });
}
