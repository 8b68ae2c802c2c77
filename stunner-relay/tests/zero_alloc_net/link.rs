//! Sockets of clients and peers, which are written to at once and read from by tasks.

use std::{
    io::{ErrorKind, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket},
    time::Duration,
};

use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same socket twice.
pub(crate) enum Link {
    Udp(StdUdpSocket, UdpSocket),
    Tcp(StdTcpStream, TcpStream),
}

impl Link {
    pub(crate) fn udp() -> Self {
        let socket = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_nonblocking(true).expect("a socket that does not block");
        let twin = socket.try_clone().expect("a second one");
        Self::Udp(socket, UdpSocket::from_std(twin).expect("a runtime"))
    }

    pub(crate) fn tcp(server: SocketAddr) -> Self {
        let stream = StdTcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_nonblocking(true).expect("a stream that does not block");
        let twin = stream.try_clone().expect("a second one");
        // Nobody reads while a burst is written: it has to fit, whatever the kernel thinks of the way.
        socket2::SockRef::from(&stream).set_send_buffer_size(1 << 20).expect("a buffer");
        Self::Tcp(stream, TcpStream::from_std(twin).expect("a runtime"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket, _) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        }
        .expect("an address")
    }

    pub(crate) fn connect(&self, other: SocketAddr) {
        if let Self::Udp(socket, _) = self {
            socket.connect(other).expect("an address");
        }
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        match self {
            Self::Udp(socket, _) => assert_eq!(socket.send(packet).expect("it is sent"), packet.len()),
            Self::Tcp(stream, _) => (&*stream).write_all(packet).expect("there is room"),
        }
    }

    /// Waits for one datagram, and this thread with it.
    pub(crate) fn wait(&self) {
        let Self::Udp(socket, _) = self else { panic!("datagrams only") };
        socket.set_nonblocking(false).expect("a socket that blocks");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.recv(&mut [0; 4_096]).expect("a datagram");
    }

    /// Some bytes: one datagram, or a piece of a stream.
    pub(crate) async fn recv(&self, buffer: &mut [u8]) -> usize {
        loop {
            let received = match self {
                Self::Udp(_, socket) => {
                    socket.readable().await.expect("a socket");
                    socket.try_recv(buffer)
                }
                Self::Tcp(_, stream) => {
                    stream.readable().await.expect("a stream");
                    stream.try_read(buffer)
                }
            };
            match received {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                received => return received.expect("something"),
            }
        }
    }

    /// Takes so many packets, which are so many bytes, and no more.
    pub(crate) async fn take(&self, packets: usize, bytes: usize) {
        let mut buffer = [0; 4_096];
        let (mut reads, mut taken) = (0, 0);
        let all = async {
            while taken < bytes {
                taken += self.recv(&mut buffer).await;
                reads += 1;
            }
        };
        timeout(PATIENCE, all).await.expect("all of it comes in time");
        assert_eq!(taken, bytes);
        assert!(matches!(self, Self::Tcp(..)) || reads == packets);
    }
}
