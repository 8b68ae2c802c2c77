//! Refresh: an allocation is kept, and given back (RFC 8656, section 8).

use std::time::Instant;

use stunner_proto::{
    Message,
    attribute::{Lifetime, MobilityTicket},
};

use super::{Client, Event, Failure, Lost, RETRY_PAUSE, Request, allocate::State, schedule::Due};

/// How long before its expiry an allocation is refreshed: 60 s, or half of a short lifetime.
const MARGIN: u64 = 60_000;

/// What comes after an allocation was given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Then {
    Idle,
    Closed,
    Restart,
}

impl Client {
    /// Gives the allocation back. [`Event::Closed`] says when that is done, or was tried long enough.
    pub fn close(&mut self, now: Instant) {
        let now = self.time(now);
        match &mut self.state {
            State::Idle => self.events.push_back(Event::Closed),
            // The server may have made it already, and it can be given back only once that is known.
            State::Allocating { closing } => *closing = true,
            State::Allocated(_) if self.paths.are_held() => {
                self.forget();
                self.state = State::Idle;
                self.events.push_back(Event::Closed);
            }
            State::Allocated(_) => self.delete(Then::Closed, now),
            State::Deleting(then) => *then = Then::Closed,
        }
    }

    /// Tells the server that the allocation is over.
    pub(super) fn delete(&mut self, then: Then, now: u64) {
        self.forget();
        self.state = State::Deleting(then);
        self.ask(Request::Close, now);
    }

    /// It is over: the server says so, or knows nothing of it (437), which is the same, or does not say.
    pub(super) fn deleted(&mut self, now: u64) {
        let State::Deleting(then) = self.state else { return };
        self.state = State::Idle;
        match then {
            Then::Idle => {}
            Then::Closed => self.events.push_back(Event::Closed),
            Then::Restart => self.allocate(now),
        }
    }

    /// The server has given more time.
    pub(super) fn refreshed(&mut self, message: &Message<'_>, now: u64) {
        match message.require() {
            Ok(Lifetime(1..)) => self.keep(message, now),
            Ok(Lifetime(0)) => self.lose(Lost::Mismatch),
            Err(_) => self.refresh_failed(Failure::Malformed, now),
        }
    }

    /// Counts from what was granted, which may be more or less than what was asked for.
    pub(super) fn keep(&mut self, message: &Message<'_>, now: u64) {
        let State::Allocated(allocation) = &mut self.state else { return };
        match message.get() {
            Ok(Some(MobilityTicket(ticket @ [_, ..]))) if self.wishes.mobility => {
                allocation.ticket = Some(ticket.into());
            }
            _ => {}
        }
        if let Ok(Lifetime(seconds)) = message.require() {
            let lifetime = 1_000 * u64::from(seconds);
            let margin = MARGIN.min(lifetime / 2);
            self.schedule.set(Due::Refresh, now + lifetime - margin);
            self.schedule.set(Due::Expiry, now + lifetime);
        }
    }

    /// The allocation lives on until it expires. Where the server has not said no, it is asked again.
    pub(super) fn refresh_failed(&mut self, why: Failure, now: u64) {
        if why.is_transient() {
            self.schedule.set(Due::Refresh, now + RETRY_PAUSE);
        }
        self.refused(Request::Refresh, why);
    }

    /// The allocation is gone, and everything with it.
    pub(super) fn lose(&mut self, why: Lost) {
        self.forget();
        self.state = State::Idle;
        self.events.push_back(Event::Lost(why));
    }

    /// Forgets all that belongs to an allocation.
    pub(super) fn forget(&mut self) {
        self.transactions.clear();
        self.schedule.clear();
        self.permissions.clear();
        self.channels.clear();
        self.paths.clear();
    }
}
