//! Receiving from many sockets in one call: each is asked once, and tells of every packet that comes.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, RawFd},
};

use io_uring::{Builder, IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use super::{
    buffers::{Buffers, COUNT, GROUP},
    delivery::{Delivery, End, State},
    quiet::{self, GETEVENTS},
    written::{Written, shape},
};
use crate::net::batch::{RecvBatch, Train};

/// Results that can wait; the kernel keeps what is more elsewhere.
const RESULTS: u32 = 1_024;

/// What a result says that is not of a delivery.
const NOTHING: u64 = u64::MAX;

/// What a result says, besides the delivery, that only tells of an error.
const ERROR: u64 = 1 << 62;

/// So many calls in a row that the kernel has no means for say that it never will.
const MAX_REFUSALS: u32 = 1_000;

pub(super) struct ReceiveRing {
    ring: IoUring,
    buffers: Buffers,
    deliveries: Slab<Delivery>,
    /// Those that wait to be asked again, in order. Who has been [asked](State::Asked) since, or is gone, is passed over.
    hungry: VecDeque<usize>,
    /// How many in a row ended because all buffers were full.
    starved: usize,
    refusals: u32,
    /// Why it does not work.
    fault: Option<io::Error>,
    /// The kernel has nothing of it any more.
    ended: bool,
    dropped: u64,
    /// How often a socket was asked.
    #[cfg(test)]
    pub(super) asked: usize,
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
        // What a packet leaves to be done here is done with the next call of this thread, which is not interrupted for it
        // unless it sleeps: then each packet wakes it, and three or four times as many switches and as much CPU time for a
        // rest were measured. With DEFER_TASKRUN it would sleep on, but then no epoll is woken either (seen on Linux 6.18), and
        // an eventfd besides costs a busy worker more than is saved.
        Self::build(IoUring::builder().setup_coop_taskrun())
    }

    fn build(builder: &mut Builder) -> io::Result<Self> {
        let ring = builder.setup_single_issuer().setup_submit_all().setup_cqsize(RESULTS).build(64)?;
        let buffers = Buffers::new(&ring.submitter())?;
        Ok(Self {
            ring,
            buffers,
            deliveries: Slab::new(),
            hungry: VecDeque::new(),
            starved: 0,
            refusals: 0,
            fault: None,
            ended: false,
            dropped: 0,
            #[cfg(test)]
            asked: 0,
        })
    }

    /// Asks for all that comes to a socket, and returns the number of the delivery.
    pub(super) fn deliver(&mut self, fd: RawFd, token: usize) -> usize {
        let key = self.deliveries.insert(Delivery::new(fd, token));
        // Whoever waits later must not have to wait for memory.
        self.hungry.reserve(self.deliveries.len().saturating_sub(self.hungry.len()));
        self.ask(key);
        self.submit();
        key
    }

    /// A ring whose results come only when they are waited for by it. Not every kernel has an epoll tell of them.
    #[cfg(test)]
    pub(super) fn deferred() -> io::Result<Self> {
        Self::build(IoUring::builder().setup_defer_taskrun())
    }

    /// Asks, or sees to it that it is asked later.
    fn ask(&mut self, key: usize) {
        let Some(delivery) = self.deliveries.get(key) else { return };
        let ask = opcode::RecvMsgMulti::new(types::Fd(delivery.fd), shape(), GROUP).build();
        let asked = self.push(&ask.user_data(key as u64));
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        delivery.state = if asked { State::Asked } else { State::Hungry };
        if !asked {
            self.hungry.push_front(key);
        }
        #[cfg(test)]
        {
            self.asked += usize::from(asked);
        }
    }

    /// Ends a delivery, and returns what the kernel told last of what it dropped. It lets the socket go at once, and says
    /// so later.
    pub(super) fn forget(&mut self, key: usize) -> u32 {
        let Some(delivery) = self.deliveries.get_mut(key) else { return 0 };
        let last = delivery.dropped.last();
        delivery.wanted = false;
        if self.ended || delivery.state != State::Asked {
            self.deliveries.remove(key);
            return last;
        }
        let cancels = self.push(&opcode::AsyncCancel::new(key as u64).build().user_data(NOTHING));
        self.enter();
        if !cancels || !self.ring.submission().is_empty() {
            // It would go on with whatever has the socket's number next.
            self.give_up(io::Error::other("a delivery could not be ended"));
        }
        last
    }

    /// Has the next call to [`receive`](Self::receive) name a socket among those that have errors, and waiting end.
    pub(super) fn tell_error(&mut self, key: usize) {
        // Without room for it, it is told with the next error.
        if self.push(&opcode::Nop::new().build().user_data(key as u64 | ERROR)) {
            self.submit();
        }
    }

    /// Whether there are results that nobody has looked at, or somebody waits to be asked.
    pub(super) fn has_more(&mut self) -> bool {
        self.has_asks() || !self.ring.completion().is_empty() || self.ring.submission().cq_overflow()
    }

    /// Whether something is to be asked, of which the kernel will not tell.
    pub(super) fn has_asks(&mut self) -> bool {
        !self.hungry.is_empty() || !self.ring.submission().is_empty()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Why it does not work; it never will again then, and has to be [ended](Self::end).
    pub(super) const fn fault(&self) -> Option<&io::Error> {
        self.fault.as_ref()
    }

    /// Takes in that it does not work.
    pub(super) fn give_up(&mut self, error: io::Error) {
        self.fault.get_or_insert(error);
    }

    /// Receives what is there, as far as the batch has room, and names the sockets that have errors.
    pub(super) fn receive(&mut self, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        if self.fault.is_some() {
            return;
        }
        if self.ring.completion().is_empty() {
            self.enter();
        }
        let lent = self.buffers.lent();
        while batch.has_room() {
            let Some(result) = self.ring.completion().next() else { break };
            self.take(&result, batch, errors);
        }
        self.buffers.publish();
        self.feed(self.buffers.lent().wrapping_sub(lent));
        if !self.ring.submission().is_empty() {
            self.submit();
        }
    }

    /// Asks again, as many as there are buffers for: `lent` of them are new. More would find none, and end again at once,
    /// each at the cost of a packet's time.
    fn feed(&mut self, lent: u16) {
        if self.hungry.is_empty() {
            return;
        }
        let all = self.ring.completion().is_empty() && !self.ring.submission().cq_overflow();
        // Without a result that waits, the kernel has all buffers.
        for _ in 0..if all { COUNT } else { lent } {
            let is_hungry =
                |key: &usize| self.deliveries.get(*key).is_some_and(|found| found.state == State::Hungry);
            let Some(key) = std::iter::from_fn(|| self.hungry.pop_front()).find(is_hungry) else { return };
            self.ask(key);
        }
    }

    fn take(&mut self, result: &cqueue::Entry, batch: &mut RecvBatch, errors: &mut Vec<usize>) {
        let said = result.user_data();
        let key = usize::try_from(said & !ERROR).unwrap_or(usize::MAX);
        let buffer = cqueue::buffer_select(result.flags());
        let wanted = self.deliveries.get(key).is_some_and(|delivery| delivery.wanted);
        if let Some(number) = buffer {
            self.starved = 0;
            if wanted && result.result() >= 0 {
                self.take_packet(number, key, batch);
            } else {
                self.buffers.lend(number);
            }
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

    /// A delivery has ended: it is asked again, unless nobody wants it any more or it is not to be had.
    fn go_on(&mut self, key: usize, result: i32, errors: &mut Vec<usize>) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        if !delivery.wanted {
            self.deliveries.remove(key);
            return;
        }
        match delivery.ended(result) {
            End::Never(number) => {
                let error = io::Error::from_raw_os_error(number);
                return tracing::error!(%error, "a relayed transport address receives nothing any more");
            }
            End::Error => errors.push(delivery.token),
            End::Full => self.starved += 1,
            End::Packet | End::Passing => {}
        }
        if self.starved > 2 * self.deliveries.len() + usize::from(COUNT) {
            // Each was asked when there was a buffer for it.
            return self.give_up(io::Error::other("buffers are not found"));
        }
        self.hungry.push_back(key);
    }

    /// Takes in what the kernel wrote into one of its buffers.
    fn take_packet(&mut self, number: u16, key: usize, batch: &mut RecvBatch) {
        let Some(slot) = batch.vacant().next() else { return self.buffers.lend(number) };
        let Some(delivery) = self.deliveries.get_mut(key) else { return self.buffers.lend(number) };
        if !self.buffers.exchange(number, slot) {
            return;
        }
        let Some(written) = Written::read(slot.bytes()) else { return };
        delivery.failures = 0;
        if let Some(total) = written.dropped {
            self.dropped += delivery.dropped.take(total);
        }
        batch.push(Train { token: delivery.token, ..written.train });
    }

    /// Puts something among what is to be asked; `false` where there is no room, because the kernel takes nothing.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        for _ in 0..2 {
            // SAFETY: an entry points to the shape, which is there for ever, or to nothing.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return true;
            }
            self.submit();
        }
        false
    }

    /// Hands over what is to be asked.
    fn submit(&mut self) {
        // Who is asked without a buffer to fill says so, and no more.
        self.buffers.publish();
        let submitted = self.ring.submit();
        self.heed(submitted);
    }

    /// Hands over what is to be asked, and lets the kernel do what it has put off for this thread: to receive.
    fn enter(&mut self) {
        self.buffers.publish();
        let asked = u32::try_from(self.ring.submission().len()).unwrap_or(u32::MAX);
        // SAFETY: there is no argument to be read, and what was asked is as `push` has it.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(asked, 0, GETEVENTS, None) };
        self.heed(entered);
    }

    /// What was not taken for want of means stays where it is, and is handed over with the next call.
    fn heed(&mut self, entered: io::Result<usize>) {
        let Err(error) = entered else {
            self.refusals = 0;
            return;
        };
        let passes =
            matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM));
        self.refusals += 1;
        tracing::debug!(%error, "io_uring did not take what it was asked");
        if !passes || self.refusals > MAX_REFUSALS {
            self.give_up(error);
        }
    }

    /// Takes everything back from the kernel: all deliveries end.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.give_up(io::Error::other("it was ended"));
        // What was not taken is not asked: nothing is handed over from now on.
        let left = self.deliveries.iter().filter(|(_, found)| found.state == State::Asked).count();
        let quiet = quiet::cancel(&self.ring.submitter()).and_then(|()| {
            quiet::reap(&mut self.ring, left, |result| {
                result.user_data() & ERROR == 0 && !cqueue::more(result.flags())
            })
        });
        let taken_back = self.buffers.unregister(&self.ring.submitter());
        if let Err(error) = quiet.and(taken_back) {
            // It may write into them at any time.
            tracing::error!(%error, "the kernel keeps the buffers of a ring for good");
            self.buffers.leave();
        }
    }
}

impl Drop for ReceiveRing {
    fn drop(&mut self) {
        // Closing a ring has the kernel end what it was asked, but later; the buffers go now.
        self.end();
    }
}

#[cfg(test)]
mod tests;
