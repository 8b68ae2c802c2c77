//! What a socket is given to send lies where it was received: the shell copies no application data.

use std::net::SocketAddr;

use stunner_relay::TurnServer;

use crate::{
    client::TurnClient,
    switchboard::{MemorySocket, Switchboard},
    watched::{Log, Place, Watched},
    world::{allocate, builder, in_memory, listener, peer, peer_address},
};

/// Longer than any header, and of a length that needs no padding: it ends where its packet ends.
const DATA: [u8; 1_200] = [7; 1_200];

/// A client with a channel to one port of the peer's, and thereby the permission to reach the others.
struct World {
    watched: Watched,
    client: TurnClient,
    relayed: SocketAddr,
    on_channel: MemorySocket,
    on_permission: MemorySocket,
    _server: TurnServer,
}

impl World {
    async fn new() -> Self {
        let network = Switchboard::default();
        let watched = Watched::new(&network);
        let socket = watched.socket(listener(&network));
        let server = builder().start_on(watched.clone(), [socket]).expect("a server in memory");
        let [on_channel, on_permission] = [5_000, 6_000].map(|port| peer(&network, port));
        let (mut client, relayed) = allocate(&network, 1).await;
        client.bind(peer_address(5_000)).await.expect("a channel");
        let world = Self { watched, client, relayed, on_channel, on_permission, _server: server };
        world.forget();
        world
    }

    fn forget(&self) {
        self.watched.log.replace(Log::default());
    }

    /// The only packet that was received since, and the parts of the only one that was sent.
    fn passed(&self) -> (Place, [Place; 3]) {
        let Log { received, sent } = self.watched.log.replace(Log::default());
        let ([received], [sent]) = (&received[..], &sent[..]) else {
            panic!("{received:?} {sent:?}");
        };
        (received.clone(), sent.clone())
    }
}

/// The end of a packet that is as long as the data.
fn data_of(packet: &Place) -> Place {
    packet.end - DATA.len()..packet.end
}

fn is_apart(one: &Place, other: &Place) -> bool {
    one.end <= other.start || other.end <= one.start
}

#[tokio::test(start_paused = true)]
async fn data_for_a_peer_are_sent_from_where_they_were_received() {
    in_memory(async {
        let mut world = World::new().await;
        for (port, head) in [(5_000, 4), (6_000, 36)] {
            world.client.send(&DATA, peer_address(port)).expect("it is sent");
            let peer = if port == 5_000 { &world.on_channel } else { &world.on_permission };
            assert_eq!(peer.recv().await.expect("data").0, DATA);

            let (received, [data, nothing, nor_this]) = world.passed();
            assert_eq!(received.len(), head + DATA.len());
            assert_eq!(data, data_of(&received));
            assert!(nothing.is_empty() && nor_this.is_empty());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn data_of_a_peer_are_sent_behind_a_header_from_where_they_were_received() {
    in_memory(async {
        let mut world = World::new().await;
        for (port, len) in [(5_000, 4), (6_000, 36)] {
            let peer = if port == 5_000 { &world.on_channel } else { &world.on_permission };
            peer.send(DATA.to_vec(), world.relayed);
            assert_eq!(world.client.recv().await.expect("data").0, DATA);

            let (received, [head, data, padding]) = world.passed();
            assert_eq!(data, received);
            assert_eq!((head.len(), padding.len()), (len, 0));
            assert!(is_apart(&head, &received));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn data_from_client_to_client_are_sent_from_where_they_were_received() {
    in_memory(async {
        let World { watched, client: mut one, relayed, _server, .. } = World::new().await;
        let (mut other, other_relayed) = allocate(&watched.network, 2).await;
        one.bind(other_relayed).await.expect("a channel");
        other.bind(relayed).await.expect("a channel");
        watched.log.replace(Log::default());

        one.send(&DATA, other_relayed).expect("it is sent");
        assert_eq!(other.recv().await.expect("data"), (DATA.to_vec(), relayed));

        let Log { received, sent } = watched.log.replace(Log::default());
        assert_eq!((received.len(), sent.len()), (1, 1), "no relayed transport address had a part in it");
        assert_eq!(sent[0][1], data_of(&received[0]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn packets_that_came_together_are_each_sent_from_their_own_place() {
    in_memory(async {
        let mut world = World::new().await;
        for n in 1..=20 {
            world.on_channel.send(vec![n; DATA.len()], world.relayed);
        }
        for n in 1..=20 {
            assert_eq!(world.client.recv().await.expect("data").0, [n; DATA.len()]);
        }

        let log = world.watched.log.borrow();
        let data: Vec<_> = log.sent.iter().map(|[_, data, _]| data.clone()).collect();
        assert_eq!(data, log.received);
        assert_eq!(data.len(), 20);
        assert!(data.windows(2).all(|two| is_apart(&two[0], &two[1])));
    })
    .await;
}
