//! Who there is: a server, clients and peers, in one thread.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use stunner_relay::{DefaultPolicy, RelayAddress, StaticUser, TurnServer, TurnServerBuilder};
use tokio::{
    task::{LocalSet, yield_now},
    time::timeout,
};

use crate::{
    client::TurnClient,
    switchboard::{MemorySocket, Switchboard},
};

pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const LISTENER: SocketAddr = SocketAddr::new(SERVER, 3478);

pub(crate) fn client_address(n: u8) -> SocketAddr {
    ([198, 51, 100, n], 40_000).into()
}

pub(crate) fn peer_address(port: u16) -> SocketAddr {
    ([203, 0, 113, 1], port).into()
}

/// A server that may relay to the peers.
pub(crate) fn builder() -> TurnServerBuilder {
    TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .policy(DefaultPolicy::new().allow("203.0.113.0/24".parse().expect("a range")))
        .relay_address(RelayAddress::bind(SERVER))
}

pub(crate) fn listener(network: &Switchboard) -> MemorySocket {
    network.bind(LISTENER).expect("a free address")
}

pub(crate) fn start(network: &Switchboard) -> TurnServer {
    builder().start_on(network.clone(), [listener(network)]).expect("a server in memory")
}

/// A client with an allocation, and its relayed transport address.
pub(crate) async fn allocate(network: &Switchboard, n: u8) -> (TurnClient, SocketAddr) {
    let socket = network.bind(client_address(n)).expect("a free address");
    let (client, allocated) = TurnClient::allocate(socket, LISTENER).await.expect("an allocation");
    (client, allocated.v4.expect("an address of IPv4"))
}

pub(crate) fn peer(network: &Switchboard, port: u16) -> MemorySocket {
    network.bind(peer_address(port)).expect("a free address")
}

/// Where the worker and its clients run, for a day at most, which is no time where the clock is paused.
pub(crate) async fn in_memory<T>(test: impl Future<Output = T>) -> T {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    LocalSet::new().run_until(timeout(DAY, test)).await.expect("it ends")
}

/// Lets all tasks do what they can do now.
pub(crate) async fn turns() {
    for _ in 0..10 {
        yield_now().await;
    }
}
