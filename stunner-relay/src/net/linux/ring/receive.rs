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
    hungry::Hungry,
    quiet::{self, GETEVENTS},
    refusals::Refusals,
    written::{Written, shape},
};
use crate::net::{
    batch::{RecvBatch, Train},
    socket::Network,
    tokio_network::TokioNetwork,
};

/// Results that can wait; the kernel keeps what is more elsewhere.
const RESULTS: u32 = 1_024;

/// What a result says that is not of a delivery.
const NOTHING: u64 = u64::MAX;

/// Errors of so many sockets are named in one call: each is looked for with calls of its own.
const MAX_FAILING: usize = 16;

pub(super) struct ReceiveRing {
    ring: IoUring,
    buffers: Buffers,
    deliveries: Slab<Delivery>,
    /// Who has been [asked](State::Asked) since, or is gone, is passed over.
    hungry: Hungry,
    /// Those that have errors to be named.
    failing: VecDeque<usize>,
    /// How many in a row ended because all buffers were full.
    starved: usize,
    refusals: Refusals,
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
            hungry: Hungry::default(),
            failing: VecDeque::new(),
            starved: 0,
            refusals: Refusals::default(),
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
        self.hungry.reserve(self.deliveries.len());
        self.ask(key);
        self.submit();
        key
    }

    /// A ring whose results come only when they are waited for by it. Not every kernel has an epoll tell of them.
    #[cfg(test)]
    pub(super) fn deferred() -> io::Result<Self> {
        Self::build(IoUring::builder().setup_defer_taskrun())
    }

    /// Asks, or sees to it that it is asked later, which `false` says.
    fn ask(&mut self, key: usize) -> bool {
        let Some(delivery) = self.deliveries.get(key) else { return true };
        let ask = opcode::RecvMsgMulti::new(types::Fd(delivery.fd), shape(), GROUP).build();
        let asked = self.push(&ask.user_data(key as u64));
        let Some(delivery) = self.deliveries.get_mut(key) else { return true };
        delivery.state = if asked { State::Asked } else { State::Hungry };
        delivery.served = false;
        if !asked {
            self.hungry.put_back(key);
        }
        #[cfg(test)]
        {
            self.asked += usize::from(asked);
        }
        asked
    }

    /// Ends a delivery, and returns what the kernel told last of what it dropped. It lets the socket go at once, and says
    /// so later.
    pub(super) fn forget(&mut self, key: usize) -> u32 {
        let Some(delivery) = self.deliveries.get_mut(key) else { return 0 };
        let last = delivery.dropped.last();
        delivery.wanted = false;
        self.starved = 0;
        if self.ended || delivery.state != State::Asked {
            self.deliveries.remove(key);
            return last;
        }
        if self.fault.is_some() {
            // Nothing is handed over any more: it might be about a number that another file has by now.
            quiet::cancel_one(&self.ring.submitter(), key as u64);
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
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        if !std::mem::replace(&mut delivery.failing, true) {
            self.failing.push_back(key);
        }
    }

    /// Names those that have errors.
    fn name_failing(&mut self, errors: &mut Vec<usize>) {
        for key in self.failing.drain(..self.failing.len().min(MAX_FAILING)) {
            let Some(delivery) = self.deliveries.get_mut(key) else { continue };
            delivery.failing = false;
            errors.extend(delivery.wanted.then_some(delivery.token));
        }
    }

    /// Whether there are results that nobody has looked at, or somebody waits to be asked.
    pub(super) fn has_more(&mut self) -> bool {
        self.has_asks() || !self.ring.completion().is_empty() || self.ring.submission().cq_overflow()
    }

    /// Whether something is to be asked or told, of which the kernel will not tell.
    pub(super) fn has_asks(&mut self) -> bool {
        !self.hungry.is_empty() || !self.failing.is_empty() || !self.ring.submission().is_empty()
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
            self.take(&result, batch);
        }
        self.name_failing(errors);
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
            let Some(key) = std::iter::from_fn(|| self.hungry.pop()).find(is_hungry) else { return };
            if !self.ask(key) {
                return;
            }
        }
    }

    fn take(&mut self, result: &cqueue::Entry, batch: &mut RecvBatch) {
        let said = result.user_data();
        let key = usize::try_from(said).unwrap_or(usize::MAX);
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
        if said != NOTHING && !cqueue::more(result.flags()) {
            self.go_on(key, result.result());
        }
    }

    /// A delivery has ended: it is asked again, unless nobody wants it any more or it is not to be had.
    fn go_on(&mut self, key: usize, result: i32) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        if !delivery.wanted {
            self.deliveries.remove(key);
            return;
        }
        let served = delivery.served;
        match delivery.ended(result) {
            // Nobody would hear what comes to it.
            End::Never(number) => return self.give_up(io::Error::from_raw_os_error(number)),
            End::Error => self.tell_error(key),
            End::Full => {
                self.starved += 1;
                if self.starved > 2 * self.deliveries.len() + usize::from(COUNT) {
                    // Each was asked when there was a buffer for it.
                    return self.give_up(io::Error::other("buffers are not found"));
                }
                return self.hungry.push(key, served);
            }
            End::Packet | End::Passing => {}
        }
        self.hungry.push(key, true);
    }

    /// Takes in what the kernel wrote into one of its buffers.
    fn take_packet(&mut self, number: u16, key: usize, batch: &mut RecvBatch) {
        let Some(slot) = batch.vacant().next() else { return self.buffers.lend(number) };
        let Some(delivery) = self.deliveries.get_mut(key) else { return self.buffers.lend(number) };
        if !self.buffers.exchange(number, slot) {
            return;
        }
        let Some(written) = Written::read(slot.bytes()) else { return };
        (delivery.failures, delivery.served) = (0, true);
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
            return self.refusals.end();
        };
        let passes =
            matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM));
        tracing::debug!(%error, "io_uring did not take what it was asked");
        if !passes || self.refusals.add(TokioNetwork.now()) {
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
                result.user_data() != NOTHING && !cqueue::more(result.flags())
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
