//! Requests under way, and when they are sent again (RFC 8489, section 6.2).

use std::{collections::VecDeque, net::SocketAddr};

use stunner_proto::{Message, TransactionId};

use super::{Config, Request, credentials::Signature, rto::Rto};

/// No more requests than this are under way at once (RFC 8489, section 6.2).
const MAX_LIVE: usize = 10;

/// How often a request was tried again, each time as a new transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    /// After a challenge to a request that was signed.
    pub(super) challenges: u32,
    /// After a server error.
    pub(super) errors: u32,
}

/// A request that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) tries: Tries,
    /// When it may be sent.
    pub(super) from: u64,
}

/// A request until it is answered or given up.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) request: Request,
    pub(super) tries: Tries,
    /// The address it is sent from.
    pub(super) local: SocketAddr,
    /// How it was signed, if it was.
    pub(super) signature: Option<Signature>,
    /// Whether a response came that was not the server's.
    pub(super) violated: bool,
    /// Sent again as they are.
    pub(super) bytes: Vec<u8>,
    timing: Timing,
}

/// When a transaction is sent, and when it is over.
#[derive(Debug)]
struct Timing {
    rto: u64,
    sent: u32,
    first: u64,
    next: u64,
}

/// All that a client has asked and that is not answered.
#[derive(Debug)]
pub(super) struct Transactions {
    live: Vec<Transaction>,
    queue: VecDeque<Waiting>,
    rto: Rto,
    /// Rc, Rm, and on a stream Ti.
    max_requests: u32,
    last_wait: u32,
    stream_timeout: Option<u64>,
}

impl Transactions {
    pub(super) fn new(config: &Config) -> Self {
        let timeout = u64::try_from(config.stream_timeout.as_millis()).unwrap_or(u64::MAX);
        Self {
            live: Vec::new(),
            queue: VecDeque::new(),
            rto: Rto::new(config.rto, config.min_rto),
            max_requests: config.max_requests.max(1),
            last_wait: config.last_wait,
            stream_timeout: config.transport.is_stream().then_some(timeout),
        }
    }

    /// Asks for something, once: who asks again while it is under way is served by the same request.
    pub(super) fn ask(&mut self, waiting: Waiting) {
        let has = |request| request == waiting.request;
        let live = self.live.iter().map(|transaction| transaction.request);
        if !live.chain(self.queue.iter().map(|waiting| waiting.request)).any(has) {
            self.queue.push_back(waiting);
        }
    }

    /// The next request that may begin, of those that are `fit`.
    pub(super) fn admit(&mut self, fit: impl Fn(Request) -> bool) -> Option<Waiting> {
        if self.live.len() >= MAX_LIVE {
            return None;
        }
        let at = self.queue.iter().position(|waiting| fit(waiting.request))?;
        self.queue.remove(at)
    }

    /// Begins a transaction.
    pub(super) fn begin(
        &mut self,
        waiting: Waiting,
        id: TransactionId,
        local: SocketAddr,
        signed: (Vec<u8>, Option<Signature>),
        now: u64,
    ) {
        let next = waiting.from.max(now);
        let timing = Timing { rto: self.rto.begin(now), sent: 0, first: next, next };
        let Waiting { request, tries, .. } = waiting;
        let (bytes, signature) = signed;
        let violated = false;
        self.live.push(Transaction { id, request, tries, local, signature, violated, bytes, timing });
    }

    /// The next transaction that is to be sent now; it counts as sent.
    pub(super) fn transmit(&mut self, now: u64) -> Option<&Transaction> {
        let limit = if self.stream_timeout.is_some() { 1 } else { self.max_requests };
        let is_due = |timing: &Timing| timing.next <= now && timing.sent < limit;
        let transaction = self.live.iter_mut().find(|transaction| is_due(&transaction.timing))?;
        let Timing { rto, sent, first, next } = &mut transaction.timing;
        if *sent == 0 {
            *first = now;
        }
        *sent += 1;
        let wait = match self.stream_timeout {
            Some(timeout) => timeout,
            None if *sent == limit => rto.saturating_mul(u64::from(self.last_wait)),
            None => rto.saturating_mul(1 << (*sent - 1).min(32)),
        };
        *next = now.saturating_add(wait);
        Some(transaction)
    }

    /// The next transaction whose time is over.
    pub(super) fn expire(&mut self, now: u64) -> Option<Transaction> {
        let limit = if self.stream_timeout.is_some() { 1 } else { self.max_requests };
        let is_over = |timing: &Timing| timing.next <= now && timing.sent >= limit;
        let at = self.live.iter().position(|transaction| is_over(&transaction.timing))?;
        Some(self.live.remove(at))
    }

    /// When something is to be sent or given up.
    pub(super) fn next(&self) -> Option<u64> {
        self.live.iter().map(|transaction| transaction.timing.next).min()
    }

    /// The transaction that a response belongs to.
    pub(super) fn find(&mut self, response: &Message<'_>) -> Option<&mut Transaction> {
        let id = response.transaction_id();
        let fits = |transaction: &&mut Transaction| {
            let method = super::request::method(transaction.request);
            transaction.id == id && method == response.method() && transaction.timing.sent > 0
        };
        self.live.iter_mut().find(fits)
    }

    /// Takes out a transaction that was answered.
    pub(super) fn answered(&mut self, id: TransactionId, now: u64) -> Option<Transaction> {
        let at = self.live.iter().position(|transaction| transaction.id == id)?;
        let transaction = self.live.remove(at);
        // Karn: which of several requests was answered cannot be known.
        if transaction.timing.sent == 1 && self.stream_timeout.is_none() {
            self.rto.sample(now.saturating_sub(transaction.timing.first), now);
        }
        Some(transaction)
    }

    /// Takes out everything that is under way.
    pub(super) fn take_all(&mut self) -> Vec<Transaction> {
        std::mem::take(&mut self.live)
    }

    /// Puts everything that is under way back into the queue, to begin anew on another path.
    pub(super) fn withdraw(&mut self) {
        self.rto.reset();
        let withdrawn = std::mem::take(&mut self.live).into_iter();
        self.queue.extend(withdrawn.map(|Transaction { request, tries, .. }| Waiting {
            request,
            tries,
            from: 0,
        }));
    }

    /// Forgets one request, wherever it is.
    pub(super) fn forget(&mut self, request: Request) {
        self.live.retain(|transaction| transaction.request != request);
        self.queue.retain(|waiting| waiting.request != request);
    }

    pub(super) fn clear(&mut self) {
        self.live.clear();
        self.queue.clear();
    }

    /// Forgets how fast the server was.
    pub(super) fn forget_path(&mut self) {
        self.rto.reset();
    }
}
