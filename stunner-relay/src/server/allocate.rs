//! Allocate: what a client asks for, and the allocation that comes of it (RFC 8656, section 7).

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use stunner_proto::{
    AttributeType,
    attribute::{
        AdditionalAddressFamily, AddressFamily, EvenPort, Lifetime, MobilityTicket, RequestedTransport,
        ReservationToken, XorMappedAddress, XorRelayedAddress,
    },
};

use super::{
    AllocationId, MAX_REPLY, Output, Refusal, RelayId, Server,
    allocation::{Allocation, FAMILIES, Half, Rest},
    limits, millis,
    request::{Handled, Request, requested_family},
    response::Exchange,
};
use crate::{Client, Closed, Event, policy};

/// An Allocate that was checked and waits for its socket. [Accept](Server::accept) or [reject](Server::reject) it.
#[derive(Debug)]
#[must_use]
pub struct AllocateRequest(Box<Pending>);

#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    wants: Wants,
    lifetime: u32,
    ticket: bool,
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

    /// Whose credentials were good; nobody's where [none are needed](crate::Config::unauthenticated). A reserved port is kept
    /// for its user only.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.exchange.known.as_ref().map_or("", |known| &known.user)
    }
}

/// What an Allocate asks the shell to bind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Wants {
    /// An IPv4 address.
    pub v4: bool,
    /// An IPv6 address. Both are a dual allocation, of which one address is enough.
    pub v6: bool,
    /// Which port.
    pub port: PortWish,
    /// A listener for TCP, and not a socket for UDP (RFC 6062).
    pub tcp: bool,
}

impl Wants {
    /// What the shell bound, by a function that binds an address of one family.
    pub fn bind(self, mut bind: impl FnMut(AddressFamily) -> Result<SocketAddr, Refusal>) -> Relayed {
        Relayed { v4: self.v4.then(|| bind(AddressFamily::V4)), v6: self.v6.then(|| bind(AddressFamily::V6)) }
    }
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

/// What the shell bound for each family that was wanted, as peers see it, or why it could not.
///
/// [`Refusal::InsufficientCapacity`] says that no port is free, [`Refusal::AddressFamilyNotSupported`] that there is no
/// address of that family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relayed {
    /// The IPv4 address.
    pub v4: Option<Result<SocketAddr, Refusal>>,
    /// The IPv6 address.
    pub v6: Option<Result<SocketAddr, Refusal>>,
}

impl Relayed {
    fn families(self) -> [Option<Result<SocketAddr, Refusal>>; 2] {
        [self.v4, self.v6]
    }
}

/// What became of an [`AllocateRequest`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Accepted {
    /// The allocation; `None` when it was refused after all, for instance since the five-tuple was taken meanwhile: free
    /// the sockets.
    pub allocation: Option<AllocationId>,
    /// How many bytes of the reply to send.
    pub reply: usize,
}

impl Accepted {
    /// The handle of the relayed transport address of a family, if the allocation was made and has one.
    #[must_use]
    pub fn relay(&self, family: AddressFamily) -> Option<RelayId> {
        self.allocation.map(|allocation| RelayId { allocation, family })
    }
}

