//! Signaling over real WebSockets, by clients that know nothing of the server's types.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    https::{
        self,
        tests::{settings, settings_with, soon},
    },
    ice::Ice,
    options::Settings,
};

mod events;
mod extended;

/// A server on a port of its own, without TURN.
struct Server {
    address: String,
    stop: watch::Sender<bool>,
    web: https::Web,
}

impl Server {
    async fn start() -> Self {
        Self::with(&settings("http://127.0.0.1:0/", &std::env::temp_dir())).await
    }

    async fn with(settings: &Settings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ice = Ice::new(settings, None).expect("a public address");
        let web = https::start(settings, ice, None, stopped).await.expect("a free port");
        let url = web.urls().remove(0);
        let address = url.split("//").nth(1).expect("an address").trim_end_matches('/').to_owned();
        Self { address, stop, web }
    }

    /// How many users there are.
    async fn registered(&self) -> usize {
        let answer = https::tests::answer(
            self.web.address(),
            "GET /stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        let (_, json) = answer.split_once("\r\n\r\n").expect("a body");
        let stats: Value = serde_json::from_str(json).expect("JSON");
        stats["users"].as_u64().and_then(|users| users.try_into().ok()).expect("a number")
    }

    /// Waits until the server knows that the connection of a user in a call is lost.
    async fn away(&self, name: &str) {
        let mut caller = self.user("caller").await;
        loop {
            caller.send(json!({ "id": "call", "to": name, "sdpOffer": "" })).await;
            let why = caller.next().await["message"].clone();
            if why.as_str().is_some_and(|why| why.contains("lost the connection")) {
                return;
            }
        }
    }

    async fn client(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(&self.address).await.expect("a connection");
        Client::over(stream, &self.address).await
    }

    /// A client that has registered.
    async fn user(&self, name: &str) -> Client<TcpStream> {
        let mut client = self.client().await;
        client.send(json!({ "id": "register", "name": name })).await;
        assert_eq!(client.next().await["response"], "accepted");
        client
    }

    /// Two users, of whom the first calls the second.
    async fn ringing(&self) -> (Client<TcpStream>, Client<TcpStream>) {
        let (mut alice, mut bob) = (self.user("alice").await, self.user("bob").await);
        alice.send(json!({ "id": "call", "from": "alice", "to": "bob", "sdpOffer": "offer" })).await;
        assert_eq!(bob.next().await, json!({ "id": "incomingCall", "from": "alice", "sdpOffer": "offer" }));
        (alice, bob)
    }

    /// Two users in a call.
    async fn in_call(&self) -> (Client<TcpStream>, Client<TcpStream>) {
        let (mut alice, mut bob) = self.ringing().await;
        bob.send(accept("alice")).await;
        let accepted = json!({ "id": "callResponse", "response": "accepted", "sdpAnswer": "answer" });
        assert_eq!(alice.next().await, accepted);
        (alice, bob)
    }
}

fn accept(from: &str) -> Value {
    json!({ "id": "incomingCallResponse", "from": from, "callResponse": "accept", "sdpAnswer": "answer" })
}

fn candidate(n: u32) -> Value {
    json!({ "id": "onIceCandidate", "candidate": { "candidate": format!("candidate:{n}"), "sdpMid": "0", "sdpMLineIndex": 0 } })
}

struct Client<S>(WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn over(stream: S, address: &str) -> Self {
        Self(client_async(format!("ws://{address}/one2one"), stream).await.expect("a WebSocket").0)
    }

    async fn send(&mut self, message: Value) {
        self.try_send(message).await.expect("it is sent");
    }

    async fn try_send(&mut self, message: Value) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.0.send(Message::text(message.to_string())).await
    }

    async fn raw(&mut self, message: Message) {
        self.0.send(message).await.expect("it is sent");
    }

    /// The next thing that is not a ping.
    async fn frame(&mut self) -> Option<Message> {
        let frame = async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(frame) => return Some(frame),
                    Err(_) => return None,
                }
            }
        };
        soon(frame).await
    }

    async fn next(&mut self) -> Value {
        let frame = self.frame().await.expect("a message");
        serde_json::from_str(frame.to_text().expect("text")).expect("JSON")
    }
}

