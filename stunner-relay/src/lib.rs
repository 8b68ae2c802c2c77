//! A TURN server to embed: a sans-IO engine, and a shell that runs it on tokio.
#![deny(unsafe_code)]

mod auth;
mod config;
mod event;
mod five_tuple;
mod frame;
#[cfg(feature = "tokio")]
pub mod net;
mod policy;
mod server;

pub use auth::{Authenticator, Credential, Identity, SharedSecret, StaticUser, TimeSource, UserId};
pub use config::Config;
pub use event::{Closed, Counters, Event, Traffic};
pub use five_tuple::{Client, FiveTuple, ListenerId, Transport};
pub use frame::Frame;
#[cfg(feature = "tokio")]
pub use net::{Listener, RelayAddress, StartError, SystemClock, TurnServer, TurnServerBuilder};
pub use policy::{Cidr, DefaultPolicy, LiveRelays, ParseCidrError, PeerPolicy, RelayOnly, Verdict};
pub use server::{
    Accepted, AllocateRequest, Bound, MAX_REPLY, Output, PortWish, Refusal, RelayId, Server, ToClient, Wants,
};
