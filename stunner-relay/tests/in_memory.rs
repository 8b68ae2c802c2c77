//! A server on a network that is not the operating system's: whole lives of allocations in virtual time, and what becomes
//! of packets on their way through the shell.
#![cfg(feature = "tokio")]

#[path = "../../examples/in-memory-network/client.rs"]
mod client;
#[path = "in_memory/contract.rs"]
mod contract;
#[path = "in_memory/life.rs"]
mod life;
#[path = "in_memory/settings.rs"]
mod settings;
#[path = "../../examples/in-memory-network/switchboard.rs"]
mod switchboard;
#[path = "in_memory/watched.rs"]
mod watched;
#[path = "in_memory/world.rs"]
mod world;
#[path = "in_memory/zero_copy.rs"]
mod zero_copy;
