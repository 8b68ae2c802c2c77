//! The hot path: application data, both ways. No allocation, no copy, no lock.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;
use stunner_proto::{
    Attribute, AttributeType, ChannelData, Fingerprint, Message, TransactionId,
    attribute::{AddressFamily, Data, XorPeerAddress},
};

use super::{Output, RelayId, Server, ToClient, permission::port_passes, request::is_known};
use crate::{Client, Frame};

impl Server {
    /// ChannelData from a client: a bound channel is enough (RFC 8656, section 12.6).
    #[inline]
    pub(super) fn channel_data<'p>(
        &mut self,
        packet: &'p [u8],
        from: Client,
        now: u64,
    ) -> Option<Output<'p>> {
        let ChannelData { number, data } = ChannelData::parse(packet)?;
        let relay = self.table.by_tuple(&from.tuple)?;
        let allocation = self.table.get(relay).filter(|allocation| now < allocation.expires)?;
        let peer = allocation.channels.peer(number, now)?;
        Some(self.forward(relay, peer, data, false))
    }

    /// A Send indication: it needs a permission (RFC 8656, section 11.2).
    pub(super) fn send_indication<'p>(
        &mut self,
        message: Message<'p>,
        from: Client,
        now: u64,
    ) -> Option<Output<'p>> {
        let (mut peer, mut data, mut dont_fragment) = (None, None, false);
        for attribute in message.attributes() {
            match attribute.kind {
                AttributeType::XOR_PEER_ADDRESS if peer.is_none() => peer = Some(attribute.value),
                AttributeType::DATA if data.is_none() => data = Some(attribute.value),
                AttributeType::DONT_FRAGMENT => dont_fragment = true,
                AttributeType::FINGERPRINT if message.fingerprint() == Fingerprint::Wrong => return None,
                kind if kind.is_required() && !is_known(kind) => return None,
                _ => {}
            }
        }
        let XorPeerAddress(peer) = XorPeerAddress::decode(peer?, message.transaction_id()).ok()?;
        let Data(data) = Data(data?);
        let relay = self.table.by_tuple(&from.tuple)?;
        let allocation = self.table.get(relay).filter(|allocation| now < allocation.expires)?;
        let verdict = allocation.permissions.get(peer.ip(), now)?;
        let same_family = AddressFamily::of(peer.ip()) == AddressFamily::of(allocation.relayed.ip());
        if peer.port() == 0 || !same_family || !port_passes(&self.config, allocation, verdict, peer) {
            return None;
        }
        Some(self.forward(relay, peer, data, dont_fragment))
    }

    #[inline]
    fn forward<'p>(
        &mut self,
        relay: RelayId,
        peer: SocketAddr,
        data: &'p [u8],
        dont_fragment: bool,
    ) -> Output<'p> {
        if let Some(allocation) = self.table.get_mut(relay) {
            allocation.traffic.packets_to_peers += 1;
            allocation.traffic.bytes_to_peers += data.len() as u64;
        }
        self.counters.traffic.packets_to_peers += 1;
        self.counters.traffic.bytes_to_peers += data.len() as u64;
        Output::ToPeer { relay, peer, data, dont_fragment }
    }

    /// Takes in one packet that reached a relayed transport address, and says who gets it (RFC 8656, section 11.3).
    #[inline]
    pub fn handle_peer<'p>(
        &mut self,
        packet: &'p [u8],
        from: SocketAddr,
        relay: RelayId,
        now: Instant,
    ) -> Option<ToClient<'p>> {
        let now = self.time(now);
        let delivered = self.deliver(packet, from, relay, now);
        if delivered.is_none() {
            self.counters.dropped_from_peers += 1;
        }
        delivered
    }

    #[inline]
    fn deliver<'p>(
        &mut self,
        data: &'p [u8],
        from: SocketAddr,
        relay: RelayId,
        now: u64,
    ) -> Option<ToClient<'p>> {
        let Self { table, config, rng, counters, .. } = self;
        let allocation = table.get_mut(relay).filter(|allocation| now < allocation.expires)?;
        let verdict = allocation.permissions.get(from.ip(), now)?;
        if !port_passes(config, allocation, verdict, from) {
            return None;
        }
        let client = allocation.client;
        let frame = match allocation.channels.number(from, now) {
            Some(number) => Frame::channel_data(number, data, client.tuple.transport.is_stream())?,
            None => Frame::data_indication(from, TransactionId(rng.random()), data)?,
        };
        allocation.traffic.packets_to_client += 1;
        allocation.traffic.bytes_to_client += data.len() as u64;
        counters.traffic.packets_to_client += 1;
        counters.traffic.bytes_to_client += data.len() as u64;
        Some(ToClient { client, frame })
    }
}
