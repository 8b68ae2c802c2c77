//! Before the call: links, QR codes, who is online; and what a phone has that a laptop has not.

use serde_json::Value;

use crate::{Pair, UDP, chromium::Chromium, driver::Browser, program::Program};

#[tokio::test]
async fn a_link_with_two_names_registers_and_calls() {
    let program = Program::start(&UDP);
    let browser = Chromium::start().await;
    let bob = browser.open(&format!("{}?name=bob&register=1", program.url)).await;
    browser.until(&bob, "window.call.state().registered").await;

    browser.open(&format!("{}?name=alice&call=bob", program.url)).await;

    browser.until(&bob, "document.getElementById('caller').textContent.startsWith('alice is calling')").await;
}

#[tokio::test]
async fn a_scanned_link_asks_for_a_name_and_then_calls() {
    let program = Program::start(&UDP);
    let browser = Chromium::start().await;
    let bob = browser.open(&format!("{}?name=bob&register=1", program.url)).await;
    browser.until(&bob, "window.call.state().registered").await;

    let phone = browser.open(&format!("{}?call=bob", program.url)).await;
    browser.until(&phone, "!document.getElementById('register').disabled").await;
    browser.type_into(&phone, "name", "alice\n").await;

    browser.until(&bob, "document.getElementById('caller').textContent.startsWith('alice is calling')").await;
}

#[tokio::test]
async fn who_comes_and_goes_is_on_the_list_and_one_press_calls() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    let (browser, alice, bob) = (&pair.browser, &pair.alice, &pair.bob);
    let listed = |name| {
        format!(
            "[...document.querySelectorAll('#users button:not(:disabled)')].some(b => b.textContent === '{name}')"
        )
    };
    browser.until(alice, &listed("bob")).await;
    browser.until(bob, &listed("alice")).await;

    browser.value(alice, "document.querySelector('#users button').click()").await;
    browser.until(bob, "!document.getElementById('ringing').hidden").await;
    pair.press(bob, "decline").await;
    browser.until(alice, &listed("bob")).await;
    browser.value(bob, "location.replace('about:blank')").await;

    browser
        .until(alice, "document.getElementById('nobody').textContent === 'Nobody else is here yet.'")
        .await;
}

#[tokio::test]
async fn the_list_can_be_switched_off() {
    let program = Program::start_at("127.0.0.1", &UDP, &["--hide-users"]);
    let url = program.url.clone();
    let pair = Pair::<Chromium>::open(program, "", &url).await;

    // Whatever comes before the call would have come before the ringing.
    pair.press(&pair.alice, "call").await;
    pair.browser.until(&pair.bob, "!document.getElementById('ringing').hidden").await;

    assert_eq!(pair.browser.value(&pair.bob, "document.getElementById('online').hidden").await, true);
}

/// What a camera sees of the code on the page: its pixels, and the link beside it.
const PHOTO: &str = "(async () => { const image = document.getElementById('qr'); await image.decode(); \
    const c = document.createElement('canvas'); c.width = c.height = 480; const g = c.getContext('2d'); \
    g.fillStyle = 'white'; g.fillRect(0, 0, 480, 480); g.drawImage(image, 0, 0, 480, 480); \
    const bits = [...g.getImageData(0, 0, 480, 480).data].filter((_, i) => i % 4 === 0).map(v => v > 128 ? 1 : 0).join(''); \
    return { bits, link: document.getElementById('link').href }; })()";

#[tokio::test]
async fn the_code_on_the_page_leads_a_phone_to_its_user() {
    let program = Program::start_at("0.0.0.0", &[("STUNNER_PUBLIC_ADDR", "192.0.2.7")], &[]);
    let browser = Chromium::start().await;
    let page = browser.open(&format!("{}?name=alice&register=1", program.url)).await;
    browser.until(&page, "document.getElementById('link').href.includes('call=alice')").await;

    let photo = browser.value(&page, PHOTO).await;

    let bits = photo["bits"].as_str().expect("pixels").as_bytes();
    let mut seen =
        rqrr::PreparedImage::prepare_from_greyscale(480, 480, |x, y| (bits[y * 480 + x] - b'0') * 255);
    let (_, read) = seen.detect_grids()[0].decode().expect("a readable code");
    assert_eq!(read, format!("https://192.0.2.7:{}/?call=alice", program.web().port()));
    assert_eq!(photo["link"], read);
}

#[tokio::test]
async fn a_page_that_no_phone_can_reach_shows_no_code() {
    let program = Program::start(&UDP);
    let browser = Chromium::start().await;

    let page = browser.open(&program.url).await;

    assert_eq!(browser.value(&page, "fetch('invite').then(r => r.status)").await, 404);
    assert_eq!(browser.value(&page, "document.getElementById('invite').hidden").await, true);
}

#[tokio::test]
async fn in_a_call_the_screen_stays_on_and_the_other_camera_can_be_taken() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    pair.call().await;
    let (browser, alice) = (&pair.browser, &pair.alice);
    let camera = "document.getElementById('videoInput').srcObject.getVideoTracks()[0].getSettings().deviceId";
    let sent = "window.call.connection().getSenders().find(s => s.track.kind === 'video').track.getSettings().deviceId";
    let first = browser.value(alice, camera).await;
    browser.until(alice, "window.call.state().awake").await;

    pair.press(alice, "flip").await;
    browser.until(alice, &format!("{sent} !== {first} && {sent} === {camera}")).await;
    // Chromium's second fake camera shows itself, but what it gives no RTCPeerConnection sends.
    pair.press(alice, "flip").await;
    browser.until(alice, &format!("{sent} === {first} && {sent} === {camera}")).await;

    pair.moves(&pair.bob).await;
    pair.hang_up(alice, &pair.bob).await;
    assert_eq!(browser.value(alice, "window.call.state().awake").await, Value::Bool(false));
}
