//! What some kernels accept and do not do, or do late: seen before anybody relies on it.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};

use super::{Outgoing, Rings, buffers::COUNT, epoll::Epoll};
use crate::net::{batch::RecvBatch, linux::prepare_relay, marks::Copied};

/// Twice as many datagrams as there are buffers. A kernel that is asked again, when it had none left, finds more than the 32
/// that it takes before others have their turn; some never come back to the rest, nor to what comes later.
const BURST: usize = 2 * COUNT as usize;

/// So often it is looked in vain for datagrams, which another thread of the kernel may have.
const LOOKS: usize = 50;

/// How long it rests after it has looked in vain. Who yields instead waits until all others have had their turn, which on a
/// busy machine is a minute for a thousand times.
const REST: Duration = Duration::from_millis(1);

/// How many milliseconds waking up may take.
const WAKE: i32 = 50;

impl Rings {
    /// Sends a datagram by the one, is woken by it, and receives it by the other; and does it again. It does not take long,
    /// whatever happens.
    pub(super) fn try_out(&self) -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let (fd, to) = (socket.as_raw_fd(), socket.local_addr()?);
        let registered = self.register(fd, 0);
        let epoll = Epoll::watch(self.receive.borrow().as_raw_fd())?;
        let datagram = Outgoing { fd, file: registered.file, data: b"datagram", to: Some(to) };
        for _ in 0..2 {
            // Some kernels wake who begins to wait, and when results are taken in, but not when something comes.
            epoll.wakes(0)?;
            if let Some(ring) = &mut *self.send.borrow_mut()
                && let Some(&(_, error)) = ring.send(&[datagram])?.first()
            {
                return Err(io::Error::from_raw_os_error(error));
            }
            if !epoll.wakes(WAKE)? {
                return Err(io::Error::other("an epoll is not woken by what comes"));
            }
            let mut batch = RecvBatch::default();
            self.receive(&mut batch, &mut Vec::new());
            if !batch.packets().any(|packet| packet.data == b"datagram" && packet.from == to) {
                return Err(io::Error::other("a datagram did not come back"));
            }
        }
        self.forget(registered);
        Ok(())
    }

    /// Receives a burst for which there are not enough buffers.
    ///
    /// # Errors
    /// Some of it is not received.
    pub(super) fn try_burst(&self, socket: &UdpSocket) -> io::Result<()> {
        let to = socket.local_addr()?;
        // As relayed transport addresses are, with all that a kernel may tell of a datagram.
        prepare_relay(socket, Copied { traffic_class: true, hop_limit: true });
        let registered = self.register(socket.as_raw_fd(), 0);
        for _ in 0..BURST {
            socket.send_to(b"datagram", to)?;
        }
        let (mut batch, mut errors) = (RecvBatch::default(), Vec::new());
        let (mut came, mut in_vain) = (0, 0);
        while came < BURST && in_vain < LOOKS {
            batch.clear();
            self.receive(&mut batch, &mut errors);
            came += batch.taken();
            if batch.taken() == 0 {
                in_vain += 1;
                thread::sleep(REST);
            }
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
