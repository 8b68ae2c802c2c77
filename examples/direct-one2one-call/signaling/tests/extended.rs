//! What the page can do that the tutorial's cannot: come back, restart ICE, and see who is there.

use std::time::Duration;

use serde_json::{Value, json};
use stunner_relay::{SystemClock, TimeSource};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Client, Server, accept, candidate, settings, settings_with};
use crate::{
    https::tests::{PATIENCE, soon},
    ice::Ice,
    signaling::{
        Signaling,
        message::{Reply, Request},
        registry::Registry,
    },
};

impl Server {
    /// A client that has registered as the page does, and its token.
    async fn page(&self, name: &str) -> (Client<TcpStream>, Value) {
        let mut client = self.client().await;
        client.send(json!({ "id": "register", "name": name, "extended": true })).await;
        let reply = client.heard("registerResponse").await;
        (client, reply["resume"].clone())
    }

    /// Two pages in a call, and the caller's token.
    async fn pages_in_call(&self) -> (Client<TcpStream>, Value, Client<TcpStream>) {
        let (mut alice, token) = self.page("alice").await;
        let (mut bob, _) = self.page("bob").await;
        alice.send(json!({ "id": "call", "to": "bob", "sdpOffer": "offer" })).await;
        bob.heard("incomingCall").await;
        bob.send(accept("alice")).await;
        alice.heard("callResponse").await;
        (alice, token, bob)
    }

    /// A new connection with a token, and what it is answered.
    async fn back(&self, token: &Value) -> (Client<TcpStream>, Value) {
        let mut client = self.client().await;
        client.send(json!({ "id": "resume", "token": token })).await;
        let reply = client.heard("resumeResponse").await;
        (client, reply)
    }
}

impl Client<TcpStream> {
    /// The next message of a kind.
    async fn heard(&mut self, id: &str) -> Value {
        let heard = async {
            loop {
                let message = self.next().await;
                if message["id"] == id {
                    return message;
                }
            }
        };
        soon(heard).await
    }
}

#[tokio::test]
async fn the_tutorials_page_gets_no_token_and_no_list() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(json!({ "id": "register", "name": "alice" })).await;
    assert_eq!(client.next().await.get("resume"), None);
    server.page("bob").await;

    client.send(json!({ "id": "ping" })).await;

    assert_eq!(client.next().await, json!({ "id": "pong" }));
}

#[tokio::test]
async fn a_lost_page_comes_back_into_its_call_and_hears_what_was_said() {
    let server = Server::start().await;
    let (alice, token, mut bob) = server.pages_in_call().await;
    drop(alice);
    server.away("alice").await;
    bob.send(candidate(1)).await;
    bob.send(json!({ "id": "restart", "sdpOffer": "older" })).await;
    bob.send(json!({ "id": "restart", "sdpOffer": "newer" })).await;
    bob.send(json!({ "id": "ping" })).await;
    bob.heard("pong").await;

    let (mut alice, reply) = server.back(&token).await;

    assert_eq!((&reply["response"], &reply["peer"]), (&"accepted".into(), &"bob".into()));
    assert_eq!(reply["iceConfiguration"]["iceTransportPolicy"], "relay");
    assert_eq!(alice.heard("iceCandidate").await["candidate"], candidate(1)["candidate"]);
    assert_eq!(alice.heard("restart").await["sdpOffer"], "newer");
    alice.send(json!({ "id": "restartResponse", "sdpAnswer": "answer" })).await;
    assert_eq!(bob.heard("restartResponse").await["sdpAnswer"], "answer");
    alice.send(json!({ "id": "stop" })).await;
    bob.heard("stopCommunication").await;
}

#[tokio::test]
async fn a_page_may_come_back_before_the_server_knows_that_it_was_lost() {
    let server = Server::start().await;
    let (mut lost, token, mut bob) = server.pages_in_call().await;

    let (mut alice, reply) = server.back(&token).await;

    assert_eq!(reply["peer"], "bob");
    while let Some(frame) = lost.frame().await {
        assert!(!frame.is_close() || frame.to_string().contains("another connection"), "{frame}");
    }
    bob.send(json!({ "id": "stop" })).await;
    alice.heard("stopCommunication").await;
}

#[tokio::test]
async fn a_token_is_good_once_and_its_successor_too() {
    let server = Server::start().await;
    let (alice, first) = server.page("alice").await;
    drop(alice);

    let (alice, reply) = server.back(&first).await;
    assert_eq!(server.back(&first).await.1["response"], "rejected");
    drop(alice);

    assert_eq!(server.back(&reply["resume"]).await.1["response"], "accepted");
    for guess in ["", "alice", "x".repeat(32).as_str()] {
        assert_eq!(
            server.back(&guess.into()).await.1,
            json!({ "id": "resumeResponse", "response": "rejected" })
        );
    }
}

#[tokio::test]
async fn who_leaves_does_not_come_back() {
    let server = Server::start().await;
    let (mut alice, token, mut bob) = server.pages_in_call().await;

    alice.send(json!({ "id": "leave" })).await;

    bob.heard("stopCommunication").await;
    assert_eq!(server.back(&token).await.1["response"], "rejected");
    server.user("alice").await;
}

