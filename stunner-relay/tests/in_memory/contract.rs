//! What a worker makes of what sockets say: the promises of `DatagramSocket`, from its other side.

use std::io;

use stunner_relay::TurnServer;

use crate::{
    client::TurnClient,
    switchboard::{MemorySocket, Switchboard},
    watched::Watched,
    world::{allocate, builder, in_memory, listener, peer, peer_address, turns},
};

/// A client with a channel to a peer, on a network that refuses what ends with an exclamation mark.
async fn refusing(why: io::ErrorKind) -> (TurnServer, TurnClient, MemorySocket) {
    let network = Switchboard::default();
    let watched = Watched { refuses: Some((b'!', why)), ..Watched::new(&network) };
    let socket = watched.socket(listener(&network));
    let server = builder().start_on(watched, [socket]).expect("a server in memory");
    let peer = peer(&network, 5_000);
    let (mut client, _) = allocate(&network, 1).await;
    client.bind(peer_address(5_000)).await.expect("a channel");
    (server, client, peer)
}

/// Which of these packets, which come to the server at once, reach the peer.
async fn arriving(why: io::ErrorKind, packets: &[&str]) -> Vec<String> {
    let (_server, mut client, peer) = refusing(why).await;
    for packet in packets {
        client.send(packet.as_bytes(), peer_address(5_000)).expect("it is sent");
    }
    // What comes later comes after the others.
    tokio::time::sleep(crate::switchboard::DELAY).await;
    turns().await;
    client.send(b"last", peer_address(5_000)).expect("it is sent");
    let mut arrived = Vec::new();
    while arrived.last().is_none_or(|last| last != "last") {
        let (data, _) = peer.recv().await.expect("data");
        arrived.push(String::from_utf8(data).expect("text"));
    }
    arrived
}

#[tokio::test(start_paused = true)]
async fn an_error_of_sending_drops_one_datagram_and_the_others_are_sent() {
    in_memory(async {
        for packets in [["no!", "one", "two"], ["one", "no!", "two"], ["one", "two", "no!"]] {
            let arrived = arriving(io::ErrorKind::ConnectionRefused, &packets).await;

            assert_eq!(arrived, ["one", "two", "last"], "{packets:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_no_more_drops_what_is_left_and_takes_what_comes_later() {
    in_memory(async {
        let arrived = arriving(io::ErrorKind::WouldBlock, &["one", "no!", "two"]).await;

        assert_eq!(arrived, ["one", "last"]);
    })
    .await;
}
