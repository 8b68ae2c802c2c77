//! Clients that get what they need for a load: allocations, channels and permissions, many at a time.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use stunner_proto::{
    ChannelNumber, Class, Key, Message, MessageBuilder, Method, TransactionId,
    attribute::{
        ErrorCode, Lifetime, Nonce, Realm, RequestedTransport, Username, XorPeerAddress, XorRelayedAddress,
    },
};
use stunner_relay::Transport;

use super::{
    PASSWORD, REALM, USER,
    socket::{MAX_PACKET, Socket},
};

/// How many clients ask at once: few enough for any socket buffer.
const AT_ONCE: usize = 32;

/// How long an answer may take before the request is sent again, and how often it is sent.
const PATIENCE: Duration = Duration::from_millis(250);
const TRIES: usize = 8;

/// The channel of every client.
pub(crate) const CHANNEL: ChannelNumber = ChannelNumber::MIN;

pub(crate) struct Client {
    pub(crate) socket: Socket,
    /// Whom it binds its channel to, and permits.
    pub(crate) peer: SocketAddr,
    /// Its relayed transport address, once it has one.
    pub(crate) relayed: SocketAddr,
    key: Key,
    nonce: String,
    requests: u32,
    request: Vec<u8>,
}

/// One request of a client's life.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// An Allocate without credentials, which is answered with a nonce.
    Challenge,
    Allocate,
    Bind,
    Permit,
    /// To so many seconds.
    Refresh(u32),
}

impl Step {
    const fn method(self) -> Method {
        match self {
            Self::Challenge | Self::Allocate => Method::ALLOCATE,
            Self::Bind => Method::CHANNEL_BIND,
            Self::Permit => Method::CREATE_PERMISSION,
            Self::Refresh(_) => Method::REFRESH,
        }
    }
}

impl Client {
    /// The `index`th client. Over UDP each has an address of its own in 127.0.0.0/8, as clients do, so that limits for
    /// one address do not hold them back.
    pub(crate) fn new(server: SocketAddr, transport: Transport, index: u32) -> io::Result<Self> {
        let socket = match transport {
            Transport::Tcp => Socket::tcp_to(server)?,
            _ => Socket::udp_to(own_address(index), server)?,
        };
        socket.wait(PATIENCE)?;
        let (nowhere, key) = ((Ipv4Addr::UNSPECIFIED, 0).into(), Key::long_term(USER, REALM, PASSWORD));
        let (nonce, request) = (String::new(), Vec::new());
        Ok(Self { socket, peer: nowhere, relayed: nowhere, key, nonce, requests: 0, request })
    }

    fn send(&mut self, step: Step) -> io::Result<()> {
        self.requests += 1;
        let mut bytes = [0; 512];
        let message = MessageBuilder::new(Class::Request, step.method(), self.transaction(), &mut bytes);
        let message = match step {
            Step::Challenge | Step::Allocate => message.attribute(&RequestedTransport::UDP),
            Step::Bind => message.attribute(&CHANNEL).attribute(&XorPeerAddress(self.peer)),
            Step::Permit => message.attribute(&XorPeerAddress(self.peer)),
            Step::Refresh(seconds) => message.attribute(&Lifetime(seconds)),
        };
        let message = match step {
            Step::Challenge => message,
            _ => message
                .attribute(&Username::new(USER).map_err(io::Error::other)?)
                .attribute(&Realm::new(REALM).map_err(io::Error::other)?)
                .attribute(&Nonce::new(&self.nonce).map_err(io::Error::other)?)
                .integrity(&self.key),
        };
        let len = message.finish().map_err(io::Error::other)?;
        self.request = bytes[..len].to_vec();
        self.socket.send(&self.request, None).map(drop)
    }

    /// Waits for the answer to what was sent last.
    fn answer(&mut self, step: Step) -> io::Result<()> {
        let mut buffer = [0; MAX_PACKET];
        for _ in 0..TRIES {
            while let Some((len, _)) = self.socket.recv(&mut buffer)? {
                let Ok(message) = Message::parse(&buffer[..len]) else { continue };
                // The answer to an earlier one that was sent twice.
                if message.transaction_id() == self.transaction() {
                    return self.take(step, &message);
                }
            }
            if matches!(self.socket, Socket::Udp(_)) {
                self.socket.send(&self.request, None)?;
            }
        }
        Err(io::Error::other(format!("{step:?} is not answered")))
    }

    fn take(&mut self, step: Step, message: &Message<'_>) -> io::Result<()> {
        let code = message.get::<ErrorCode<'_>>().ok().flatten().map(|error| error.code());
        match (step, code) {
            (Step::Challenge, Some(401)) => {
                let nonce = message.require::<Nonce<'_>>().map_err(io::Error::other)?;
                nonce.as_str().clone_into(&mut self.nonce);
                return Ok(());
            }
            (_, Some(code)) => return Err(io::Error::other(format!("{step:?} is refused: {code}"))),
            (_, None) => {}
        }
        let message = message.authenticate(&self.key).map_err(io::Error::other)?;
        if matches!(step, Step::Allocate) {
            let XorRelayedAddress(relayed) = message.require().map_err(io::Error::other)?;
            self.relayed = relayed;
        }
        Ok(())
    }

    fn transaction(&self) -> TransactionId {
        let mut id = [0x5A; 12];
        id[..4].copy_from_slice(&self.requests.to_be_bytes());
        TransactionId(id)
    }
}

/// Every client takes this step, some at a time.
pub(crate) fn all(clients: &mut [Client], step: Step) -> io::Result<()> {
    for some in clients.chunks_mut(AT_ONCE) {
        some.iter_mut().try_for_each(|client| client.send(step))?;
        some.iter_mut().try_for_each(|client| client.answer(step))?;
    }
    Ok(())
}

/// Clients `first` and on, with an allocation each.
pub(crate) fn allocated(
    server: SocketAddr,
    transport: Transport,
    first: u32,
    count: u32,
) -> io::Result<Vec<Client>> {
    let clients = (first..first + count).map(|index| Client::new(server, transport, index));
    let mut clients = clients.collect::<io::Result<Vec<_>>>()?;
    all(&mut clients, Step::Challenge)?;
    all(&mut clients, Step::Allocate)?;
    Ok(clients)
}

/// A Binding request.
pub(crate) fn binding(id: [u8; 12]) -> [u8; 20] {
    let mut bytes = [0; 20];
    let message = MessageBuilder::new(Class::Request, Method::BINDING, TransactionId(id), &mut bytes);
    message.finish().expect("a header fits");
    bytes
}

fn own_address(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x7F01_0001 + index % 0x0010_0000).into()
}
