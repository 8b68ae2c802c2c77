//! Allocate: what a client asks for, and the allocation that comes of it (RFC 8656, section 7).

use std::{net::SocketAddr, time::Instant};

use stunner_proto::{
    AttributeType,
    attribute::{
        AddressFamily, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken,
        XorMappedAddress, XorRelayedAddress,
    },
};

use super::{
    MAX_REPLY, Output, Refusal, RelayId, Server,
    allocation::{Allocation, Channels, Permissions},
    millis,
    request::{Handled, Request},
    response::Exchange,
};
use crate::{Client, Event, Traffic, policy};

/// An Allocate that was checked and waits for its socket. [Accept](Server::accept) or [reject](Server::reject) it.
#[derive(Debug)]
#[must_use]
pub struct AllocateRequest(Box<Pending>);

#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    wants: Wants,
    lifetime: u32,
}

impl AllocateRequest {
    /// What is to be bound.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.0.wants
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.exchange.from
    }
}

/// What an Allocate asks the shell to bind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Wants {
    /// IPv4 or IPv6.
    pub family: AddressFamily,
    /// Which port.
    pub port: PortWish,
}

/// Which port a client wants to be relayed from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PortWish {
    /// Whichever is free.
    Any,
    /// An even one.
    Even,
    /// An even one, and the next to be kept for at least 30 s under this token.
    EvenAndNext(ReservationToken),
    /// The one that is kept under this token.
    Reserved(ReservationToken),
}

/// What the shell bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bound {
    /// The relayed transport address as peers see it.
    pub relayed: SocketAddr,
}

/// What became of an [`AllocateRequest`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Accepted {
    /// The handle of the relayed transport address; `None` when the five-tuple was taken meanwhile: free the socket.
    pub relay: Option<RelayId>,
    /// How many bytes of the reply to send.
    pub reply: usize,
}

impl Server {
    /// The checks of RFC 8656, section 7.2, in its order.
    pub(super) fn allocate<'p>(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<Output<'p>, Refusal> {
        let message = &request.message;
        if let Some(relay) = self.table.by_tuple(&request.exchange.from.tuple) {
            return self.repeat(relay, request, reply).map(Output::Reply);
        }
        let transport = message.require::<RequestedTransport>()?;
        if transport != RequestedTransport::UDP {
            return Err(Refusal::UnsupportedTransport);
        }
        let wants = self.wants(request)?;
        let lifetime = message.get::<Lifetime>()?.map_or(0, |lifetime| lifetime.0);
        if policy::canonical(request.exchange.from.tuple.client.ip()).is_none() {
            return Err(Refusal::Forbidden);
        }
        let quota = self.config.max_allocations_per_user;
        if quota.is_some_and(|quota| self.table.of_user(&request.credential.user) >= quota) {
            return Err(Refusal::QuotaReached);
        }
        if self.table.len() >= self.config.max_allocations {
            return Err(Refusal::InsufficientCapacity);
        }
        let exchange = request.exchange.clone();
        Ok(Output::Allocate(AllocateRequest(Box::new(Pending { exchange, wants, lifetime }))))
    }

    fn wants(&mut self, request: &Request<'_>) -> Result<Wants, Refusal> {
        let message = &request.message;
        let even = message.get::<EvenPort>()?;
        let token = message.get::<ReservationToken>()?;
        let has_family = message.contains(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let has_second = message.contains(AttributeType::ADDITIONAL_ADDRESS_FAMILY);
        if token.is_some() && (even.is_some() || has_family || has_second) || has_family && has_second {
            return Err(Refusal::BadRequest);
        }
        let family =
            message.get::<RequestedAddressFamily>().map_err(|_| Refusal::AddressFamilyNotSupported)?;
        let port = match (token, even) {
            (Some(token), _) => PortWish::Reserved(token),
            (_, Some(EvenPort { reserve_next: true })) => PortWish::EvenAndNext(self.reservation_token()),
            (_, Some(EvenPort { reserve_next: false })) => PortWish::Even,
            _ => PortWish::Any,
        };
        Ok(Wants { family: family.map_or(AddressFamily::V4, |family| family.0), port })
    }

    /// A repeated Allocate is answered as the first was; another one on the same five-tuple is refused.
    fn repeat(&mut self, relay: RelayId, request: &Request<'_>, reply: &mut [u8; MAX_REPLY]) -> Handled {
        let allocation = self.table.get(relay).ok_or(Refusal::AllocationMismatch)?;
        let same = allocation.created_by == request.exchange.id && allocation.expires > request.now;
        if !same || allocation.credential.user != request.credential.user {
            return Err(Refusal::AllocationMismatch);
        }
        Ok(self.allocated(relay, &request.exchange, request.now, reply))
    }

    /// Makes the allocation that was asked for, now that its socket is bound.
    pub fn accept(
        &mut self,
        request: AllocateRequest,
        bound: Bound,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> Accepted {
        let now = self.time(now);
        let Pending { exchange, wants, lifetime } = *request.0;
        let mut refused =
            |this: &mut Self, why| Accepted { relay: None, reply: this.refuse(&exchange, why, reply, now) };
        let free = self.table.by_tuple(&exchange.from.tuple).is_none();
        let Some((credential, _)) = exchange.signature.clone().filter(|_| free) else {
            return refused(self, Refusal::AllocationMismatch);
        };
        let user = credential.user.clone();
        let reservation = if let PortWish::EvenAndNext(token) = wants.port { Some(token) } else { None };
        let expires = now + 1_000 * u64::from(self.effective(lifetime));
        let allocation = Allocation {
            client: exchange.from,
            credential,
            relayed: bound.relayed,
            created_by: exchange.id,
            reservation,
            expires,
            queued: expires,
            permissions: Permissions::default(),
            channels: Channels::default(),
            traffic: Traffic::default(),
        };
        let Some(relay) = self.table.insert(allocation) else {
            return refused(self, Refusal::InsufficientCapacity);
        };
        self.counters.opened += 1;
        self.config.relays.set(bound.relayed, true);
        self.events.push_back(Event::Opened { relay, client: exchange.from, relayed: bound.relayed, user });
        Accepted { relay: Some(relay), reply: self.allocated(relay, &exchange, now, reply) }
    }

    /// Refuses what was asked for: [`Refusal::InsufficientCapacity`] where no port is free,
    /// [`Refusal::AddressFamilyNotSupported`] where the server has no address of that family.
    #[must_use]
    pub fn reject(
        &mut self,
        request: AllocateRequest,
        why: Refusal,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let now = self.time(now);
        self.refuse(&request.0.exchange, why, reply, now)
    }

    fn allocated(
        &mut self,
        relay: RelayId,
        exchange: &Exchange,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let Some(allocation) = self.table.get(relay) else { return 0 };
        let left = u32::try_from(allocation.expires.saturating_sub(now).div_ceil(1_000)).unwrap_or(u32::MAX);
        let response = exchange
            .success(reply)
            .attribute(&XorRelayedAddress(allocation.relayed))
            .attribute(&Lifetime(left))
            .maybe(allocation.reservation.as_ref())
            .attribute(&XorMappedAddress(exchange.from.tuple.client));
        self.succeed(exchange, response)
    }

    /// The lifetime in seconds that a client gets for what it asks (RFC 8656, section 7.2).
    pub(super) fn effective(&self, asked: u32) -> u32 {
        let seconds = |duration| u32::try_from(millis(duration) / 1_000).unwrap_or(u32::MAX);
        asked.min(seconds(self.config.max_lifetime)).max(seconds(self.config.default_lifetime))
    }
}
