//! The other side of the engine: a TURN client without socket, clock, thread or log.
//!
//! A [`Client`] has one allocation on one server. Give it the packets that come from there and the time; send what it
//! wants sent. It authenticates, asks again, and renews by itself what was asked for once.
//!
//! ```
//! use std::time::Instant;
//! use stunner_relay::client::{Client, Config, Event, MAX_REQUEST};
//!
//! let (local, server) = ("198.51.100.7:4000".parse()?, "192.0.2.1:3478".parse()?);
//! let now = Instant::now();
//! let mut client = Client::new(Config::new("user", "pass"), local, server, [7; 32], now)?;
//!
//! // After every call, and when `poll_timeout` says so: call `handle_timeout`, then send what there is to send.
//! client.handle_timeout(now);
//! let mut buffer = [0; MAX_REQUEST];
//! while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
//!     assert_eq!((transmit.from, transmit.to), (local, server));
//!     assert_eq!(buffer[..2], [0x00, 0x03]); // an Allocate request of `transmit.len` bytes
//! }
//! // What comes from the server goes to `handle_input`; what the client has to tell comes from `poll_event`.
//! while let Some(event) = client.poll_event() {
//!     if let Event::Allocated(allocated) = event {
//!         client.permit("203.0.113.9".parse()?, now)?;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use stunner_proto::{
    Class, Message, Method, TooLong,
    attribute::{Realm, Software, Username},
    framing::Kind,
};

use crate::FiveTuple;
use allocate::{State, Wishes};
use channel::Channels;
use credentials::Credentials;
use mobility::Paths;
use permission::Permissions;
use redirect::Redirects;
use schedule::{Due, Schedule};
use transaction::Transactions;

mod allocate;
mod channel;
mod config;
mod credentials;
mod data;
mod event;
mod mobility;
mod permission;
mod race;
mod redirect;
mod refresh;
mod request;
mod response;
mod rto;
mod schedule;
mod transaction;

pub use allocate::RestartError;
pub use config::{Config, Port, Wanted};
pub use data::{Received, SendError};
pub use event::{Allocated, Event, Failure, Lost, Request, Retry};
pub use mobility::MigrateError;
pub use permission::RequestError;
pub use race::Race;

/// The longest request in bytes: what passes every network unfragmented.
pub const MAX_REQUEST: usize = 1232;

/// How long to wait before what the server did not answer is tried again: 5 s.
const RETRY_PAUSE: u64 = 5_000;

/// A request that is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Transmit {
    /// How many bytes of the buffer.
    pub len: usize,
    /// From which address of the client's: another one than before while the client [moves](Client::migrate).
    pub from: SocketAddr,
    /// To which server.
    pub to: SocketAddr,
}

/// A TURN client without sockets, for one allocation.
#[derive(Debug)]
pub struct Client {
    config: Config,
    start: Instant,
    rng: StdRng,
    tuple: FiveTuple,
    credentials: Credentials,
    transactions: Transactions,
    schedule: Schedule,
    state: State,
    wishes: Wishes,
    permissions: Permissions,
    channels: Channels,
    paths: Paths,
    redirects: Redirects,
    events: VecDeque<Event>,
}

impl Client {
    /// A client at `local` that asks `server` for an allocation. `seed` is secret: transaction IDs come from it.
    ///
    /// # Errors
    /// [`TooLong`], where username, realm or software do not fit their attributes.
    pub fn new(
        config: Config,
        local: SocketAddr,
        server: SocketAddr,
        seed: [u8; 32],
        now: Instant,
    ) -> Result<Self, TooLong> {
        Username::new(&config.username)?;
        config.realm.as_deref().map(Realm::new).transpose()?;
        config.software.as_deref().map(Software::new).transpose()?;
        let mut client = Self {
            start: now,
            rng: StdRng::from_seed(seed),
            tuple: FiveTuple { client: local, server, transport: config.transport },
            credentials: Credentials::default(),
            transactions: Transactions::new(&config),
            schedule: Schedule::default(),
            state: State::Idle,
            wishes: Wishes::new(&config),
            permissions: Permissions::default(),
            channels: Channels::default(),
            paths: Paths::default(),
            redirects: Redirects::default(),
            events: VecDeque::new(),
            config,
        };
        client.allocate(0);
        Ok(client)
    }

    /// Takes in one packet: a datagram, or one frame of a stream. Data of a peer come back, where they are; everything
    /// else is dealt with. A packet that is not from the server is none of the client's.
    #[inline]
    pub fn handle_input<'p>(
        &mut self,
        packet: &'p [u8],
        from: SocketAddr,
        now: Instant,
    ) -> Option<Received<'p>> {
        if from != self.tuple.server {
            return None;
        }
        match Kind::of(*packet.first()?) {
            Kind::ChannelData => self.channel_data(packet),
            Kind::Message => self.message(Message::parse(packet).ok()?, now),
            Kind::Other => None,
        }
    }

    fn message<'p>(&mut self, message: Message<'p>, now: Instant) -> Option<Received<'p>> {
        match (message.class(), message.method()) {
            (Class::Indication, Method::DATA) => self.data_indication(message),
            (Class::SuccessResponse | Class::ErrorResponse, _) => {
                self.response(message, self.time(now));
                None
            }
            _ => None,
        }
    }

    /// Writes the next request that is to be sent now.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8; MAX_REQUEST]) -> Option<Transmit> {
        let transaction = self.transactions.transmit(self.time(now))?;
        let len = transaction.bytes.len();
        buf[..len].copy_from_slice(&transaction.bytes);
        Some(Transmit { len, from: transaction.local, to: self.tuple.server })
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) are to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = [self.transactions.next(), self.schedule.next()].into_iter().flatten().min();
        next.map(|at| self.instant(at))
    }

    /// Gives up what was not answered, and renews what is about to expire.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.time(now);
        while let Some(transaction) = self.transactions.expire(now) {
            self.time_out(&transaction, now);
        }
        while let Some(due) = self.schedule.pop(now) {
            match due {
                Due::Refresh => self.ask(Request::Refresh, now),
                Due::Expiry => self.lose(Lost::Expired),
                Due::Permission(ip) => self.renew_permission(ip, now),
                Due::PermissionEnd(ip) => self.permission_ended(ip),
                Due::Channel(peer) => self.ask_channel(peer, now),
                Due::ChannelEnd(peer) => self.channel_ended(peer, now),
                Due::ChannelFree(peer) => self.channel_freed(peer),
            }
        }
        self.begin(now);
    }

    /// What happened since the last call, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whom the client talks to, and from where: frames of [`send`](Self::send) go this way.
    #[must_use]
    pub const fn five_tuple(&self) -> FiveTuple {
        self.tuple
    }

    /// The allocation, while there is one.
    #[must_use]
    pub const fn allocated(&self) -> Option<&Allocated> {
        match &self.state {
            State::Allocated(allocation) => Some(&allocation.granted),
            _ => None,
        }
    }

    fn time(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(&self, at: u64) -> Instant {
        self.start + Duration::from_millis(at)
    }
}
