//! Refresh: more time, or none (RFC 8656, section 8).

use stunner_proto::attribute::{AddressFamily, Lifetime, RequestedAddressFamily};

use super::{
    MAX_REPLY, Refusal, Server,
    request::{Handled, Request},
};
use crate::Closed;

impl Server {
    pub(super) fn refresh(&mut self, request: &Request<'_>, reply: &mut [u8; MAX_REPLY]) -> Handled {
        let relay = self.allocation_of(request)?;
        let message = &request.message;
        let asked = message.get::<Lifetime>()?;
        let family =
            message.get::<RequestedAddressFamily>().map_err(|_| Refusal::PeerAddressFamilyMismatch)?;
        let own = self.table.get(relay).map(|allocation| AddressFamily::of(allocation.relayed.ip()));
        if family.is_some_and(|family| Some(family.0) != own) {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        let granted = match asked {
            Some(Lifetime(0)) => {
                self.close(relay, Closed::Deleted);
                0
            }
            asked => {
                let seconds = self.effective(asked.map_or(0, |lifetime| lifetime.0));
                self.table.set_expiry(relay, request.now + 1_000 * u64::from(seconds));
                seconds
            }
        };
        let response = request.exchange.success(reply).attribute(&Lifetime(granted));
        Ok(self.succeed(&request.exchange, response))
    }
}
