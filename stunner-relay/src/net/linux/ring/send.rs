//! Sending by many sockets in one call.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{io, net::SocketAddr, os::fd::RawFd};

use io_uring::{IoUring, opcode, squeue, types};
use slab::Slab;

use super::quiet::{self, LIMIT};
use crate::net::{
    linux::{limit::open_files, send::write, sys::Name},
    outbox::MAX_SENT,
};

/// So many sockets can be looked up without counting who uses them, which is cheaper.
const MAX_FILES: u32 = 1 << 16;

/// [`MAX_SENT`], which is what is handed over at once.
const ENTRIES: u32 = 64;

/// So often it is waited for what is done at once otherwise.
const MAX_WAITS: usize = 3;

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
    /// Counts the calls: a result of an earlier one is none of this one.
    turn: u32,
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
            turn: 0,
            failed: Vec::with_capacity(MAX_SENT),
        })
    }

    /// A place for a socket in the table of files; `None` when there is none.
    pub(super) fn register(&mut self, fd: RawFd) -> Option<u32> {
        let place = self.files.vacant_key();
        let number = u32::try_from(place).ok().filter(|_| place < self.max_files)?;
        self.update(number, fd).ok()?;
        self.files.insert(());
        Some(number)
    }

    /// Frees a place. As long as it is taken, the socket stays open.
    pub(super) fn forget(&mut self, file: u32) {
        match self.update(file, -1) {
            Ok(()) => {
                self.files.try_remove(file as usize);
            }
            // Whoever had the place next would send by the socket that is there.
            Err(error) => tracing::error!(%error, "io_uring keeps the socket of a relayed transport address"),
        }
    }

    fn update(&self, file: u32, fd: RawFd) -> io::Result<()> {
        match self.ring.submitter().register_files_update(file, &[fd])? {
            0 => Err(io::ErrorKind::InvalidInput.into()),
            _ => Ok(()),
        }
    }

    /// Has all sockets named by their descriptors from now on.
    pub(super) const fn do_without_files(&mut self) {
        self.max_files = 0;
    }

    /// Sends [`MAX_SENT`] datagrams at most. Returns which of them were not sent, and the number of the error.
    ///
    /// # Errors
    /// The ring does not work, and must be dropped.
    pub(super) fn send(&mut self, datagrams: &[Outgoing<'_>]) -> io::Result<&[(usize, i32)]> {
        self.failed.clear();
        self.turn = self.turn.wrapping_add(1);
        let sent = self.push(datagrams).and_then(|()| self.submit(datagrams.len().min(MAX_SENT)));
        if sent.is_err()
            && let Err(error) = quiet::cancel(&self.ring.submitter())
        {
            tracing::error!(%error, "the kernel may still send what it was given before");
        }
        sent.map(|()| &*self.failed)
    }

    fn push(&mut self, datagrams: &[Outgoing<'_>]) -> io::Result<()> {
        let mut queue = self.ring.submission();
        for ((datagram, name), index) in datagrams.iter().zip(self.names.iter_mut()).zip(0_u64..) {
            let entry = datagram.entry(name).user_data(u64::from(self.turn) << 32 | index);
            // SAFETY: the data are borrowed, and the name is ours, until the kernel has said of each entry that it is
            // done with it, which `submit` waits for; or else was made to end it, and what it has not taken stays in the
            // queue of a ring that is dropped.
            unsafe { queue.push(&entry) }.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Hands over what was pushed, and takes in as many results.
    fn submit(&mut self, mut left: usize) -> io::Result<()> {
        // All is done when the first call returns: none of these waits for room.
        let mut submitted = self.ring.submit();
        for _ in 0..MAX_WAITS {
            match submitted {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for done in self.ring.completion() {
                let (turn, index) = (done.user_data() >> 32, done.user_data() & u64::from(u32::MAX));
                if turn != u64::from(self.turn) {
                    continue;
                }
                left = left.saturating_sub(1);
                if done.result() < 0 {
                    self.failed.push((usize::try_from(index).unwrap_or(usize::MAX), -done.result()));
                }
            }
            if left == 0 {
                return Ok(());
            }
            submitted =
                self.ring.submitter().submit_with_args(left, &types::SubmitArgs::new().timespec(&LIMIT));
        }
        Err(io::Error::from_raw_os_error(libc::ETIME))
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

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, UdpSocket},
        os::fd::AsRawFd,
    };

    use super::*;
    use crate::net::linux::tests::sever;

    fn ring() -> Option<(SendRing, UdpSocket)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        SendRing::new().ok().map(|ring| (ring, socket))
    }

    /// Two datagrams to the socket itself.
    fn two(socket: &UdpSocket) -> [Outgoing<'static>; 2] {
        let to = Some(socket.local_addr().expect("an address"));
        [&b"one"[..], b"two"].map(|data| Outgoing { fd: socket.as_raw_fd(), file: None, data, to })
    }

    #[test]
    fn a_result_of_an_earlier_call_is_none_of_this_one() {
        let Some((mut ring, socket)) = ring() else { return };
        let late = opcode::Send::new(types::Fd(-1), std::ptr::null(), 0).build();
        for index in 0..3 {
            // SAFETY: there is no such file, and nothing to read.
            unsafe { ring.ring.submission().push(&late.clone().user_data(index)) }.expect("there is room");
        }

        assert_eq!(ring.send(&two(&socket)).expect("it works"), []);
        assert_eq!(ring.send(&two(&socket)).expect("it works"), []);
    }

    #[test]
    fn what_cannot_be_sent_is_told_and_the_rest_is_sent() {
        let Some((mut ring, socket)) = ring() else { return };
        let mut datagrams = two(&socket);
        datagrams[0].file = Some(7);

        assert_eq!(ring.send(&datagrams).expect("it works"), [(0, libc::EBADF)]);
        let mut bytes = [0; 8];
        assert_eq!(socket.recv(&mut bytes).expect("a datagram"), 3);
        assert_eq!(bytes[..3], *b"two");
    }

    #[test]
    fn a_place_that_the_kernel_does_not_free_is_nobody_elses() {
        let Some((mut ring, socket)) = ring() else { return };
        let Some(place) = ring.register(socket.as_raw_fd()) else { return };

        sever(ring.ring.as_raw_fd());
        ring.forget(place);

        assert!(ring.files.contains(place as usize));
    }

    #[test]
    fn a_place_that_was_freed_is_anothers() {
        let Some((mut ring, socket)) = ring() else { return };
        let Some(place) = ring.register(socket.as_raw_fd()) else { return };

        ring.forget(place);

        assert_eq!(ring.register(socket.as_raw_fd()), Some(place));
    }

    #[test]
    fn a_ring_that_does_not_work_says_so() {
        let Some((mut ring, socket)) = ring() else { return };
        sever(ring.ring.as_raw_fd());

        assert!(ring.send(&two(&socket)).is_err());
    }
}
