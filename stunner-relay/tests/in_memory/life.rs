//! Allocations from their beginning to their end, in virtual time.

use std::time::Duration;

use stunner_proto::{
    Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{ErrorCode, EvenPort, Lifetime, RequestedTransport, ReservationToken, XorRelayedAddress},
};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    switchboard::{DELAY, MemorySocket, Switchboard},
    world::{
        LISTENER, allocate, builder, client_address, in_memory, listener, peer, peer_address, start, turns,
    },
};

#[tokio::test(start_paused = true)]
async fn an_allocation_relays_both_ways_and_ends_when_nobody_renews_it() {
    in_memory(async {
        let network = Switchboard::default();
        let (server, peer) = (start(&network), peer(&network, 5_000));
        let (mut client, relayed) = allocate(&network, 1).await;
        client.bind(peer_address(5_000)).await.expect("a channel");

        client.send(b"there", peer_address(5_000)).expect("it is sent");
        assert_eq!(peer.recv().await.expect("data"), (b"there".to_vec(), relayed));
        peer.send(b"and back".to_vec(), relayed);
        assert_eq!(client.recv().await.expect("data"), (b"and back".to_vec(), peer_address(5_000)));

        drop(client);
        sleep(Duration::from_secs(599)).await;
        assert_eq!(server.stats().allocations, 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(server.stats().allocations, 0);
        assert!(network.bind(relayed).is_ok(), "its socket is closed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_allocation_that_is_renewed_relays_after_hours() {
    in_memory(async {
        let network = Switchboard::default();
        let (server, peer) = (start(&network), peer(&network, 5_000));
        let (mut client, relayed) = allocate(&network, 1).await;
        client.bind(peer_address(5_000)).await.expect("a channel");

        assert!(timeout(Duration::from_secs(3 * 3_600), client.recv()).await.is_err());

        peer.send(b"still there".to_vec(), relayed);
        let (data, _) = client.recv().await.expect("data");
        assert_eq!(data, b"still there");
        assert!(server.is_live());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_packet_takes_as_long_as_its_two_wires() {
    in_memory(async {
        let network = Switchboard::default();
        let (_server, peer) = (start(&network), peer(&network, 5_000));
        let (mut client, _) = allocate(&network, 1).await;
        client.bind(peer_address(5_000)).await.expect("a channel");
        let sent = Instant::now();

        client.send(b"there", peer_address(5_000)).expect("it is sent");
        peer.recv().await.expect("data");

        assert_eq!(sent.elapsed(), 2 * DELAY);
    })
    .await;
}

/// What a server that wants no credentials answers.
async fn ask(client: &MemorySocket, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) -> Vec<u8> {
    ask_for(client, Method::ALLOCATE, |message| build(message.attribute(&RequestedTransport::UDP))).await
}

async fn ask_for(
    client: &MemorySocket,
    method: Method,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut bytes = [0; 128];
    let request = MessageBuilder::new(Class::Request, method, TransactionId([1; 12]), &mut bytes);
    let len = build(request).finish().expect("it fits");
    client.send(bytes[..len].to_vec(), LISTENER);
    client.recv().await.expect("an answer").0
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_reserved_is_kept_on_any_network() {
    in_memory(async {
        let network = Switchboard::default();
        let server = builder().unauthenticated().start_on(network.clone(), [listener(&network)]);
        let _server = server.expect("a server in memory");
        let [first, second] = [1, 2].map(|n| network.bind(client_address(n)).expect("a free address"));

        let even = ask(&first, |message| message.attribute(&EvenPort { reserve_next: true })).await;
        let even = Message::parse(&even).expect("a message");
        let token = even.require::<ReservationToken>().expect("a token");
        let next = ask(&second, |message| message.attribute(&token)).await;
        let next = Message::parse(&next).expect("a message");

        let port = |answer: &Message<'_>| answer.require::<XorRelayedAddress>().expect("an address").0.port();
        assert_eq!((port(&even) % 2, port(&next)), (0, port(&even) + 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_user_has_no_more_ports_kept_than_allocations() {
    in_memory(async {
        let network = Switchboard::default();
        let builder = builder().unauthenticated().user_quota(2);
        let _server = builder.start_on(network.clone(), [listener(&network)]).expect("a server in memory");
        let pair = EvenPort { reserve_next: true };
        let code = |answer: &[u8]| {
            let answer = Message::parse(answer).expect("a message");
            answer.require::<ErrorCode<'_>>().map(|error| error.code()).ok()
        };

        for n in [1, 2] {
            let client = network.bind(client_address(n)).expect("a free address");
            assert_eq!(code(&ask(&client, |message| message.attribute(&pair)).await), None);
            ask_for(&client, Method::REFRESH, |message| message.attribute(&Lifetime(0))).await;
        }
        let third = network.bind(client_address(3)).expect("a free address");

        assert_eq!(code(&ask(&third, |message| message.attribute(&pair)).await), Some(486));
        sleep(Duration::from_secs(45)).await;
        assert_eq!(code(&ask(&third, |message| message.attribute(&pair)).await), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_closes_all_its_sockets_at_its_next_turn() {
    in_memory(async {
        let network = Switchboard::default();
        let server = start(&network);
        let (_client, relayed) = allocate(&network, 1).await;

        drop(server);
        assert!(network.bind(LISTENER).is_err());
        turns().await;

        assert!(network.bind(LISTENER).is_ok());
        assert!(network.bind(relayed).is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_returns_when_all_sockets_are_closed() {
    in_memory(async {
        let network = Switchboard::default();
        let server = start(&network);
        let (_client, relayed) = allocate(&network, 1).await;

        server.shutdown(Duration::ZERO).await;

        assert!(network.bind(LISTENER).is_ok());
        assert!(network.bind(relayed).is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drains_takes_nobody_new_and_is_idle_when_the_last_allocation_ends() {
    in_memory(async {
        let network = Switchboard::default();
        let server = start(&network);
        allocate(&network, 1).await;
        let start = Instant::now();

        server.drain(&[]);
        let late = network.bind(client_address(2)).expect("a free address");
        let refused = crate::client::TurnClient::allocate(late, LISTENER).await.err().expect("no allocation");
        assert!(refused.to_string().starts_with("508"), "{refused}");
        server.idle().await;

        assert!((599..=602).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_servers_share_a_thread() {
    in_memory(async {
        let [one, other] = [Switchboard::default(), Switchboard::default()];
        let servers = [start(&one), start(&other)];

        let (first, _) = allocate(&one, 1).await;
        let (second, _) = allocate(&other, 1).await;

        assert_eq!(servers.map(|server| server.stats().allocations), [1, 1]);
        drop((first, second));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_local_set_does_not_run_is_not_live() {
    let (network, local) = (Switchboard::default(), LocalSet::new());
    let server = local.run_until(async { start(&network) }).await;
    assert!(server.is_live());

    sleep(Duration::from_secs(11)).await;
    assert!(!server.is_live());
    local.run_until(sleep(Duration::from_secs(1))).await;
    assert!(server.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_server_ends_with_its_local_set() {
    let (network, local) = (Switchboard::default(), LocalSet::new());
    let server = local.run_until(async { start(&network) }).await;

    drop(local);

    assert!(network.bind(LISTENER).is_ok());
    server.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn who_allocates_anew_as_soon_as_it_may_leaves_no_socket_of_what_has_expired() {
    in_memory(async {
        let network = Switchboard::default();
        let server = builder().unauthenticated().start_on(network.clone(), [listener(&network)]);
        let server = server.expect("a server in memory");
        let client = network.bind(client_address(1)).expect("a free address");
        // The worker looks once a second for what has expired, and not at this time of it.
        sleep(Duration::from_millis(300)).await;
        let relayed = |answer: &[u8]| {
            let answer = Message::parse(answer).expect("a message");
            answer.require::<XorRelayedAddress>().expect("an address").0
        };

        let first = relayed(&ask(&client, |message| message).await);
        sleep(Duration::from_secs(600)).await;
        let second = relayed(&ask(&client, |message| message).await);

        assert_ne!(first, second);
        assert_eq!(server.stats().opened, 2);
        turns().await;
        assert!(network.bind(first).is_ok(), "its socket is closed");
        assert!(network.bind(second).is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_allocations_that_expire_at_once_end_at_once() {
    in_memory(async {
        let network = Switchboard::default();
        let server = builder().unauthenticated().start_on(network.clone(), [listener(&network)]);
        let server = server.expect("a server in memory");
        let mut bytes = [0; 128];
        let request =
            MessageBuilder::new(Class::Request, Method::ALLOCATE, TransactionId([1; 12]), &mut bytes);
        let len = request.attribute(&RequestedTransport::UDP).finish().expect("it fits");
        let start = Instant::now();
        for n in 0..10 {
            for port in 40_000..40_060 {
                let client = network.bind((client_address(n).ip(), port).into()).expect("a free address");
                client.send(bytes[..len].to_vec(), LISTENER);
            }
            sleep(2 * DELAY).await;
        }
        assert_eq!(server.stats().allocations, 600);

        sleep(Duration::from_millis(602_500) - start.elapsed()).await;

        assert_eq!(server.stats().allocations, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_before_the_worker_has_heard_that_it_drains_gets_nothing_either() {
    for (alternates, code) in [(vec![], 508), (vec![peer_address(3_478)], 300)] {
        in_memory(async {
            let network = Switchboard::default();
            let server = builder().unauthenticated().start_on(network.clone(), [listener(&network)]);
            let server = server.expect("a server in memory");
            let client = network.bind(client_address(1)).expect("a free address");
            turns().await;

            // The worker is woken for what has arrived, and then for this.
            let drains = async {
                sleep(DELAY).await;
                server.drain(&alternates);
            };
            let (answer, ()) = tokio::join!(ask(&client, |message| message), drains);

            let answer = Message::parse(&answer).expect("a message");
            assert_eq!(answer.require::<ErrorCode<'_>>().map(|error| error.code()).ok(), Some(code));
        })
        .await;
    }
}
