//! Receiving from many sockets in one call: each is asked once, and tells of every packet that comes.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use libc::msghdr;
use slab::Slab;

use super::buffers::{Buffers, GROUP};
use crate::net::{
    batch::{FRONT, RecvBatch, Train},
    linux::{
        control::Control,
        receive::address,
        sys::{self, NAME_LEN, Name},
    },
};

/// Results that can wait; the kernel keeps what is more elsewhere.
const RESULTS: u32 = 1_024;

/// What the kernel writes in front of a packet: four lengths and flags, the sender's address, and control messages.
const HEAD: usize = 16;
const NAME: usize = NAME_LEN as usize;
const CONTROL: usize = size_of::<Control>();

// Otherwise the longest datagrams would lose their ends.
const _: () = assert!(HEAD + NAME + CONTROL <= FRONT);

/// What a result says that is not of a delivery.
const NOTHING: u64 = u64::MAX;

/// What a result says, besides the delivery, that only tells of an error.
const ERROR: u64 = 1 << 62;

pub(super) struct ReceiveRing {
    ring: IoUring,
    buffers: Buffers,
    /// How much room there is for a name and for control messages. The kernel reads it when it is asked.
    shape: Box<msghdr>,
    deliveries: Slab<Delivery>,
    dropped: u64,
}

/// A socket that was asked for what comes.
#[derive(Debug)]
struct Delivery {
    fd: RawFd,
    token: usize,
    /// The socket's total, as the kernel told it last.
    dropped: u32,
    /// There is somebody to tell; otherwise it ends when the kernel says that it has ended.
    wanted: bool,
    /// The kernel has ended it, and was not asked again.
    over: bool,
}

impl std::fmt::Debug for ReceiveRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveRing").field("deliveries", &self.deliveries.len()).finish_non_exhaustive()
    }
}

impl AsRawFd for ReceiveRing {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl ReceiveRing {
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_cqsize(RESULTS)
            .build(64)?;
        let buffers = Buffers::new(&ring.submitter())?;
        Ok(Self {
            ring,
            buffers,
            shape: Box::new(sys::shape(NAME, CONTROL)),
            deliveries: Slab::new(),
            dropped: 0,
        })
    }

    /// Asks for all that comes to a socket, and returns the number of the delivery.
    pub(super) fn deliver(&mut self, fd: RawFd, token: usize) -> usize {
        let key = self.deliveries.insert(Delivery { fd, token, dropped: 0, wanted: true, over: false });
        self.ask(fd, key);
        self.submit();
        key
    }

    fn ask(&mut self, fd: RawFd, key: usize) {
        let ask = opcode::RecvMsgMulti::new(types::Fd(fd), &raw const *self.shape, GROUP).build();
        self.push(&ask.user_data(key as u64));
    }

