//! Allocate: what comes of it (RFC 8656, sections 7.3 and 7.4).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_proto::{
    Attribute, AttributeType, BadAttribute, Message,
    attribute::{
        AddressErrorCode, AddressFamily, Lifetime, MobilityTicket, ReservationToken, UnknownAttributes,
        XorMappedAddress, XorRelayedAddress,
    },
};

use super::{
    Allocated, Client, Config, Event, Failure, Request, Retry, Wanted, refresh::Then, response::is_understood,
};

/// How long to leave a server alone that has no room: 60 s (486, 508).
const QUOTA_PAUSE: u64 = 60_000;

/// How long to leave a server alone on which every port had an allocation: 120 s (437).
const MISMATCH_PAUSE: u64 = 120_000;

/// After this many ports that had an allocation.
const MAX_MISMATCHES: u32 = 3;

/// What a client has at its server.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing, and it asks for nothing.
    Idle,
    /// It asks for an allocation, and gives it back at once if it was closed meanwhile.
    Allocating { closing: bool },
    /// An allocation.
    Allocated(Allocation),
    /// An allocation that it is giving back.
    Deleting(Then),
}

/// An allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) granted: Allocated,
    /// What to move with.
    pub(super) ticket: Option<Box<[u8]>>,
}

/// What of the settings the server has not refused yet.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) wanted: Wanted,
    pub(super) dont_fragment: bool,
    pub(super) mobility: bool,
    /// Since when each family may be asked for again, of those that could not be had.
    barred: [u64; 2],
    /// How many ports had an allocation.
    mismatches: u32,
    retry: Again,
}

/// When to try again.
#[derive(Clone, Copy, Debug)]
enum Again {
    Never,
    NewPort,
    At(u64),
}

impl Wishes {
    pub(super) const fn new(config: &Config) -> Self {
        let Config { wanted, dont_fragment, mobility, .. } = *config;
        Self { wanted, dont_fragment, mobility, barred: [0; 2], mismatches: 0, retry: Again::At(0) }
    }

    /// What is wanted but for what may not be asked for now.
    fn narrowed(&self, wanted: Wanted, now: u64) -> Wanted {
        let [v4, v6] = self.barred.map(|until| now < until);
        match wanted {
            Wanted::Dual { even } if v4 || v6 => {
                let family = if v6 { AddressFamily::V4 } else { AddressFamily::V6 };
                Wanted::One(family, if even { super::Port::Even } else { super::Port::Any })
            }
            wanted => wanted,
        }
    }
}

/// Why another allocation is not asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// There is an allocation, or one is being asked for or given back.
    #[error("there is an allocation already")]
    Busy,
    /// Never, or not yet.
    #[error("the server is to be left alone")]
    NotNow(Retry),
}

