//! The hot path: application data, both ways. No allocation, no copy, no lock.

use std::{net::SocketAddr, time::Instant};

use rand::Rng;
use stunner_proto::{
    Attribute, AttributeType, ChannelData, ChannelNumber, Fingerprint, Message, TransactionId,
    attribute::{AddressFamily, Data, XorPeerAddress},
};

use super::{
    AllocationId, Output, RelayId, Server, ToClient,
    allocation::Judged,
    permission::{judge_again, passes},
    request::knows,
};
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
        let id = self.sender(from)?;
        let (peer, mut judged) = self.table.get(id)?.channels.peer(number, now)?;
        if judged.generation != self.generation {
            judged = self.judge_channel(id, number, peer)?;
        }
        self.forward(id, peer, judged, data, false, now)
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
                AttributeType::FINGERPRINT if message.fingerprint() == Fingerprint::Wrong => return None,
                kind if !knows(&self.config, kind) => return None,
                AttributeType::DONT_FRAGMENT => dont_fragment = true,
                _ => {}
            }
        }
        let XorPeerAddress(peer) = XorPeerAddress::decode(peer?, message.transaction_id()).ok()?;
        let Data(data) = Data(data?);
        let id = self.sender(from)?;
        let judged = self.permission(id, peer, now)?;
        if peer.port() == 0 {
            return None;
        }
        self.forward(id, peer, judged, data, dont_fragment, now)
    }

    /// The allocation of who sends data. A client that has moved shows by this that it has arrived.
    #[inline]
    fn sender(&mut self, from: Client) -> Option<AllocationId> {
        let path = self.table.path(&from.tuple)?;
        if path.moving {
            self.arrive(path.id);
        }
        Some(path.id)
    }

    /// What was said of a peer when it was permitted, or is said of it by the policy that is in force now.
    #[inline]
    pub(super) fn permission(&mut self, id: AllocationId, peer: SocketAddr, now: u64) -> Option<Judged> {
        let judged = self.table.get(id)?.permissions.get(peer.ip(), now)?;
        if judged.generation == self.generation { Some(judged) } else { self.judge_permission(id, peer) }
    }

    #[cold]
    fn judge_permission(&mut self, id: AllocationId, peer: SocketAddr) -> Option<Judged> {
        let Self { table, config, generation, .. } = self;
        let allocation = table.get_mut(id)?;
        let judged = judge_again(config, allocation, peer.ip(), None, *generation);
        allocation.permissions.judge(peer.ip(), judged);
        judged.verdict.permits().then_some(judged)
    }

    #[cold]
    fn judge_channel(&mut self, id: AllocationId, number: ChannelNumber, peer: SocketAddr) -> Option<Judged> {
        let Self { table, config, generation, .. } = self;
        let allocation = table.get_mut(id)?;
        let judged = judge_again(config, allocation, peer.ip(), Some(peer.port()), *generation);
        allocation.channels.judge(number, judged);
        judged.verdict.permits().then_some(judged)
    }

    #[inline]
    fn forward<'p>(
        &mut self,
        id: AllocationId,
        peer: SocketAddr,
        judged: Judged,
        data: &'p [u8],
        dont_fragment: bool,
        now: u64,
    ) -> Option<Output<'p>> {
        let family = AddressFamily::of(peer.ip());
        if !self.passes(id, judged, peer) {
            return None;
        }
        if !self.may_carry(id, true, data.len(), now) {
            return Some(Output::Drop);
        }
        let Self { table, counters, .. } = self;
        let half = table.get_mut(id)?.half_mut(family, now)?;
        half.traffic.packets_to_peers += 1;
        half.traffic.bytes_to_peers += data.len() as u64;
        counters.traffic.packets_to_peers += 1;
        counters.traffic.bytes_to_peers += data.len() as u64;
        Some(Output::ToPeer { relay: RelayId { allocation: id, family }, peer, data, dont_fragment })
    }

    /// Whether a packet to or from a peer that was permitted may pass now.
    #[inline]
    fn passes(&self, id: AllocationId, judged: Judged, peer: SocketAddr) -> bool {
        self.table.get(id).is_some_and(|allocation| {
            !allocation.is_tcp()
                && !allocation.is_stranded()
                && passes(&self.config, allocation, judged.verdict, peer)
        })
    }

    /// Whether an allocation and its user may send or receive so many bytes more. What they may not is counted.
    #[inline]
    fn may_carry(&mut self, id: AllocationId, to_peer: bool, bytes: usize, now: u64) -> bool {
        let config = &self.config;
        config.user_bandwidth.is_none() && config.allocation_bandwidth.is_none()
            || self.takes(id, to_peer, bytes, now).unwrap_or(false)
    }

    fn takes(&mut self, id: AllocationId, to_peer: bool, bytes: usize, now: u64) -> Option<bool> {
        let Self { table, config, counters, .. } = self;
        let (of_allocation, of_user) = table.buckets(id)?;
        let pairs = [(of_allocation, config.allocation_bandwidth), (of_user, config.user_bandwidth)];
        let mut buckets = pairs.map(|(buckets, limit)| {
            let bucket = if to_peer { &mut buckets.to_peers } else { &mut buckets.to_client };
            (bucket, limit)
        });
        let fits =
            buckets.iter_mut().all(|(bucket, limit)| limit.is_none_or(|limit| bucket.has(bytes, limit, now)));
        if fits {
            // What one of them refuses takes nothing from the other.
            buckets.iter_mut().for_each(|(bucket, _)| bucket.take(bytes));
        }
        counters.dropped_for_bandwidth += u64::from(!fits);
        Some(fits)
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
        let id = relay.allocation;
        let judged = self.permission(id, from, now).filter(|&judged| self.passes(id, judged, from));
        if judged.is_some() && !self.may_carry(id, false, packet.len(), now) {
            return None;
        }
        let delivered = judged.and_then(|_| self.deliver(packet, from, relay, now));
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
        let Self { table, rng, counters, .. } = self;
        let allocation = table.get_mut(relay.allocation)?;
        let client = allocation.client;
        let frame = match allocation.channels.number(from, now) {
            Some(number) => Frame::channel_data(number, data, client.tuple.transport.is_stream())?,
            None => Frame::data_indication(from, TransactionId(rng.random()), data)?,
        };
        let half = allocation.half_mut(relay.family, now)?;
        half.traffic.packets_to_client += 1;
        half.traffic.bytes_to_client += data.len() as u64;
        counters.traffic.packets_to_client += 1;
        counters.traffic.bytes_to_client += data.len() as u64;
        Some(ToClient { client, frame })
    }
}
