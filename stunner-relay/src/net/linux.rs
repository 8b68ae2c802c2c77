//! The traits on Linux: many packets in a system call, and trains of packets that the kernel joins and cuts (GRO, GSO).

use std::{
    cell::{Cell, OnceCell, RefCell},
    io,
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Instant,
};

use tokio::io::{Interest, unix::AsyncFd};

use super::{
    batch::{RecvBatch, SLOTS},
    marks::Copied,
    socket::{Datagram, DatagramSocket, Network, Ready, Volley, send_all},
    tokio_network::TokioNetwork,
};
use crate::IcmpError;

mod control;
mod dropped;
mod features;
mod limit;
mod make;
mod receive;
mod retry;
mod ring;
mod send;
mod sys;
#[cfg(test)]
mod tests;
mod watched;

use dropped::Dropped;
pub(super) use features::{Features, log_refusal};
pub(super) use limit::{open_files, raise_open_files};
use receive::Receiver;
use ring::{Direct, Registered, Rings};
use send::{Sender, Takes};
use sys::TooLong;
use watched::{Delivered, Watched};

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
    takes: Cell<Takes>,
    copied: Copied,
    /// What relayed transport addresses are received and sent by, where the kernel lets us.
    rings: Option<Rings>,
}

/// A UDP socket of one worker.
#[derive(Debug)]
pub struct LinuxSocket {
    socket: Watched,
    shared: Rc<Shared>,
    /// How many messages the next call asks for: each costs a little, whether it comes or not.
    ask: Cell<usize>,
    /// How many it asks for at least.
    few: usize,
    /// How many datagrams the kernel dropped because the socket was full, as far as it told.
    dropped: Cell<Dropped>,
    /// A datagram was sent that must not be cut on its way, and ICMP may say that it was too long.
    hears_too_long: Cell<bool>,
}

/// What a network calls itself whose rings work.
pub(super) const IO_URING: &str = "io_uring";

/// Most relayed transport addresses have one or two packets waiting; a listener has those of all clients.
const FEW: usize = 4;

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
        prepare(&socket, self.shared.copied);
        Ok(self.socket(Watched::Polled(sys::watch(socket)?), SLOTS))
    }

    fn socket(&self, socket: Watched, few: usize) -> LinuxSocket {
        LinuxSocket {
            socket,
            shared: self.shared.clone(),
            ask: Cell::new(few),
            few,
            dropped: Cell::default(),
            hears_too_long: Cell::new(false),
        }
    }
}

impl Shared {
    /// The rings, as long as they tell what comes.
    fn working(&self) -> Option<&Rings> {
        self.rings.as_ref().filter(|rings| rings.work())
    }
}

/// Asks for what comes with datagrams.
fn prepare(socket: &StdUdpSocket, copied: Copied) {
    if !sys::tell_dropped(socket) {
        tracing::debug!("the kernel does not tell how many datagrams it drops");
    }
    if copied.traffic_class && !sys::tell_traffic_class(socket) {
        tracing::debug!("the kernel does not tell DSCP and ECN");
    }
    if copied.hop_limit && !sys::tell_hop_limit(socket) {
        tracing::debug!("the kernel does not tell hop limits");
    }
    sys::treat(socket, TooLong::Cut);
}

/// And for what comes with those of peers.
fn prepare_relay(socket: &StdUdpSocket, copied: Copied) {
    // A video's burst comes from one peer, so that it pays here too.
    sys::join(socket);
    if !sys::tell_errors(socket) {
        tracing::debug!("the kernel does not tell of ICMP errors");
    }
    prepare(socket, copied);
}

impl Network for LinuxNetwork {
    type Bound = StdUdpSocket;
    type Socket = LinuxSocket;

    fn name(&self) -> &'static str {
        if self.shared.working().is_some() { IO_URING } else { "epoll" }
    }

    fn bind_relay(&self, address: SocketAddr) -> io::Result<StdUdpSocket> {
        TokioNetwork.bind_relay(address)
    }

    fn attach(&self, bound: StdUdpSocket) -> io::Result<LinuxSocket> {
        prepare_relay(&bound, self.shared.copied);
        let watched = match self.shared.working() {
            Some(_) => Watched::Delivered(Delivered {
                polled: OnceCell::new(),
                socket: bound,
                registered: Cell::new(None),
                direct: Direct::default(),
                gathered: Cell::new(false),
            }),
            None => Watched::Polled(sys::watch(bound)?),
        };
        Ok(self.socket(watched, FEW))
    }

    async fn arrived(&self) -> io::Result<()> {
        match &self.shared.rings {
            Some(rings) => rings.arrived().await,
            None => std::future::pending().await,
        }
    }

    fn receive(&self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        if let Some(rings) = &self.shared.rings {
            rings.receive(batch, errors);
        }
    }

    fn dropped(&self) -> u64 {
        self.shared.rings.as_ref().map_or(0, Rings::dropped)
    }

    fn send(&self, volleys: &[Volley<'_, LinuxSocket>]) {
        match &self.shared.rings {
            Some(rings) => rings.send(volleys),
            None => volleys.iter().for_each(|volley| send_all(volley.socket, volley.datagrams)),
        }
    }

    fn now(&self) -> Instant {
        TokioNetwork.now()
    }
}

