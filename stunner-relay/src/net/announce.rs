//! What a server logs once when it starts: which sockets it uses, and what the operating system did not give them.

use std::{io, net::UdpSocket};

use socket2::SockRef;

#[cfg(target_os = "linux")]
use super::{TokioNetwork, socket::Network};
use super::{
    start::{Bound, BoundSocket},
    tokio_network::LISTENER_BUFFER,
};

/// Logs what the listeners' buffers are short of. All are given alike, so that one of them tells.
pub(super) fn announce_buffers(bound: &[Bound]) {
    let mut sockets = bound.iter().flat_map(|listener| &listener.sockets);
    let udp = sockets.find_map(|socket| match socket {
        BoundSocket::Udp(socket) => Some(socket),
        BoundSocket::Tcp(_) => None,
    });
    if let Some(Ok(given)) = udp.map(Buffers::of) {
        given.complain(LISTENER_BUFFER);
    }
}

/// Logs what the workers relay by, and once why some have no io_uring though they were to.
#[cfg(target_os = "linux")]
pub(super) fn announce_network(networks: &[&str], refusals: &[io::Error]) {
    if networks.contains(&TokioNetwork.name()) {
        return log_portable();
    }
    if let Some(error) = refusals.first() {
        super::linux::log_refusal(error, refusals.len());
    }
    let io_uring = networks.contains(&super::linux::IO_URING);
    match super::linux::Features::find() {
        Ok(features) => features.log(io_uring),
        Err(error) => {
            tracing::info!(%error, io_uring, "the network is Linux's; what its kernel can do is not known");
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn announce_network(_: &[&str], _: &[io::Error]) {
    log_portable();
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
