//! Responses: whose they are, what they are worth, and where each goes (RFC 8489, section 6.3).

use stunner_proto::{Authenticated, Class, Fingerprint, Message, attribute::ErrorCode};

use super::{
    Client, Failure, Lost, Request,
    credentials::{self, Judged},
    transaction::Transaction,
};

/// A request that met with a server error is sent again at most this often (RFC 8489, section 6.3.4).
const MAX_ERRORS: u32 = 4;

/// How long to wait before that; twice as long each time.
const ERROR_PAUSE: u64 = 500;

impl Client {
    /// Takes in a response.
    pub(super) fn response(&mut self, message: Message<'_>, now: u64) {
        let Some(transaction) = self.transactions.find(&message) else { return };
        if message.fingerprint() == Fingerprint::Wrong {
            return;
        }
        let judged = credentials::judge(message, transaction.signature.as_ref());
        match judged {
            Judged::Ignored => return,
            Judged::Violated if !self.config.transport.is_stream() => {
                transaction.violated = true;
                return;
            }
            _ => {}
        }
        let Some(transaction) = self.transactions.answered(message.transaction_id(), now) else { return };
        let request = transaction.request;
        match judged {
            Judged::Challenge(code) => self.challenged(&message, code, &transaction, now),
            Judged::Authentic(message) => self.answered(&message, &transaction, now),
            Judged::Ignored | Judged::Violated => self.fail(request, Failure::IntegrityViolated, now),
        }
        self.begin(now);
    }

    fn challenged(&mut self, message: &Message<'_>, code: u16, transaction: &Transaction, now: u64) {
        let Transaction { request, mut tries, ref signature, .. } = *transaction;
        if !is_understood(message) {
            return self.fail(request, Failure::Malformed, now);
        }
        if signature.is_some() && tries.challenges >= self.config.max_challenges {
            return self.fail(request, credentials::refused(message), now);
        }
        tries.challenges += u32::from(signature.is_some());
        match self.credentials.challenged(&self.config, message, code, signature.as_ref()) {
            Ok(()) => self.ask_again(request, tries, now, now),
            Err(why) => self.fail(request, why, now),
        }
    }

    fn answered(&mut self, message: &Authenticated<'_>, transaction: &Transaction, now: u64) {
        let request = transaction.request;
        if message.class() == Class::SuccessResponse {
            return match request {
                Request::Allocate => self.allocate_answered(message, now),
                _ if !is_understood(message) => self.fail(request, Failure::Malformed, now),
                Request::Refresh => self.refreshed(message, now),
                Request::Close => self.deleted(now),
                Request::Migrate => self.migrated(message, now),
                Request::Permission(ip) => self.permitted(ip, now),
                Request::Channel(number, peer) => self.bound(number, peer, now),
            };
        }
        let code = match message.require::<ErrorCode<'_>>() {
            Ok(error) if is_understood(message) => error.code(),
            _ => return self.fail(request, Failure::Malformed, now),
        };
        match (request, code) {
            (Request::Allocate, _) if self.allocate_otherwise(code, message, now) => {}
            // 508 says that another try makes no sense for a while.
            (_, 500..=599) if code != 508 && transaction.tries.errors < MAX_ERRORS => {
                let mut tries = transaction.tries;
                let from = now + (ERROR_PAUSE << tries.errors);
                tries.errors += 1;
                self.ask_again(request, tries, from, now);
            }
            (Request::Allocate | Request::Close, _) => {
                self.fail(request, credentials::refused(message), now);
            }
            (_, 437) => self.lose(Lost::Mismatch),
            _ => self.fail(request, credentials::refused(message), now),
        }
    }

    /// A request has come to nothing.
    pub(super) fn fail(&mut self, request: Request, why: Failure, now: u64) {
        match request {
            Request::Allocate => self.allocate_failed(why, now),
            Request::Refresh => self.refresh_failed(why, now),
            Request::Close => self.deleted(now),
            Request::Migrate => self.migrate_failed(why),
            Request::Permission(ip) => self.permission_failed(ip, why, now),
            Request::Channel(number, peer) => self.channel_failed(number, peer, why, now),
        }
    }

    /// The time of a transaction is over.
    pub(super) fn time_out(&mut self, transaction: &Transaction, now: u64) {
        let why = if transaction.violated { Failure::IntegrityViolated } else { Failure::Timeout };
        self.fail(transaction.request, why, now);
    }
}

/// Whether there is nothing in a message that must be understood and is not.
pub(super) fn is_understood(message: &Message<'_>) -> bool {
    let mut types = message.attributes().map(|attribute| attribute.kind);
    types.all(|kind| !kind.is_required() || kind.is_required_by_turn())
}
