//! The traits on Linux: many packets in a system call, and trains of packets that the kernel joins and cuts (GRO, GSO).

use std::{
    cell::{Cell, RefCell},
    io,
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Instant,
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{
    socket::{Datagram, DatagramSocket, Network, Ready, RecvBatch, SLOTS},
    tokio_network::TokioNetwork,
};
use crate::IcmpError;

mod control;
mod features;
mod limit;
mod receive;
mod send;
mod sys;
#[cfg(test)]
mod tests;

pub(super) use features::Features;
pub(super) use limit::{open_files, raise_open_files};
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
    /// Watched for what comes and not for room to send: the kernel would tell of that behind every datagram sent.
    socket: AsyncFd<StdUdpSocket>,
    shared: Rc<Shared>,
    /// How many messages the next call asks for: each costs a little, whether it comes or not.
    ask: Cell<usize>,
    /// How many it asks for at least.
    few: usize,
    /// How many datagrams the kernel dropped because the socket was full, as far as it told.
    dropped: Cell<u64>,
}

/// Most relayed transport addresses have one or two packets waiting; a listener has those of all clients.
const FEW: usize = 4;

impl Default for LinuxNetwork {
    fn default() -> Self {
        let (receiver, sender) = (RefCell::default(), RefCell::default());
        Self { shared: Rc::new(Shared { receiver, sender, cuts: Cell::new(true) }) }
    }
}

impl LinuxNetwork {
    /// Makes a bound, non-blocking socket a listener's, for [`start_on`](super::TurnServerBuilder::start_on). What it is asked
    /// for and the kernel does not know is left out.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// # Panics
    /// Outside of a runtime of tokio's with I/O.
    pub fn listener(&self, socket: StdUdpSocket) -> io::Result<LinuxSocket> {
        let everywhere = socket.local_addr()?.ip().is_unspecified();
        if !sys::join(&socket) {
            tracing::debug!("the kernel does not join datagrams: it has no UDP_GRO");
        }
        if everywhere && !sys::tell_destination(&socket) {
            tracing::debug!("the kernel does not tell where datagrams went to");
        }
        self.socket(socket, SLOTS)
    }

    fn socket(&self, socket: StdUdpSocket, few: usize) -> io::Result<LinuxSocket> {
        if !sys::tell_dropped(&socket) {
            tracing::debug!("the kernel does not tell how many datagrams it drops");
        }
        Ok(LinuxSocket {
            socket: sys::watch(socket)?,
            shared: self.shared.clone(),
            ask: Cell::new(few),
            few,
            dropped: Cell::new(0),
        })
    }
}

impl Network for LinuxNetwork {
    type Bound = StdUdpSocket;
    type Socket = LinuxSocket;

    fn bind_relay(&self, address: SocketAddr) -> io::Result<StdUdpSocket> {
        TokioNetwork.bind_relay(address)
    }

    fn attach(&self, bound: StdUdpSocket) -> io::Result<LinuxSocket> {
        // A video's burst comes from one peer, so that it pays here too.
        sys::join(&bound);
        if !sys::tell_errors(&bound) {
            tracing::debug!("the kernel does not tell of ICMP errors");
        }
        sys::fragment(&bound, true);
        self.socket(bound, FEW)
    }

    fn now(&self) -> Instant {
        TokioNetwork.now()
    }
}

impl LinuxSocket {
    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Takes in the kernel's running total, which has 32 bits only and begins again at 0 behind them.
    fn note_dropped(&self, total: u32) {
        let before = self.dropped.get();
        // What the kernel said the last time.
        let low = u32::try_from(before & u64::from(u32::MAX)).unwrap_or_default();
        let more = total.wrapping_sub(low);
        // Two processors may have counted at once, and what came later knows of less: that is no lap of the counter.
        if more <= u32::MAX / 2 {
            self.dropped.set(before + u64::from(more));
        }
    }
}

impl DatagramSocket for LinuxSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    async fn ready(&self) -> io::Result<Ready> {
        let ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?.ready();
        Ok(Ready { data: ready.is_readable(), error: ready.is_error() })
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        let mut received = 0;
        let result = self.socket.try_io(Interest::READABLE, |_| {
            let asked = self.ask.get().min(batch.vacant().len());
            let brought = self.shared.receiver.borrow_mut().receive(self.fd(), batch, asked)?;
            received = brought.messages;
            if let Some(total) = brought.dropped {
                self.note_dropped(total);
            }
            let next = if received == asked { 2 * asked } else { received + 1 };
            self.ask.set(next.clamp(self.few, SLOTS));
            // Fewer than were asked for: nothing is left, which tokio must know to wait for more.
            if received < asked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if received > 0 { Ok(()) } else { result }
    }

    fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    fn try_recv_error(&self) -> io::Result<Option<(IcmpError, SocketAddr)>> {
        loop {
            let taken = self.socket.try_io(Interest::ERROR, |_| receive::take_error(self.fd()));
            match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Ok(None) => {}
                taken => return taken,
            }
        }
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        match self.send(datagrams) {
            // It is about a datagram that was sent before, and comes again as an error of its own.
            Err(error) if send::is_of_another(&error) => self.send(datagrams),
            result => result,
        }
    }
}

impl LinuxSocket {
    /// Sends those at the beginning that may be fragmented, or else those that may not.
    fn send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let whole = datagrams.first().is_some_and(|first| first.dont_fragment);
        let alike = datagrams.iter().take_while(|datagram| datagram.dont_fragment == whole).count();
        let datagrams = &datagrams[..alike];
        if whole { self.unfragmented(|| self.send_alike(datagrams)) } else { self.send_alike(datagrams) }
    }

    /// Sets the DF bit for what is sent meanwhile. It is a property of sockets and not of datagrams; few clients ask for
    /// it.
    fn unfragmented<T>(&self, send: impl FnOnce() -> T) -> T {
        sys::fragment(&self.socket, false);
        let sent = send();
        sys::fragment(&self.socket, true);
        sent
    }

    fn send_alike(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
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
