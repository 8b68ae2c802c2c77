//! What the kernel can do, asked of a socket that is there for nothing else.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
};

use super::{ring::Rings, sys};

/// What a kernel or a container allows, as far as it can be known before it is used: a network card may still refuse to
/// have trains cut, which is found when one is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::net) struct Features {
    /// Datagrams that came are joined.
    gro: bool,
    /// Trains that are sent are cut.
    gso: bool,
    /// It is told where datagrams went to.
    pktinfo: bool,
    /// ICMP errors are told.
    recverr: bool,
    /// It is told how many datagrams were dropped.
    rxq_ovfl: bool,
    /// DSCP and ECN are told.
    tos: bool,
    /// Hop limits are told.
    ttl: bool,
}

impl Features {
    pub(in crate::net) fn find() -> io::Result<Self> {
        let socket = any_socket()?;
        Ok(Self {
            gro: sys::join(&socket),
            gso: sys::knows_cutting(&socket),
            pktinfo: sys::tell_destination(&socket),
            recverr: sys::tell_errors(&socket),
            rxq_ovfl: sys::tell_dropped(&socket),
            tos: sys::tell_traffic_class(&socket),
            ttl: sys::tell_hop_limit(&socket),
        })
    }

    /// Logs them, and whether there is an io_uring where one is wanted.
    pub(in crate::net) fn log(self, io_uring: bool) {
        let Self { gro, gso, pktinfo, recverr, rxq_ovfl, tos, ttl } = self;
        let io_uring = io_uring && has_io_uring();
        tracing::info!(
            gro,
            gso,
            pktinfo,
            recverr,
            rxq_ovfl,
            tos,
            ttl,
            io_uring,
            "the network is Linux's: batches of packets"
        );
    }
}

/// Whether trains that are sent are cut. A kernel that has never heard of them would send one as one datagram.
pub(super) fn cuts_trains() -> bool {
    any_socket().is_ok_and(|socket| sys::knows_cutting(&socket))
}

fn any_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).or_else(|_| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))
}

/// Asked in a thread of its own: what a ring leaves to be done when it is closed interrupts the calls of the thread that
/// made it.
fn has_io_uring() -> bool {
    let found = std::thread::spawn(|| Rings::new().map(drop)).join();
    let found = found.unwrap_or_else(|_| Err(io::Error::other("it could not be tried")));
    found.inspect_err(|error| tracing::info!(%error, "io_uring is not to be had")).is_ok()
}
