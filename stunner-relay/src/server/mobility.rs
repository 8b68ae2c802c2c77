//! Mobility: an allocation follows its client to another address (RFC 8016).

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInOut, Nonce},
};
use rand::{Rng, rngs::StdRng};
use stunner_proto::{
    AttributeType, Message, Method, TransactionId,
    attribute::{AddressFamily, Lifetime, MobilityTicket},
};

use super::{
    AllocationId, MAX_REPLY, Refusal, Server,
    allocation::Allocation,
    request::{Handled, Request, requested_family},
};
use crate::{Client, Closed, FiveTuple};

/// How long a repeated Refresh with a ticket that was just used is answered alike: 30 s (RFC 8016, section 3.2.2).
const REPEAT: u64 = 30_000;

/// 12 bytes that make it unique, 12 sealed ones, and 16 that seal them.
const LEN: usize = 40;

/// Seals and opens tickets: the handle of an allocation, and a number that is good once.
pub(super) struct Tickets(Aes256Gcm);

/// What an allocation knows of its tickets.
#[derive(Debug, Default)]
pub(super) struct Mobility {
    /// The number of the ticket that is good.
    serial: u32,
    /// Where the client went, until it shows that it is there by sending data.
    moving: Option<Client>,
    /// Whether the client is nowhere: its connection has ended.
    stranded: bool,
    /// The request that moved it last, which may be repeated.
    last: Option<Move>,
}

#[derive(Clone, Copy, Debug)]
struct Move {
    to: FiveTuple,
    by: TransactionId,
    at: u64,
}

impl Tickets {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        let key: [u8; 32] = rng.random();
        Self(Aes256Gcm::new(&key.into()))
    }

    fn seal(&self, id: AllocationId, serial: u32, rng: &mut StdRng) -> [u8; LEN] {
        let mut ticket = [0; LEN];
        let (nonce, rest) = ticket.split_at_mut(12);
        let (text, tag) = rest.split_at_mut(12);
        rng.fill(nonce);
        text[..8].copy_from_slice(&id.to_bytes());
        text[8..].copy_from_slice(&serial.to_be_bytes());
        let unique = Nonce::<Aes256Gcm>::try_from(&*nonce).expect("12 bytes");
        let made = self.0.encrypt_inout_detached(&unique, b"", text.into()).expect("12 bytes can be sealed");
        tag.copy_from_slice(&made);
        ticket
    }

    fn open(&self, ticket: &[u8]) -> Option<(AllocationId, u32)> {
        let ticket: &[u8; LEN] = ticket.try_into().ok()?;
        let (nonce, rest) = ticket.split_first_chunk::<12>()?;
        let (text, tag) = rest.split_first_chunk::<12>()?;
        let mut text = *text;
        let tag = tag.try_into().ok()?;
        self.0.decrypt_inout_detached(&(*nonce).into(), b"", text.as_mut_slice().into(), &tag).ok()?;
        let (id, serial) = text.split_first_chunk::<8>()?;
        Some((AllocationId::from_bytes(*id), u32::from_be_bytes(serial.try_into().ok()?)))
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(..)")
    }
}

