//! What a client is told once.

use std::time::Duration;

use stunner_proto::attribute::{AddressFamily, ReservationToken};

use crate::Transport;

/// Settings of a [`Client`](super::Client).
///
/// Username and password are as OpaqueString (RFC 8265) prepares them, which leaves printable ASCII as it is.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Whose credentials they are: at most 508 bytes.
    pub username: String,
    /// What the keys are made of.
    pub password: String,
    /// The only realm that the credentials are for. `None`, as by default, for whichever the server names.
    pub realm: Option<String>,
    /// What carries the packets: UDP by default. Packets of a stream are handed in and out as whole frames.
    pub transport: Transport,
    /// Which relayed transport addresses: one of IPv4 by default.
    pub wanted: Wanted,
    /// The lifetime that is asked for, in whole seconds; `None`, as by default, leaves it to the server.
    pub lifetime: Option<Duration>,
    /// Whether the DF bit is to be set on what Send indications carry: no. A server that cannot is asked without.
    pub dont_fragment: bool,
    /// Whether to ask for a ticket to [move](super::Client::migrate) with (RFC 8016): no. A server that gives none is
    /// used without.
    pub mobility: bool,
    /// What SOFTWARE says in Allocate and Refresh requests, at most 127 characters; nothing by default.
    pub software: Option<String>,
    /// Whether requests end with FINGERPRINT: no.
    pub fingerprint: bool,
    /// Whether SHA-256 is used where the server offers it: yes. Without it the client is one of RFC 5389, and passes
    /// over the offer.
    pub sha256: bool,
    /// Whether USERHASH stands in for USERNAME where the server knows it: yes.
    pub userhash: bool,
    /// The first wait for a response: 500 ms. Later ones are estimated (RFC 8489, section 6.2.1).
    pub rto: Duration,
    /// The least that an estimate may be: 500 ms, as ICE agents must keep to (RFC 8445, section 14.3).
    pub min_rto: Duration,
    /// Rc: how often a request is sent: 7 times.
    pub max_requests: u32,
    /// Rm: how many times the RTO to wait after the last one: 16.
    pub last_wait: u32,
    /// Ti: how long to wait for a response on a stream: 39.5 s.
    pub stream_timeout: Duration,
    /// How often a request that was signed is signed anew because the server says so (438, 401): 3 times.
    pub max_challenges: u32,
}

impl Config {
    /// The settings above, for these credentials.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            realm: None,
            transport: Transport::Udp,
            wanted: Wanted::default(),
            lifetime: None,
            dont_fragment: false,
            mobility: false,
            software: None,
            fingerprint: false,
            sha256: true,
            userhash: true,
            rto: Duration::from_millis(500),
            min_rto: Duration::from_millis(500),
            max_requests: 7,
            last_wait: 16,
            stream_timeout: Duration::from_millis(39_500),
            max_challenges: 3,
        }
    }
}

/// Shows no secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { transport, wanted, .. } = self;
        f.debug_struct("Config").field("transport", transport).field("wanted", wanted).finish_non_exhaustive()
    }
}

/// Which relayed transport addresses a client asks for. What may not be asked for together cannot be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// One of a family.
    One(AddressFamily, Port),
    /// One of IPv4 and one of IPv6; either alone will do.
    Dual {
        /// Whether even ports are wished for.
        even: bool,
    },
    /// The one that the server has kept since an allocation with [`Port::EvenAndNext`], whose event has the token.
    Reserved(ReservationToken),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::One(AddressFamily::V4, Port::Any)
    }
}

/// Which port is wished for. Where the server has no such port (508), any other is taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Port {
    /// Whichever is free.
    #[default]
    Any,
    /// An even one.
    Even,
    /// An even one, and the next to be kept under a token, for at least 30 s.
    EvenAndNext,
}

impl Wanted {
    /// The same with whichever port is free; `None` where no port was wished for.
    pub(super) const fn any_port(self) -> Option<Self> {
        match self {
            Self::One(family, Port::Even | Port::EvenAndNext) => Some(Self::One(family, Port::Any)),
            Self::Dual { even: true } => Some(Self::Dual { even: false }),
            Self::One(_, Port::Any) | Self::Dual { even: false } | Self::Reserved(_) => None,
        }
    }

    /// Whether a relayed transport address of this family may be among what was asked for.
    pub(super) fn includes(self, family: AddressFamily) -> bool {
        match self {
            Self::One(own, _) => own == family,
            Self::Dual { .. } | Self::Reserved(_) => true,
        }
    }
}
