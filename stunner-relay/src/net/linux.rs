//! The traits on Linux: many packets in a system call, and trains of packets that the kernel joins and cuts (GRO, GSO).

use std::{
    cell::{Cell, RefCell},
    io,
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Instant,
};

use tokio::{io::Interest, net::UdpSocket};

use super::{
    socket::{Datagram, DatagramSocket, Network, RecvBatch, SLOTS},
    tokio_network::TokioNetwork,
};

mod control;
mod receive;
mod send;
mod sys;

use receive::Receiver;
use send::Sender;

/// Linux's sockets, and tokio's clock.
///
/// What a kernel or a container refuses is done without from then on: nothing needs to be known beforehand.
#[derive(Clone, Debug)]
pub struct LinuxNetwork {
    shared: Rc<Shared>,
}

/// What all sockets of a worker use, one at a time.
#[derive(Debug)]
struct Shared {
    receiver: RefCell<Receiver>,
    sender: RefCell<Sender>,
    /// Whether the kernel cuts what is sent as one; it has not refused yet.
    cuts: Cell<bool>,
}

/// A UDP socket of one worker.
#[derive(Debug)]
pub struct LinuxSocket {
    socket: UdpSocket,
    shared: Rc<Shared>,
}

impl Default for LinuxNetwork {
    fn default() -> Self {
        let (receiver, sender) = (RefCell::default(), RefCell::default());
        Self { shared: Rc::new(Shared { receiver, sender, cuts: Cell::new(true) }) }
    }
}

impl LinuxNetwork {
    /// A listener's socket. What it is asked for and the kernel does not know is left out.
    pub(super) fn listener(&self, socket: StdUdpSocket) -> io::Result<LinuxSocket> {
        let everywhere = socket.local_addr()?.ip().is_unspecified();
        if !sys::join(&socket) {
            tracing::debug!("the kernel does not join datagrams: it has no UDP_GRO");
        }
        if everywhere && !sys::tell_destination(&socket) {
            tracing::debug!("the kernel does not tell where datagrams went to");
        }
        self.attach(socket)
    }
}

impl Network for LinuxNetwork {
    type Bound = StdUdpSocket;
    type Socket = LinuxSocket;

    fn bind_relay(&self, address: SocketAddr) -> io::Result<StdUdpSocket> {
        TokioNetwork.bind_relay(address)
    }

    fn attach(&self, bound: StdUdpSocket) -> io::Result<LinuxSocket> {
        // On a relayed transport address too: a video's burst comes from one peer.
        sys::join(&bound);
        Ok(LinuxSocket { socket: UdpSocket::from_std(bound)?, shared: self.shared.clone() })
    }

    fn now(&self) -> Instant {
        TokioNetwork.now()
    }
}

impl LinuxSocket {
    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl DatagramSocket for LinuxSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        let mut received = 0;
        let result = self.socket.try_io(Interest::READABLE, || {
            let room = batch.vacant().len().min(SLOTS);
            received = self.shared.receiver.borrow_mut().receive(self.fd(), batch)?;
            // Fewer than there was room for: nothing is left, which tokio must know to wait for more.
            if received < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if received > 0 { Ok(()) } else { result }
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let mut sender = self.shared.sender.borrow_mut();
        let cuts = self.shared.cuts.get();
        match sender.send(self.fd(), datagrams, cuts) {
            Err(error) if cuts && sender.has_trains() && send::is_refusal(&error) => {
                tracing::info!(%error, "the kernel does not cut trains of datagrams: they are sent one by one");
                self.shared.cuts.set(false);
                sender.send(self.fd(), datagrams, false)
            }
            result => result,
        }
    }
}
