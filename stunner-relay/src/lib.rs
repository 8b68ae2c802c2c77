//! A TURN server to embed: a sans-IO engine, and a shell that runs it on tokio.
//!
//! [`TurnServer`] is the whole of it: sockets, threads and time. [`Server`] is the engine without them: it takes in packets
//! and says what is to become of each.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use stunner_relay::{Client, Config, DefaultPolicy, FiveTuple, ListenerId, MAX_REPLY, Output, Server, StaticUser, Transport};
//!
//! let config = Config::new("example.com", StaticUser::new("user", "pass"), DefaultPolicy::new());
//! let now = Instant::now();
//! let mut server = Server::new(Arc::new(config), [7; 32], now);
//!
//! let tuple = FiveTuple {
//!     client: "198.51.100.7:4000".parse()?,
//!     server: "192.0.2.1:3478".parse()?,
//!     transport: Transport::Udp,
//! };
//! let client = Client { tuple, listener: ListenerId(0), link: 0 };
//! let binding = *b"\x00\x01\x00\x00\x21\x12\xA4\x42transaction!";
//! let mut reply = [0; MAX_REPLY];
//! let Output::Reply(len) = server.handle_client(&binding, client, now, &mut reply) else { panic!("no answer") };
//! assert_eq!(&reply[..2], b"\x01\x01"); // a Binding success response of `len` bytes
//! # assert_eq!(len, 32);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
#![deny(unsafe_code)]

/// The server of the README, which must compile.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;

mod auth;
pub mod client;
mod config;
mod event;
mod five_tuple;
mod frame;
#[cfg(feature = "tokio")]
pub mod net;
mod policy;
mod server;

pub use auth::{
    Algorithm, Authenticator, Credential, Identity, SharedSecret, StaticUser, TimeSource, UserId,
};
pub use config::Config;
pub use event::{Closed, Counters, Event, Refused, Traffic};
pub use five_tuple::{Client, FiveTuple, ListenerId, Transport};
pub use frame::Frame;
#[cfg(feature = "tokio")]
pub use net::{Listener, RelayAddress, StartError, SystemClock, TurnServer, TurnServerBuilder};
pub use policy::{
    Cidr, ClusterPolicy, DefaultPolicy, LiveRelays, ParseCidrError, PeerPolicy, RelayOnly, Replicas, Verdict,
};
pub use server::{
    Accepted, AllocateRequest, AllocationId, AllocationInfo, Bandwidth, ConnectRequest, Discovery, IcmpError,
    MAX_REPLY, OAuth, Output, PortWish, Refusal, RelayId, Relayed, Server, ToClient, Wants,
};
