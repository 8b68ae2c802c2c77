//! ChannelBind (RFC 8656, section 12.2).

use stunner_proto::{ChannelNumber, attribute::XorPeerAddress};

use super::{
    MAX_REPLY, Refusal, Server, permission,
    request::{Handled, Request},
};

impl Server {
    /// Binds or refreshes a channel, and the permission that goes with it.
    pub(super) fn channel_bind(&mut self, request: &Request<'_>, reply: &mut [u8; MAX_REPLY]) -> Handled {
        let relay = self.allocation_of(request)?;
        let Self { table, config, .. } = self;
        let allocation = table.get_mut(relay).ok_or(Refusal::AllocationMismatch)?;
        let number = request.message.require::<ChannelNumber>()?;
        let XorPeerAddress(peer) = request.message.require::<XorPeerAddress>()?;
        if peer.port() == 0 || number.is_reserved() && !config.wide_channels {
            return Err(Refusal::BadRequest);
        }
        allocation.channels.check(number, peer, request.now)?;
        permission::judge(config, allocation, peer.ip(), Some(peer.port()))?;
        // A permission is for every port of the peer, so that it may be less than what this port is allowed.
        let verdict = permission::judge(config, allocation, peer.ip(), None)?;
        allocation.permissions.make_room(&[peer.ip()], config.max_permissions, request.now)?;
        allocation.channels.bind(number, peer, config.max_channels, request.now)?;
        allocation.permissions.install(peer.ip(), verdict, request.now);
        let response = request.exchange.success(reply);
        Ok(self.succeed(&request.exchange, response))
    }
}
