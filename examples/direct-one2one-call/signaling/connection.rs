//! One client, whichever way its messages travel.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until},
};

use super::{
    MAX_CANDIDATE, MAX_MESSAGE, PING, RETURN, Signaling,
    message::{Reply, Request, Roster},
    rate::Rate,
    registry::SessionId,
};

/// How long a list of users stands before the next one is sent.
const ROSTER: Duration = Duration::from_millis(500);

/// What was sent was too much.
#[derive(Debug)]
pub(super) struct TooFast;

/// The way in. Dropped, the client is gone, and may come back.
pub(super) struct Connection {
    signaling: Signaling,
    pub(super) id: SessionId,
    /// Where it reaches TURN.
    address: Option<String>,
    rate: Mutex<Rate>,
    heard: Mutex<Instant>,
}

impl Connection {
    pub(super) fn new(signaling: Signaling, id: SessionId, address: Option<String>) -> Self {
        let now = Instant::now();
        Self { signaling, id, address, rate: Mutex::new(Rate::new(now)), heard: Mutex::new(now) }
    }

    /// A sign of life.
    pub(super) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether there was no sign of life for too long.
    pub(super) fn is_silent(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > 2 * PING
    }

    /// Takes in one message. What is wrong with it is a reply.
    pub(super) fn take(&self, text: &[u8]) -> Result<(), TooFast> {
        self.hear();
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).admits(Instant::now()) {
            return Err(TooFast);
        }
        match parse(text) {
            Ok(request) => {
                // Made before the registry is locked: it may read a file.
                let needs = matches!(request, Request::Register { .. } | Request::Resume { .. });
                let ice = if needs { self.signaling.ice.config(self.address.as_deref()) } else { None };
                self.signaling.registry().handle(self.id, request, ice);
            }
            Err(why) => self.signaling.registry().send(self.id, Reply::error(why)),
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (signaling, id) = (self.signaling.clone(), self.id);
        tracing::debug!(session = id, "signaling disconnected");
        let waits = signaling.registry().disconnect(id);
        if let (true, Ok(runtime)) = (waits, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                sleep(RETURN).await;
                signaling.registry().forget(id);
            });
        }
    }
}

fn parse(text: &[u8]) -> Result<Request, String> {
    if text.len() > MAX_MESSAGE {
        return Err(format!("Invalid message: longer than {MAX_MESSAGE} bytes"));
    }
    let request = serde_json::from_slice(text).map_err(|error| format!("Invalid message: {error}"))?;
    if matches!(request, Request::OnIceCandidate { .. }) && text.len() > MAX_CANDIDATE {
        return Err(format!("Invalid message: a candidate of more than {MAX_CANDIDATE} bytes"));
    }
    Ok(request)
}

/// The way out.
pub(super) struct Outgoing {
    connection: Arc<Connection>,
    inbox: mpsc::Receiver<Reply>,
    roster: watch::Receiver<Roster>,
    /// When a list of users may be sent again.
    next_roster: Instant,
    renewal: Option<Interval>,
}

impl Outgoing {
    pub(super) fn new(connection: Arc<Connection>, inbox: mpsc::Receiver<Reply>) -> Self {
        let renewal = connection.signaling.ice.renewal().map(|period| {
            let mut renewal = interval_at(Instant::now() + period, period);
            renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
            renewal
        });
        let roster = connection.signaling.roster.clone();
        Self { connection, inbox, roster, next_roster: Instant::now(), renewal }
    }

    /// The next thing to say; `None` when the session has ended or is another connection's now. May be dropped and
    /// asked again.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        let Self { connection, inbox, roster, next_roster, renewal } = self;
        let signaling = &connection.signaling;
        loop {
            tokio::select! {
                // What was said before a list or credentials were due is said first: a page learns that it is registered,
                // then who else is.
                biased;
                reply = inbox.recv() => return reply,
                () = changed(roster, *next_roster) => {
                    // Another thread may say something at any time, unless the registry is ours.
                    let registry = signaling.registry();
                    if !inbox.is_empty() {
                        roster.mark_changed();
                        continue;
                    }
                    *next_roster = Instant::now() + ROSTER;
                    if registry.is_extended(connection.id) {
                        return Some(Reply::Users(roster.borrow_and_update().clone()));
                    }
                }
                () = tick(renewal) => {
                    let registered = {
                        let registry = signaling.registry();
                        if !inbox.is_empty() {
                            renewal.iter_mut().for_each(Interval::reset_immediately);
                            continue;
                        }
                        registry.is_registered(connection.id)
                    };
                    if registered
                        && let Some(ice_configuration) = signaling.ice.config(connection.address.as_deref())
                    {
                        return Some(Reply::IceConfiguration { ice_configuration });
                    }
                }
            }
        }
    }
}

/// Waits for a change of who is there, and at least until `at`. Without lists there is none.
async fn changed(roster: &mut watch::Receiver<Roster>, at: Instant) {
    sleep_until(at).await;
    if roster.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
