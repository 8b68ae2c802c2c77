//! A TURN server on a network that is nothing but memory, a client and a peer on it, and time that is not waited for.
//!
//! ```text
//! cargo run --example in-memory-network
//! ```
//!
//! Ten minutes are over at once, and everything happens in the same way each time. A server on a network of one's own, be it
//! a simulation, a driver in user space or a tunnel, begins like this: `switchboard.rs` implements two traits, and `start_on`
//! does the rest.
//!
//! What to try next: another `DELAY`, or a switchboard that loses every third letter.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use stunner_relay::{DefaultPolicy, RelayAddress, StaticUser, TurnServer};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep},
};

mod client;
mod switchboard;

use client::TurnClient;
use switchboard::Switchboard;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 40_000);
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 5_000);

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    LocalSet::new().run_until(live(&mut io::stdout())).await
}

/// The life of an allocation.
async fn live(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut say = |what: fmt::Arguments<'_>| writeln!(out, "{:7.3}  {what}", start.elapsed().as_secs_f64());
    let network = Switchboard::default();
    let listener = SocketAddr::new(SERVER, 3478);
    let server = TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .policy(DefaultPolicy::new().allow("203.0.113.0/24".parse()?))
        .relay_address(RelayAddress::bind(SERVER))
        .start_on(network.clone(), [network.bind(listener)?])?;
    say(format_args!("a server listens on {}", server.listeners()[0].address()))?;

    let peer = network.bind(PEER)?;
    let (mut client, allocated) = TurnClient::allocate(network.bind(CLIENT)?, listener).await?;
    let relayed = allocated.v4.ok_or("no address of IPv4")?;
    say(format_args!("the client has {relayed} for {} seconds", allocated.lifetime.as_secs()))?;
    let channel = client.bind(PEER).await?;
    say(format_args!("channel {:#X} is bound to {PEER}", channel.get()))?;
    client.send(b"hello, peer", PEER)?;
    let (data, from) = peer.recv().await?;
    say(format_args!("the peer has \"{}\" from {from}", data.escape_ascii()))?;
    peer.send(b"hello, client".to_vec(), from);
    let (data, from) = client.recv().await?;
    say(format_args!("the client has \"{}\" from {from}", data.escape_ascii()))?;

    // Nobody renews the allocation any more.
    drop(client);
    for seconds in [590, 20] {
        sleep(Duration::from_secs(seconds)).await;
        say(format_args!("allocations on the server: {}", server.stats().allocations))?;
    }
    server.shutdown(Duration::ZERO).await;
    network.bind(listener)?;
    say(format_args!("the server is gone, too: {listener} is free"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told() -> String {
        let mut told = Vec::new();
        LocalSet::new().run_until(live(&mut told)).await.expect("a life");
        String::from_utf8(told).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn an_allocation_lives_in_memory_from_its_beginning_to_its_end() {
        let told = told().await;

        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 8, "{told}");
        assert!(lines[1].starts_with("  0.080  the client has 192.0.2.1:"), "{told}");
        assert_eq!(lines[2], "  0.120  channel 0x4000 is bound to 203.0.113.1:5000");
        assert!(lines[3].starts_with("  0.160  the peer has \"hello, peer\" from 192.0.2.1:"), "{told}");
        assert_eq!(lines[4], "  0.200  the client has \"hello, client\" from 203.0.113.1:5000");
        assert_eq!(lines[5], "590.200  allocations on the server: 1");
        assert_eq!(lines[6], "610.200  allocations on the server: 0");
    }

    #[tokio::test(start_paused = true)]
    async fn it_happens_in_the_same_way_each_time() {
        assert_eq!(told().await, told().await);
    }
}
