//! Buffers that are lent to the kernel, which chooses one when a packet comes.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{
    alloc::{self, Layout},
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{Submitter, types::BufRingEntry};

use crate::net::batch::Slot;

/// How many packets may wait to be looked at. A power of two.
pub(super) const COUNT: u16 = 128;

/// The kernel's name for them.
pub(super) const GROUP: u16 = 0;

/// Slots that the kernel has, by number. It may write into one at any time, from when it was lent and
/// [published](Self::publish) until it has said that it is done with it; nobody else touches it meanwhile.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The ring in which the kernel finds them.
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    slots: Vec<Slot>,
    tail: u16,
    /// The kernel may still have them.
    kept: bool,
}

impl Buffers {
    /// Lends them to the kernel, by the ring that the submitter is of.
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Self> {
        let layout = layout()?;
        // SAFETY: the layout has a size.
        let entries =
            NonNull::new(unsafe { alloc::alloc_zeroed(layout) }.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let slots = (0..usize::from(COUNT)).map(Slot::new).collect();
        let mut buffers = Self { entries, layout, slots, tail: 0, kept: false };
        for number in 0..COUNT {
            buffers.lend(number);
        }
        buffers.publish();
        // SAFETY: it is the memory of so many entries, which lives until `unregister` was called.
        unsafe { submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, COUNT, GROUP, 0) }?;
        Ok(buffers)
    }

    /// Takes them back from the kernel; it must be done before they are dropped.
    pub(super) fn unregister(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(GROUP)
    }

    /// Leaves them to the kernel for good, which could not be made to forget them.
    pub(super) fn leave(&mut self) {
        self.kept = true;
        std::mem::forget(std::mem::take(&mut self.slots));
    }

    #[cfg(test)]
    pub(super) const fn are_left(&self) -> bool {
        self.kept
    }

    /// Exchanges a slot that the kernel has filled for a vacant one, which it may fill from the next
    /// [`publish`](Self::publish) on. `false`: there is no such slot.
    pub(super) fn exchange(&mut self, number: u16, vacant: &mut Slot) -> bool {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return false };
        std::mem::swap(slot, vacant);
        self.lend(number);
        true
    }

    /// Gives a slot back as it is.
    pub(super) fn lend(&mut self, number: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        let room = slot.room();
        // SAFETY: there are `COUNT` entries, and of the one behind the tail the kernel knows nothing yet.
        let entry = unsafe { &mut *self.entries.as_ptr().add(usize::from(self.tail % COUNT)) };
        entry.set_addr(room.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(room.len()).unwrap_or_default());
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// How many were lent until now; it begins again at 0.
    pub(super) const fn lent(&self) -> u16 {
        self.tail
    }

    /// Lets the kernel know of all that were lent.
    pub(super) fn publish(&self) {
        // SAFETY: the tail is in the first entry, aligned, and is written by this thread alone.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Of the entries, which begin with a page; those have 4, 16 or 64 KiB.
fn layout() -> io::Result<Layout> {
    // SAFETY: it asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).map_err(io::Error::other)?;
    Layout::from_size_align(usize::from(COUNT) * size_of::<BufRingEntry>(), page).map_err(io::Error::other)
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if !self.kept {
            // SAFETY: it was allocated with this layout, and the kernel does not know it, or was made to forget it.
            unsafe { alloc::dealloc(self.entries.as_ptr().cast(), self.layout) };
        }
    }
}
