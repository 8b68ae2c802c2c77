//! Who talks to whom, over what.

use std::net::SocketAddr;

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
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FiveTuple {
    /// The client's transport address, as the server sees it.
    pub client: SocketAddr,
    /// The server's own, to which the client sent.
    pub server: SocketAddr,
    /// What carries the packets between the two.
    pub transport: Transport,
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
