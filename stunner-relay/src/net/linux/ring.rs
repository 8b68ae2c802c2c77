//! io_uring for relayed transport addresses: what comes to many sockets is received in one call, and what leaves by many
//! is sent in one.
//!
//! A listener has no use for it: all packets of a turn are its own there, and `recvmmsg` and `sendmmsg` cost as little.
#![expect(unsafe_code, reason = "a file descriptor is watched that somebody else owns")]

use std::{
    cell::{Cell, OnceCell, RefCell},
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

use arrayvec::ArrayVec;
use tokio::io::{Interest, unix::AsyncFd};

use super::{LinuxSocket, retry::may_be_of_another, send::plain, sys};
use crate::net::{
    batch::RecvBatch,
    bell::Bell,
    outbox::MAX_SENT,
    socket::{Volley, send_all},
    tokio_network::bind_relay,
};

mod buffers;
mod delivery;
mod direct;
mod epoll;
mod hungry;
mod quiet;
mod receive;
mod refusals;
mod send;
#[cfg(test)]
mod testing;
mod trial;
mod written;

pub(super) use direct::Direct;
use receive::ReceiveRing;
use send::{Outgoing, SendRing};

/// What a worker has of the kernel: a ring to send by, and one to receive by.
#[derive(Debug)]
pub(super) struct Rings {
    /// Made when it is waited for, since that needs a runtime. Dropped before the ring is.
    watch: OnceCell<AsyncFd<RawFd>>,
    receive: RefCell<ReceiveRing>,
    /// Wakes who waits for the ring to receive by, where that has something to do of which the kernel will not tell.
    bell: Bell,
    /// Gone, when the kernel did not take what it was given.
    send: RefCell<Option<SendRing>>,
    /// It was said that there is something wrong with its files.
    complained: Cell<bool>,
}

/// A socket that the rings know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    /// Among the files of the ring for sending; sockets beyond its table are named by their descriptors.
    file: Option<u32>,
    /// Among the deliveries of the ring for receiving.
    delivery: usize,
    token: usize,
}

impl Rings {
    /// Rings that were seen to work: a kernel, or a container, may refuse any part of it.
    ///
    /// # Errors
    /// What was refused.
    pub(super) fn new() -> io::Result<Self> {
        Self::with(ReceiveRing::new()?)
    }

    fn with(receive: ReceiveRing) -> io::Result<Self> {
        let rings = Self {
            watch: OnceCell::new(),
            receive: RefCell::new(receive),
            bell: Bell::default(),
            send: RefCell::new(Some(SendRing::new()?)),
            complained: Cell::new(false),
        };
        rings.try_out()?;
        let socket = || bind_relay((Ipv4Addr::LOCALHOST, 0).into(), false);
        rings.try_burst(&socket()?)?;
        rings.try_files(socket()?)?;
        Ok(rings)
    }

    /// Lets the rings know a socket; what comes to it is told as `token`'s.
    pub(super) fn register(&self, fd: RawFd, token: usize) -> Registered {
        let file = self.send.borrow_mut().as_mut().and_then(|ring| ring.register(fd));
        Registered { file, delivery: self.receiving(|ring| ring.deliver(fd, token)), token }
    }

    /// Ends what [`register`](Self::register) began. The socket is the caller's alone from then on. Returns what the kernel
    /// told last of how many datagrams it dropped of it.
    pub(super) fn forget(&self, registered: Registered) -> u32 {
        if let (Some(file), Some(ring)) = (registered.file, &mut *self.send.borrow_mut()) {
            ring.forget(file);
        }
        self.receiving(|ring| ring.forget(registered.delivery))
    }

    /// Has the ring to receive by do something, of which who waits may have to know.
    fn receiving<T>(&self, act: impl FnOnce(&mut ReceiveRing) -> T) -> T {
        let mut ring = self.receive.borrow_mut();
        let done = act(&mut ring);
        if ring.fault().is_some() || ring.has_asks() {
            self.bell.ring();
        }
        done
    }

    /// Whether they tell what comes. Once they do not, they never will again.
    pub(super) fn work(&self) -> bool {
        self.receive.borrow().fault().is_none()
    }

    /// Has it looked after errors of this socket, of which sending has found one.
    pub(super) fn tell_error(&self, registered: Registered) {
        self.receiving(|ring| ring.tell_error(registered.delivery));
    }

    /// Waits until there may be something to receive.
    ///
    /// # Errors
    /// They do not [work](Self::work) any more, and the kernel has nothing of them.
    pub(super) async fn arrived(&self) -> io::Result<()> {
        let waited = self.wait().await;
        let mut ring = self.receive.borrow_mut();
        if let Err(error) = waited {
            ring.give_up(error);
        }
        let Some(fault) = ring.fault() else { return Ok(()) };
        let fault = io::Error::new(fault.kind(), fault.to_string());
        ring.end();
        Err(fault)
    }

    async fn wait(&self) -> io::Result<()> {
        if !self.work() {
            return Ok(());
        }
        if self.receive.borrow_mut().has_more() {
            // There are other tasks.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let watch = match self.watch.get() {
            Some(watch) => watch,
            None => {
                let fd = self.receive.borrow().as_raw_fd();
                // SAFETY: the descriptor is the ring's, which keeps it open for as long as it lives: longer than this.
                let made = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
                self.watch.get_or_init(|| made)
            }
        };
        tokio::select! {
            biased;
            () = self.bell.rung() => {}
            // What comes from now on is told anew.
            ready = watch.readable() => ready?.clear_ready(),
        }
        Ok(())
    }

    /// Receives what is there, as far as the batch has room, and names the sockets that have errors.
    pub(super) fn receive(&self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        self.receive.borrow_mut().receive(batch, errors);
    }

