//! Signaling for a browser that opens no WebSocket, as Safari does not where a certificate was accepted by hand: replies
//! come as events of an EventSource, messages go as POSTs. The messages are the same, and so are the limits.

use std::{convert::Infallible, pin::pin, sync::Arc, sync::PoisonError};

use futures_util::{Stream, StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use warp::{Buf, Filter, Reply, filters::BoxedFilter, http::StatusCode, sse::Event};

use super::{
    MAX_MESSAGE, PING, SEND, Signaling,
    connection::{Connection, Outgoing},
    ended,
    socket::json,
    token,
};

/// `GET /one2one/events` opens a session. Its first event, `session`, is the key that each `POST /one2one/messages`
/// shows as its bearer token; it is good for as long as the stream is open.
pub(crate) fn routes(signaling: Signaling) -> BoxedFilter<(Box<dyn Reply>,)> {
    let opened = signaling.clone();
    let events = warp::path!("one2one" / "events")
        .and(warp::get())
        .and(warp::header::optional::<String>("host"))
        .then(move |host| opened.clone().open(host));
    let posts = warp::path!("one2one" / "messages")
        .and(warp::post())
        .and(warp::header::optional::<String>("authorization"))
        .and(warp::body::stream())
        .then(move |shown, body| {
            let signaling = signaling.clone();
            async move { Box::new(signaling.post(shown, body).await) as Box<dyn Reply> }
        });
    events.or(posts).unify().boxed()
}

impl Signaling {
    async fn open(self, host: Option<String>) -> Box<dyn Reply> {
        let Some((connection, outgoing)) = self.connect(host).await else {
            return Box::new(StatusCode::SERVICE_UNAVAILABLE);
        };
        let (events, sent) = mpsc::channel(1);
        let key = token();
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), connection.clone());
        let listed = Listed { signaling: self, key };
        tokio::spawn(pump(listed, connection, outgoing, events));
        let sent = stream::unfold(sent, |mut sent| async move { Some((sent.recv().await?, sent)) });
        let reply = warp::sse::reply(sent.map(Ok::<_, Infallible>));
        // Or a proxy may hold events back until it has many of them.
        Box::new(warp::reply::with_header(reply, "x-accel-buffering", "no"))
    }

    async fn post<B: Buf>(
        &self,
        shown: Option<String>,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> StatusCode {
        let Some(connection) = shown.and_then(|shown| self.shown(&shown)) else {
            return StatusCode::NOT_FOUND;
        };
        match timeout(SEND, collect(body)).await {
            Ok(Some(text)) if connection.take(&text).is_ok() => StatusCode::NO_CONTENT,
            Ok(Some(_)) => StatusCode::TOO_MANY_REQUESTS,
            Ok(None) => StatusCode::PAYLOAD_TOO_LARGE,
            Err(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn shown(&self, header: &str) -> Option<Arc<Connection>> {
        let key = header.strip_prefix("Bearer ")?;
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

/// A key that is known while this lives.
struct Listed {
    signaling: Signaling,
    key: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let removed = self.signaling.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        drop(removed);
    }
}

/// Moves replies into the stream, until either end is gone.
async fn pump(
    listed: Listed,
    connection: Arc<Connection>,
    mut outgoing: Outgoing,
    events: mpsc::Sender<Event>,
) {
    let mut event = Event::default().event("session").data(&listed.key);
    let mut ping = interval(PING);
    while matches!(timeout(SEND, events.send(event)).await, Ok(Ok(()))) {
        event = tokio::select! {
            reply = outgoing.next() => match reply {
                Some(reply) => Event::default().data(json(&reply)),
                None => return,
            },
            _ = ping.tick() => {
                if connection.is_silent() {
                    return;
                }
                Event::default().comment("")
            }
            () = events.closed() => return,
            () = ended(listed.signaling.stopped.clone()) => return,
        };
    }
}

/// A whole body; `None` when it is too long, or breaks off.
async fn collect<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut text = Vec::new();
    while let Some(part) = body.next().await {
        let mut part = part.ok()?;
        while part.has_remaining() {
            let chunk = part.chunk();
            if text.len() + chunk.len() > MAX_MESSAGE {
                return None;
            }
            text.extend_from_slice(chunk);
            let length = chunk.len();
            part.advance(length);
        }
    }
    Some(text)
}