impl Server {
    /// Whether an Allocate asks for a ticket, and may have one.
    pub(super) fn wants_ticket(&self, request: &Request<'_>) -> Result<bool, Refusal> {
        match request.message.get::<MobilityTicket<'_>>()? {
            None => Ok(false),
            Some(MobilityTicket(&[])) if self.config.mobility => Ok(true),
            Some(MobilityTicket(&[])) => Err(Refusal::MobilityForbidden),
            Some(_) => Err(Refusal::BadRequest),
        }
    }

    /// The ticket that is good for an allocation now, if it has any.
    pub(super) fn ticket(&mut self, id: AllocationId) -> Option<[u8; LEN]> {
        let mobility = self.table.get(id)?.rest.mobility.as_ref()?;
        Some(self.tickets.seal(id, mobility.serial, &mut self.rng))
    }

    /// A Refresh with a ticket: the allocation is found by that, wherever the request comes from. `None` without one.
    pub(super) fn refresh_elsewhere(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8; MAX_REPLY],
    ) -> Option<Handled> {
        request.message.contains(AttributeType::MOBILITY_TICKET).then(|| {
            let asked = request.message.get::<Lifetime>()?;
            let family = requested_family(&request.message, Refusal::PeerAddressFamilyMismatch)?;
            let id = self.follow(request, family)?;
            self.renew(id, request);
            let granted = self.grant(id, family, asked, request.now)?;
            let ticket = self.ticket(id);
            let response = request.exchange.success(reply).attribute(&Lifetime(granted));
            let response = response.maybe(ticket.as_ref().map(|ticket| MobilityTicket(ticket)).as_ref());
            Ok(self.succeed(&request.exchange, response))
        })
    }

    /// The live allocation whose ticket a Refresh shows, be it good or used up.
    pub(super) fn followed(&self, message: &Message<'_>, now: u64) -> Option<&Allocation> {
        if !self.config.mobility || message.method() != Method::REFRESH {
            return None;
        }
        let MobilityTicket(ticket) = message.get().ok()??;
        let (id, _) = self.tickets.open(ticket)?;
        self.table.get(id).filter(|allocation| allocation.is_live(now))
    }

    /// The checks of RFC 8016, section 3.2.2, and the new five-tuple beside the old.
    fn follow(
        &mut self,
        request: &Request<'_>,
        family: Option<AddressFamily>,
    ) -> Result<AllocationId, Refusal> {
        let (from, now) = (request.exchange.from, request.now);
        let MobilityTicket(ticket) = request.message.require::<MobilityTicket<'_>>()?;
        self.may_move(&from.tuple)?;
        let (id, serial) = self.tickets.open(ticket).ok_or(Refusal::BadRequest)?;
        let taken = self.is_taken(&from.tuple, id, now);
        let allocation = self.table.get_mut(id).filter(|found| found.is_live(now));
        let allocation = allocation.ok_or(Refusal::AllocationMismatch)?;
        if !allocation.rest.known.is_same_user(&request.known) {
            return Err(Refusal::WrongCredentials);
        }
        if family.is_some_and(|family| allocation.half(family, now).is_none()) {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        let own = allocation.client.tuple;
        let mobility = allocation.rest.mobility.as_mut().ok_or(Refusal::BadRequest)?;
        let this = Move { to: from.tuple, by: request.exchange.id, at: now };
        if serial != mobility.serial {
            let repeated = mobility.repeats(serial, this);
            return if repeated { Ok(id) } else { Err(Refusal::BadRequest) };
        }
        if own == from.tuple {
            return Err(Refusal::BadRequest);
        }
        if taken {
            return Err(Refusal::AllocationMismatch);
        }
        mobility.serial = mobility.serial.wrapping_add(1);
        mobility.last = Some(this);
        let before = mobility.moving.replace(from);
        let stranded = std::mem::take(&mut mobility.stranded);
        if let Some(before) = before {
            self.table.forget_path(&before.tuple, id);
        }
        self.table.add_path(&from.tuple, id);
        if stranded {
            self.arrive(id);
        }
        Ok(id)
    }

    /// Whether allocations move, and to there. Two that were each other's clients would send what comes to one of them to and
    /// fro for ever. A stream comes from no relayed transport address, though its port may have the same number.
    fn may_move(&self, to: &FiveTuple) -> Result<(), Refusal> {
        if !self.config.mobility {
            return Err(Refusal::MobilityForbidden);
        }
        let is_relay = !to.transport.is_stream() && self.config.relays.is_live(to.client);
        if is_relay { Err(Refusal::Forbidden) } else { Ok(()) }
    }

    /// Whether a five-tuple belongs to another allocation; one that has expired makes way.
    fn is_taken(&mut self, tuple: &FiveTuple, id: AllocationId, now: u64) -> bool {
        let Some(other) = self.table.by_tuple(tuple).filter(|&other| other != id) else { return false };
        let live = self.table.get(other).is_some_and(|other| other.is_live(now));
        if !live {
            self.end(other, Closed::Expired);
        }
        live
    }

    /// The client is where it went: the old five-tuple is over.
    #[cold]
    pub(super) fn arrive(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        let moving = allocation.rest.mobility.as_mut().and_then(|mobility| mobility.moving.take());
        let Some(to) = moving else { return };
        let old = std::mem::replace(&mut allocation.client, to);
        self.table.forget_path(&old.tuple, id);
    }

    /// A connection has ended; `true` when its allocation lives on, since the client may come back elsewhere.
    pub(super) fn survives(&mut self, id: AllocationId, ended: &FiveTuple) -> bool {
        let Some(allocation) = self.table.get_mut(id).filter(|_| self.config.mobility) else { return false };
        let own = allocation.client.tuple == *ended;
        let Some(mobility) = allocation.rest.mobility.as_mut() else { return false };
        if !own {
            mobility.moving = None;
            self.table.forget_path(ended, id);
        } else if mobility.moving.is_some() {
            self.arrive(id);
        } else {
            // Who connects from there next is somebody else, for all we know: no packet comes from port 0.
            mobility.stranded = true;
            allocation.client.tuple.client.set_port(0);
            self.table.forget_path(ended, id);
        }
        true
    }
}