impl Server {
    /// The checks of RFC 8656, section 7.2, in its order.
    pub(super) fn allocate<'p>(
        &mut self,
        request: &Request<'_>,
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<Output<'p>, Refusal> {
        let message = &request.message;
        if let Some(id) = self.table.by_tuple(&request.exchange.from.tuple) {
            if self.table.get(id).is_some_and(|allocation| allocation.is_live(request.now)) {
                return self.repeat(id, &request.exchange, request.now, reply).map(Output::Reply);
            }
            // It has expired, and nobody has come yet to end it.
            self.end(id, Closed::Expired);
        }
        let tcp = self.is_tcp(request)?;
        let wants = Wants { tcp, ..self.wants(request)? };
        let lifetime = message.get::<Lifetime>()?.map_or(0, |lifetime| lifetime.0);
        if policy::canonical(request.exchange.from.tuple.client.ip()).is_none() {
            return Err(Refusal::Forbidden);
        }
        let ticket = self.wants_ticket(request)?;
        self.check_limits(request.exchange.from, &request.known.user)?;
        let exchange = request.exchange.clone();
        Ok(Output::Allocate(AllocateRequest(Box::new(Pending { exchange, wants, lifetime, ticket }))))
    }

    /// Whether connections are to be relayed, or datagrams (RFC 6062, section 5.1).
    fn is_tcp(&self, request: &Request<'_>) -> Result<bool, Refusal> {
        let message = &request.message;
        match message.require::<RequestedTransport>()? {
            RequestedTransport::UDP if self.config.udp => Ok(false),
            RequestedTransport::UDP => Err(Refusal::Forbidden),
            RequestedTransport::TCP if self.config.tcp => {
                let of_datagrams = message.contains(AttributeType::DONT_FRAGMENT)
                    || message.contains(AttributeType::EVEN_PORT)
                    || message.contains(AttributeType::RESERVATION_TOKEN);
                let stream = request.exchange.from.tuple.transport.is_stream();
                if of_datagrams || !stream { Err(Refusal::BadRequest) } else { Ok(true) }
            }
            _ => Err(Refusal::UnsupportedTransport),
        }
    }

    /// Whether there may be another allocation: of this server, this user, this network.
    fn check_limits(&self, from: Client, user: &str) -> Result<(), Refusal> {
        let reached = |limit: Option<usize>, count: usize| limit.is_some_and(|limit| count >= limit);
        if !self.alternates().is_empty() {
            return Err(Refusal::TryAlternate);
        }
        if self.draining.is_some() || self.table.len() >= self.config.max_allocations {
            return Err(Refusal::InsufficientCapacity);
        }
        if reached(self.config.max_allocations_per_user, self.table.of_user(user))
            || reached(self.config.max_allocations_per_source, self.table.of_source(self.source(from)))
        {
            return Err(Refusal::QuotaReached);
        }
        Ok(())
    }

    fn source(&self, client: Client) -> IpAddr {
        limits::source(client.tuple.client.ip(), self.config.source_prefix)
    }

    fn wants(&mut self, request: &Request<'_>) -> Result<Wants, Refusal> {
        let message = &request.message;
        let even = message.get::<EvenPort>()?;
        let token = message.get::<ReservationToken>()?;
        let has_family = message.contains(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let has_second = message.contains(AttributeType::ADDITIONAL_ADDRESS_FAMILY);
        let reserves = even.is_some_and(|even| even.reserve_next);
        if token.is_some() && (even.is_some() || has_family || has_second)
            || has_second && (has_family || reserves)
        {
            return Err(Refusal::BadRequest);
        }
        let family = requested_family(message, Refusal::AddressFamilyNotSupported)?;
        let family = family.unwrap_or(AddressFamily::V4);
        let second = message.get::<AdditionalAddressFamily>()?;
        if second.is_some_and(|second| second.0 != AddressFamily::V6) {
            return Err(Refusal::BadRequest);
        }
        let port = match (token, even) {
            (Some(token), _) => PortWish::Reserved(token),
            (_, Some(_)) if reserves => PortWish::EvenAndNext(self.reservation_token()),
            (_, Some(_)) => PortWish::Even,
            _ => PortWish::Any,
        };
        Ok(Wants {
            v4: family == AddressFamily::V4,
            v6: family == AddressFamily::V6 || second.is_some(),
            port,
            tcp: false,
        })
    }

    /// A repeated Allocate is answered as the first was; another one on the same five-tuple is refused.
    fn repeat(
        &mut self,
        id: AllocationId,
        exchange: &Exchange,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> Handled {
        let allocation = self.table.get(id).ok_or(Refusal::AllocationMismatch)?;
        let same_user =
            exchange.known.as_ref().is_some_and(|known| known.is_same_user(&allocation.rest.known));
        if allocation.rest.created_by != exchange.id || !same_user {
            return Err(Refusal::AllocationMismatch);
        }
        Ok(self.allocated(id, exchange, now, reply))
    }

    /// Makes the allocation that was asked for, now that its sockets are bound. Where none could be bound, the client is
    /// told why.
    pub fn accept(
        &mut self,
        request: AllocateRequest,
        relayed: Relayed,
        now: Instant,
        reply: &mut [u8; MAX_REPLY],
    ) -> Accepted {
        let now = self.time(now);
        let exchange = &request.0.exchange;
        let (allocation, handled) = match self.table.by_tuple(&exchange.from.tuple) {
            // While this one waited for its sockets another one got there: the same one again, most likely.
            Some(id) => (None, self.repeat(id, exchange, now, reply)),
            None => match self.make(&request.0, relayed, now) {
                Ok(id) => (Some(id), Ok(self.allocated(id, exchange, now, reply))),
                Err(why) => (None, Err(why)),
            },
        };
        let reply = handled.unwrap_or_else(|why| self.refuse(exchange, why, reply, now));
        Accepted { allocation, reply }
    }

    fn make(&mut self, pending: &Pending, relayed: Relayed, now: u64) -> Result<AllocationId, Refusal> {
        let Pending { exchange, wants, lifetime, ticket } = pending;
        let known = exchange.known.clone().ok_or(Refusal::Unauthenticated)?;
        self.check_limits(exchange.from, &known.user)?;
        let seconds = self.effective(*lifetime, known.limit, now);
        if seconds == 0 {
            // Its token has ended meanwhile.
            return Err(Refusal::Unauthenticated);
        }
        let expires = now + 1_000 * u64::from(seconds);
        let families = relayed.families();
        let halves = families.map(|half| half?.ok().map(|relayed| Half::new(relayed, wants.tcp, expires)));
        let failed = FAMILIES.into_iter().zip(families);
        let failed = failed.filter_map(|(family, half)| Some((family, half?.err()?))).next();
        if halves.iter().all(Option::is_none) {
            let dual = relayed.v4.is_some() && relayed.v6.is_some();
            let alone = failed.filter(|_| !dual);
            return Err(alone.map_or(Refusal::InsufficientCapacity, |(_, why)| why));
        }
        let mut rest = Rest::new(known.clone(), self.source(exchange.from), exchange.id);
        rest.reservation = if let PortWish::EvenAndNext(token) = wants.port { Some(token) } else { None };
        rest.failed = failed;
        rest.mobility = ticket.then(Box::default);
        let allocation = Allocation::new(exchange.from, halves, rest);
        let allocation = self.table.insert(allocation).ok_or(Refusal::InsufficientCapacity)?;
        self.counters.opened += 1;
        for (half, family) in families.into_iter().zip(FAMILIES) {
            let Some(Ok(relayed)) = half else { continue };
            let (relay, user) = (RelayId { allocation, family }, known.user.clone());
            self.config.relays.set(relayed, true);
            self.events.push_back(Event::Opened { relay, client: exchange.from, relayed, user });
        }
        Ok(allocation)
    }

    /// Refuses what was asked for.
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
        id: AllocationId,
        exchange: &Exchange,
        now: u64,
        reply: &mut [u8; MAX_REPLY],
    ) -> usize {
        let ticket = self.ticket(id);
        let Some(allocation) = self.table.get(id) else { return 0 };
        let left = allocation.lives_for(now).0.div_ceil(1_000);
        let failed = allocation.rest.failed.map(|(family, why)| why.of_address(family));
        let relayed = |family| allocation.half(family, now).map(|half| XorRelayedAddress(half.relayed()));
        let response = exchange
            .success(reply)
            .maybe(relayed(AddressFamily::V4).as_ref())
            .maybe(relayed(AddressFamily::V6).as_ref())
            .attribute(&Lifetime(u32::try_from(left).unwrap_or(u32::MAX)))
            .maybe(allocation.rest.reservation.as_ref())
            .attribute(&XorMappedAddress(exchange.from.tuple.client))
            .maybe(failed.as_ref())
            .maybe(ticket.as_ref().map(|ticket| MobilityTicket(ticket)).as_ref());
        self.succeed(exchange, response)
    }

    /// The lifetime in seconds that a client gets for what it asks (RFC 8656, section 7.2), at most until a token ends.
    pub(super) fn effective(&self, asked: u32, limit: Option<u64>, now: u64) -> u32 {
        let seconds = |millis: u64| u32::try_from(millis / 1_000).unwrap_or(u32::MAX);
        let granted = asked
            .min(seconds(millis(self.config.max_lifetime)))
            .max(seconds(millis(self.config.default_lifetime)));
        limit.map_or(granted, |limit| granted.min(seconds(limit.saturating_sub(now))))
    }
}
