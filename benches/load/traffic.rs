//! Packets at a fixed rate over many routes, sent and received by one thread that never sleeps.
//!
//! It never sleeps so that it is punctual, and so that waking it up does not count as the server's time.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use stunner_proto::{
    ChannelData, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{Data, XorMappedAddress, XorPeerAddress},
};

use super::{
    client::{self, CHANNEL},
    now,
    payload::{Sequence, Stamp, Tally},
    socket::{MAX_PACKET, Socket},
};

/// Packets that are sent together, each on another route unless they are a burst.
const VOLLEY: u32 = 10;

/// How far a load may fall behind before it gives up what it missed.
const LATE: Duration = Duration::from_millis(5);

/// How long nothing may arrive before the rest is lost.
const DRAIN: Duration = Duration::from_millis(100);

/// How packets look on a socket, both ways.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// A peer's, to and from this relayed transport address.
    Plain(SocketAddr),
    /// ChannelData.
    Channel,
    /// Send and Data indications, to and from this peer.
    Indication(SocketAddr),
    /// Binding requests and their responses, which say this address.
    Binding(SocketAddr),
}

pub(crate) struct Endpoint {
    pub(crate) socket: Socket,
    pub(crate) form: Form,
}

/// From one endpoint, by number, to another, or to itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

pub(crate) struct Load {
    endpoints: Vec<Endpoint>,
    routes: Vec<Route>,
    sequences: Vec<Sequence>,
    /// Bytes of application data.
    size: usize,
    /// Packets in a row on one route.
    burst: u32,
    poll: Poll,
    events: Events,
    begin: Instant,
    turn: usize,
    tally: Tally,
}

impl Load {
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        routes: Vec<Route>,
        size: usize,
        burst: u32,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, endpoint) in endpoints.iter().enumerate() {
            endpoint.socket.set_nonblocking()?;
            let fd = endpoint.socket.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        }
        let sequences = routes.iter().map(|_| Sequence::default()).collect();
        let (events, tally) = (Events::with_capacity(256), Tally::default());
        Ok(Self { endpoints, routes, sequences, size, burst, poll, events, begin: now(), turn: 0, tally })
    }

    /// Sends so many packets a second for so long, and waits until the last have arrived or are lost.
    pub(crate) fn run(&mut self, rate: u32, time: Duration) -> io::Result<Tally> {
        let interval = Duration::from_secs(1) * VOLLEY / rate;
        let start = now();
        let mut next = start;
        loop {
            let now = now();
            if now >= start + time {
                break;
            }
            if now >= next {
                self.volley()?;
                next = if now > next + LATE { now } else { next + interval };
            }
            self.receive()?;
        }
        let mut last = now();
        while self.tally.delivered < self.tally.offered && now() < last + DRAIN {
            let before = self.tally.delivered;
            self.endpoints.iter_mut().try_for_each(|endpoint| endpoint.socket.flush())?;
            self.receive()?;
            if self.tally.delivered > before {
                last = now();
            }
        }
        Ok(std::mem::take(&mut self.tally))
    }

    fn volley(&mut self) -> io::Result<()> {
        for number in 1..=VOLLEY {
            self.send()?;
            if number.is_multiple_of(self.burst) {
                self.turn = (self.turn + 1) % self.routes.len();
            }
        }
        Ok(())
    }

    /// Sends the next packet of the route whose turn it is.
    fn send(&mut self) -> io::Result<()> {
        let sequence = &mut self.sequences[self.turn];
        let route = u32::try_from(self.turn).map_err(io::Error::other)?;
        let stamp = Stamp { route, sequence: sequence.next(), sent: elapsed(self.begin) };
        let from = &mut self.endpoints[self.routes[self.turn].from];
        let mut buffer = [0; MAX_PACKET];
        let (len, to) = from.form.write(stamp, self.size, &mut buffer)?;
        if from.socket.send(&buffer[..len], to)? {
            sequence.sent();
            self.tally.offered += 1;
        }
        Ok(())
    }

    /// Takes in all that is there.
    fn receive(&mut self) -> io::Result<()> {
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        let mut buffer = [0; MAX_PACKET];
        for event in &self.events {
            let Token(index) = event.token();
            let endpoint = &mut self.endpoints[index];
            while let Some((len, from)) = endpoint.socket.recv(&mut buffer)? {
                let stamp = endpoint.form.read(&buffer[..len], from, self.size, index).filter(|stamp| {
                    let route = stamp.route as usize;
                    self.routes.get(route).is_some_and(|route| route.to == index)
                        && self.sequences[route].arrives(stamp.sequence)
                });
                match stamp {
                    Some(stamp) => self.tally.deliver(elapsed(self.begin).saturating_sub(stamp.sent)),
                    None => self.tally.wrong += 1,
                }
            }
        }
        Ok(())
    }
}

impl Form {
    /// Writes a packet. Returns its length, and where it goes if the socket has no server.
    fn write(
        self,
        stamp: Stamp,
        size: usize,
        packet: &mut [u8; MAX_PACKET],
    ) -> io::Result<(usize, Option<SocketAddr>)> {
        match self {
            Self::Plain(relayed) => {
                stamp.write(&mut packet[..size]);
                Ok((size, Some(relayed)))
            }
            Self::Channel => {
                let header = ChannelData::header(CHANNEL, size).ok_or(io::ErrorKind::InvalidInput)?;
                packet[..4].copy_from_slice(&header);
                stamp.write(&mut packet[4..4 + size]);
                Ok((4 + size, None))
            }
            Self::Indication(peer) => {
                let mut data = [0; MAX_PACKET];
                stamp.write(&mut data[..size]);
                let id = TransactionId(stamp.to_id());
                let message = MessageBuilder::new(Class::Indication, Method::SEND, id, packet)
                    .attribute(&XorPeerAddress(peer))
                    .attribute(&Data(&data[..size]));
                message.finish().map(|len| (len, None)).map_err(io::Error::other)
            }
            Self::Binding(_) => {
                let message = client::binding(stamp.to_id());
                packet[..message.len()].copy_from_slice(&message);
                Ok((message.len(), None))
            }
        }
    }

    /// Reads a packet that arrived at endpoint `index`; `None` where it is not what it should be.
    fn read(self, packet: &[u8], from: Option<SocketAddr>, size: usize, index: usize) -> Option<Stamp> {
        match self {
            Self::Plain(relayed) if from == Some(relayed) => Stamp::read(packet, size),
            Self::Plain(_) => None,
            Self::Channel => {
                let channel_data = ChannelData::parse(packet).filter(|found| found.number == CHANNEL)?;
                Stamp::read(channel_data.data, size)
            }
            Self::Indication(peer) => {
                let message = Message::parse(packet).ok()?;
                let from = message.require::<XorPeerAddress>().ok()?.0;
                let Data(data) = message.require().ok()?;
                let is_data = (message.class(), message.method()) == (Class::Indication, Method::DATA);
                if is_data && from == peer { Stamp::read(data, size) } else { None }
            }
            Self::Binding(own) => {
                let message = Message::parse(packet).ok()?;
                let mapped = message.require::<XorMappedAddress>().ok()?.0;
                let route = u32::try_from(index).ok()?;
                (message.class() == Class::SuccessResponse && mapped == own)
                    .then(|| Stamp::from_id(route, &message.transaction_id().0))
            }
        }
    }
}

fn elapsed(begin: Instant) -> u64 {
    u64::try_from(now().duration_since(begin).as_nanos()).unwrap_or(u64::MAX)
}
