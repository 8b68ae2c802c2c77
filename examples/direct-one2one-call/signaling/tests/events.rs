//! Signaling over POST and EventSource, asked over plain sockets.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::Server;
use crate::https::tests::soon;

/// A client without WebSocket.
struct Events {
    stream: BufReader<TcpStream>,
    server: String,
    key: String,
}

impl Events {
    async fn open(server: &Server) -> Self {
        let mut stream = TcpStream::connect(&server.address).await.expect("a connection");
        let request = format!("GET /one2one/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut events =
            Self { stream: BufReader::new(stream), server: server.address.clone(), key: String::new() };
        events.key = events.line("data:").await;
        events
    }

    /// The rest of the next line that begins so.
    async fn line(&mut self, start: &str) -> String {
        let found = async {
            loop {
                let mut line = String::new();
                assert!(self.stream.read_line(&mut line).await.expect("text") > 0, "the stream has ended");
                if let Some(rest) = line.trim_end().strip_prefix(start) {
                    return rest.to_owned();
                }
            }
        };
        soon(found).await
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line("data:").await).expect("JSON")
    }

    async fn send(&self, message: Value) {
        assert_eq!(post(&self.server, &self.key, &message.to_string()).await, 204);
    }
}

/// Sends a body, and returns the status.
async fn post(server: &str, key: &str, body: &str) -> u16 {
    post_often(server, key, body, 1).await[0]
}

/// Sends a body again and again by one connection, without waiting in between, and returns all statuses.
async fn post_often(server: &str, key: &str, body: &str, times: usize) -> Vec<u16> {
    let request = |connection| {
        format!(
            "POST /one2one/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
            body.len()
        )
    };
    let requests = [request("keep-alive").repeat(times - 1), request("close")].concat();
    let (mut reader, mut writer) = TcpStream::connect(server).await.expect("a connection").into_split();
    let mut answers = String::new();
    // A server that refuses may close before it has read all of it.
    let both =
        async { tokio::join!(reader.read_to_string(&mut answers), writer.write_all(requests.as_bytes())) };
    soon(both).await.0.expect("text");
    let status = |answer: &str| answer.split(' ').next()?.parse().ok();
    answers.split("HTTP/1.1 ").skip(1).map(|answer| status(answer).expect("a status")).collect()
}

#[tokio::test]
async fn a_client_without_websocket_calls_one_with() {
    let server = Server::start().await;
    let mut bob = server.user("bob").await;
    let mut alice = Events::open(&server).await;
    alice.send(json!({ "id": "register", "name": "alice" })).await;
    assert_eq!(alice.next().await["iceConfiguration"]["iceTransportPolicy"], "relay");

    alice.send(json!({ "id": "call", "to": "bob", "sdpOffer": "offer" })).await;
    assert_eq!(bob.next().await, json!({ "id": "incomingCall", "from": "alice", "sdpOffer": "offer" }));
    bob.send(super::accept("alice")).await;
    assert_eq!(alice.next().await["sdpAnswer"], "answer");
    drop(alice);

    assert_eq!(bob.next().await["id"], "stopCommunication");
}

#[tokio::test]
async fn a_post_without_the_key_of_an_open_stream_is_not_read() {
    let server = Server::start().await;
    let first = Events::open(&server).await;
    let key = first.key.clone();
    assert_eq!(key.len(), 32);
    assert_ne!(Events::open(&server).await.key, key);

    for guess in ["", "x", &key[1..], &key.to_lowercase()] {
        assert_eq!(post(&server.address, guess, &json!({ "id": "stop" }).to_string()).await, 404, "{guess}");
    }
    assert_eq!(server.registered().await, 0);
    drop(first);

    // The server notices the end of a stream a moment later.
    soon(async { while post(&server.address, &key, r#"{"id":"ping"}"#).await != 404 {} }).await;
}

#[tokio::test]
async fn the_limits_are_those_of_websockets() {
    let server = Server::start().await;
    let mut client = Events::open(&server).await;

    assert_eq!(post(&server.address, &client.key, &"x".repeat((64 << 10) + 1)).await, 413);
    client.send(json!({ "id": "destroy" })).await;
    assert_eq!(client.next().await["id"], "error");
    let statuses = post_often(&server.address, &client.key, r#"{"id":"stop"}"#, 1_000).await;
    let refused = statuses.iter().position(|&status| status == 429);
    assert!(refused.is_some_and(|refused| refused > 190), "{statuses:?}");
}

#[tokio::test]
async fn too_many_messages_close_a_websocket_with_1008() {
    let server = Server::start().await;
    let mut client = server.client().await;

    // More than a server that is slow lets pass.
    for _ in 0..1_000 {
        // It may be closed already.
        let _ = client.try_send(json!({ "id": "ping" })).await;
    }
    let close = loop {
        match client.frame().await {
            Some(super::Message::Close(Some(close))) => break close,
            Some(frame) => assert!(frame.is_text(), "{frame:?}"),
            None => panic!("no close frame"),
        }
    };

    assert_eq!((u16::from(close.code), close.reason.as_str()), (1008, "too many messages"));
}
