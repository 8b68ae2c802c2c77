//! What a client has to tell.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use stunner_proto::{
    ChannelNumber,
    attribute::{AddressFamily, Icmp, ReservationToken},
};

/// What happened to a client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The server has made the allocation.
    Allocated(Allocated),
    /// Data of this peer pass, from any port, until further notice.
    Permitted(IpAddr),
    /// Data of this peer go over a channel, until further notice.
    Bound {
        /// Who is at the other end.
        peer: SocketAddr,
        /// The channel's number.
        number: ChannelNumber,
    },
    /// Something that was asked for is not to be had, or no longer. After an Allocate, [`Client::retry`] says when
    /// another one may be tried.
    ///
    /// [`Client::retry`]: super::Client::retry
    Refused {
        /// What was asked for.
        request: Request,
        /// Why it is not to be had.
        why: Failure,
    },
    /// The allocation is gone, with all permissions and channels. [`Client::restart`] asks for another one, unless the
    /// client does so by itself.
    ///
    /// [`Client::restart`]: super::Client::restart
    Lost(Lost),
    /// The server names another one (RFC 8489, section 10), which the client turns to: over UDP by itself, where it can
    /// be reached from the same socket, else with [`Client::restart`] when the shell has a connection to it.
    ///
    /// [`Client::restart`]: super::Client::restart
    Redirected {
        /// The other server.
        server: SocketAddr,
        /// The name that its certificate must have; that of the first server where there is none.
        domain: Option<Box<str>>,
    },
    /// A packet to a peer met with an ICMP error (RFC 8656, section 11.6).
    Icmp {
        /// Whom the packet was for; port 0 where that is not known.
        peer: SocketAddr,
        /// What the error says.
        icmp: Icmp,
    },
    /// The allocation has followed the client to this address: send data from there. Until then what peers send still
    /// goes to the old one (RFC 8016, section 3.2.2).
    Migrated(SocketAddr),
    /// The allocation was [given back](super::Client::close).
    Closed,
}

/// What a server has granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Allocated {
    /// The relayed transport address of IPv4.
    pub v4: Option<SocketAddr>,
    /// The relayed transport address of IPv6.
    pub v6: Option<SocketAddr>,
    /// The client's own address as the server sees it.
    pub mapped: SocketAddr,
    /// For how long, unless it is refreshed, which the client does by itself.
    pub lifetime: Duration,
    /// What the next port is kept under, where that was asked for.
    pub reservation: Option<ReservationToken>,
    /// The family that could not be had beside the other, and the code that says why.
    pub missing: Option<(AddressFamily, u16)>,
    /// Whether the allocation can [follow](super::Client::migrate) its client.
    pub mobile: bool,
}

impl Allocated {
    /// The relayed transport address of a family.
    #[must_use]
    pub const fn relayed(&self, family: AddressFamily) -> Option<SocketAddr> {
        match family {
            AddressFamily::V4 => self.v4,
            AddressFamily::V6 => self.v6,
        }
    }
}

/// What a client asks of its server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Request {
    /// An allocation.
    Allocate,
    /// More time for it.
    Refresh,
    /// An end to it.
    Close,
    /// That it follows to another address.
    Migrate,
    /// That a peer's data may pass.
    Permission(IpAddr),
    /// That a channel carries a peer's data.
    Channel(ChannelNumber, SocketAddr),
}

/// Why a request came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server says no.
    #[error("{code} {reason}")]
    Refused {
        /// The code, 300 to 699.
        code: u16,
        /// What it says to people.
        reason: Box<str>,
    },
    /// There was no response.
    #[error("the server does not answer")]
    Timeout,
    /// Nothing came but responses that the server has not signed.
    #[error("integrity violated")]
    IntegrityViolated,
    /// The server, or who has changed its response, offers less than its nonce says.
    #[error("the offer of password algorithms was removed")]
    BidDown,
    /// The server offers no password algorithm that the client knows.
    #[error("no password algorithm in common")]
    NoAlgorithm,
    /// The server's realm is not that of the credentials.
    #[error("the server is in another realm")]
    WrongRealm,
    /// The response lacks what it must have, or has what nobody knows.
    #[error("the response is malformed")]
    Malformed,
    /// The relayed transport address is of a family that was not asked for. It was given back.
    #[error("the relayed address is of another family")]
    UnusableFamily,
    /// The server names one that was asked a short while ago, or there is no end to it.
    #[error("redirected in a circle")]
    RedirectLoop,
    /// The connection ended, or a router says that the server cannot be reached.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The request does not fit [`MAX_REQUEST`](super::MAX_REQUEST) bytes.
    #[error("the request is too long")]
    TooLong,
}

impl Failure {
    /// The code of the server's refusal, if it is one.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the server has not had its say: another try may go better.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::Timeout | Self::IntegrityViolated | Self::Unreachable => true,
            Self::Refused { code, .. } => *code >= 500,
            _ => false,
        }
    }
}

/// Why an allocation is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lost {
    /// The server knows nothing of it (437).
    Mismatch,
    /// It could not be refreshed in time.
    Expired,
    /// The connection to the server ended.
    Disconnected,
    /// The server holds other channels than the client believes (400). The client gives the allocation back and asks
    /// for another one by itself (RFC 8656, section 12.3).
    ChannelMismatch,
}

/// When another Allocate may be tried, where there is no allocation and none is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Never with these settings, on this server.
    Never,
    /// At once, from another port of the client's.
    NewPort,
    /// From this time on.
    At(Instant),
}
