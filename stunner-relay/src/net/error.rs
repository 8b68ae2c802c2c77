//! Why a server could not be started.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// Why a server could not be started, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing to listen on.
    #[error("no listener: a TURN server needs at least one, such as Listener::udp(\"0.0.0.0:3478\")")]
    NoListener,
    /// Nobody could use it.
    #[error("no authenticator: say who may use the server, for instance with StaticUser::new")]
    NoAuthenticator,
    /// Not an address.
    #[error("'{0}' is not an address to listen on; write one such as 0.0.0.0:3478 or [::]:3478")]
    BadAddress(String),
    /// Another program has the port.
    #[error("{0} is in use by another program: stop that one, or choose another port")]
    Busy(SocketAddr),
    /// The operating system refuses a listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operating system refuses a relay address.
    #[error("cannot relay from {ip}: {source}; give an address of this machine")]
    Relay {
        /// Which.
        ip: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// The range of ports is empty or begins with 0.
    #[error("relay ports {0}-{1}: give a range such as 49152-65535")]
    BadPorts(u16, u16),
    /// The second address for behaviour discovery does not go with the first.
    #[error(
        "{0} cannot be the second address of {1}: behaviour discovery needs a UDP listener on one address of this machine, \
         and another address and another port beside it"
    )]
    BadAlternate(SocketAddr, SocketAddr),
    /// Allocations follow their clients within one worker only.
    #[error("mobility needs one worker, and {0} were asked for: leave workers() out, or give it one")]
    Mobility(usize),
    /// The name in the certificate of other servers does not fit its attribute.
    #[error("'{0}' is no domain for ALTERNATE-DOMAIN: give a name in ASCII of at most 255 bytes")]
    BadAlternateDomain(String),
    /// The realm does not fit its attribute.
    #[error("the realm must have 1 to 127 characters")]
    BadRealm,
    /// On other sockets than the operating system's, no relay address can be found out.
    #[error("no relay address: start_on() looks for none; name one with relay_address()")]
    NoRelayAddress,
    /// A setting of which [`start_on`](super::TurnServerBuilder::start_on) can make nothing.
    #[error(
        "{0} cannot be had with start_on(), which has the sockets it is given, and one worker: use start()"
    )]
    NotOnSockets(&'static str),
    /// A thread could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}
