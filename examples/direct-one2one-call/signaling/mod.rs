//! Signaling over a WebSocket: registers users by name and carries offers, answers and candidates between them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, timeout},
};
use warp::ws::{Message, WebSocket};

use crate::ice::Ice;
use message::{Reply, Request};
use registry::{Registry, SessionId};

mod message;
mod registry;
#[cfg(test)]
mod tests;

/// A longer message is refused with an error, and the connection lives on.
const MAX_MESSAGE: usize = 64 << 10;

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

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Signaling {
    registry: Arc<Mutex<Registry>>,
    ice: Arc<Ice>,
    stopped: watch::Receiver<bool>,
}

impl Signaling {
    pub(crate) fn new(ice: Ice, stopped: watch::Receiver<bool>) -> Self {
        Self { registry: Arc::default(), ice: Arc::new(ice), stopped }
    }

    /// How many users are registered.
    pub(crate) fn users(&self) -> usize {
        self.registry().users()
    }

    /// Serves one connection to its end. `host` is how the client reached the page.
    pub(crate) async fn serve(self, socket: WebSocket, host: Option<String>) {
        let address = match host {
            Some(host) => self.ice.address(&host).await,
            None => None,
        };
        let (outbox, inbox) = mpsc::channel(MAX_QUEUE);
        let id = self.registry().connect(outbox);
        tracing::debug!(session = id, turn = address, "signaling connected");
        let connection = Connection { signaling: &self, id, address: address.as_deref() };
        connection.run(socket, inbox).await;
        self.registry().disconnect(id);
        tracing::debug!(session = id, "signaling disconnected");
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client.
struct Connection<'a> {
    signaling: &'a Signaling,
    id: SessionId,
    /// Where it reaches TURN.
    address: Option<&'a str>,
}

impl Connection<'_> {
    async fn run(&self, mut socket: WebSocket, mut inbox: mpsc::Receiver<Reply>) {
        let mut ping = interval(PING);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(frame)) => {
                        heard = Instant::now();
                        match self.take(&frame) {
                            Some(Reply::Error { message }) => text(&Reply::Error { message }),
                            _ if frame.is_close() => return,
                            _ => continue,
                        }
                    }
                    Some(Err(error)) => {
                        tracing::debug!(session = self.id, %error, "signaling failed");
                        return close(socket, 1009, "message too long").await;
                    }
                    None => return,
                },
                reply = inbox.recv() => match reply {
                    Some(reply) => text(&reply),
                    None => return close(socket, 1008, "messages were not taken").await,
                },
                _ = ping.tick() => {
                    if heard.elapsed() > 2 * PING {
                        return close(socket, 1001, "no answer to pings").await;
                    }
                    Message::ping("")
                }
                () = ended(self.signaling.stopped.clone()) => return close(socket, 1001, "server stops").await,
            };
            if !matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Takes in one frame; returns what is wrong with it.
    fn take(&self, frame: &Message) -> Option<Reply> {
        if !frame.is_text() && !frame.is_binary() {
            return None;
        }
        if frame.as_bytes().len() > MAX_MESSAGE {
            return Some(Reply::error(format!("Invalid message: longer than {MAX_MESSAGE} bytes")));
        }
        match serde_json::from_slice::<Request>(frame.as_bytes()) {
            Ok(Request::OnIceCandidate { .. }) if frame.as_bytes().len() > MAX_CANDIDATE => {
                Some(Reply::error(format!("Invalid message: a candidate of more than {MAX_CANDIDATE} bytes")))
            }
            Ok(request) => {
                // Made before the registry is locked: it may read a file.
                let registers = matches!(request, Request::Register { .. });
                let ice = if registers { self.signaling.ice.config(self.address) } else { None };
                self.signaling.registry().handle(self.id, request, ice);
                None
            }
            Err(error) => Some(Reply::error(format!("Invalid message: {error}"))),
        }
    }
}

/// Waits until the program is asked to end.
pub(crate) async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error says that whoever could have told is gone, and that is the end too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn text(reply: &Reply) -> Message {
    // Strings and maps of strings always have a JSON form.
    Message::text(serde_json::to_string(reply).unwrap_or_default())
}

async fn close(mut socket: WebSocket, code: u16, why: &'static str) {
    let _ = timeout(SEND, socket.send(Message::close_with(code, why))).await;
    let _ = timeout(SEND, socket.flush()).await;
}
