//! Signaling: registers users by name and carries offers, answers and candidates between them, over a WebSocket or,
//! where a browser opens none, over POST and EventSource.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString};
use tokio::sync::{mpsc, watch};

use crate::ice::Ice;
use connection::{Connection, Outgoing};
use message::Roster;
use registry::Registry;

mod connection;
pub(crate) mod events;
mod message;
mod rate;
mod registry;
mod socket;
#[cfg(test)]
mod tests;

/// A longer message is refused with an error, and the connection lives on.
pub(crate) const MAX_MESSAGE: usize = 64 << 10;

/// A longer message ends the connection with code 1009.
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// A message with a longer candidate is refused too: they wait for a call to be placed, and real ones have 200 bytes.
const MAX_CANDIDATE: usize = 4 << 10;

/// Replies that may wait for one client.
const MAX_QUEUE: usize = 256;

/// How often a silent client is pinged; one that answers nothing for two of these is gone.
const PING: Duration = Duration::from_secs(20);

/// How long a client may take to accept a message.
const SEND: Duration = Duration::from_secs(10);

/// How long a lost client's name and call wait for it to come back.
const RETURN: Duration = Duration::from_secs(30);

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Signaling {
    registry: Arc<Mutex<Registry>>,
    roster: watch::Receiver<Roster>,
    /// The clients of EventSource, by what their POSTs must show.
    streams: Arc<Mutex<HashMap<String, Arc<Connection>>>>,
    ice: Arc<Ice>,
    stopped: watch::Receiver<bool>,
}

impl Signaling {
    /// `list` tells pages who is there.
    pub(crate) fn new(ice: Ice, list: bool, stopped: watch::Receiver<bool>) -> Self {
        let (published, roster) = watch::channel(Roster::default());
        let registry = Registry::new(list.then_some(published));
        let registry = Arc::new(Mutex::new(registry));
        Self { registry, roster, streams: Arc::default(), ice: Arc::new(ice), stopped }
    }

    /// How many users are registered.
    pub(crate) fn users(&self) -> usize {
        self.registry().users()
    }

    /// A new client, unless there are too many. `host` is how it reached the page.
    async fn connect(&self, host: Option<String>) -> Option<(Arc<Connection>, Outgoing)> {
        let address = match host {
            Some(host) => self.ice.address(&host).await,
            None => None,
        };
        let (outbox, inbox) = mpsc::channel(MAX_QUEUE);
        let id = self.registry().connect(outbox)?;
        tracing::debug!(session = id, turn = address, "signaling connected");
        let connection = Arc::new(Connection::new(self.clone(), id, address));
        let outgoing = Outgoing::new(connection.clone(), inbox);
        Some((connection, outgoing))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What nobody guesses: 190 bits.
fn token() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

/// Waits until the program is asked to end.
pub(crate) async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error says that whoever could have told is gone, and that is the end too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