#[tokio::test]
async fn the_tutorials_message_sequence_passes_unchanged() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.client().await, server.client().await);

    alice.send(json!({ "id": "register", "name": "alice" })).await;
    let registered = alice.next().await;
    assert_eq!(
        (&registered["id"], &registered["response"]),
        (&"registerResponse".into(), &"accepted".into())
    );
    let ice = &registered["iceConfiguration"];
    assert_eq!(ice["iceServers"][0]["url"], "turn:203.0.113.1:3478?transport=udp");
    assert_eq!(ice["iceServers"][0]["username"], "user");
    assert_eq!(ice["iceServers"][0]["credential"], "pass");
    assert_eq!(ice["iceTransportPolicy"], "relay");
    bob.send(json!({ "id": "register", "name": "bob" })).await;
    assert_eq!(bob.next().await["response"], "accepted");

    alice.send(json!({ "id": "call", "from": "alice", "to": "bob", "sdpOffer": "offer" })).await;
    alice.send(candidate(1)).await;
    assert_eq!(bob.next().await, json!({ "id": "incomingCall", "from": "alice", "sdpOffer": "offer" }));
    assert_eq!(bob.next().await, json!({ "id": "iceCandidate", "candidate": candidate(1)["candidate"] }));
    bob.send(accept("alice")).await;
    bob.send(candidate(2)).await;
    assert_eq!(
        alice.next().await,
        json!({ "id": "callResponse", "response": "accepted", "sdpAnswer": "answer" })
    );
    assert_eq!(alice.next().await, json!({ "id": "iceCandidate", "candidate": candidate(2)["candidate"] }));
    alice.send(json!({ "id": "stop" })).await;
    assert_eq!(bob.next().await, json!({ "id": "stopCommunication", "message": "remote user hanged out" }));
}

#[tokio::test]
async fn candidates_that_come_before_the_answer_reach_the_caller_after_it_and_in_order() {
    let server = Server::start().await;
    let (mut alice, mut bob) = server.ringing().await;

    bob.send(candidate(1)).await;
    bob.send(candidate(2)).await;
    bob.send(accept("alice")).await;

    assert_eq!(alice.next().await["id"], "callResponse");
    assert_eq!(alice.next().await["candidate"]["candidate"], "candidate:1");
    assert_eq!(alice.next().await["candidate"]["candidate"], "candidate:2");
}

#[tokio::test]
async fn malformed_messages_get_an_error_and_the_connection_lives_on() {
    let server = Server::start().await;
    let mut client = server.client().await;

    let long = json!({ "id": "register", "name": "x".repeat(70_000) }).to_string();
    let deep = "[".repeat(10_000);
    let candidate = json!({ "id": "onIceCandidate", "candidate": "x".repeat(5_000) }).to_string();
    for text in [
        "",
        "{",
        "null",
        "7",
        "[]",
        "{}",
        r#"{"id":"destroy"}"#,
        r#"{"id":"call"}"#,
        r#"{"id":7}"#,
        &deep,
        &long,
        &candidate,
    ] {
        client.raw(Message::text(text)).await;
        assert_eq!(client.next().await["id"], "error", "{}", &text[..text.len().min(40)]);
    }
    client.raw(Message::binary(vec![0xFF, 0xFE])).await;
    assert_eq!(client.next().await["id"], "error");

    client.send(json!({ "id": "register", "name": "alice" })).await;
    assert_eq!(client.next().await["response"], "accepted");
}

#[tokio::test]
async fn a_message_over_a_mebibyte_closes_the_connection_with_1009() {
    let server = Server::start().await;
    let mut client = server.client().await;

    // The server may close before it has read all of it.
    let _ = client.0.send(Message::text("x".repeat((1 << 20) + 1))).await;

    let Some(Message::Close(Some(close))) = client.frame().await else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1009);
}

#[tokio::test]
async fn names_are_only_names() {
    let server = Server::start().await;
    for name in ["__proto__", "constructor", "toString", "  ü 漢字 ", "' OR 1=1 --"] {
        let mut caller = server.user(&format!("{name}?")).await;
        caller.send(json!({ "id": "call", "to": name, "sdpOffer": "" })).await;
        assert_eq!(caller.next().await["message"], format!("User {name} is not registered"));

        let _owner = server.user(name).await;
        caller.send(json!({ "id": "register", "name": name })).await;
        assert_eq!(caller.next().await["message"], format!("User {name} is already registered"));
    }
}

#[tokio::test]
async fn an_empty_name_and_a_long_one_are_rejected() {
    let server = Server::start().await;
    let mut client = server.client().await;

    for (name, why) in [
        ("", "empty user name"),
        (" \t", "empty user name"),
        (&"n".repeat(65), "user name longer than 64 characters"),
    ] {
        client.send(json!({ "id": "register", "name": name })).await;
        let reply = client.next().await;
        assert_eq!((&reply["response"], &reply["message"]), (&"rejected".into(), &why.into()));
    }
}