impl Mobility {
    /// Where a client is that has moved and shown nothing yet.
    pub(super) fn moving_to(&self) -> Option<FiveTuple> {
        self.moving.map(|client| client.tuple)
    }

    /// Whether a request with the last ticket is the one that used it up, and came again.
    fn repeats(&self, serial: u32, this: Move) -> bool {
        let last = self.last.filter(|last| {
            this.at.saturating_sub(last.at) < REPEAT && (last.by, last.to) == (this.by, this.to)
        });
        last.is_some() && serial.wrapping_add(1) == self.serial
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use rand::SeedableRng;

    use super::*;
    use crate::{Config, LiveRelays, RelayOnly, StaticUser, Transport};

    fn ticket() -> (Tickets, AllocationId, [u8; LEN]) {
        let mut rng = StdRng::from_seed([7; 32]);
        let tickets = Tickets::new(&mut rng);
        let id = AllocationId::from_bytes([0, 0, 0, 1, 0, 0, 0, 2]);
        let sealed = tickets.seal(id, 3, &mut rng);
        (tickets, id, sealed)
    }

    #[test]
    fn what_was_sealed_is_opened() {
        let (tickets, id, sealed) = ticket();

        assert_eq!(tickets.open(&sealed), Some((id, 3)));
    }

    #[test]
    fn mob_07_a_ticket_that_was_changed_anywhere_is_none() {
        let (tickets, _, sealed) = ticket();

        for bit in 0..8 * LEN {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tickets.open(&changed), None, "bit {bit}");
        }
        for len in 0..LEN {
            assert_eq!(tickets.open(&sealed[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn mob_15_a_ticket_shows_nothing_of_what_is_in_it_and_no_two_are_alike() {
        let mut rng = StdRng::from_seed([7; 32]);
        let (tickets, id, _) = ticket();

        let [first, second] = [0, 1].map(|_| tickets.seal(id, 3, &mut rng));

        assert_ne!(first[12..24], second[12..24]);
    }

    #[test]
    fn a_stream_may_have_the_number_of_a_relayed_port_and_is_moved_to() {
        let relayed = ([203, 0, 113, 1], 50_000).into();
        let mut config = Config::new("example.com", StaticUser::new("user", "pass"), RelayOnly::new());
        config.mobility = true;
        config.relays = Arc::new(LiveRelays::new(&[[203, 0, 113, 1].into()]));
        config.relays.set(relayed, true);
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant can be made in no other way, and only differences count"
        )]
        let server = Server::new(Arc::new(config), [7; 32], Instant::now());
        let may_move = |transport| {
            let server_address = ([203, 0, 113, 1], 3478).into();
            server.may_move(&FiveTuple { client: relayed, server: server_address, transport })
        };

        assert_eq!(may_move(Transport::Tcp), Ok(()));
        assert_eq!(may_move(Transport::Udp), Err(Refusal::Forbidden));
    }
}
