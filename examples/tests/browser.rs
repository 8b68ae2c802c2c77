//! The one-to-one call in a real browser: two pages, fake cameras, and everything through the relay.

use serde_json::Value;

#[path = "browser/check.rs"]
mod check;
#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/firefox.rs"]
mod firefox;
#[path = "browser/lobby.rs"]
mod lobby;
#[path = "browser/look.rs"]
mod look;
#[path = "browser/network.rs"]
mod network;
#[path = "browser/program.rs"]
mod program;
#[path = "browser/proxy.rs"]
mod proxy;
#[path = "browser/signaling.rs"]
mod signaling;

use chromium::Chromium;
use driver::{Browser, Page};
use firefox::Firefox;
use program::Program;

const UDP: [(&str, &str); 2] = [("STUNNER_TRANSPORT_UDP_ENABLE", "1"), ("STUNNER_TRANSPORT_TCP_ENABLE", "0")];
const TCP: [(&str, &str); 2] = [("STUNNER_TRANSPORT_UDP_ENABLE", "0"), ("STUNNER_TRANSPORT_TCP_ENABLE", "1")];

/// Two pages of one program, registered as alice and bob.
struct Pair<B> {
    browser: B,
    alice: Page,
    bob: Page,
    program: Program,
}

impl<B: Browser> Pair<B> {
    async fn start(environment: &[(&str, &str)]) -> Self {
        let program = Program::start(environment);
        let url = program.url.clone();
        Self::open(program, "", &url).await
    }

    /// Alice takes the page from `url`, bob from the program itself; a script of the test's runs before theirs.
    async fn open(program: Program, script: &str, url: &str) -> Self {
        let browser = B::start().await;
        let bob =
            browser.open_after(script, &format!("{}?name=bob&register=1&media=test", program.url)).await;
        browser.until(&bob, "window.call.state().registered").await;
        let alice = browser.open_after(script, &format!("{url}?name=alice&peer=bob&register=1")).await;
        browser.until(&alice, "window.call.state().registered").await;
        Self { browser, alice, bob, program }
    }

    /// Waits until ten more pictures have come.
    async fn moves(&self, page: &Page) {
        self.browser
            .until(page, "(window.before ??= window.call.state().stats.framesDecoded, window.call.state().stats.framesDecoded > window.before + 10 && (delete window.before, true))")
            .await;
    }

    /// Hangs up at one page, and waits until the other knows.
    async fn hang_up(&self, from: &Page, other: &Page) {
        self.press(from, "terminate").await;
        self.browser.until(other, "window.call.state().call === 'none'").await;
    }

    async fn press(&self, page: &Page, id: &str) {
        self.browser.value(page, &format!("document.getElementById('{id}').click()")).await;
    }

    /// Calls, accepts, and waits until both sides say so.
    async fn call(&self) {
        self.press(&self.alice, "call").await;
        self.browser.until(&self.bob, "!document.getElementById('ringing').hidden").await;
        self.press(&self.bob, "accept").await;
        for page in [&self.alice, &self.bob] {
            self.browser.until(page, "window.call.state().call === 'running'").await;
            self.browser.until(page, "window.call.state().stats?.framesDecoded > 20").await;
        }
    }

    async fn stats(&self, page: &Page) -> Value {
        self.browser.value(page, "window.call.state().stats").await
    }

    /// How many allocations the server has.
    async fn allocations(&self) -> Value {
        self.browser
            .value(&self.alice, "fetch('/stats').then(r => r.json()).then(s => s.turn.allocations)")
            .await
    }
}

/// What a corner of the remote picture adds up to.
const PIXELS: &str = "(() => { const v = document.getElementById('videoOutput'); const c = document.createElement('canvas'); \
    c.width = 160; c.height = 120; const g = c.getContext('2d'); g.drawImage(v, 0, 0, 160, 120); \
    return g.getImageData(0, 0, 160, 120).data.reduce((a, b, i) => (a * 31 + b * (i % 7 + 1)) % 1000000007, 0); })()";

/// The same pair has hung up afterwards.
async fn a_call_is_relayed_both_ways<B: Browser>(environment: &[(&str, &str)], protocol: &str) -> Pair<B> {
    let pair = Pair::<B>::start(environment).await;
    pair.call().await;

    for page in [&pair.alice, &pair.bob] {
        let before = pair.stats(page).await;
        let picture = pair.browser.value(page, PIXELS).await;
        pair.browser
            .until(
                page,
                &format!("window.call.state().stats.framesDecoded > {} + 10", before["framesDecoded"]),
            )
            .await;
        let after = pair.stats(page).await;

        assert_eq!((&after["local"], &after["remote"]), (&"relay".into(), &"relay".into()), "{after}");
        assert_eq!(after["relayProtocol"], protocol);
        assert!(after["bytesSent"].as_u64() > before["bytesSent"].as_u64(), "{before} {after}");
        assert!(after["bytesReceived"].as_u64() > before["bytesReceived"].as_u64(), "{before} {after}");
        assert_ne!(pair.browser.value(page, PIXELS).await, picture, "the picture stands still");
    }
    assert!(pair.allocations().await.as_u64() >= Some(2));
    if let Ok(path) = std::env::var("STUNNER_SCREENSHOT")
        && let Some(picture) = pair.browser.screenshot(&pair.alice).await
    {
        std::fs::write(path, picture).expect("a file to write the picture to");
    }

    pair.press(&pair.alice, "terminate").await;
    pair.browser.until(&pair.bob, "window.call.state().call === 'none'").await;
    let gone = "fetch('/stats').then(r => r.json()).then(s => s.turn.allocations === 0)";
    let none = format!(
        "(async () => {{ for (let i = 0; i < 100; i++) {{ if (await {gone}) return true; await new Promise(r => setTimeout(r, 100)); }} return false; }})()"
    );
    assert_eq!(pair.browser.value(&pair.alice, &none).await, Value::Bool(true), "allocations are left over");
    pair
}

