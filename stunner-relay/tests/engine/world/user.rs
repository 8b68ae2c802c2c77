//! A client that asks one thing at a time, over a link that loses nothing, and looks at the answer.

use std::net::SocketAddr;

use rand::Rng;
use stunner_proto::{
    Class, Key, MessageBuilder, Method, TransactionId,
    attribute::{
        AddressFamily, Data, Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
        RequestedAddressFamily, RequestedTransport, Userhash, Username, XorPeerAddress,
    },
};
use stunner_relay::{Algorithm, Config, PeerPolicy};

use super::{Answer, Everyone, LISTENER, Raw, Received, SERVER_V6, World, client, config, message};

/// It keeps its realm and nonce, but takes no new ones by itself.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) address: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    /// What it chooses of the algorithms it was offered; nothing where it knows of no such choice, and has MD5.
    pub(crate) chosen: Option<Algorithm>,
    /// Whether it gives the hash of its name only.
    pub(crate) anonymous: bool,
}

/// A world in which client 1 has an allocation and may reach everyone; and its relayed transport address.
pub(crate) fn allocated() -> (World, User, SocketAddr) {
    allocated_in(config(Everyone))
}

/// The same with another configuration.
pub(crate) fn allocated_in(config: Config) -> (World, User, SocketAddr) {
    let mut world = World::new(config);
    let mut user = User::new(client(1));
    let relayed = user.allocate(&mut world);
    (world, user, relayed)
}

/// A world in which client 1 has an allocation in IPv6, and a policy.
pub(crate) fn allocated_v6(policy: impl PeerPolicy) -> (World, User, SocketAddr) {
    let mut world = World::new(config(policy));
    world.ports.addresses.push(SERVER_V6);
    let mut user = User::new(client(1));
    let answer = user
        .ask_to_allocate(&mut world, |message| message.attribute(&RequestedAddressFamily(AddressFamily::V6)));
    let relayed = answer.relayed();
    (world, user, relayed)
}

