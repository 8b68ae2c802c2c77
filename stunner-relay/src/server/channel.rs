//! ChannelBind (RFC 8656, section 12.2).

use stunner_proto::{ChannelNumber, attribute::XorPeerAddress};

use super::{
    MAX_REPLY, Refusal, Server,
    allocation::Judged,
    permission,
    request::{Handled, Request},
};

impl Server {
    /// Binds or refreshes a channel, and the permission that goes with it.
    pub(super) fn channel_bind(&mut self, request: &Request<'_>, reply: &mut [u8; MAX_REPLY]) -> Handled {
        let id = self.allocation_for(request)?;
        let Self { table, config, generation, .. } = self;
        let allocation = table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        let now = request.now;
        if allocation.is_tcp() {
            return Err(Refusal::Forbidden);
        }
        let number = request.message.require::<ChannelNumber>()?;
        let XorPeerAddress(peer) = request.message.require::<XorPeerAddress>()?;
        if peer.port() == 0 || number.is_reserved() && !config.wide_channels {
            return Err(Refusal::BadRequest);
        }
        allocation.channels.check(number, peer, now)?;
        permission::judge(config, allocation, peer.ip(), Some(peer.port()), now)?;
        // A permission is for every port of the peer, so that it may be less than what this port is allowed; and where
        // it depends on the port, that is asked for each packet.
        let verdict = permission::judge(config, allocation, peer.ip(), None, now)?;
        let judged = Judged { verdict, generation: *generation };
        allocation.permissions.make_room(&[peer.ip()], config.max_permissions, now)?;
        allocation.channels.bind(number, peer, judged, config.max_channels, now)?;
        allocation.permissions.install(peer.ip(), judged, now);
        let response = request.exchange.success(reply);
        Ok(self.succeed(&request.exchange, response))
    }
}
