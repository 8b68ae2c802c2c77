//! A TURN client that lives by itself: it asks again until it is answered, and refreshes what would expire.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::{
    ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        Data, ErrorCode, Lifetime, Nonce, Realm, RequestedTransport, Username, XorPeerAddress,
        XorRelayedAddress,
    },
};

use super::{Received, message};

/// The retransmission constants (RFC 8489, section 6.2.1).
const RTO: Duration = Duration::from_millis(500);
const RC: u32 = 7;
const RM: u32 = 16;

/// How long before its expiry an allocation is refreshed.
const MARGIN: Duration = Duration::from_secs(60);

/// How often a permission, of 300 s, and a channel, of 600 s, are refreshed.
const PERMISSION: Duration = Duration::from_secs(240);
const CHANNEL: Duration = Duration::from_secs(500);

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Purpose {
    Allocate,
    Refresh,
    Permit(IpAddr),
    Bind(u16, SocketAddr),
}

struct Transaction {
    purpose: Purpose,
    bytes: Vec<u8>,
    key: Option<Key>,
    sent: u32,
    next: Instant,
}

pub(crate) struct TurnClient {
    /// Its relayed transport address, once it has one.
    pub(crate) relayed: Option<SocketAddr>,
    /// What came from peers.
    pub(crate) received: Vec<Received>,
    /// What was refused, with the code, or never answered.
    pub(crate) failures: Vec<(Purpose, Option<u16>)>,
    /// How often each purpose was served.
    pub(crate) served: BTreeMap<Purpose, u32>,
    name: &'static str,
    password: &'static str,
    /// Realm, nonce and key, once the server has told the first two.
    credentials: Option<(String, String, Key)>,
    transactions: BTreeMap<TransactionId, Transaction>,
    renewals: BTreeMap<Purpose, Instant>,
    outgoing: VecDeque<Vec<u8>>,
    rng: StdRng,
}

impl TurnClient {
    /// A client that is about to allocate.
    pub(crate) fn new(name: &'static str, password: &'static str, seed: u64, now: Instant) -> Self {
        let mut client = Self {
            relayed: None,
            received: Vec::new(),
            failures: Vec::new(),
            served: BTreeMap::new(),
            name,
            password,
            credentials: None,
            transactions: BTreeMap::new(),
            renewals: BTreeMap::new(),
            outgoing: VecDeque::new(),
            rng: StdRng::seed_from_u64(seed),
        };
        client.start(Purpose::Allocate, now);
        client
    }

    /// Permits a peer, and goes on doing so.
    pub(crate) fn permit(&mut self, peer: IpAddr, now: Instant) {
        self.start(Purpose::Permit(peer), now);
    }

