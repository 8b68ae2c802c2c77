//! A world in which the steps are taken, and what comes of each.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rand::Rng;
use stunner_proto::{
    Class, MessageBuilder, Method, TransactionId,
    attribute::{
        AdditionalAddressFamily, AddressFamily, Data, Lifetime, RequestedAddressFamily, RequestedTransport,
        XorPeerAddress,
    },
};
use stunner_relay::{Client, Config, PeerPolicy, Server, Verdict};

use super::operations::{CLIENTS, CONNECTED, Families, NAMES, Operation, Peer, Room, Step, hosts};
use crate::world::{
    Answer, LISTENER, Raw, Received, SERVER_V6, User, World, client, config_of_many, message,
};

/// How many allocations a user may have, and how long a nonce is good for.
pub(super) const MAX_PER_USER: usize = 2;
pub(super) const NONCE_LIFETIME: Duration = Duration::from_secs(1_000);

/// Denies one host at most.
struct AllBut(Option<IpAddr>);

impl PeerPolicy for AllBut {
    fn judge(&self, peer: IpAddr, _: Option<u16>, _: &Client, _: &str) -> Verdict {
        Verdict::from(self.0 != Some(peer))
    }
}

/// Data that reached somebody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Delivery {
    /// From a relayed transport address to a peer.
    ToPeer(SocketAddr, SocketAddr, Vec<u8>),
    /// From a peer to a client.
    ToClient(usize, Received),
}

/// What came of a step.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Outcome {
    /// How a request was answered; 0 is success.
    pub(super) code: Option<u16>,
    /// The lifetime that was granted.
    pub(super) lifetime: Option<u32>,
    /// Whom data reached.
    pub(super) delivered: Vec<Delivery>,
}

pub(super) struct Run {
    pub(super) world: World,
    /// The relayed transport addresses that each client has, or had last, by family.
    pub(super) relayed: [[Option<SocketAddr>; 2]; CLIENTS],
    /// Every packet that reached a client or a host.
    pub(super) transcript: Vec<Vec<u8>>,
    config: Config,
    users: [User; CLIENTS],
}

/// Where one of a few clients is.
pub(super) fn address(n: usize) -> SocketAddr {
    client(u8::try_from(n + 1).expect("a few clients"))
}

/// Which of two a family is.
pub(super) fn place(family: AddressFamily) -> usize {
    usize::from(family == AddressFamily::V6)
}

impl Run {
    pub(super) fn new(Room(room): Room, seed: u64) -> Self {
        let mut config = config_of_many();
        config.policy = Arc::new(AllBut(None));
        config.max_allocations_per_user = Some(MAX_PER_USER);
        config.nonce_lifetime = NONCE_LIFETIME;
        config.max_permissions = room;
        config.max_channels = room;
        let mut world = World::seeded(config.clone(), seed);
        world.ports.addresses.push(SERVER_V6);
        world.connect(address(CONNECTED));
        let mut users = std::array::from_fn(|n| User::named(address(n), NAMES[n], "pass"));
        for user in &mut users {
            user.challenge(&mut world);
        }
        Self { world, relayed: [[None; 2]; CLIENTS], transcript: Vec::new(), config, users }
    }

    /// The address behind a name, if it has ever had one.
    pub(super) fn find(&self, peer: Peer) -> Option<SocketAddr> {
        match peer {
            Peer::Host(host) => Some(hosts()[host]),
            Peer::Relayed(client, family) => self.relayed[client][place(family)],
        }
    }

    /// Takes a step. What names an address that nobody has had is left out: nothing comes of it.
    pub(super) fn take(&mut self, step: &Step, data: &[u8]) -> Outcome {
        let mut outcome = Outcome::default();
        match &step.operation {
            Operation::Wait(millis) => self.world.run_for(Duration::from_millis(*millis)),
            Operation::Drain(true) => self.world.operate(|server| server.drain(&[])),
            Operation::Drain(false) => self.world.operate(Server::resume),
            Operation::Deny(host) => {
                self.config.policy = Arc::new(AllBut(host.map(|host| hosts()[host].ip())));
                let config = Arc::new(self.config.clone());
                self.world.operate(|server| server.reconfigure(config));
            }
            Operation::Disconnect => {
                self.world.disconnect(address(CONNECTED));
                self.world.connect(address(CONNECTED));
            }
            Operation::End => {
                let tuple = self.world.client(address(step.client), LISTENER).tuple;
                let id = self.world.server.allocation_of(&tuple);
                id.map(|id| self.world.operate(|server| server.end_allocation(id)));
            }
            Operation::Send(_) | Operation::SendChannel(_) | Operation::Hear(..) => self.send(step, data),
            _ => {
                if let Some(answer) = self.ask(step) {
                    outcome.code = Some(answer.code());
                    outcome.lifetime =
                        answer.message().get().expect("a lifetime or none").map(|Lifetime(l)| l);
                }
            }
        }
        outcome.delivered = self.delivered();
        outcome
    }