    /// Sends what leaves by many sockets, one datagram by each, in one call. What is else among it is sent by its socket.
    pub(super) fn send(&self, volleys: &[Volley<'_, LinuxSocket>]) {
        let mut together = Together::default();
        for volley in volleys {
            if together.is_full() || volley.socket.gathered().is_some_and(Cell::get) {
                self.flush(&mut together);
            }
            match self.plain(volley) {
                Some(outgoing) => together.push(outgoing, volley),
                None => send_all(volley.socket, volley.datagrams),
            }
        }
        self.flush(&mut together);
    }

    /// What is one datagram without anything beside it, and the socket that it leaves by, where that is one of the ring's.
    fn plain<'a>(&self, volley: &Volley<'a, LinuxSocket>) -> Option<Outgoing<'a>> {
        let [datagram] = volley.datagrams else { return None };
        let known = volley.socket.registered()?;
        let ours = volley.socket.shared.rings.as_ref().is_some_and(|rings| ptr::eq(rings, self));
        let data = plain(datagram).filter(|_| ours)?;
        if let Some((fd, file)) = volley.socket.direct(datagram.to) {
            return Some(Outgoing { fd, file, data, to: None });
        }
        Some(Outgoing { fd: volley.socket.fd(), file: known.file, data, to: Some(datagram.to) })
    }

    /// Sends what was gathered, and connects to a peer that is a busy one with it.
    fn flush(&self, together: &mut Together<'_>) {
        self.send_together(&together.outgoing, &together.whose);
        let mut busy = None;
        for (outgoing, volley) in together.outgoing.iter().zip(&together.whose) {
            volley.socket.gathered().into_iter().for_each(|gathered| gathered.set(false));
            if let Some(to) = outgoing.to.filter(|&to| volley.socket.is_busy(to)) {
                busy = Some((volley.socket, to));
            }
        }
        // Not before: what was to leave by a socket would go to another peer. It takes as long as sending a dozen datagrams:
        // one in a turn keeps nobody waiting, and the others come after it.
        if let Some((socket, peer)) = busy {
            socket.connect(peer, self);
        }
        together.outgoing.clear();
        together.whose.clear();
    }

    fn send_together(&self, together: &[Outgoing<'_>], whose: &[&Volley<'_, LinuxSocket>]) {
        let mut ring = self.send.borrow_mut();
        let both = together.iter().zip(whose);
        let sent = match &mut *ring {
            Some(ring) if together.len() > 1 => ring.send(together),
            _ => return both.for_each(|(outgoing, volley)| self.send_alone(outgoing, volley)),
        };
        match sent {
            Ok(failed) => {
                for &(index, error) in failed {
                    both.clone()
                        .nth(index)
                        .into_iter()
                        .for_each(|(to, volley)| self.send_otherwise(to, volley, error));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "io_uring does not work: nothing is sent by it from now on");
                *ring = None;
                // Some may come twice, this once.
                both.for_each(|(outgoing, volley)| self.send_alone(outgoing, volley));
            }
        }
    }

    /// Sends without a ring: by the socket that is connected, where there is one.
    fn send_alone(&self, outgoing: &Outgoing<'_>, volley: &Volley<'_, LinuxSocket>) {
        if outgoing.to.is_some() {
            return send_all(volley.socket, volley.datagrams);
        }
        if let Err(error) = sys::send_connected(outgoing.fd, outgoing.data) {
            self.send_otherwise(outgoing, volley, error.raw_os_error().unwrap_or_default());
        }
    }

    /// Sends by the relayed transport address itself what failed otherwise, where that is not the datagram's fault.
    fn send_otherwise(&self, outgoing: &Outgoing<'_>, volley: &Volley<'_, LinuxSocket>, error: i32) {
        let by_file = outgoing.file.is_some();
        match error {
            libc::EBADF | libc::ENXIO if by_file => {
                if !self.complained.replace(true) {
                    let error = io::Error::from_raw_os_error(error);
                    tracing::warn!(%error, "io_uring does not find a socket among its files");
                }
                send_all(volley.socket, volley.datagrams);
            }
            // It is not connected any more, or not known.
            libc::EBADF | libc::EINVAL | libc::EDESTADDRREQ | libc::ENOTCONN => {
                send_all(volley.socket, volley.datagrams);
            }
            _ => send_again(volley, error),
        }
    }

    /// How many datagrams the kernel dropped because a socket was full.
    pub(super) fn dropped(&self) -> u64 {
        self.receive.borrow().dropped()
    }
}

/// What is to leave in one call: one datagram of each socket at most, in the order of the volleys. What the ring could not
/// send for an error of something else is sent [again](send_again), and must not come behind what follows it.
#[derive(Default)]
struct Together<'a> {
    outgoing: ArrayVec<Outgoing<'a>, MAX_SENT>,
    whose: ArrayVec<&'a Volley<'a, LinuxSocket>, MAX_SENT>,
}

impl<'a> Together<'a> {
    fn is_full(&self) -> bool {
        self.outgoing.is_full()
    }

    fn push(&mut self, outgoing: Outgoing<'a>, volley: &'a Volley<'a, LinuxSocket>) {
        volley.socket.gathered().into_iter().for_each(|gathered| gathered.set(true));
        self.outgoing.push(outgoing);
        self.whose.push(volley);
    }
}

/// Sends again what the ring did not, where the error may be about something else: it is not told twice.
fn send_again(volley: &Volley<'_, LinuxSocket>, error: i32) {
    if may_be_of_another(&io::Error::from_raw_os_error(error)) {
        volley.socket.tell_error();
        send_all(volley.socket, volley.datagrams);
    }
}
