//! Application data, both ways (RFC 8656, sections 11 and 12). No allocation, no copy.

use std::net::SocketAddr;

use rand::Rng;
use stunner_proto::{
    Attribute, AttributeType, ChannelData, Fingerprint, Message, TransactionId,
    attribute::{DontFragment, Icmp, XorPeerAddress},
};

use super::{Client, Event, allocate::State, response::is_understood};
use crate::Frame;

/// More events than this are not kept on account of ICMP errors, of which anybody can send any number.
const MAX_ICMP: usize = 256;

/// What a peer has sent, in the packet it came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received<'p> {
    /// Who sent it.
    pub peer: SocketAddr,
    /// The application data; may be empty.
    pub data: &'p [u8],
}

/// Why data cannot be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no allocation.
    #[error("there is no allocation")]
    NoAllocation,
    /// The peer has no permission, or not yet: [permit](Client::permit) it, or [bind](Client::bind) a channel to it.
    #[error("the peer has no permission")]
    NoPermission,
    /// The data do not fit a packet.
    #[error("the data are too long")]
    TooLong,
}

impl Client {
    /// Puts a header in front of data for a peer: 4 bytes where a channel is bound, else a Send indication's. Send the
    /// frame to the server, from the client's own address: see [`five_tuple`](Self::five_tuple).
    ///
    /// # Errors
    /// [`SendError`], where the server would drop it.
    #[inline]
    pub fn send<'p>(&mut self, data: &'p [u8], peer: SocketAddr) -> Result<Frame<'p>, SendError> {
        if !matches!(self.state, State::Allocated(_)) {
            return Err(SendError::NoAllocation);
        }
        if let Some(number) = self.channels.bound(peer) {
            let stream = self.tuple.transport.is_stream();
            return Frame::channel_data(number, data, stream).ok_or(SendError::TooLong);
        }
        if !self.permissions.is_granted(peer.ip()) {
            return Err(SendError::NoPermission);
        }
        let id = TransactionId(self.rng.random());
        let dont_fragment = self.wishes.dont_fragment.then_some(DontFragment);
        Frame::send_indication(peer, id, dont_fragment, data).ok_or(SendError::TooLong)
    }

    /// ChannelData from the server. It may come before the response that says that the channel is bound.
    #[inline]
    pub(super) fn channel_data<'p>(&self, packet: &'p [u8]) -> Option<Received<'p>> {
        let ChannelData { number, data } = ChannelData::parse(packet)?;
        let peer = self.channels.peer(number)?;
        self.permissions.is_asked(peer.ip()).then_some(Received { peer, data })
    }

    /// A Data indication: a peer's data, or an ICMP error.
    pub(super) fn data_indication<'p>(&mut self, message: Message<'p>) -> Option<Received<'p>> {
        if message.fingerprint() == Fingerprint::Wrong || !is_understood(&message) {
            return None;
        }
        let XorPeerAddress(peer) = message.require().ok()?;
        if !self.permissions.is_asked(peer.ip()) {
            return None;
        }
        let mut found = message.attributes();
        let data = found.find(|found| matches!(found.kind, AttributeType::DATA | AttributeType::ICMP))?;
        if data.kind == AttributeType::DATA {
            return Some(Received { peer, data: data.value });
        }
        let icmp = Icmp::decode(data.value, message.transaction_id()).ok()?;
        if self.events.len() < MAX_ICMP {
            self.events.push_back(Event::Icmp { peer, icmp });
        }
        None
    }
}
