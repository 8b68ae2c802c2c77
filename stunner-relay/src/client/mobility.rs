//! Mobility: the client's address changes, its allocation follows (RFC 8016, section 3.2.1).

use std::{net::SocketAddr, time::Instant};

use stunner_proto::Message;

use super::{Client, Event, Failure, Lost, Request, allocate::State};

/// Where the client is, if not where its allocation is.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The address it is moving to.
    moving: Option<SocketAddr>,
    /// Whether the connection it had is gone.
    detached: bool,
}

impl Paths {
    /// Whether everything but the move itself has to wait: requests from either address would be in vain.
    pub(super) const fn are_held(&self) -> bool {
        self.moving.is_some() || self.detached
    }

    /// The address that a request is sent from.
    pub(super) fn of(&self, request: Request, own: SocketAddr) -> SocketAddr {
        self.moving.filter(|_| request == Request::Migrate).unwrap_or(own)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Why an allocation cannot follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// There is no allocation.
    #[error("there is no allocation")]
    NoAllocation,
    /// The server has given no ticket.
    #[error("the server has given no ticket")]
    NoTicket,
    /// The address has not changed: the server would refuse.
    #[error("the address has not changed")]
    SameAddress,
}

impl Client {
    /// Takes the allocation along to another address of the client's. Requests wait meanwhile; data go on from the old
    /// address until [`Event::Migrated`], if that still works. After that, send some: only they show the server that the
    /// client has arrived, and it refuses (400) a way back before.
    ///
    /// # Errors
    /// [`MigrateError`], where there is nothing to take along, or nothing to take it with.
    pub fn migrate(&mut self, local: SocketAddr, now: Instant) -> Result<(), MigrateError> {
        let State::Allocated(allocation) = &self.state else { return Err(MigrateError::NoAllocation) };
        if allocation.ticket.is_none() {
            return Err(MigrateError::NoTicket);
        }
        if local == self.tuple.client {
            return Err(MigrateError::SameAddress);
        }
        self.transactions.forget(Request::Migrate);
        self.transactions.withdraw();
        self.paths.moving = Some(local);
        self.ask(Request::Migrate, self.time(now));
        Ok(())
    }

    /// Takes in that the connection from `local` has ended. An allocation with a ticket waits to be taken along to
    /// another one; any other is gone.
    pub fn handle_close(&mut self, local: SocketAddr, now: Instant) {
        let now = self.time(now);
        if self.paths.moving == Some(local) {
            self.fail_all(now);
        }
        if self.tuple.client != local {
            return;
        }
        if self.ticket().is_some() {
            if self.paths.moving.is_none() {
                self.transactions.withdraw();
            }
            self.paths.detached = true;
            return;
        }
        self.fail_all(now);
        if matches!(self.state, State::Allocated(_)) {
            self.lose(Lost::Disconnected);
        }
    }

    /// Takes in a hard ICMP error from the way to the server: what is under way fails (RFC 8489, section 6.2.1).
    pub fn handle_unreachable(&mut self, now: Instant) {
        self.fail_all(self.time(now));
    }

    fn fail_all(&mut self, now: u64) {
        for transaction in self.transactions.take_all() {
            self.fail(transaction.request, Failure::Unreachable, now);
        }
        self.begin(now);
    }

    /// What the allocation can be taken along with.
    pub(super) fn ticket(&self) -> Option<&[u8]> {
        match &self.state {
            State::Allocated(allocation) => allocation.ticket.as_deref(),
            _ => None,
        }
    }

    /// The allocation has followed.
    pub(super) fn migrated(&mut self, message: &Message<'_>, now: u64) {
        let Some(local) = self.paths.moving.take() else { return };
        self.paths.detached = false;
        self.tuple.client = local;
        if let State::Allocated(allocation) = &mut self.state {
            // The ticket was good once. A new one, if there is any, is in the response.
            allocation.ticket = None;
        }
        self.keep(message, now);
        self.events.push_back(Event::Migrated(local));
    }

    /// The allocation stays where it is.
    pub(super) fn migrate_failed(&mut self, why: Failure) {
        self.paths.moving = None;
        self.refused(Request::Migrate, why);
    }
}
