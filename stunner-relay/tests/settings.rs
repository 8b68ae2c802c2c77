//! What a server may be told beside users and listeners, seen over real sockets.
#![cfg(feature = "tokio")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    time::Duration,
};

use stunner_proto::{
    Attribute, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        ChangeRequest, MobilityTicket, OtherAddress, RequestedTransport, ResponseOrigin, XorMappedAddress,
    },
};
use stunner_relay::{Listener, RelayAddress, StartError, StaticUser, TurnServer, TurnServerBuilder};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Another address of every Linux machine.
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn builder() -> TurnServerBuilder {
    TurnServer::builder()
        .authenticator(StaticUser::new("user", "pass"))
        .listen(Listener::udp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(LOCALHOST))
}

/// Where the server's nth listener is.
fn listener(server: &TurnServer, n: usize) -> SocketAddr {
    server.listeners()[n].address().parse().expect("an address")
}

fn request(method: Method, build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    let message = MessageBuilder::new(Class::Request, method, TransactionId([7; 12]), &mut bytes);
    let len = build(message).finish().expect("it fits");
    bytes.truncate(len);
    bytes
}

/// What is answered to a request from a new socket, and from where.
fn ask(server: SocketAddr, request: &[u8]) -> (Vec<u8>, SocketAddr, SocketAddr) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    socket.send_to(request, server).expect("it is there");
    let mut bytes = vec![0; 1_500];
    let (len, from) = socket.recv_from(&mut bytes).expect("an answer");
    bytes.truncate(len);
    (bytes, from, socket.local_addr().expect("an address"))
}

/// An attribute that an answer has.
fn get<'a, A: Attribute<'a>>(answer: &'a [u8]) -> A {
    Message::parse(answer).expect("a message").require().expect("it is there")
}

#[cfg(target_os = "linux")]
mod discovery {
    use super::*;

    /// Two addresses with the same two ports: the second port may be another program's on the first address.
    fn server() -> TurnServer {
        let started = std::iter::repeat_with(|| builder().behaviour_discovery((SECOND, 0).into()).start());
        let mut started = started.take(20).filter(|started| !matches!(started, Err(StartError::Busy(_))));
        started.next().expect("two free ports").expect("a server")
    }

    #[test]
    fn nat_01_a_server_with_two_addresses_tells_both() {
        let server = server();
        let [first, second] = [0, 1].map(|n| listener(&server, n));

        let (answer, from, client) = ask(first, &request(Method::BINDING, |message| message));

        assert_eq!((from, get(&answer)), (first, ResponseOrigin(first)));
        assert_eq!(get::<OtherAddress>(&answer), OtherAddress(second));
        assert_eq!(get::<XorMappedAddress>(&answer), XorMappedAddress(client));
    }

    #[test]
    fn nat_02_the_answer_comes_from_where_it_is_asked_for_on_each_of_the_four() {
        let server = server();
        let [first, second] = [0, 1].map(|n| listener(&server, n));
        let all = [first.ip(), second.ip()].map(|ip| [first.port(), second.port()].map(|port| (ip, port)));

        for own in all.concat().into_iter().map(SocketAddr::from) {
            for (ip, port) in [(false, true), (true, false), (true, true)] {
                let changed =
                    request(Method::BINDING, |message| message.attribute(&ChangeRequest { ip, port }));
                let (answer, from, _) = ask(own, &changed);

                assert_eq!(from.ip() != own.ip(), ip, "{own}");
                assert_eq!(from.port() != own.port(), port, "{own}");
                assert_eq!(get::<ResponseOrigin>(&answer), ResponseOrigin(from));
            }
        }
    }

    #[test]
    fn a_second_address_that_does_not_differ_in_both_parts_is_refused() {
        for (listener, second) in [
            ("127.0.0.1:0", SocketAddr::from((LOCALHOST, 1))),
            ("0.0.0.0:0", SocketAddr::from((SECOND, 0))),
            ("127.0.0.1:0", "[::1]:0".parse().expect("an address")),
        ] {
            let started = TurnServer::builder()
                .authenticator(StaticUser::new("user", "pass"))
                .listen(Listener::udp(listener))
                .relay_address(RelayAddress::bind(LOCALHOST))
                .behaviour_discovery(second)
                .start();
            assert!(matches!(started, Err(StartError::BadAlternate(at, _)) if at == second), "{second}");
        }
    }
}

#[test]
fn mobility_is_refused_with_clear_words_where_there_are_several_workers() {
    let two = NonZeroUsize::new(2).expect("two");

    let refused = builder().workers(two).mobility().start().expect_err("no server");

    assert_eq!(
        refused.to_string(),
        "mobility needs one worker, and 2 were asked for: leave workers() out, or give it one"
    );
}

#[test]
fn mob_01_and_alc_47_a_server_that_needs_no_credentials_gives_tickets_too() {
    let server = TurnServer::builder()
        .unauthenticated()
        .mobility()
        .listen(Listener::udp("127.0.0.1:0"))
        .relay_address(RelayAddress::bind(LOCALHOST))
        .start()
        .expect("a server");
    let allocate = request(Method::ALLOCATE, |message| {
        message.attribute(&RequestedTransport::UDP).attribute(&MobilityTicket(&[]))
    });

    let (answer, ..) = ask(listener(&server, 0), &allocate);

    assert_eq!(get::<MobilityTicket<'_>>(&answer).0.len(), 40);
    assert_eq!(server.stats().allocations, 1);
}

#[test]
fn a_domain_that_does_not_fit_is_refused() {
    let refused = builder().alternate_domain(&"x".repeat(256)).start();

    assert!(matches!(refused, Err(StartError::BadAlternateDomain(_))));
}
