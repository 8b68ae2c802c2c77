//! What some kernels accept and do not do, or do late: seen before anybody relies on it.

use std::{io, net::UdpSocket, os::fd::AsRawFd, thread};

use super::{Rings, buffers::COUNT};
use crate::net::{batch::RecvBatch, linux::sys};

/// Twice as many datagrams as there are buffers. A kernel that is asked again, when it had none left, finds more than the 32
/// that it takes before others have their turn; some never come back to the rest, nor to what comes later.
const BURST: usize = 2 * COUNT as usize;

/// So often it is looked for datagrams, which another thread of the kernel may have.
const LOOKS: usize = 1_000;

impl Rings {
    /// Receives a burst for which there are not enough buffers.
    ///
    /// # Errors
    /// Some of it is not received.
    pub(super) fn try_burst(&self, socket: &UdpSocket) -> io::Result<()> {
        let to = socket.local_addr()?;
        // As relayed transport addresses are: with all that a kernel may tell of a datagram.
        let asks: [fn(&UdpSocket) -> bool; 5] =
            [sys::join, sys::tell_errors, sys::tell_dropped, sys::tell_traffic_class, sys::tell_hop_limit];
        for ask in asks {
            ask(socket);
        }
        let registered = self.register(socket.as_raw_fd(), 0);
        for _ in 0..BURST {
            socket.send_to(b"datagram", to)?;
        }
        let (mut batch, mut errors, mut came) = (RecvBatch::default(), Vec::new(), 0);
        for _ in 0..LOOKS {
            batch.clear();
            self.receive(&mut batch, &mut errors);
            came += batch.taken();
            if came >= BURST {
                break;
            }
            thread::yield_now();
        }
        self.forget(registered);
        if came >= BURST { Ok(()) } else { Err(io::Error::other("a socket is not emptied")) }
    }

    /// Does without the table of files where a socket that was in it stays open for some time: nobody else could have its
    /// port.
    ///
    /// # Errors
    /// The socket has no address.
    pub(super) fn try_files(&self, socket: UdpSocket) -> io::Result<()> {
        let address = socket.local_addr()?;
        self.forget(self.register(socket.as_raw_fd(), 0));
        drop(socket);
        if let (Err(error), Some(ring)) = (UdpSocket::bind(address), &mut *self.send.borrow_mut()) {
            tracing::debug!(%error, "io_uring lets files go late: it is not given any to keep");
            ring.do_without_files();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::SockRef;

    use super::*;
    use crate::net::tokio_network::bind_relay;

    fn socket() -> UdpSocket {
        bind_relay((Ipv4Addr::LOCALHOST, 0).into(), false).expect("a free port")
    }

    #[test]
    fn a_ring_that_does_not_receive_all_of_a_burst_is_refused() {
        let Ok(rings) = Rings::new() else { return };
        let small = socket();
        SockRef::from(&small).set_recv_buffer_size(1).expect("the smallest that there is");

        assert!(rings.try_burst(&socket()).is_ok());
        assert!(rings.try_burst(&small).is_err());
        assert!(rings.try_burst(&socket()).is_ok());
    }

    #[test]
    fn a_socket_that_stays_open_is_the_last_in_the_table_of_files() {
        let Ok(rings) = Rings::new() else { return };
        let socket = socket();
        let _open = socket.try_clone().expect("another descriptor");

        rings.try_files(socket).expect("it has an address");

        let next = super::tests::socket();
        assert_eq!(rings.register(next.as_raw_fd(), 0).file, None);
    }

    #[test]
    fn the_port_of_a_socket_that_the_rings_know_no_more_is_free_at_once() {
        let Ok(rings) = Rings::new() else { return };
        let socket = socket();
        let address = socket.local_addr().expect("an address");

        rings.forget(rings.register(socket.as_raw_fd(), 0));
        drop(socket);

        assert!(UdpSocket::bind(address).is_ok());
    }
}
