//! Who talks to whom, over what.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

/// The protocol between client and server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// One datagram is one packet.
    Udp,
    /// Packets are framed on a stream, ChannelData padded to a multiple of four.
    Tcp,
    /// The same inside TLS.
    Tls,
    /// Datagrams inside DTLS.
    Dtls,
}

impl Transport {
    /// Whether packets follow one another without borders of their own.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// The name in lower case, as a log or a metric wants it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }
}

/// What identifies an allocation (RFC 8656, section 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FiveTuple {
    /// The client's transport address, as the server sees it.
    pub client: SocketAddr,
    /// The server's own, to which the client sent.
    pub server: SocketAddr,
    /// What carries the packets between the two.
    pub transport: Transport,
}

/// In few steps, since it is done for every packet of a client: what differs between addresses is a number or two.
impl Hash for FiveTuple {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let ports = u64::from(self.client.port()) << 16 | u64::from(self.server.port());
        let rest = ports << 8 | self.transport as u64;
        match (self.client.ip(), self.server.ip()) {
            (IpAddr::V4(client), IpAddr::V4(server)) => {
                hasher.write_u64(u64::from(client.to_bits()) << 32 | u64::from(server.to_bits()));
                hasher.write_u64(rest);
            }
            (client, server) => {
                for ip in [client, server] {
                    match ip {
                        IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
                        IpAddr::V6(ip) => hasher.write_u128(ip.to_bits()),
                    }
                }
                hasher.write_u64(rest);
            }
        }
    }
}

/// Which of a server's listeners a packet came to.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ListenerId(pub u16);

/// Who sent a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client {
    /// The addresses and the transport.
    pub tuple: FiveTuple,
    /// Where the packet came in.
    pub listener: ListenerId,
    /// The shell's own key, handed back with every packet for this client, so that nothing is looked up on the way out.
    pub link: u32,
}
