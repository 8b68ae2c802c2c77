//! What the kernel can do, asked of a socket that is there for nothing else.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
};

use super::sys;

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

    /// Logs them, and whether there is an io_uring.
    pub(in crate::net) fn log(self, io_uring: bool) {
        let Self { gro, gso, pktinfo, recverr, rxq_ovfl, tos, ttl } = self;
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

/// Logs why so many workers have no io_uring, and what to do.
pub(in crate::net) fn log_refusal(error: &io::Error, workers: usize) {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "sysctl kernel.io_uring_disabled, or the container's seccomp profile, refuses it"
        }
        Some(libc::ENOMEM) => "raise the limit of locked memory, `ulimit -l`, by 64 KiB for each worker",
        // Podman's profiles give this number, too.
        Some(libc::ENOSYS) => {
            "this kernel lacks it, and Linux 6.1 and most later ones have it; or the container's seccomp profile says so"
        }
        Some(libc::EINVAL) => "this kernel lacks part of it; Linux 6.1 and most later ones have it",
        _ => "epoll is used",
    };
    tracing::info!(%error, workers, "io_uring is not to be had: {remedy}");
}

/// Whether trains that are sent are cut. A kernel that has never heard of them would send one as one datagram.
pub(super) fn cuts_trains() -> bool {
    any_socket().is_ok_and(|socket| sys::knows_cutting(&socket))
}

fn any_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).or_else(|_| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))
}