impl Client {
    /// When another allocation may be [asked for](Self::restart), after one was refused.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.wishes.retry {
            Again::Never => Retry::Never,
            Again::NewPort => Retry::NewPort,
            Again::At(at) => Retry::At(self.instant(at)),
        }
    }

    /// Asks for another allocation, from this address of the client's.
    ///
    /// # Errors
    /// [`RestartError::Busy`] while there is one, [`RestartError::NotNow`] where the server is to be left alone yet, or
    /// wants to be asked from another port.
    pub fn restart(&mut self, local: SocketAddr, now: Instant) -> Result<(), RestartError> {
        if !matches!(self.state, State::Idle) {
            return Err(RestartError::Busy);
        }
        let fits = match self.wishes.retry {
            Again::Never => false,
            Again::NewPort => local != self.tuple.client,
            Again::At(at) => at <= self.time(now),
        };
        if !fits {
            return Err(RestartError::NotNow(self.retry()));
        }
        self.tuple.client = local;
        self.allocate(self.time(now));
        Ok(())
    }

    /// Asks for an allocation.
    pub(super) fn allocate(&mut self, now: u64) {
        self.forget();
        self.wishes.wanted = self.wishes.narrowed(self.config.wanted, now);
        self.wishes.retry = Again::At(now);
        self.state = State::Allocating { closing: false };
        self.ask(Request::Allocate, now);
    }

    /// The server has made an allocation.
    pub(super) fn allocate_answered(&mut self, message: &Message<'_>, now: u64) {
        let closing = matches!(self.state, State::Allocating { closing: true });
        if closing {
            return self.delete(Then::Closed, now);
        }
        match self.granted(message) {
            Ok(granted) => self.opened(granted, message, now),
            Err(why) => {
                // There is something at the server, which is of no use.
                self.wishes.retry = Again::Never;
                self.refused(Request::Allocate, why);
                self.delete(Then::Idle, now);
            }
        }
    }

    /// What a success response grants, if it can be used.
    fn granted(&self, message: &Message<'_>) -> Result<Allocated, Failure> {
        if !is_understood(message) {
            return Err(Failure::Malformed);
        }
        let [v4, v6] = relayed(message).map_err(|_| Failure::Malformed)?;
        let fits = |family, relayed: Option<_>| relayed.is_none() || self.wishes.wanted.includes(family);
        if !fits(AddressFamily::V4, v4) || !fits(AddressFamily::V6, v6) {
            return Err(Failure::UnusableFamily);
        }
        let (mapped, lifetime) = (message.require::<XorMappedAddress>(), message.require::<Lifetime>());
        let (Ok(XorMappedAddress(mapped)), Ok(Lifetime(seconds @ 1..)), true) =
            (mapped, lifetime, v4.or(v6).is_some())
        else {
            return Err(Failure::Malformed);
        };
        let missing = message.get::<AddressErrorCode<'_>>().ok().flatten();
        let ticket = message.get::<MobilityTicket<'_>>().ok().flatten();
        let ticket = ticket.filter(|ticket| self.wishes.mobility && !ticket.0.is_empty());
        Ok(Allocated {
            v4,
            v6,
            mapped,
            lifetime: Duration::from_secs(seconds.into()),
            reservation: message.get::<ReservationToken>().ok().flatten(),
            missing: missing.map(|missing| (missing.family, missing.error.code())),
            mobile: ticket.is_some(),
        })
    }

    fn opened(&mut self, granted: Allocated, message: &Message<'_>, now: u64) {
        if let Some((family, code)) = granted.missing {
            let until = if code == 508 { now + QUOTA_PAUSE } else { u64::MAX };
            self.wishes.barred[usize::from(family == AddressFamily::V6)] = until;
        }
        self.wishes.mismatches = 0;
        self.state = State::Allocated(Allocation { granted, ticket: None });
        self.keep(message, now);
        self.events.push_back(Event::Allocated(granted));
    }

    /// Whether an Allocate that was refused is tried again at once, otherwise or elsewhere.
    pub(super) fn allocate_otherwise(&mut self, code: u16, message: &Message<'_>, now: u64) -> bool {
        if matches!(self.state, State::Allocating { closing: true }) {
            return false;
        }
        match code {
            300 => return self.redirected(message, now),
            405 if self.wishes.mobility => self.wishes.mobility = false,
            420 if self.wishes.dont_fragment && names(message, AttributeType::DONT_FRAGMENT) => {
                self.wishes.dont_fragment = false;
            }
            508 => match self.wishes.wanted.any_port() {
                Some(wanted) => self.wishes.wanted = wanted,
                None => return false,
            },
            _ => return false,
        }
        self.ask(Request::Allocate, now);
        true
    }

    /// There is no allocation, and will be none without another request.
    pub(super) fn allocate_failed(&mut self, why: Failure, now: u64) {
        let closing = matches!(self.state, State::Allocating { closing: true });
        self.state = State::Idle;
        if closing {
            return self.events.push_back(Event::Closed);
        }
        self.wishes.retry = match why.code() {
            Some(437) if self.wishes.mismatches + 1 < MAX_MISMATCHES => {
                self.wishes.mismatches += 1;
                Again::NewPort
            }
            Some(437) => {
                self.wishes.mismatches = 0;
                Again::At(now + MISMATCH_PAUSE)
            }
            Some(486 | 508) => Again::At(now + QUOTA_PAUSE),
            _ if why.is_transient() => Again::At(now),
            _ => Again::Never,
        };
        self.refused(Request::Allocate, why);
    }

    pub(super) fn refused(&mut self, request: Request, why: Failure) {
        self.events.push_back(Event::Refused { request, why });
    }
}

/// The relayed transport addresses of IPv4 and IPv6, the first of each.
fn relayed(message: &Message<'_>) -> Result<[Option<SocketAddr>; 2], BadAttribute> {
    let mut relayed = [None; 2];
    let id = message.transaction_id();
    for found in message.attributes().filter(|found| found.kind == AttributeType::XOR_RELAYED_ADDRESS) {
        let XorRelayedAddress(address) = XorRelayedAddress::decode(found.value, id)?;
        relayed[usize::from(address.is_ipv6())].get_or_insert(address);
    }
    Ok(relayed)
}

/// Whether UNKNOWN-ATTRIBUTES lists an attribute.
fn names(message: &Message<'_>, kind: AttributeType) -> bool {
    let unknown = message.get::<UnknownAttributes<'_>>().ok().flatten();
    unknown.is_some_and(|unknown| unknown.iter().any(|unknown| unknown == kind))
}
