//! The engine in a world of its own: virtual time, addresses without sockets, and links that lose packets.

mod call;
mod hostile;
mod relaying;
mod turn;
mod world;
