//! What a server logs once when it starts: which sockets it uses, and what the operating system did not give them.

use std::{io, net::UdpSocket};

use socket2::SockRef;

use super::{
    start::{Bound, BoundSocket},
    tokio_network::LISTENER_BUFFER,
};

/// Logs it for all workers, and returns whether these may have an io_uring, where one is wanted. The listeners' buffers are
/// all given alike, so that one of them tells.
pub(super) fn announce(bound: &[Bound], portable: bool, io_uring: bool) -> bool {
    let io_uring = log_network(portable, io_uring);
    let mut sockets = bound.iter().flat_map(|listener| &listener.sockets);
    let udp = sockets.find_map(|socket| match socket {
        BoundSocket::Udp(socket) => Some(socket),
        BoundSocket::Tcp(_) => None,
    });
    if let Some(Ok(given)) = udp.map(Buffers::of) {
        given.complain(LISTENER_BUFFER);
    }
    io_uring
}

#[cfg(target_os = "linux")]
fn log_network(portable: bool, io_uring: bool) -> bool {
    if portable {
        log_portable();
        return false;
    }
    match super::linux::Features::find() {
        Ok(features) => features.log(io_uring),
        Err(error) => {
            tracing::info!(%error, "the network is Linux's; what its kernel can do is not known");
            io_uring
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn log_network(_: bool, _: bool) -> bool {
    log_portable();
    false
}

fn log_portable() {
    tracing::info!("the network is the portable one: a system call for each packet");
}

/// How many bytes of packets the kernel holds for a socket, as numbers that could be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Buffers {
    receive: usize,
    send: usize,
}

impl Buffers {
    fn of(socket: &UdpSocket) -> io::Result<Self> {
        let socket = SockRef::from(socket);
        // Linux takes twice what it is asked for, for its own records, and tells that.
        let share = if cfg!(target_os = "linux") { 2 } else { 1 };
        Ok(Self { receive: socket.recv_buffer_size()? / share, send: socket.send_buffer_size()? / share })
    }

    /// Says what there is less of than was asked for, and what to do.
    fn complain(self, asked: usize) {
        if let Some(remedy) = self.remedy(asked) {
            let Self { receive, send } = self;
            tracing::warn!(
                asked,
                receive,
                send,
                "the buffers of listeners are smaller than asked for, so that bursts are dropped earlier: {remedy}"
            );
        }
    }

    /// What to do to be given so much; `None` where it was given.
    fn remedy(self, asked: usize) -> Option<String> {
        let limits = [(self.receive, "rmem"), (self.send, "wmem")];
        let short = limits.into_iter().filter(|&(given, _)| given < asked);
        let settings: String = short.map(|(_, name)| format!(" net.core.{name}_max={asked}")).collect();
        if settings.is_empty() {
            None
        } else if cfg!(target_os = "linux") {
            Some(format!("raise the limit with `sysctl -w{settings}`"))
        } else {
            Some("raise the operating system's limit".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
