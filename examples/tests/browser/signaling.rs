//! Signaling that is lost, that takes the other road, and that brings new credentials.

use serde_json::Value;

use crate::{
    Pair, UDP, chromium::Chromium, driver::Browser, firefox::Firefox, program::Program, proxy::Proxy,
};

/// What Safari does where a certificate was accepted by hand: the handshake fails, whatever the page was told.
pub(crate) const NO_WEBSOCKET: &str = "const Real = WebSocket; \
    window.WebSocket = class extends Real { constructor(url) { super(url.replace('one2one', 'refused')); } };";

async fn a_call_goes_by_post_and_event_source<B: Browser>() {
    let program = Program::start(&UDP);
    let url = program.url.clone();
    let pair = Pair::<B>::open(program, NO_WEBSOCKET, &url).await;

    pair.call().await;
    for page in [&pair.alice, &pair.bob] {
        assert_eq!(pair.browser.value(page, "document.body.dataset.wire").await, "EventSource");
        assert_eq!(pair.stats(page).await["local"], "relay");
    }
    pair.hang_up(&pair.alice, &pair.bob).await;
    pair.call().await;
    pair.hang_up(&pair.bob, &pair.alice).await;
}

#[tokio::test]
async fn chromium_without_websocket_calls_by_post_and_event_source() {
    a_call_goes_by_post_and_event_source::<Chromium>().await;
}

#[tokio::test]
async fn firefox_without_websocket_calls_by_post_and_event_source() {
    a_call_goes_by_post_and_event_source::<Firefox>().await;
}

/// Alice's signaling is cut in a call, comes back, and hangs up; then it is cut again, and bob hangs up.
async fn a_call_outlives_its_signaling(script: &str) {
    let program = Program::start(&UDP);
    let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), program.web()).await;
    let url = format!("https://{}/", proxy.address);
    let pair = Pair::<Chromium>::open(program, script, &url).await;
    let cut = async || {
        proxy.cut();
        pair.browser.until(&pair.alice, "document.body.dataset.registration === 'lost'").await;
        pair.moves(&pair.alice).await;
        pair.moves(&pair.bob).await;
        proxy.mend();
        pair.browser.until(&pair.alice, "window.call.state().registered").await;
        for page in [&pair.alice, &pair.bob] {
            assert_eq!(pair.browser.value(page, "window.call.state().call").await, "running");
            pair.moves(page).await;
        }
    };

    pair.call().await;
    cut().await;
    pair.hang_up(&pair.alice, &pair.bob).await;

    pair.call().await;
    cut().await;
    pair.hang_up(&pair.bob, &pair.alice).await;
}

#[tokio::test]
async fn a_call_outlives_its_websocket_and_both_ends_can_hang_up() {
    a_call_outlives_its_signaling("").await;
}

#[tokio::test]
async fn a_call_outlives_its_event_source_and_both_ends_can_hang_up() {
    a_call_outlives_its_signaling(NO_WEBSOCKET).await;
}

#[tokio::test]
async fn who_hangs_up_while_the_other_is_away_is_understood_when_it_returns() {
    let program = Program::start(&UDP);
    let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), program.web()).await;
    let url = format!("https://{}/", proxy.address);
    let pair = Pair::<Chromium>::open(program, "", &url).await;
    pair.call().await;
    proxy.cut();
    pair.browser.until(&pair.alice, "document.body.dataset.registration === 'lost'").await;

    pair.press(&pair.bob, "terminate").await;
    proxy.mend();

    pair.browser.until(&pair.alice, "window.call.state().call === 'none'").await;
    pair.browser.until(&pair.alice, "window.call.state().registered").await;
}

#[tokio::test]
async fn who_closes_the_page_has_hung_up() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    pair.call().await;

    pair.browser.value(&pair.bob, "location.replace('about:blank')").await;

    pair.browser.until(&pair.alice, "window.call.state().call === 'none'").await;
    pair.browser
        .until(&pair.alice, "document.getElementById('notice').textContent.includes('bob hung up')")
        .await;
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end_and_the_call_goes_on() {
    let pair = Pair::<Chromium>::start(&[&UDP[..], &[("STUNNER_DURATION", "6")]].concat()).await;
    pair.call().await;

    for page in [&pair.alice, &pair.bob] {
        // The name of a time-limited user is the second at which it ends.
        let user = pair.browser.value(page, "window.call.state().user").await;
        let user: Value = user.as_str().expect("a name").parse().expect("a time");
        pair.browser.until(page, &format!("Date.now() / 1000 > {user} + 1")).await;
        pair.moves(page).await;
        let state = "(({ call, user }) => [call, user * 1000 > Date.now(), \
                     window.call.connection().getConfiguration().iceServers[0].username === user])(window.call.state())";
        assert_eq!(pair.browser.value(page, state).await, serde_json::json!(["running", true, true]));
    }
    pair.hang_up(&pair.alice, &pair.bob).await;
    pair.call().await;
}
