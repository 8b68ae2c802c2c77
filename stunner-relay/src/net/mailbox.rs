//! From one worker to another: packets for relayed transport addresses that are a neighbour's.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use tokio::task::yield_now;

use super::{
    batch::{Buffers, Part},
    marks::Marks,
};

/// Packets that may wait for a worker; one that hangs costs no more. Half of it is as many as another one receives over UDP
/// in one turn: 32 trains of 64.
const MAX_PACKETS: usize = 4_096;

/// The same in bytes, with the same half.
const MAX_BYTES: usize = 4 << 20;

/// A packet from one relayed transport address to another, both as they are advertised.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) marks: Marks,
    /// Where its data are.
    pub(super) data: Part,
}

/// Letters, and the buffer that their data are in.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) letters: Vec<Letter>,
    pub(super) bytes: Vec<u8>,
}

/// What waits for one worker. Others lock it once for all that a turn of theirs has for it, the worker once for all that it
/// finds. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Mailbox(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    mail: Mail,
    /// Who waits for mail; it is woken for the first letter.
    owner: Option<Waker>,
}

impl Mail {
    fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
    }

    /// Takes a copy in, if it has no more packets and bytes then.
    fn take_in(&mut self, letter: &Letter, data: &[u8], (packets, bytes): (usize, usize)) -> bool {
        let start = self.bytes.len();
        let fits = self.letters.len() < packets && start + data.len() <= bytes;
        if fits {
            self.bytes.extend_from_slice(data);
            self.letters.push(Letter { data: Part::at(start..self.bytes.len()), ..*letter });
        }
        fits
    }
}

impl Mailbox {
    /// Takes in copies of what these letters have in `buffers`, up to half of the room that is left: a flood, which is many
    /// packets at once, does not take it all. Returns how many it refused.
    pub(super) fn post(&self, letters: &[Letter], buffers: &(impl Buffers + ?Sized)) -> usize {
        let mut inside = self.lock();
        let Inside { mail, owner } = &mut *inside;
        let half = |taken: usize, most: usize| taken + (most - taken).div_ceil(2);
        let limits = (half(mail.letters.len(), MAX_PACKETS), half(mail.bytes.len(), MAX_BYTES));
        let refused =
            letters.iter().filter(|letter| !mail.take_in(letter, buffers.part(&letter.data), limits)).count();
        let owner = if refused < letters.len() { owner.take() } else { None };
        drop(inside);
        // It would find the lock taken otherwise.
        if let Some(owner) = owner {
            owner.wake();
        }
        refused
    }

    /// Waits for letters, and exchanges them for `mail`, of which only the room is kept.
    pub(super) async fn collect(&self, mail: &mut Mail) {
        mail.clear();
        if !self.lock().mail.letters.is_empty() {
            // Something has come while the owner was at work: sockets have their turn before.
            yield_now().await;
        }
        poll_fn(|context| {
            let mut inside = self.lock();
            if inside.mail.letters.is_empty() {
                inside.owner = Some(context.waker().clone());
                return Poll::Pending;
            }
            std::mem::swap(&mut inside.mail, mail);
            Poll::Ready(())
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
