//! The traits on tokio's sockets: portable, a system call for each packet.

use std::{
    io,
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    time::Instant,
};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::{
    batch::RecvBatch,
    socket::{Datagram, DatagramSocket, Network, Ready},
};

/// How much the kernel may hold for a listener: bursts of many clients meet there.
pub(super) const LISTENER_BUFFER: usize = 4 << 20;

/// How much the kernel may hold for one relayed transport address.
const RELAY_BUFFER: usize = 512 << 10;

/// Tokio's sockets and clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioNetwork;

impl Network for TokioNetwork {
    type Bound = StdUdpSocket;
    type Socket = UdpSocket;

    fn name(&self) -> &'static str {
        "portable"
    }

    fn bind_relay(&self, address: SocketAddr) -> io::Result<StdUdpSocket> {
        bind_relay(address, false)
    }

    fn attach(&self, bound: StdUdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::from_std(bound)
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl DatagramSocket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    async fn ready(&self) -> io::Result<Ready> {
        self.readable().await?;
        Ok(Ready { data: true, error: false })
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        batch.receive(|buffer| self.try_recv_from(buffer))?;
        while batch.has_room() {
            match batch.receive(|buffer| self.try_recv_from(buffer)) {
                Ok(()) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        for (sent, datagram) in datagrams.iter().enumerate() {
            let to = SockAddr::from(datagram.to);
            let send = || SockRef::from(self).send_to_vectored(&datagram.parts, &to);
            match self.try_io(Interest::WRITABLE, send) {
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
                Ok(_) => {}
            }
        }
        Ok(datagrams.len())
    }
}

/// A non-blocking UDP socket; `shared` ones share their port with those of other workers.
pub(super) fn bind_listener(address: SocketAddr, shared: bool) -> io::Result<StdUdpSocket> {
    bind_udp(address, shared, LISTENER_BUFFER)
}

/// The same with the buffers of a relayed transport address.
pub(super) fn bind_relay(address: SocketAddr, shared: bool) -> io::Result<StdUdpSocket> {
    bind_udp(address, shared, RELAY_BUFFER)
}

fn bind_udp(address: SocketAddr, shared: bool, buffer: usize) -> io::Result<StdUdpSocket> {
    let socket = bind(address, Type::DGRAM, Protocol::UDP, shared)?;
    // The kernel gives what its limit allows, and that is well enough. A server says once where it is less (`announce`).
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    Ok(socket.into())
}

/// A non-blocking TCP listener; `shared` ones share their port with those of other workers.
pub(super) fn bind_tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = bind(address, Type::STREAM, Protocol::TCP, shared)?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn bind(address: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    // Who lets the kernel choose a port of those that may be shared can get one that another server has.
    let chosen = address.port() == 0;
    #[cfg(unix)]
    socket.set_reuse_port(shared && !chosen)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    #[cfg(unix)]
    socket.set_reuse_port(shared)?;
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use super::*;

    #[test]
    fn a_port_that_the_kernel_chose_is_nobody_elses_until_it_is_shared() {
        let address = SocketAddr::from((Ipv4Addr::new(127, 88, 0, 1), 0));
        // Of so many, some would come twice.
        let sockets: Vec<_> = (0..700).map(|_| bind_listener(address, true).expect("a port")).collect();
        let port = |socket: &StdUdpSocket| socket.local_addr().expect("an address").port();

        assert_eq!(sockets.iter().map(port).collect::<BTreeSet<_>>().len(), 700);
        let shared = (address.ip(), port(&sockets[0])).into();
        assert!(bind_listener(shared, true).is_ok());
    }
}