impl User {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::named(address, "user", "pass")
    }

    pub(crate) fn named(address: SocketAddr, name: &'static str, password: &'static str) -> Self {
        let (realm, nonce) = (String::new(), String::new());
        Self { address, server: LISTENER, name, password, realm, nonce, chosen: None, anonymous: false }
    }

    pub(crate) fn key(&self) -> Key {
        match self.chosen {
            Some(Algorithm::Sha256) => Key::long_term_sha256(self.name, &self.realm, self.password),
            _ => Key::long_term(self.name, &self.realm, self.password),
        }
    }

    /// Asks without credentials, and keeps the realm and the nonce of the refusal.
    pub(crate) fn challenge(&mut self, world: &mut World) -> Answer {
        let refused = self.request(world, Method::ALLOCATE, |message| message).expect("a refusal");
        self.take_nonce(&refused);
        refused
    }

    /// Uses the realm and the nonce of an answer from now on.
    pub(crate) fn take_nonce(&mut self, answer: &Answer) {
        self.realm = answer.get::<Realm<'_>>().as_str().to_owned();
        self.nonce = answer.get::<Nonce<'_>>().as_str().to_owned();
    }

    /// Sends a request as it is, and returns its answer, if there is one.
    pub(crate) fn request(
        &self,
        world: &mut World,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Option<Answer> {
        let id = TransactionId(world.rng.random());
        let bytes = message(Class::Request, method, id, build);
        let answer = self.exchange(world, &bytes)?;
        assert_eq!(answer.message().transaction_id(), id);
        assert_eq!(answer.message().method(), method);
        Some(answer)
    }

    /// Sends these bytes, and returns their answer, if there is one.
    pub(crate) fn exchange(&self, world: &mut World, bytes: &[u8]) -> Option<Answer> {
        let mut answers = world.exchange(self.address, self.server, bytes);
        assert!(answers.len() < 2, "one packet gave {}", answers.len());
        answers.pop().map(Answer)
    }

    /// Sends a signed request. Its answer is signed too, unless it is a challenge (RFC 8489, section 9.2.4).
    pub(crate) fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Answer {
        if self.nonce.is_empty() {
            self.challenge(world);
        }
        let key = self.key();
        let answer =
            self.request(world, method, |message| self.sign(build(message), &key)).expect("an answer");
        let signed = answer.message().authenticate(&key).is_ok();
        assert_eq!(signed, !matches!(answer.code(), 401 | 438), "{:?}", answer.message());
        answer
    }

    /// The bytes of a signed request, to be sent as often as a test likes.
    pub(crate) fn signed(
        &self,
        method: Method,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Vec<u8> {
        let key = self.key();
        message(Class::Request, method, TransactionId([9; 12]), |message| self.sign(build(message), &key))
    }

    pub(crate) fn sign<'b>(&self, message: MessageBuilder<'b>, key: &Key) -> MessageBuilder<'b> {
        let message = self.credentials(message);
        if self.chosen.is_some() { message.integrity_sha256(key) } else { message.integrity(key) }
    }

    /// USERNAME or USERHASH, REALM, NONCE, and what was chosen of the algorithms.
    pub(crate) fn credentials<'b>(&self, message: MessageBuilder<'b>) -> MessageBuilder<'b> {
        let message = if self.anonymous {
            message.attribute(&Userhash::new(self.name, &self.realm))
        } else {
            message.attribute(&Username::new(self.name).expect("a name"))
        };
        let chosen = self.chosen.map(|chosen| match chosen {
            Algorithm::Md5 => PasswordAlgorithm::MD5,
            Algorithm::Sha256 => PasswordAlgorithm::SHA256,
        });
        message
            .attribute(&Realm::new(&self.realm).expect("a realm"))
            .attribute(&Nonce::new(&self.nonce).expect("a nonce"))
            .maybe(chosen.map(|_| PasswordAlgorithms::SHA256_MD5).as_ref())
            .maybe(chosen.as_ref())
    }

    /// An Allocate for UDP, and what else is asked for.
    pub(crate) fn ask_to_allocate(
        &mut self,
        world: &mut World,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) -> Answer {
        self.ask(world, Method::ALLOCATE, |message| build(message.attribute(&RequestedTransport::UDP)))
    }

    /// An allocation of the plainest kind.
    pub(crate) fn allocate(&mut self, world: &mut World) -> SocketAddr {
        let answer = self.ask_to_allocate(world, |message| message);
        assert_eq!(answer.code(), 0);
        answer.relayed()
    }

    pub(crate) fn refresh(&mut self, world: &mut World, lifetime: u32) -> Answer {
        self.ask(world, Method::REFRESH, |message| message.attribute(&Lifetime(lifetime)))
    }

    /// CreatePermission for these peers; the code of its answer.
    pub(crate) fn permit(&mut self, world: &mut World, peers: &[SocketAddr]) -> u16 {
        let answer = self.ask(world, Method::CREATE_PERMISSION, |message| {
            peers.iter().fold(message, |message, &peer| message.attribute(&XorPeerAddress(peer)))
        });
        answer.code()
    }

    /// ChannelBind, whether the number is allowed or not; the code of its answer.
    pub(crate) fn bind(&mut self, world: &mut World, number: u16, peer: SocketAddr) -> u16 {
        let [high, low] = number.to_be_bytes();
        let answer = self.ask(world, Method::CHANNEL_BIND, |message| {
            message.attribute(&Raw::<0x000C>(&[high, low, 0, 0])).attribute(&XorPeerAddress(peer))
        });
        answer.code()
    }

    /// Sends data by a Send indication.
    pub(crate) fn send(&self, world: &mut World, peer: SocketAddr, data: &[u8]) {
        self.indicate(world, |message| message.attribute(&XorPeerAddress(peer)).attribute(&Data(data)));
    }

    /// A Send indication of any kind, which nobody answers.
    pub(crate) fn indicate(
        &self,
        world: &mut World,
        build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
    ) {
        let id = TransactionId(world.rng.random());
        let bytes = message(Class::Indication, Method::SEND, id, build);
        assert_eq!(self.exchange(world, &bytes), None);
    }

    /// Sends data by a ChannelData message.
    pub(crate) fn send_channel(&self, world: &mut World, number: u16, data: &[u8]) {
        let len = u16::try_from(data.len()).expect("it fits");
        let mut bytes = [&number.to_be_bytes()[..], &len.to_be_bytes(), data].concat();
        if world.client(self.address, self.server).tuple.transport.is_stream() {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        assert_eq!(self.exchange(world, &bytes), None);
    }

    /// Whether a Send indication brings data to a peer.
    pub(crate) fn reaches(&self, world: &mut World, peer: SocketAddr) -> bool {
        self.send(world, peer, b"there");
        !world.take(peer).is_empty()
    }

    /// Whether a ChannelData message brings data to a peer.
    pub(crate) fn reaches_over(&self, world: &mut World, number: u16, peer: SocketAddr) -> bool {
        self.send_channel(world, number, b"there");
        !world.take(peer).is_empty()
    }

    /// Whether a peer's data come from the relayed transport address to the client.
    pub(crate) fn hears(&self, world: &mut World, peer: SocketAddr, relayed: SocketAddr) -> bool {
        world.send(peer, relayed, b"back");
        !self.received(world).is_empty()
    }

    /// What came from peers since the last call.
    pub(crate) fn received(&self, world: &mut World) -> Vec<Received> {
        world.settle();
        let came = world.take(self.address).into_iter();
        came.map(|(from, bytes)| {
            assert_eq!(from, self.server);
            Received::parse(&bytes).expect("data of a peer")
        })
        .collect()
    }
}