    /// Ends a delivery. The kernel lets the socket go at once, and says so later.
    pub(super) fn forget(&mut self, key: usize) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        if delivery.over {
            self.deliveries.remove(key);
            return;
        }
        delivery.wanted = false;
        self.push(&opcode::AsyncCancel::new(key as u64).build().user_data(NOTHING));
        self.enter();
    }

    /// Has the next call to [`receive`](Self::receive) name a socket among those that have errors, and waiting end.
    pub(super) fn tell_error(&mut self, key: usize) {
        self.push(&opcode::Nop::new().build().user_data(key as u64 | ERROR));
        self.submit();
    }

    /// Whether there are results that nobody has looked at.
    pub(super) fn has_more(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.ring.submission().cq_overflow()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Receives what is there, as far as the batch has room, and names the sockets that have errors.
    pub(super) fn receive(&mut self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        if self.ring.completion().is_empty() {
            self.enter();
        }
        while batch.has_room() {
            let Some(result) = self.ring.completion().next() else { break };
            self.take(&result, batch, errors);
        }
        self.buffers.publish();
        if !self.ring.submission().is_empty() {
            self.submit();
        }
    }

    fn take(&mut self, result: &cqueue::Entry, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        let said = result.user_data();
        let key = usize::try_from(said & !ERROR).unwrap_or(usize::MAX);
        let buffer = cqueue::buffer_select(result.flags());
        let wanted = self.deliveries.get(key).is_some_and(|delivery| delivery.wanted);
        match buffer {
            Some(number) if wanted && result.result() >= 0 => self.take_packet(number, key, batch),
            Some(number) => self.buffers.lend(number),
            None => {}
        }
        if said == NOTHING {
            return;
        }
        if said & ERROR != 0 {
            errors.extend(self.deliveries.get(key).filter(|_| wanted).map(|delivery| delivery.token));
        } else if !cqueue::more(result.flags()) {
            self.go_on(key, result.result(), errors);
        }
    }

    /// A delivery has ended: by an error, because there were no buffers left, because a packet was empty, or because
    /// nobody wants it any more.
    fn go_on(&mut self, key: usize, result: i32, errors: &mut Vec<usize>) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        let (fd, token) = (delivery.fd, delivery.token);
        if !delivery.wanted {
            self.deliveries.remove(key);
            return;
        }
        match -result {
            // Not to be had: asking again would go on for ever.
            number @ (libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK | libc::ENOSYS) => {
                delivery.over = true;
                let error = io::Error::from_raw_os_error(number);
                tracing::error!(%error, "a relayed transport address receives nothing any more");
                return;
            }
            libc::ENOBUFS => {}
            number if number > 0 => errors.push(token),
            _ => {}
        }
        self.ask(fd, key);
    }

    /// Takes in what the kernel wrote into one of its buffers.
    fn take_packet(&mut self, number: u16, key: usize, batch: &mut RecvBatch) {
        let Some(slot) = batch.vacant().next() else { return self.buffers.lend(number) };
        let Some(delivery) = self.deliveries.get_mut(key) else { return self.buffers.lend(number) };
        if !self.buffers.exchange(number, slot) {
            return;
        }
        let Some(written) = Written::read(slot.bytes()) else { return };
        if let Some(total) = written.dropped {
            let more = total.wrapping_sub(delivery.dropped);
            // Two processors may have counted at once, and what came later knows of less.
            if more <= u32::MAX / 2 {
                self.dropped += u64::from(more);
                delivery.dropped = total;
            }
        }
        batch.push(Train { token: delivery.token, ..written.train });
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: an entry points to the shape, which lives as long as the ring, or to nothing.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.submit();
        }
    }

    /// Hands over what is to be asked.
    fn submit(&self) {
        // Who is asked without a buffer to fill says so, and no more.
        self.buffers.publish();
        if let Err(error) = self.ring.submit() {
            tracing::debug!(%error, "io_uring did not take what it was asked");
        }
    }

    /// Hands over what is to be asked, and lets the kernel do what it has put off for this thread: to receive.
    fn enter(&mut self) {
        const GETEVENTS: u32 = 1;
        self.buffers.publish();
        let asked = u32::try_from(self.ring.submission().len()).unwrap_or(u32::MAX);
        // SAFETY: there is no argument to be read, and what was asked is as `push` has it.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(asked, 0, GETEVENTS, None) };
        if let Err(error) = entered {
            tracing::debug!(%error, "io_uring did not work");
        }
    }
}

impl Drop for ReceiveRing {
    fn drop(&mut self) {
        // Nothing may be written into the buffers once they are gone.
        if let Err(error) = self.buffers.unregister(&self.ring.submitter()) {
            tracing::error!(%error, "the buffers of a ring could not be taken back");
        }
    }
}

/// What the kernel wrote into a buffer.
struct Written {
    train: Train,
    dropped: Option<u32>,
}

impl Written {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (name, rest) = rest.split_first_chunk::<NAME>()?;
        let (control, packet) = rest.split_first_chunk::<CONTROL>()?;
        let number = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_ne_bytes) as usize;
        let len = number(8).min(packet.len());
        let said = Control(*control).read(number(4).min(CONTROL));
        // A sender of another family than IP cannot be on a UDP socket.
        let from = address(&Name(*name)).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)));
        let stride = said.stride.unwrap_or(len).max(1);
        let start = HEAD + NAME + CONTROL;
        let train = Train { from, to: said.own, start, len, stride, marks: said.marks, token: 0 };
        Some(Self { train, dropped: said.dropped })
    }
}
