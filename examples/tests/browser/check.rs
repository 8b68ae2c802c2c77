//! The check of the visitor's browser: all well, no way to the relay, and credentials that it refuses.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{
    chromium::Chromium,
    driver::{Browser, Page},
    firefox::Firefox,
    program::Program,
    signaling::NO_WEBSOCKET,
};

/// The check of a program's page, to its end.
struct Check<B = Chromium> {
    browser: B,
    page: Page,
    _program: Program,
}

impl<B: Browser> Check<B> {
    async fn of(program: Program) -> Self {
        Self::after("", program).await
    }

    /// The same, where a script of the test's runs before those of the page.
    async fn after(script: &str, program: Program) -> Self {
        let browser = B::start().await;
        let page = browser.open_after(script, &format!("{}check", program.url)).await;
        browser.until(&page, "window.check.done()").await;
        Self { browser, page, _program: program }
    }

    /// Status, text and advice of the steps whose name begins so.
    async fn steps(&self, name: &str) -> Vec<[String; 3]> {
        let steps = self.browser.value(&self.page, "window.check.steps()").await;
        let steps = steps.as_array().expect("a list").iter();
        let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        steps
            .filter(|step| text(step, "name").starts_with(name))
            .map(|step| ["status", "text", "advice"].map(|key| text(step, key)))
            .collect()
    }

    async fn is_good(&self) -> bool {
        self.browser.value(&self.page, "window.check.ok()").await == Value::Bool(true)
    }

    /// What the page says at the end.
    async fn shown(&self) -> String {
        let shown = self.browser.value(&self.page, "document.body.innerText").await;
        shown.as_str().expect("text").to_owned()
    }
}

async fn all_is_found<B: Browser>() {
    let check = Check::<B>::of(Program::start(&[("STUNNER_TRANSPORT_TCP_ENABLE", "1")])).await;

    let relays = check.steps("turn:").await;
    let [[status, text, _]] =
        <[_; 1]>::try_from(check.steps("Call through the relay").await).expect("a step");

    assert!(check.is_good().await, "{}", check.shown().await);
    assert_eq!(relays.len(), 2);
    assert!(
        relays.iter().all(|[status, text, _]| status == "ok" && text.starts_with("Relay candidate ")),
        "{relays:?}"
    );
    assert!(status == "ok" && text.contains(" ms over UDP, 0 of 20 packets lost"), "{text}");
    assert_eq!(check.steps("Camera").await[0][0], "ok");
    assert!(check.shown().await.contains("Calls work here"));
}

#[tokio::test]
async fn the_check_finds_every_way_to_the_relay_and_calls_through_it() {
    all_is_found::<Chromium>().await;
}

#[tokio::test]
async fn the_check_finds_the_same_in_firefox() {
    all_is_found::<Firefox>().await;
}

#[tokio::test]
async fn the_check_leaves_no_name_behind() {
    let check = Check::<Chromium>::of(Program::start(&[])).await;

    let users = "fetch('stats').then((answer) => answer.json()).then(({ users }) => window.users = users)";
    let gone = format!("(window.asked ??= setInterval(() => {users}, 50), window.users === 0)");
    check.browser.until(&check.page, &gone).await;
}

#[tokio::test]
async fn without_websocket_the_check_goes_by_post_and_event_source_and_says_so() {
    let check = Check::<Chromium>::after(NO_WEBSOCKET, Program::start(&[])).await;

    let [[status, text, advice]] = <[_; 1]>::try_from(check.steps("Signaling").await).expect("a step");

    assert!(check.is_good().await, "{}", check.shown().await);
    assert!(status == "warning" && text.contains("EventSource"), "{text}");
    assert!(advice.contains("--tls-cert"), "{advice}");
}

#[tokio::test]
async fn a_relay_that_cannot_be_reached_is_told_with_an_advice() {
    let (_held, closed) = closed_port();
    let environment = [("STUNNER_PUBLIC_PORT", closed.as_str()), ("STUNNER_TRANSPORT_UDP_ENABLE", "0")];
    let check = Check::<Chromium>::of(Program::start(&environment)).await;

    let relays = check.steps("turn:").await;

    assert!(!check.is_good().await);
    let [status, text, advice] = &relays[0];
    assert!(status == "failed" && text.starts_with("701 "), "{text}");
    assert!(advice.contains("TURN over TCP cannot be reached"), "{advice}");
    assert!(check.shown().await.contains("is the TCP port open in every firewall"));
    assert!(check.steps("Call through the relay").await.is_empty());
}

#[tokio::test]
async fn credentials_that_the_relay_refuses_are_told_with_an_advice() {
    let port = free_port();
    let _relay = Program::start(&[("STUNNER_PORT", &port)]);
    let check = Check::<Chromium>::of(Program::start(&[
        ("STUNNER_PUBLIC_ADDR", "127.0.0.1"),
        ("STUNNER_PUBLIC_PORT", &port),
    ]))
    .await;

    let relays = check.steps("turn:").await;

    assert!(!check.is_good().await && !relays.is_empty());
    for [status, text, advice] in relays {
        assert!(status == "failed" && text.starts_with("401 "), "{text}");
        assert!(advice.contains("STUNNER_SHARED_SECRET"), "{advice}");
    }
}

/// A port where nobody listens, and nobody else can for as long as the socket is held.
fn closed_port() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let port = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address").port();
    (socket, port.to_string())
}

/// A port that is free.
fn free_port() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("an address").port().to_string()
}
