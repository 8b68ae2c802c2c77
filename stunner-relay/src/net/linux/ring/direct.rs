//! A second socket on a relayed transport address, connected to the peer that most is for: the kernel need not look for
//! the way to it with each datagram.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use socket2::SockRef;

use super::{Registered, Rings};
use crate::net::{linux::open_files, tokio_network::bind_relay};

/// So many datagrams in a row are for one peer before it is worth another file.
const BUSY: u32 = 32;

/// The part of the files that a process may have open which are left to these sockets.
const SHARE: usize = 8;

/// What one relayed transport address has.
#[derive(Debug, Default)]
pub(in crate::net::linux) struct Direct {
    peer: Cell<Option<SocketAddr>>,
    in_a_row: Cell<u32>,
    /// It could not be connected to this peer.
    refused: Cell<bool>,
    connected: RefCell<Option<Box<Connected>>>,
}

#[derive(Debug)]
struct Connected {
    peer: SocketAddr,
    socket: UdpSocket,
    registered: Registered,
    _place: Place,
}

impl Direct {
    /// The socket for this peer, if there is one: its descriptor, and its place among the files of the ring.
    pub(in crate::net::linux) fn socket_to(&self, peer: SocketAddr) -> Option<(RawFd, Option<u32>)> {
        let connected = self.connected.borrow();
        let found = connected.as_ref().filter(|found| found.peer == peer)?;
        self.in_a_row.set(0);
        Some((found.socket.as_raw_fd(), found.registered.file))
    }

    /// Whether with this datagram its peer is a busy one, which has no socket of its own.
    pub(in crate::net::linux) fn is_busy(&self, peer: SocketAddr) -> bool {
        if self.peer.replace(Some(peer)) != Some(peer) {
            self.in_a_row.set(0);
            self.refused.set(false);
        }
        self.in_a_row.set(self.in_a_row.get().saturating_add(1));
        self.in_a_row.get() >= BUSY && !self.refused.get()
    }

    /// Connects to this peer, with the socket that there is or with another one that shares the address of `first`. Where that
    /// does not succeed, it is not tried again before something was for another peer.
    ///
    /// # Errors
    /// What the operating system says; there may be too many files.
    pub(in crate::net::linux) fn connect(
        &self,
        first: &UdpSocket,
        known: Registered,
        peer: SocketAddr,
        rings: &Rings,
        prepare: impl FnOnce(&UdpSocket),
    ) -> io::Result<()> {
        self.refused.set(true);
        let mut connected = self.connected.borrow_mut();
        if let Some(found) = &mut *connected {
            found.socket.connect(peer)?;
            found.peer = peer;
            return Ok(());
        }
        let Some(place) = Place::take() else { return Ok(()) };
        let socket = share(first, peer)?;
        prepare(&socket);
        let registered = rings.register(socket.as_raw_fd(), known.token);
        *connected = Some(Box::new(Connected { peer, socket, registered, _place: place }));
        Ok(())
    }

    /// The descriptor of the socket, if there is one.
    pub(in crate::net::linux) fn fd(&self) -> Option<RawFd> {
        self.connected.borrow().as_ref().map(|connected| connected.socket.as_raw_fd())
    }

    /// Closes the socket, which the rings know.
    pub(in crate::net::linux) fn close(&self, rings: &Rings) {
        if let Some(connected) = self.connected.take() {
            rings.forget(connected.registered);
        }
    }
}

/// Another socket on the address of a first one. For this moment alone they let each other, and whoever has the same
/// rights, have it.
fn share(first: &UdpSocket, peer: SocketAddr) -> io::Result<UdpSocket> {
    SockRef::from(first).set_reuse_port(true)?;
    let second = first.local_addr().and_then(|own| bind_relay(own, true)).and_then(|second| {
        second.connect(peer)?;
        SockRef::from(&second).set_reuse_port(false)?;
        Ok(second)
    });
    SockRef::from(first).set_reuse_port(false)?;
    second
}

/// One of the files that are left to these sockets.
#[derive(Debug)]
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Option<Self> {
        static MOST: OnceLock<usize> = OnceLock::new();
        let most = *MOST.get_or_init(|| {
            open_files().map_or(0, |files| usize::try_from(files).unwrap_or(usize::MAX) / SHARE)
        });
        let more = |taken| (taken < most).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
