//! How a socket's worker learns that there is something to receive.

use std::{cell::Cell, io, net::UdpSocket as StdUdpSocket};

use tokio::io::{Interest, unix::AsyncFd};

use super::ring::{Direct, Registered};

/// How it is known that there is something to receive.
#[derive(Debug)]
pub(super) enum Watched {
    /// By epoll. It is watched for what comes and not for room to send: the kernel would tell of that behind every
    /// datagram sent.
    Polled(AsyncFd<StdUdpSocket>),
    /// By the rings, once they were asked.
    Delivered(Delivered),
}

/// A socket that the rings tell of.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) socket: StdUdpSocket,
    pub(super) registered: Cell<Option<Registered>>,
    pub(super) direct: Direct,
    /// Something that leaves by it is about to be handed to the ring.
    pub(super) gathered: Cell<bool>,
}

impl Watched {
    pub(super) fn get_ref(&self) -> &StdUdpSocket {
        match self {
            Self::Polled(socket) => socket.get_ref(),
            Self::Delivered(delivered) => &delivered.socket,
        }
    }

    /// Does what can be done without waiting; where it says that nothing is left, epoll must tell anew.
    pub(super) fn try_io<T>(&self, interest: Interest, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Polled(socket) => socket.try_io(interest, |_| act()),
            Self::Delivered(_) => act(),
        }
    }
}
