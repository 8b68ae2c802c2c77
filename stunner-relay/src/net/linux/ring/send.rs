//! Sending by many sockets in one call.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{io, net::SocketAddr, os::fd::RawFd};

use io_uring::{IoUring, opcode, squeue, types};
use slab::Slab;

use crate::net::{
    linux::{limit::open_files, send::write, sys::Name},
    outbox::MAX_SENT,
};

/// So many sockets can be looked up without counting who uses them, which is cheaper.
const MAX_FILES: u32 = 1 << 16;

/// [`MAX_SENT`], which is what is handed over at once.
const ENTRIES: u32 = 64;

/// A datagram, and the socket that it leaves by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) fd: RawFd,
    /// The socket's place among the files of the ring.
    pub(super) file: Option<u32>,
    pub(super) data: &'a [u8],
    /// Where to; nothing, where the socket is connected.
    pub(super) to: Option<SocketAddr>,
}

pub(super) struct SendRing {
    ring: IoUring,
    /// Places in the table of the ring's files that are taken.
    files: Slab<()>,
    max_files: usize,
    names: Box<[Name; MAX_SENT]>,
    failed: Vec<(usize, i32)>,
}

impl std::fmt::Debug for SendRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendRing").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl SendRing {
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(ENTRIES)?;
        // No process has more files than that.
        let files = open_files()
            .map_or(MAX_FILES, |limit| u32::try_from(limit).map_or(MAX_FILES, |limit| limit.min(MAX_FILES)));
        let max_files =
            if ring.submitter().register_files_sparse(files).is_ok() { files as usize } else { 0 };
        Ok(Self {
            ring,
            files: Slab::new(),
            max_files,
            names: Box::new([Name::default(); MAX_SENT]),
            failed: Vec::with_capacity(MAX_SENT),
        })
    }

    /// A place for a socket in the table of files; `None` when there is none.
    pub(super) fn register(&mut self, fd: RawFd) -> Option<u32> {
        let place = self.files.vacant_key();
        let number = u32::try_from(place).ok().filter(|_| place < self.max_files)?;
        self.ring.submitter().register_files_update(number, &[fd]).ok()?;
        self.files.insert(());
        Some(number)
    }

    /// Frees a place. As long as it is taken, the socket stays open.
    pub(super) fn forget(&mut self, file: u32) {
        let _ = self.ring.submitter().register_files_update(file, &[-1]);
        self.files.try_remove(file as usize);
    }

    /// Has all sockets named by their descriptors from now on.
    pub(super) const fn do_without_files(&mut self) {
        self.max_files = 0;
    }

    /// Sends [`MAX_SENT`] datagrams at most. Returns which of them were not sent, and the number of the error.
    ///
    /// # Errors
    /// The ring does not work, and must be dropped: what it was given is not to be read any more.
    pub(super) fn send(&mut self, datagrams: &[Outgoing<'_>]) -> io::Result<&[(usize, i32)]> {
        let Self { ring, names, failed, .. } = self;
        failed.clear();
        let mut queue = ring.submission();
        for (index, (datagram, name)) in datagrams.iter().zip(names.iter_mut()).enumerate() {
            let entry = datagram.entry(name).user_data(index as u64);
            // SAFETY: the data are borrowed, and the name is ours, until the kernel has said of each entry that it is
            // done with it, which is waited for below.
            unsafe { queue.push(&entry) }.map_err(io::Error::other)?;
        }
        drop(queue);
        // All is done when the first call returns: none of these waits for room.
        let mut left = datagrams.len().min(MAX_SENT);
        let mut wait = 0;
        while left > 0 {
            match ring.submit_and_wait(wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for done in ring.completion() {
                left -= 1;
                if done.result() < 0 {
                    failed.push((usize::try_from(done.user_data()).unwrap_or(usize::MAX), -done.result()));
                }
            }
            wait = left;
        }
        Ok(failed)
    }
}

impl Outgoing<'_> {
    fn entry(&self, name: &mut Name) -> squeue::Entry {
        let (data, len) = (self.data.as_ptr(), u32::try_from(self.data.len()).unwrap_or_default());
        let send = match self.file {
            Some(file) => opcode::Send::new(types::Fixed(file), data, len),
            None => opcode::Send::new(types::Fd(self.fd), data, len),
        };
        let send = send.flags(libc::MSG_DONTWAIT);
        let Some(to) = self.to else { return send.build() };
        let name_len = write(to, name);
        send.dest_addr(std::ptr::from_ref(name).cast()).dest_addr_len(name_len).build()
    }
}
