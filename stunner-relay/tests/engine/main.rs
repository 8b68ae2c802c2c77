//! The engine in a world of its own: virtual time, addresses without sockets, and links that lose packets.

mod admin;
mod algorithms;
mod allocate;
mod auth;
mod base;
mod call;
mod channel;
mod dual;
mod general;
mod hostile;
mod icmp;
mod keys;
mod late;
mod limits;
mod mobility;
mod moving;
mod permission;
mod policy;
mod ports;
mod properties;
mod reconfigure;
mod refresh;
mod send_data;
mod streams;
mod world;
