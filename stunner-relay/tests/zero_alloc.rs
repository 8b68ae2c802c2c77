//! What is done for every packet allocates nothing: relaying both ways, Binding, challenges and Refresh.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use stunner_proto::{
    ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{AddressFamily, Data, Lifetime, Nonce, Realm, RequestedTransport, Username, XorPeerAddress},
};
use stunner_relay::{
    Client, Config, DefaultPolicy, FiveTuple, ListenerId, MAX_REPLY, Output, RelayId, Server, StaticUser,
    Transport,
};

fn client() -> Client {
    let tuple = FiveTuple {
        client: ([198, 51, 100, 1], 40_000).into(),
        server: ([192, 0, 2, 1], 3478).into(),
        transport: Transport::Udp,
    };
    Client { tuple, listener: ListenerId(0), link: 0 }
}

fn peer() -> SocketAddr {
    ([203, 0, 113, 1], 5_000).into()
}

/// A server whose one client has a channel to a peer, and what that client signs with.
struct World {
    server: Server,
    relay: RelayId,
    nonce: String,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let policy = DefaultPolicy::new().allow("203.0.113.0/24".parse().expect("a range"));
        let config = Config::new("example.com", StaticUser::new("user", "pass"), policy);
        let now = some_instant();
        let mut server = Server::new(Arc::new(config), [7; 32], now);
        let mut reply = [0; MAX_REPLY];
        let ask = |message: MessageBuilder<'_>| message.attribute(&RequestedTransport::UDP).finish();
        let mut bytes = [0; 512];
        let len = ask(request(Method::ALLOCATE, &mut bytes)).expect("it fits");
        let Output::Reply(len) = server.handle_client(&bytes[..len], client(), now, &mut reply) else {
            panic!("no challenge")
        };
        let challenge = Message::parse(&reply[..len]).expect("a message");
        let nonce = challenge.require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
        let len = sign(request(Method::ALLOCATE, &mut bytes).attribute(&RequestedTransport::UDP), &nonce);
        let Output::Allocate(asked) = server.handle_client(&bytes[..len], client(), now, &mut reply) else {
            panic!("no allocation")
        };
        let relayed = asked.wants().bind(|_| Ok(([192, 0, 2, 1], 50_000).into()));
        let accepted = server.accept(asked, relayed, now, &mut reply);
        let relay = accepted.relay(AddressFamily::V4).expect("an allocation");
        let message = request(Method::CHANNEL_BIND, &mut bytes).attribute(&ChannelNumber::MIN);
        let len = sign(message.attribute(&XorPeerAddress(peer())), &nonce);
        let _ = server.handle_client(&bytes[..len], client(), now, &mut reply);
        Self { server, relay, nonce, now }
    }

    /// Hands the server a packet a hundred times, and says how often the last of them allocated. The first may: tables
    /// grow, and keys are remembered.
    fn allocations(&mut self, packet: &[u8], is_expected: fn(&Output<'_>) -> bool) -> u64 {
        let mut reply = [0; MAX_REPLY];
        let mut once = || {
            let output = self.server.handle_client(packet, client(), self.now, &mut reply);
            assert!(is_expected(&output), "{output:?}");
        };
        once();
        allocation_counter::measure(|| (0..100).for_each(|_| once())).count_total
    }
}

fn request(method: Method, bytes: &mut [u8]) -> MessageBuilder<'_> {
    MessageBuilder::new(Class::Request, method, TransactionId([7; 12]), bytes)
}

fn sign(message: MessageBuilder<'_>, nonce: &str) -> usize {
    message
        .attribute(&Username::new("user").expect("a name"))
        .attribute(&Realm::new("example.com").expect("a realm"))
        .attribute(&Nonce::new(nonce).expect("a nonce"))
        .integrity(&Key::long_term("user", "example.com", "pass"))
        .finish()
        .expect("it fits")
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
fn some_instant() -> Instant {
    Instant::now()
}

#[test]
fn channel_data_to_a_peer_allocate_nothing() {
    let packet = [&[0x40, 0, 4, 0xB0][..], &[1; 1200]].concat();

    assert_eq!(World::new().allocations(&packet, |output| matches!(output, Output::ToPeer { .. })), 0);
}

#[test]
fn a_send_indication_to_a_peer_allocates_nothing() {
    let mut bytes = [0; 512];
    let len = MessageBuilder::new(Class::Indication, Method::SEND, TransactionId([1; 12]), &mut bytes)
        .attribute(&XorPeerAddress(peer()))
        .attribute(&Data(b"hello"))
        .finish()
        .expect("it fits");

    let allocations =
        World::new().allocations(&bytes[..len], |output| matches!(output, Output::ToPeer { .. }));
    assert_eq!(allocations, 0);
}

#[test]
fn a_peers_data_to_the_client_allocate_nothing() {
    let mut world = World::new();
    let other_port = SocketAddr::new(peer().ip(), 6_000);

    for from in [peer(), other_port] {
        let World { server, relay, now, .. } = &mut world;
        let allocations = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert!(server.handle_peer(&[1; 1200], from, *relay, *now).is_some());
            }
        });
        assert_eq!(allocations.count_total, 0, "{from}");
    }
}

#[test]
fn binding_allocates_nothing() {
    let mut bytes = [0; 20];
    request(Method::BINDING, &mut bytes).finish().expect("it fits");

    assert_eq!(World::new().allocations(&bytes, |output| matches!(output, Output::Reply(32))), 0);
}

#[test]
fn a_challenge_allocates_nothing() {
    let mut bytes = [0; 64];
    let len = request(Method::ALLOCATE, &mut bytes).attribute(&RequestedTransport::UDP).finish();

    let packet = &bytes[..len.expect("it fits")];
    assert_eq!(World::new().allocations(packet, |output| matches!(output, Output::Reply(100..))), 0);
}

#[test]
fn a_refresh_allocates_nothing() {
    let mut world = World::new();
    let mut bytes = [0; 512];
    let len = sign(request(Method::REFRESH, &mut bytes).attribute(&Lifetime(600)), &world.nonce);

    let allocations = world.allocations(&bytes[..len], |output| matches!(output, Output::Reply(_)));
    assert_eq!(allocations, 0);
}