    fn ask(&mut self, step: &Step) -> Option<Answer> {
        let (method, peers) = match &step.operation {
            Operation::Allocate { .. } => (Method::ALLOCATE, vec![]),
            Operation::Refresh { .. } => (Method::REFRESH, vec![]),
            Operation::Permit(peers) => (Method::CREATE_PERMISSION, peers.clone()),
            Operation::Bind(_, peer) => (Method::CHANNEL_BIND, vec![*peer]),
            _ => return None,
        };
        let peers: Option<Vec<_>> = peers.into_iter().map(|peer| self.find(peer)).collect();
        let peers = peers?;
        let mut user = self.users[step.client].clone();
        if step.impostor {
            user.name = "mallory";
        }
        let answer = user.ask(&mut self.world, method, |message| {
            let message =
                peers.iter().fold(message, |message, &peer| message.attribute(&XorPeerAddress(peer)));
            attributes(&step.operation, message)
        });
        if answer.code() == 438 {
            self.users[step.client].take_nonce(&answer);
        }
        self.transcript.push(answer.0.clone());
        if method == Method::ALLOCATE && answer.code() == 0 {
            self.relayed[step.client] = [None; 2];
            for relayed in answer.all_relayed() {
                self.relayed[step.client][place(AddressFamily::of(relayed.ip()))] = Some(relayed);
            }
        }
        Some(answer)
    }

    fn send(&mut self, step: &Step, data: &[u8]) {
        let from = address(step.client);
        match step.operation {
            Operation::Send(peer) => {
                let Some(peer) = self.find(peer) else { return };
                let id = TransactionId(self.world.rng.random());
                let bytes = message(Class::Indication, Method::SEND, id, |message| {
                    message.attribute(&XorPeerAddress(peer)).attribute(&Data(data))
                });
                self.world.send(from, LISTENER, &bytes);
            }
            Operation::SendChannel(number) => {
                let len = u16::try_from(data.len()).expect("a few bytes");
                let mut bytes = [&number.to_be_bytes()[..], &len.to_be_bytes(), data].concat();
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                self.world.send(from, LISTENER, &bytes);
            }
            Operation::Hear(peer) => {
                let Some(peer) = self.find(peer) else { return };
                let Some(to) = self.relayed[step.client][usize::from(peer.is_ipv6())] else { return };
                self.world.send(peer, to, data);
            }
            _ => {}
        }
        self.world.settle();
    }

    /// Whom data have reached since the last step.
    fn delivered(&mut self) -> Vec<Delivery> {
        let mut delivered = Vec::new();
        for n in 0..CLIENTS {
            for (_, bytes) in self.world.take(address(n)) {
                delivered.push(Delivery::ToClient(n, Received::parse(&bytes).expect("data of a peer")));
                self.transcript.push(bytes);
            }
        }
        for host in hosts() {
            for (from, data) in self.world.take(host) {
                delivered.push(Delivery::ToPeer(from, host, data.clone()));
                self.transcript.push(data);
            }
        }
        delivered
    }
}

fn attributes<'b>(operation: &Operation, message: MessageBuilder<'b>) -> MessageBuilder<'b> {
    match *operation {
        Operation::Allocate { families, lifetime } => {
            let message = message.attribute(&RequestedTransport::UDP).attribute(&Lifetime(lifetime));
            match families {
                Families::One(family) => message.attribute(&RequestedAddressFamily(family)),
                Families::Both => message.attribute(&AdditionalAddressFamily(AddressFamily::V6)),
            }
        }
        Operation::Refresh { family, lifetime } => {
            let message = message.attribute(&Lifetime(lifetime));
            message.maybe(family.map(RequestedAddressFamily).as_ref())
        }
        Operation::Bind(number, _) => {
            let [high, low] = number.to_be_bytes();
            message.attribute(&Raw::<0x000C>(&[high, low, 0, 0]))
        }
        _ => message,
    }
}
