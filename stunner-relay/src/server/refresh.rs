//! Refresh: more time, or none (RFC 8656, section 8).

use stunner_proto::attribute::{AddressFamily, Lifetime};

use super::{
    AllocationId, MAX_REPLY, Refusal, RelayId, Server,
    allocation::FAMILIES,
    request::{Handled, Request, requested_family},
};
use crate::Closed;

impl Server {
    pub(super) fn refresh(&mut self, request: &Request<'_>, reply: &mut [u8; MAX_REPLY]) -> Handled {
        if let Some(handled) = self.refresh_elsewhere(request, reply) {
            return handled;
        }
        let id = self.allocation_for(request)?;
        let message = &request.message;
        let asked = message.get::<Lifetime>()?;
        let family = requested_family(message, Refusal::PeerAddressFamilyMismatch)?;
        self.renew(id, request);
        let granted = self.grant(id, family, asked, request.now)?;
        let response = request.exchange.success(reply).attribute(&Lifetime(granted));
        Ok(self.succeed(&request.exchange, response))
    }

    /// A new token takes the place of the old one.
    pub(super) fn renew(&mut self, id: AllocationId, request: &Request<'_>) {
        if let Some(allocation) = self.table.get_mut(id).filter(|_| request.known.limit.is_some()) {
            allocation.rest.known = request.known.clone();
        }
    }

    /// Gives one family, or all of an allocation, the time that was asked for, and says how many seconds that is; 0 ends
    /// it.
    pub(super) fn grant(
        &mut self,
        id: AllocationId,
        family: Option<AddressFamily>,
        asked: Option<Lifetime>,
        now: u64,
    ) -> Result<u32, Refusal> {
        let asked_for = asked.map_or(0, |lifetime| lifetime.0);
        let limit = self.table.get(id).and_then(|allocation| allocation.rest.known.limit);
        let seconds = self.effective(asked_for, limit, now);
        let allocation = self.table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        let meant = FAMILIES
            .map(|own| family.is_none_or(|family| own == family) && allocation.half(own, now).is_some());
        if meant == [false; 2] {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        if asked == Some(Lifetime(0)) {
            for (family, _) in FAMILIES.into_iter().zip(meant).filter(|(_, meant)| *meant) {
                self.close(RelayId { allocation: id, family }, Closed::Deleted);
            }
            return Ok(0);
        }
        for (family, _) in FAMILIES.into_iter().zip(meant).filter(|(_, meant)| *meant) {
            if let Some(half) = allocation.half_mut(family, now) {
                half.expires = now + 1_000 * u64::from(seconds);
            }
        }
        self.table.queue(id);
        Ok(seconds)
    }
}
