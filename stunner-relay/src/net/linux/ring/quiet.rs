//! Making sure that the kernel has nothing of a ring any more. Nothing here waits for ever.
#![expect(unsafe_code, reason = "a call that the crate has no safe function for")]

use std::io;

use io_uring::{
    IoUring, Submitter, cqueue,
    types::{CancelBuilder, Timespec},
};

/// The kernel's flag: what it has put off for this thread is to be done now.
pub(super) const GETEVENTS: u32 = 1;

/// How long anything may take that is done at once.
pub(super) const LIMIT: Timespec = Timespec::new().nsec(100_000_000);

/// So many calls in a row that bring nothing say that nothing comes any more.
const TRIES: usize = 4;

/// Ends everything that the kernel was asked. What it has ended it says with the next calls.
pub(super) fn cancel(submitter: &Submitter<'_>) -> io::Result<()> {
    match submitter.register_sync_cancel(Some(LIMIT), CancelBuilder::any()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ends one thing that it was asked, without handing anything over. What has ended already is not there any more.
pub(super) fn cancel_one(submitter: &Submitter<'_>, said: u64) {
    if let Err(error) = submitter.register_sync_cancel(Some(LIMIT), CancelBuilder::user_data(said)) {
        tracing::debug!(%error, "io_uring did not end what it was asked");
    }
}

/// Takes results until `left` of them were such as `ends` looks for. Nothing is handed over.
pub(super) fn reap(
    ring: &mut IoUring,
    mut left: usize,
    ends: impl Fn(&cqueue::Entry) -> bool,
) -> io::Result<()> {
    let mut in_vain = 0;
    while left > 0 && in_vain < TRIES {
        in_vain += 1;
        // SAFETY: there is no argument to be read, and nothing is handed over.
        unsafe { ring.submitter().enter::<libc::sigset_t>(0, 0, GETEVENTS, None) }?;
        for result in ring.completion() {
            in_vain = 0;
            left = left.saturating_sub(usize::from(ends(&result)));
        }
    }
    if left > 0 { Err(io::Error::from_raw_os_error(libc::ETIME)) } else { Ok(()) }
}
