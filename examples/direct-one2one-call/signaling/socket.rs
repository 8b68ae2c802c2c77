//! Signaling over a WebSocket.

use futures_util::{SinkExt, StreamExt};
use tokio::time::{interval, timeout};
use warp::ws::{Message, WebSocket};

use super::{
    PING, SEND, Signaling,
    connection::{Connection, Outgoing},
    ended,
    message::Reply,
};

impl Signaling {
    /// Serves one connection to its end. `host` is how the client reached the page.
    pub(crate) async fn serve(self, socket: WebSocket, host: Option<String>) {
        match self.connect(host).await {
            Some((connection, outgoing)) => self.run(socket, &connection, outgoing).await,
            None => close(socket, 1013, "too many clients: try again later").await,
        }
    }

    async fn run(&self, mut socket: WebSocket, connection: &Connection, mut outgoing: Outgoing) {
        let mut ping = interval(PING);
        loop {
            let message = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(frame)) if frame.is_close() => return,
                    Some(Ok(frame)) if frame.is_text() || frame.is_binary() => {
                        if connection.take(frame.as_bytes()).is_err() {
                            return close(socket, 1008, "too many messages").await;
                        }
                        continue;
                    }
                    Some(Ok(_)) => {
                        connection.hear();
                        continue;
                    }
                    Some(Err(error)) => {
                        tracing::debug!(session = connection.id, %error, "signaling failed");
                        return close(socket, 1009, "message too long").await;
                    }
                    None => return,
                },
                reply = outgoing.next() => match reply {
                    Some(reply) => Message::text(json(&reply)),
                    None => return close(socket, 1008, "messages were not taken, or another connection took over").await,
                },
                _ = ping.tick() => {
                    if connection.is_silent() {
                        return close(socket, 1001, "no answer to pings").await;
                    }
                    Message::ping("")
                }
                () = ended(self.stopped.clone()) => return close(socket, 1001, "server stops").await,
            };
            if !matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

pub(super) fn json(reply: &Reply) -> String {
    // Strings and maps of strings always have a JSON form.
    serde_json::to_string(reply).unwrap_or_default()
}

async fn close(mut socket: WebSocket, code: u16, why: &'static str) {
    let _ = timeout(SEND, socket.send(Message::close_with(code, why))).await;
    let _ = timeout(SEND, socket.flush()).await;
}
