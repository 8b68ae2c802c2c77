//! The client: against our own server in a small world with virtual time, and against servers that follow a script.

mod allocate;
mod channel;
mod credentials;
mod data;
mod keep;
mod mobility;
mod race;
mod random;
mod redirect;
mod retransmit;
mod script;
mod stream;
mod transaction;
mod world;
mod zero_alloc;