#[test]
fn a_page_that_stays_away_has_hung_up_and_its_token_is_void() {
    let mut registry = Registry::new(None);
    let join = |registry: &mut Registry, name: &str| {
        let (outbox, mut inbox) = mpsc::channel(9);
        let id = registry.connect(outbox).expect("room");
        registry.handle(id, Request::Register { name: name.to_owned(), extended: true }, None);
        let Ok(Reply::RegisterResponse { resume: Some(token), .. }) = inbox.try_recv() else {
            panic!("no token")
        };
        (id, inbox, token)
    };
    let (alice, _, token) = join(&mut registry, "alice");
    let (bob, mut heard, _) = join(&mut registry, "bob");
    registry.handle(alice, Request::Call { to: "bob".to_owned(), sdp_offer: String::new() }, None);
    heard.try_recv().expect("it rings");
    assert!(registry.disconnect(alice));
    assert!(heard.try_recv().is_err());

    registry.forget(alice);

    assert_eq!(heard.try_recv(), Ok(Reply::stop("remote user hanged out")));
    assert_eq!(registry.users(), 1);
    let (outbox, mut inbox) = mpsc::channel(9);
    let late = registry.connect(outbox).expect("room");
    registry.handle(late, Request::Resume { token }, None);
    assert_eq!(inbox.try_recv(), Ok(Reply::resumed(None)));
    assert!(registry.disconnect(bob));
}

#[tokio::test]
async fn who_has_just_been_lost_cannot_be_called_and_keeps_its_name() {
    let server = Server::start().await;
    let (alice, _, _bob) = server.pages_in_call().await;
    let mut carol = server.user("carol").await;
    drop(alice);
    server.away("alice").await;

    carol.send(json!({ "id": "call", "to": "alice", "sdpOffer": "" })).await;
    let why = "User alice has just lost the connection: try again in a moment";
    assert_eq!(carol.next().await["message"], why);
    carol.send(json!({ "id": "register", "name": "alice" })).await;
    assert_eq!(carol.next().await["message"], "User alice is already registered");
}

#[tokio::test]
async fn the_tutorials_page_never_hears_of_a_restart() {
    let server = Server::start().await;
    let (mut alice, _) = server.page("alice").await;
    let mut bob = server.user("bob").await;
    alice.send(json!({ "id": "call", "to": "bob", "sdpOffer": "offer" })).await;
    bob.next().await;
    bob.send(accept("alice")).await;
    alice.heard("callResponse").await;

    alice.send(json!({ "id": "restart", "sdpOffer": "offer" })).await;
    alice.send(json!({ "id": "stop" })).await;

    assert_eq!(bob.next().await["id"], "stopCommunication");
}

#[tokio::test]
async fn the_list_names_who_is_there_and_who_is_busy() {
    let server = Server::start().await;
    let (mut carol, _) = server.page("carol").await;
    assert_eq!(
        carol.heard("users").await,
        json!({ "id": "users", "users": [{ "name": "carol", "busy": false }], "more": 0 })
    );

    let _call = server.in_call().await;

    let busy = |name: &str| json!({ "name": name, "busy": true });
    let all = json!([busy("alice"), busy("bob"), { "name": "carol", "busy": false }]);
    while carol.heard("users").await["users"] != all {}
}

#[tokio::test(start_paused = true)]
async fn a_page_learns_that_it_is_registered_before_who_is_there() {
    let settings = settings("http://127.0.0.1:0/", &std::env::temp_dir());
    let ice = Ice::new(&settings, None).expect("a public address");
    let signaling = Signaling::new(ice, true, watch::channel(false).1);
    for n in 0..64 {
        let (connection, mut outgoing) = signaling.connect(None).await.expect("room");
        tokio::time::advance(Duration::from_millis(2)).await;

        let register = json!({ "id": "register", "name": n.to_string(), "extended": true }).to_string();
        connection.take(register.as_bytes()).expect("not too fast");

        assert!(matches!(outgoing.next().await, Some(Reply::RegisterResponse { .. })), "{n}");
        assert!(matches!(outgoing.next().await, Some(Reply::Users(_))), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_limited_credentials_are_renewed_before_they_end() {
    const DURATION: Duration = Duration::from_secs(7_200);
    let settings = settings_with(&[
        ("STUNNER_PUBLIC_ADDR", "203.0.113.1"),
        ("STUNNER_AUTH_TYPE", "longterm"),
        ("STUNNER_SHARED_SECRET", "north"),
        ("STUNNER_DURATION", &DURATION.as_secs().to_string()),
    ]);
    let ice = Ice::new(&settings, None).expect("a public address");
    let signaling = Signaling::new(ice, false, watch::channel(false).1);
    let (connection, mut outgoing) = signaling.connect(None).await.expect("room");
    connection.take(br#"{"id":"register","name":"alice"}"#).expect("not too fast");
    let ends = |reply: Option<Reply>| -> u64 {
        let reply = serde_json::to_value(reply).expect("JSON");
        let user = &reply["iceConfiguration"]["iceServers"][0]["username"];
        user.as_str().and_then(|user| user.parse().ok()).unwrap_or_else(|| panic!("{reply}"))
    };
    let first = ends(outgoing.next().await);
    let now = SystemClock.unix_seconds();

    // Timers run ahead here, and the time of day does not, by which credentials end: the one that ends later comes within
    // a second of that.
    let mut last = first;
    while last == first {
        let told = Instant::now();
        last = ends(outgoing.next().await);
        assert!(told.elapsed() < DURATION / 2 + Duration::from_secs(1), "{:?}", told.elapsed());
        assert!(SystemClock.unix_seconds() <= now + PATIENCE.as_secs(), "{first} for ever");
    }

    assert!(last > first, "{first} {last}");
}