impl Drop for LinuxSocket {
    fn drop(&mut self) {
        if let (Watched::Delivered(delivered), Some(rings)) = (&self.socket, &self.shared.rings) {
            delivered.close(rings);
        }
    }
}

impl LinuxSocket {
    fn fd(&self) -> RawFd {
        self.socket.get_ref().as_raw_fd()
    }

    fn registered(&self) -> Option<Registered> {
        match &self.socket {
            Watched::Polled(_) => None,
            Watched::Delivered(delivered) => delivered.registered.get(),
        }
    }

    /// A socket that is connected to this peer: its descriptor, and its place among the files of the ring.
    fn direct(&self, peer: SocketAddr) -> Option<(RawFd, Option<u32>)> {
        let Watched::Delivered(Delivered { direct, .. }) = &self.socket else { return None };
        direct.socket_to(peer)
    }

    /// Whether something that leaves by it is about to be handed to a ring; `None` where no ring has it.
    const fn gathered(&self) -> Option<&Cell<bool>> {
        match &self.socket {
            Watched::Polled(_) => None,
            Watched::Delivered(delivered) => Some(&delivered.gathered),
        }
    }

    /// Whether this datagram makes a peer a busy one, which is to be [connected](Self::connect) to.
    fn is_busy(&self, peer: SocketAddr) -> bool {
        matches!(&self.socket, Watched::Delivered(delivered) if delivered.direct.is_busy(peer))
    }

    /// Connects a socket to a busy peer, from the next datagram on. Nothing may be about to be sent by it.
    fn connect(&self, peer: SocketAddr, rings: &Rings) {
        let Watched::Delivered(Delivered { socket, registered, direct, .. }) = &self.socket else { return };
        // Where nobody tells what comes to it, a second socket would take what is for the first.
        if let Some(known) = registered.get().filter(|_| rings.work())
            && let Err(error) =
                direct.connect(socket, known, peer, rings, |second| self.prepare_second(second))
        {
            tracing::debug!(%error, %peer, "a busy peer has no socket of its own");
        }
    }

    /// What comes for the first socket may come to the second one: ICMP errors, too.
    fn prepare_second(&self, second: &StdUdpSocket) {
        prepare_relay(second, self.shared.copied);
        if self.hears_too_long.get() {
            sys::treat(second, TooLong::CutAndTold);
        }
    }

    /// An error was found that is about a datagram sent before: it has to be looked for what else the kernel says.
    fn tell_error(&self) {
        if let (Some(rings), Some(registered)) = (&self.shared.rings, self.registered()) {
            rings.tell_error(registered);
        }
    }

    fn note_dropped(&self, total: u32) {
        let mut dropped = self.dropped.get();
        dropped.take(total);
        self.dropped.set(dropped);
    }

    /// Waits by epoll for a socket that the rings do not tell of any more.
    fn poll<'a>(&self, delivered: &'a Delivered) -> io::Result<&'a AsyncFd<RawFd>> {
        if let Some(rings) = self.shared.rings.as_ref().filter(|_| delivered.registered.get().is_some()) {
            // They have counted what was dropped until now.
            self.dropped.set(Dropped::since(delivered.close(rings)));
        }
        delivered.poll()
    }
}

impl DatagramSocket for LinuxSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Never, for a relayed transport address that io_uring [delivers](Self::deliver) for.
    async fn ready(&self) -> io::Result<Ready> {
        let interest = Interest::READABLE | Interest::ERROR;
        let ready = match &self.socket {
            Watched::Polled(socket) => socket.ready(interest).await?.ready(),
            Watched::Delivered(_) if self.shared.working().is_some() => std::future::pending().await,
            Watched::Delivered(delivered) => self.poll(delivered)?.ready(interest).await?.ready(),
        };
        Ok(Ready { data: ready.is_readable(), error: ready.is_error() })
    }

    fn deliver(&self, token: usize) -> bool {
        let (Watched::Delivered(delivered), Some(rings)) = (&self.socket, self.shared.working()) else {
            return false;
        };
        delivered.close(rings);
        delivered.registered.set(Some(rings.register(self.fd(), token)));
        rings.work()
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        let mut received = 0;
        let result = self.socket.try_io(Interest::READABLE, || {
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
        self.dropped.get().count()
    }

    fn try_recv_error(&self) -> io::Result<Option<(IcmpError, SocketAddr)>> {
        let take = |fd| loop {
            match self.socket.try_io(Interest::ERROR, || receive::take_error(fd)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Ok(None) => {}
                taken => return taken,
            }
        };
        match (take(self.fd()), &self.socket) {
            (Ok(None), Watched::Delivered(delivered)) => delivered.direct.fd().map_or(Ok(None), take),
            (taken, _) => taken,
        }
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        self.send(datagrams)
    }
}
