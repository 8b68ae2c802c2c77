//! One connection to the server: packets out, packets in.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use stunner_proto::framing::{Kind, NotAFrame, frame_len};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
};

/// Bytes in order: TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

enum Carrier {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>, Vec<u8>),
}

/// A socket that is connected to the server.
pub(crate) struct Link {
    carrier: Carrier,
    pub(crate) local: SocketAddr,
    pub(crate) server: SocketAddr,
}

impl Link {
    /// Over UDP. ICMP errors come back as errors of the socket.
    pub(crate) async fn datagrams(server: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        let local = socket.local_addr()?;
        Ok(Self { carrier: Carrier::Datagrams(socket), local, server })
    }

    pub(crate) fn stream(stream: impl Stream + 'static, local: SocketAddr, server: SocketAddr) -> Self {
        Self { carrier: Carrier::Stream(Box::new(stream), Vec::new()), local, server }
    }

    /// Lets no packet be cut on its way, here or by a router. `false` where the system has no such setting.
    pub(crate) fn forbid_fragments(&self) -> bool {
        match &self.carrier {
            Carrier::Datagrams(socket) => forbid_fragments(socket, self.server.is_ipv4()),
            Carrier::Stream(..) => false,
        }
    }

    pub(crate) async fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        match &mut self.carrier {
            Carrier::Datagrams(socket) => match socket.send(packet).await {
                // This may be about an earlier packet.
                Err(error) if is_too_long(&error) => socket.send(packet).await.map(drop),
                sent => sent.map(drop),
            },
            Carrier::Stream(stream, _) => {
                stream.write_all(packet).await?;
                stream.flush().await
            }
        }
    }

    /// The next packet. Nothing is lost if this is given up before it is done.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.carrier {
            Carrier::Datagrams(socket) => {
                let mut packet = vec![0; 65_536];
                loop {
                    match socket.recv(&mut packet).await {
                        Err(error) if is_too_long(&error) => {}
                        received => {
                            packet.truncate(received?);
                            return Ok(packet);
                        }
                    }
                }
            }
            Carrier::Stream(stream, buffer) => loop {
                // No channel is bound here, so that nothing but messages can come.
                let foreign = buffer.first().is_some_and(|first| Kind::of(*first) != Kind::Message);
                let len = if foreign { Err(NotAFrame) } else { frame_len(buffer) };
                let len = len.map_err(|_| not_turn(buffer))?;
                if let Some(len) = len.filter(|&len| len <= buffer.len()) {
                    return Ok(buffer.drain(..len).collect());
                }
                if stream.read_buf(buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            },
        }
    }
}

#[cfg(target_os = "linux")]
fn forbid_fragments(socket: &UdpSocket, v4: bool) -> bool {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    // What the kernel remembers of the path does not count: this is to find out.
    if v4 {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE).is_ok()
    } else {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE).is_ok()
    }
}

/// Whether a router or the kernel says that a packet was too long, which is no end of the socket.
#[cfg(target_os = "linux")]
fn is_too_long(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MSGSIZE)
}

#[cfg(not(target_os = "linux"))]
const fn is_too_long(_: &io::Error) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
const fn forbid_fragments(_: &UdpSocket, _: bool) -> bool {
    false
}

/// Says what came in place of TURN, as far as its first bytes tell.
fn not_turn(bytes: &[u8]) -> io::Error {
    let what = match bytes {
        [0x15 | 0x16, 3, ..] => "TLS",
        [b'H', b'T', b'T', b'P', ..] => "HTTP",
        [b'S', b'S', b'H', ..] => "SSH",
        _ => "something else",
    };
    io::Error::new(io::ErrorKind::InvalidData, what)
}
