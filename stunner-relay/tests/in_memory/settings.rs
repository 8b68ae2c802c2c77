//! What a server on somebody else's sockets can be told, and what not.

use std::{num::NonZeroUsize, time::Duration};

use stunner_proto::{Class, Message, MessageBuilder, Method, TransactionId};
use stunner_relay::{Listener, StartError, StaticUser, TurnServer, TurnServerBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    switchboard::Switchboard,
    world::{LISTENER, builder, in_memory, listener},
};

/// Why it does not start.
fn refused(builder: TurnServerBuilder) -> StartError {
    let network = Switchboard::default();
    builder.start_on(network.clone(), [listener(&network)]).expect_err("no server")
}

#[test]
fn a_relay_address_must_be_named() {
    let nameless = TurnServer::builder().authenticator(StaticUser::new("user", "pass"));

    let why = refused(nameless);

    assert!(matches!(why, StartError::NoRelayAddress), "{why}");
}

#[test]
fn what_needs_sockets_of_the_operating_system_is_refused_with_its_name() {
    let two = NonZeroUsize::new(2).expect("two");
    for (builder, name) in [
        (builder().listen(Listener::udp("127.0.0.1:0")), "UDP"),
        (builder().behaviour_discovery(([192, 0, 2, 2], 3479).into()), "behaviour_discovery()"),
        (builder().workers(two), "workers()"),
    ] {
        let why = refused(builder);

        assert!(matches!(why, StartError::NotOnSockets(_)), "{why}");
        assert!(why.to_string().contains(name), "{why}");
    }
}

#[test]
fn settings_are_checked_as_ever() {
    assert!(matches!(refused(builder().realm("")), StartError::BadRealm));
    assert!(matches!(refused(builder().relay_ports(0..=9)), StartError::BadPorts(0, 9)));
}

#[test]
fn a_server_without_sockets_is_refused() {
    let why = builder().start_on(Switchboard::default(), []).expect_err("no server");

    assert!(matches!(why, StartError::NoListener), "{why}");
}

#[test]
fn the_sockets_of_a_server_that_does_not_start_are_closed() {
    let network = Switchboard::default();

    let started = builder().realm("").start_on(network.clone(), [listener(&network)]);

    assert!(started.is_err() && network.bind(LISTENER).is_ok());
}

#[tokio::test]
async fn tcp_listeners_are_bound_behind_the_sockets() {
    in_memory(async {
        let network = Switchboard::default();
        let builder = builder().listen(Listener::tcp("127.0.0.1:0"));
        let server = builder.start_on(network.clone(), [listener(&network)]).expect("a server");
        let addresses: Vec<&str> = server.listeners().iter().map(Listener::address).collect();
        assert_eq!(addresses[0], LISTENER.to_string());

        let mut stream = TcpStream::connect(addresses[1]).await.expect("a connection");
        let mut request = [0; 20];
        let binding =
            MessageBuilder::new(Class::Request, Method::BINDING, TransactionId([1; 12]), &mut request);
        binding.finish().expect("it fits");
        stream.write_all(&request).await.expect("it is sent");

        let mut answer = [0; 32];
        let read = timeout(Duration::from_secs(60), stream.read_exact(&mut answer)).await;
        read.expect("it comes in time").expect("an answer");
        assert_eq!(Message::parse(&answer).expect("a message").class(), Class::SuccessResponse);
    })
    .await;
}