    /// Binds a channel, and keeps it bound; a permission alone is renewed more often.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) {
        self.start(Purpose::Bind(number, peer), now);
        self.permit(peer.ip(), now);
    }

    /// Whether all that was asked was answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.transactions.is_empty()
    }

    /// The data as the client would send them: over the peer's channel if it has one.
    pub(crate) fn packet(&mut self, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
        let channel = self.served.keys().find_map(|purpose| match *purpose {
            Purpose::Bind(number, bound) if bound == peer => Some(number),
            _ => None,
        });
        match channel {
            Some(number) => {
                let len = u16::try_from(data.len()).expect("it fits");
                [&number.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
            }
            None => message(Class::Indication, Method::SEND, TransactionId(self.rng.random()), |message| {
                message.attribute(&XorPeerAddress(peer)).attribute(&Data(data))
            }),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let repeats = self.transactions.values().map(|transaction| transaction.next);
        repeats.chain(self.renewals.values().copied()).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<_> =
            self.renewals.iter().filter(|&(_, &at)| at <= now).map(|(&purpose, _)| purpose).collect();
        for purpose in due {
            self.start(purpose, now);
        }
        let Self { transactions, outgoing, failures, .. } = self;
        transactions.retain(|_, transaction| {
            let over = transaction.next <= now && transaction.sent == RC;
            if over {
                failures.push((transaction.purpose, None));
            } else if transaction.next <= now {
                outgoing.push_back(transaction.bytes.clone());
                transaction.sent += 1;
                let wait = if transaction.sent == RC { RM } else { 1 << (transaction.sent - 1) };
                transaction.next = now + wait * RTO;
            }
            !over
        });
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    pub(crate) fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if let Some(received) = Received::parse(bytes) {
            return self.received.push(received);
        }
        let response = Message::parse(bytes).expect("a message");
        let id = response.transaction_id();
        // What is unknown was answered before: a request or its answer came twice.
        let Some(transaction) = self.transactions.remove(&id) else { return };
        if response.class() == Class::SuccessResponse {
            let key = transaction.key.expect("nothing is granted without credentials");
            assert!(response.authenticate(&key).is_ok(), "{response:?} is not signed with the client's key");
            self.succeed(transaction.purpose, response, now);
        } else {
            let code = response.require::<ErrorCode<'_>>().expect("an error has a code").code();
            let challenged = code == 438 || code == 401 && transaction.key.is_none();
            if challenged {
                self.take_nonce(response);
                self.start(transaction.purpose, now);
            } else {
                self.failures.push((transaction.purpose, Some(code)));
            }
        }
    }

    fn succeed(&mut self, purpose: Purpose, response: Message<'_>, now: Instant) {
        *self.served.entry(purpose).or_default() += 1;
        let lifetime = || response.require::<Lifetime>().map(|Lifetime(seconds)| seconds);
        let (again, after) = match purpose {
            Purpose::Allocate => {
                let XorRelayedAddress(relayed) = response.require().expect("a relayed transport address");
                self.relayed = Some(relayed);
                (Purpose::Refresh, Duration::from_secs(lifetime().expect("a lifetime").into()) - MARGIN)
            }
            Purpose::Refresh => {
                (purpose, Duration::from_secs(lifetime().expect("a lifetime").into()) - MARGIN)
            }
            Purpose::Permit(_) => (purpose, PERMISSION),
            Purpose::Bind(..) => (purpose, CHANNEL),
        };
        self.renewals.insert(again, now + after);
    }

    fn take_nonce(&mut self, response: Message<'_>) {
        let realm = response.require::<Realm<'_>>().expect("a realm").as_str().to_owned();
        let nonce = response.require::<Nonce<'_>>().expect("a nonce").as_str().to_owned();
        let key = Key::long_term(self.name, &realm, self.password);
        self.credentials = Some((realm, nonce, key));
    }

    fn start(&mut self, purpose: Purpose, now: Instant) {
        self.renewals.remove(&purpose);
        let method = match purpose {
            Purpose::Allocate => Method::ALLOCATE,
            Purpose::Refresh => Method::REFRESH,
            Purpose::Permit(_) => Method::CREATE_PERMISSION,
            Purpose::Bind(..) => Method::CHANNEL_BIND,
        };
        let id = TransactionId(self.rng.random());
        let bytes = message(Class::Request, method, id, |message| self.sign(attributes(purpose, message)));
        let key = self.credentials.as_ref().map(|(_, _, key)| key.clone());
        self.transactions.insert(id, Transaction { purpose, bytes, key, sent: 0, next: now });
        self.handle_timeout(now);
    }

    fn sign<'b>(&self, message: MessageBuilder<'b>) -> MessageBuilder<'b> {
        let Some((realm, nonce, key)) = &self.credentials else { return message };
        message
            .attribute(&Username::new(self.name).expect("a name"))
            .attribute(&Realm::new(realm).expect("a realm"))
            .attribute(&Nonce::new(nonce).expect("a nonce"))
            .integrity(key)
    }
}

fn attributes(purpose: Purpose, message: MessageBuilder<'_>) -> MessageBuilder<'_> {
    match purpose {
        Purpose::Allocate => message.attribute(&RequestedTransport::UDP),
        Purpose::Refresh => message.attribute(&Lifetime(600)),
        Purpose::Permit(peer) => message.attribute(&XorPeerAddress(SocketAddr::new(peer, 0))),
        Purpose::Bind(number, peer) => {
            let number = ChannelNumber::new(number).expect("a channel number");
            message.attribute(&number).attribute(&XorPeerAddress(peer))
        }
    }
}
