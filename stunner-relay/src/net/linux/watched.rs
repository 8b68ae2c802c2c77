//! How a socket's worker learns that there is something to receive.
#![expect(unsafe_code, reason = "a file descriptor is watched that belongs to the socket beside it")]

use std::{
    cell::{Cell, OnceCell},
    io,
    net::UdpSocket as StdUdpSocket,
    os::fd::{AsRawFd, RawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::ring::{Direct, Registered, Rings};

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
    /// By epoll, where the rings do not work any more. Dropped before the socket is.
    pub(super) polled: OnceCell<AsyncFd<RawFd>>,
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
            Self::Delivered(delivered) => match delivered.polled.get() {
                Some(polled) => polled.try_io(interest, |_| act()),
                None => act(),
            },
        }
    }
}

impl Delivered {
    /// Has the rings forget it, and its second socket. Returns what the kernel told last of what it dropped of the first.
    pub(super) fn close(&self, rings: &Rings) -> u32 {
        self.direct.close(rings);
        self.registered.take().map_or(0, |registered| rings.forget(registered))
    }

    /// Has epoll tell of it from now on.
    pub(super) fn poll(&self) -> io::Result<&AsyncFd<RawFd>> {
        if let Some(polled) = self.polled.get() {
            return Ok(polled);
        }
        let interest = Interest::READABLE | Interest::ERROR;
        // SAFETY: the descriptor is the socket's, which keeps it open for as long as it lives: longer than this.
        let made = unsafe { AsyncFd::register_with_interest(self.socket.as_raw_fd(), interest) }?;
        Ok(self.polled.get_or_init(|| made))
    }
}