#[tokio::test]
async fn chromium_calls_through_the_relay_over_udp() {
    a_call_is_relayed_both_ways::<Chromium>(&UDP, "udp").await;
}

#[tokio::test]
async fn chromium_calls_through_portable_sockets_over_udp() {
    let environment = [UDP[0], UDP[1], ("STUNNER_PORTABLE", "1")];

    let pair = a_call_is_relayed_both_ways::<Chromium>(&environment, "udp").await;

    let log = &pair.program.log;
    assert!(log.contains("the network is the portable one"), "{log}");
}

#[tokio::test]
async fn chromium_calls_through_the_relay_over_udp_without_io_uring() {
    let environment = [UDP[0], UDP[1], ("STUNNER_IO_URING", "0")];

    let pair = a_call_is_relayed_both_ways::<Chromium>(&environment, "udp").await;

    let log = &pair.program.log;
    assert!(log.contains("io_uring=false"), "{log}");
}

#[tokio::test]
async fn chromium_calls_through_the_relay_over_tcp() {
    a_call_is_relayed_both_ways::<Chromium>(&TCP, "tcp").await;
}

#[tokio::test]
async fn firefox_calls_through_the_relay_over_udp() {
    a_call_is_relayed_both_ways::<Firefox>(&UDP, "udp").await;
}

/// Twenty seconds, or as many as `STUNNER_HOLD` says; after five minutes permissions, channels and nonces have been renewed.
#[tokio::test]
async fn a_call_holds_while_everything_in_it_is_refreshed() {
    let seconds = std::env::var("STUNNER_HOLD").ok().and_then(|text| text.parse().ok()).unwrap_or(20_u32);
    let pair = Pair::<Chromium>::start(&UDP).await;
    pair.call().await;
    for _ in 0..seconds.div_ceil(20) {
        let before = pair.stats(&pair.bob).await;
        pair.browser.value(&pair.alice, "new Promise(done => setTimeout(done, 20000))").await;
        for page in [&pair.alice, &pair.bob] {
            pair.browser
                .until(page, "window.call.state().call === 'running' && window.call.state().stats.fps > 5")
                .await;
        }
        let after = pair.stats(&pair.bob).await;
        assert!(
            after["framesDecoded"].as_u64() > before["framesDecoded"].as_u64().map(|frames| frames + 100),
            "{after}"
        );
    }
    assert_eq!(pair.stats(&pair.alice).await["local"], "relay");
}

#[tokio::test]
async fn names_can_be_typed_and_enter_is_enough() {
    let program = Program::start(&UDP);
    let browser = Chromium::start().await;
    let (alice, bob) = (browser.open(&program.url).await, browser.open(&program.url).await);
    for (page, name) in [(&alice, "alice\n"), (&bob, "bob\n")] {
        browser.until(page, "!document.getElementById('register').disabled").await;
        browser.type_into(page, "name", name).await;
        browser.until(page, "window.call.state().registered").await;
    }

    browser.type_into(&bob, "peer", "alice\n").await;

    browser.until(&alice, "!document.getElementById('ringing').hidden").await;
    browser.until(&alice, "document.getElementById('caller').textContent.startsWith('bob is calling')").await;
}

#[tokio::test]
async fn a_call_can_be_declined_cancelled_and_made_again() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    let (browser, alice, bob) = (&pair.browser, &pair.alice, &pair.bob);

    pair.press(alice, "call").await;
    browser
        .until(bob, "!document.getElementById('ringing').hidden && document.title.includes('alice')")
        .await;
    pair.press(bob, "decline").await;
    browser.until(alice, "window.call.state().call === 'none'").await;
    browser.until(alice, "document.getElementById('notice').textContent.includes('user declined')").await;

    pair.press(alice, "call").await;
    browser.until(bob, "!document.getElementById('ringing').hidden").await;
    pair.press(alice, "terminate").await;
    browser
        .until(bob, "document.getElementById('ringing').hidden && window.call.state().call === 'none'")
        .await;

    pair.call().await;
}

#[tokio::test]
async fn an_unknown_peer_and_a_taken_name_are_said_in_words() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    let browser = &pair.browser;

    browser.value(&pair.alice, "document.getElementById('peer').value = 'nobody'").await;
    pair.press(&pair.alice, "call").await;
    browser
        .until(
            &pair.alice,
            "document.getElementById('notice').textContent.includes('User nobody is not registered')",
        )
        .await;

    browser.value(&pair.alice, "document.getElementById('name').value = 'bob'").await;
    pair.press(&pair.alice, "register").await;
    browser
        .until(&pair.alice, "document.getElementById('notice').textContent.includes('already registered')")
        .await;
}

#[tokio::test]
async fn a_page_whose_socket_drops_connects_and_registers_again() {
    let pair = Pair::<Chromium>::start(&UDP).await;

    pair.browser.value(&pair.bob, "window.call.socket().close()").await;
    pair.browser.until(&pair.bob, "document.body.dataset.registration === 'lost'").await;
    pair.browser.until(&pair.bob, "window.call.state().registered").await;

    pair.call().await;
}
