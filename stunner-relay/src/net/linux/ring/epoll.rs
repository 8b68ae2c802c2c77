//! Whether who sleeps is woken: as tokio does, by an epoll that is told of what is new.
#![expect(unsafe_code, reason = "the standard library has no interface to these calls")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// An epoll of one file.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

impl Epoll {
    /// Watches a file for what is to be read from now on.
    pub(super) fn watch(fd: RawFd) -> io::Result<Self> {
        // SAFETY: it has no argument but flags.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is new, and nobody else has it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: 0 };
        // SAFETY: the event lives through the call, which only reads it.
        let added =
            unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, ptr::from_mut(&mut event)) };
        if added < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(epoll)) }
    }

    /// Whether it is woken within so many milliseconds, or four times as many where it is interrupted.
    pub(super) fn wakes(&self, milliseconds: i32) -> io::Result<bool> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // What the ring has to do for this thread interrupts the call, and is done then.
        for _ in 0..4 {
            // SAFETY: there is room for one event, which lives through the call, and nobody else has it.
            let woken = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, milliseconds) };
            match io::Error::last_os_error() {
                error if woken < 0 && error.kind() == io::ErrorKind::Interrupted => {}
                error if woken < 0 => return Err(error),
                _ => return Ok(woken > 0),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn it_is_woken_by_what_comes_and_by_nothing_else() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let epoll = Epoll::watch(socket.as_raw_fd()).expect("an epoll");
        assert!(!epoll.wakes(1).expect("it is asked"));

        socket.send_to(b"data", socket.local_addr().expect("an address")).expect("it is sent");

        assert!(epoll.wakes(5_000).expect("it is asked"));
    }
}