#[tokio::test]
async fn the_sender_is_who_it_registered_as_whatever_from_says() {
    let server = Server::start().await;
    let (mut mallory, mut bob) = (server.user("mallory").await, server.user("bob").await);

    mallory.send(json!({ "id": "call", "from": "alice", "to": "bob", "sdpOffer": "offer" })).await;

    assert_eq!(bob.next().await["from"], "mallory");
}

#[tokio::test]
async fn who_has_not_registered_and_who_calls_itself_is_rejected() {
    let server = Server::start().await;
    let mut stranger = server.client().await;
    stranger.send(json!({ "id": "call", "to": "bob", "sdpOffer": "" })).await;
    assert_eq!(stranger.next().await["message"], "register first");

    let mut alice = server.user("alice").await;
    alice.send(json!({ "id": "call", "to": "alice", "sdpOffer": "" })).await;
    assert_eq!(alice.next().await["message"], "You cannot call yourself");
}

#[tokio::test]
async fn a_busy_callee_rejects_and_its_call_goes_on() {
    let server = Server::start().await;
    let (mut alice, mut bob) = server.in_call().await;
    let mut carol = server.user("carol").await;

    carol.send(json!({ "id": "call", "to": "bob", "sdpOffer": "" })).await;
    assert_eq!(carol.next().await["message"], "User bob is busy");

    alice.send(candidate(1)).await;
    assert_eq!(bob.next().await["id"], "iceCandidate");
}

#[tokio::test]
async fn a_declined_call_leaves_both_free() {
    let server = Server::start().await;
    let (mut alice, mut bob) = server.ringing().await;

    bob.send(json!({ "id": "incomingCallResponse", "from": "alice", "callResponse": "reject", "message": "user declined" })).await;
    assert_eq!(
        alice.next().await,
        json!({ "id": "callResponse", "response": "rejected", "message": "user declined" })
    );

    bob.send(json!({ "id": "call", "to": "alice", "sdpOffer": "again" })).await;
    assert_eq!(alice.next().await["sdpOffer"], "again");
}

#[tokio::test]
async fn a_caller_can_give_up_while_it_rings() {
    let server = Server::start().await;
    let (mut alice, mut bob) = server.ringing().await;

    alice.send(json!({ "id": "stop" })).await;
    assert_eq!(bob.next().await["id"], "stopCommunication");

    bob.send(accept("alice")).await;
    assert_eq!(bob.next().await, json!({ "id": "stopCommunication", "message": "unknown from = alice" }));
}

#[tokio::test]
async fn a_dropped_connection_ends_the_call_and_frees_the_name() {
    let server = Server::start().await;
    let (alice, mut bob) = server.in_call().await;

    drop(alice);

    assert_eq!(bob.next().await["message"], "remote user hanged out");
    server.user("alice").await;
}

#[tokio::test]
async fn too_many_candidates_without_a_call_are_an_error() {
    let server = Server::start().await;
    let mut alice = server.user("alice").await;

    for n in 0..65 {
        alice.send(candidate(n)).await;
    }

    assert_eq!(alice.next().await["message"], "too many candidates without a call");
}

#[tokio::test]
async fn the_end_of_the_program_closes_connections_with_1001() {
    let server = Server::start().await;
    let mut alice = server.user("alice").await;

    server.stop.send_replace(true);

    let Some(Message::Close(Some(close))) = alice.frame().await else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1001);
    server.web.ended().await;
}

#[tokio::test]
async fn the_made_certificate_is_kept_and_serves_tls_1_2_and_1_3() {
    let state = std::env::temp_dir().join(format!("stunner-rs-certificate-{}", std::process::id()));
    let settings = settings("https://127.0.0.1:0/", &state);
    let first = Server::with(&settings).await;
    let pem = std::fs::read(state.join("server.crt")).expect("a certificate");
    let second = Server::with(&settings).await;
    assert_eq!(std::fs::read(state.join("server.crt")).expect("a certificate"), pem);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
    let versions = [(first, &TLS12), (second, &TLS13)];
    for (server, version) in versions {
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        let config = config.with_root_certificates(roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(&server.address).await.expect("a connection");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        let mut client = Client::over(stream, &server.address).await;
        client.send(json!({ "id": "register", "name": "alice" })).await;
        assert_eq!(client.next().await["response"], "accepted");
    }
    std::fs::remove_dir_all(state).expect("the directory");
}
