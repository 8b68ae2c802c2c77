//! A client's or a peer's socket: packets in and out, over UDP or a stream.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use stunner_proto::framing;

/// The longest packet that is sent or expected.
pub(crate) const MAX_PACKET: usize = 2_048;

/// Bytes that may wait for a stream; it takes no packets until they have gone.
const BACKLOG: usize = 16 * 1024;

pub(crate) enum Socket {
    Udp(UdpSocket),
    Tcp(Stream),
}

/// A TCP connection, and what is between its bytes and packets.
pub(crate) struct Stream {
    stream: TcpStream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
}

impl Socket {
    /// Over UDP, with this address and any port.
    pub(crate) fn udp(ip: IpAddr) -> io::Result<Self> {
        UdpSocket::bind((ip, 0)).map(Self::Udp)
    }

    /// Over UDP, with this address and any port, to one server only.
    pub(crate) fn udp_to(ip: IpAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.connect(server)?;
        Ok(Self::Udp(socket))
    }

    /// Over TCP.
    pub(crate) fn tcp_to(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(Stream { stream, input: vec![0; 65_536], start: 0, end: 0, output: Vec::new() }))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream) => stream.stream.local_addr(),
        }
    }

    /// Waits for packets so long, from now on.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.set_read_timeout(Some(time)),
            Self::Tcp(stream) => stream.stream.set_read_timeout(Some(time)),
        }
    }

    /// Waits for nothing, from now on.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.set_nonblocking(true),
            Self::Tcp(stream) => stream.stream.set_nonblocking(true),
        }
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Udp(socket) => socket.as_raw_fd(),
            Self::Tcp(stream) => stream.stream.as_raw_fd(),
        }
    }

    /// Sends a packet, to `to` where the socket has no server. `false` where it takes none now.
    pub(crate) fn send(&mut self, packet: &[u8], to: Option<SocketAddr>) -> io::Result<bool> {
        let sent = match (&mut *self, to) {
            (Self::Udp(socket), Some(to)) => socket.send_to(packet, to),
            (Self::Udp(socket), None) => socket.send(packet),
            (Self::Tcp(stream), _) => return stream.send(packet),
        };
        Ok(unless_blocked(sent)?.is_some())
    }

    /// The next packet, and who sent it where the socket has no server. `None` where there is none now.
    pub(crate) fn recv(
        &mut self,
        buffer: &mut [u8; MAX_PACKET],
    ) -> io::Result<Option<(usize, Option<SocketAddr>)>> {
        match self {
            Self::Udp(socket) => {
                Ok(unless_blocked(socket.recv_from(buffer))?.map(|(len, from)| (len, Some(from))))
            }
            Self::Tcp(stream) => Ok(stream.recv(buffer)?.map(|len| (len, None))),
        }
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Udp(_) => Ok(()),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

impl Stream {
    fn send(&mut self, packet: &[u8]) -> io::Result<bool> {
        if self.output.len() > BACKLOG {
            self.flush()?;
        }
        if self.output.len() > BACKLOG {
            return Ok(false);
        }
        self.output.extend_from_slice(packet);
        self.output.resize(self.output.len().next_multiple_of(4), 0);
        self.flush()?;
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let Some(len) = unless_blocked(self.stream.write(&self.output))? else { break };
            self.output.drain(..len);
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8; MAX_PACKET]) -> io::Result<Option<usize>> {
        loop {
            let waiting = &self.input[self.start..self.end];
            if let Some(len) = framing::frame_len(waiting).map_err(io::Error::other)?
                && let Some(frame) = waiting.get(..len)
            {
                let place = buffer.get_mut(..len).ok_or(ErrorKind::InvalidData)?;
                place.copy_from_slice(frame);
                self.start += len;
                return Ok(Some(len));
            }
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            match unless_blocked(self.stream.read(&mut self.input[self.end..]))? {
                None => return Ok(None),
                Some(0) => return Err(io::Error::other("the server closed the connection")),
                Some(len) => self.end += len,
            }
        }
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
