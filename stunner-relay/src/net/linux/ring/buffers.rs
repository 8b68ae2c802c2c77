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

/// The ring in which the kernel finds them, of a page's alignment.
const LAYOUT: Layout = match Layout::from_size_align(COUNT as usize * size_of::<BufRingEntry>(), 4_096) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

/// Slots that the kernel has, by number. It may write into one at any time, from when it was lent and
/// [published](Self::publish) until it has said that it is done with it; nobody else touches it meanwhile.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    slots: Vec<Slot>,
    tail: u16,
}

impl Buffers {
    /// Lends them to the kernel, by the ring that the submitter is of.
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Self> {
        // SAFETY: the layout has a size.
        let entries =
            NonNull::new(unsafe { alloc::alloc_zeroed(LAYOUT) }.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let slots = (0..usize::from(COUNT)).map(Slot::new).collect();
        let mut buffers = Self { entries, slots, tail: 0 };
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

    /// Lets the kernel know of all that were lent.
    pub(super) fn publish(&self) {
        // SAFETY: the tail is in the first entry, aligned, and is written by this thread alone.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and the kernel was made to forget it.
        unsafe { alloc::dealloc(self.entries.as_ptr().cast(), LAYOUT) };
    }
}
