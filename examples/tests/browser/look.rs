//! How the page looks and reads: on a phone, in the dark, to who does not see it.

use serde_json::{Value, json};

use crate::{Pair, UDP, chromium::Chromium, driver::Browser, driver::Page, program::Program};

/// What does not fit on the screen, or is too small for a thumb: of the buttons and fields that are shown.
const MISFITS: &str = "[...document.querySelectorAll('button, input')].filter(e => e.offsetParent).map(e => [e, e.getBoundingClientRect()]) \
    .filter(([e, b]) => e.id !== 'notice-close' && (b.height < 48 || b.left < 0 || b.right > innerWidth)).map(([e, b]) => `${e.id} ${JSON.stringify(b)}`) \
    .concat(document.documentElement.scrollWidth > innerWidth ? [`the page is ${document.documentElement.scrollWidth} wide`] : [])";

/// The controls of a call that are not on the screen.
const HIDDEN: &str = "['mute', 'camera', 'speaker', 'terminate'].filter(id => { const b = document.getElementById(id).getBoundingClientRect(); \
    const at = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2); \
    return b.top < 0 || b.bottom > innerHeight || at?.closest('button')?.id !== id; })";

async fn photograph(variable: &str, browser: &Chromium, page: &Page) {
    if let Ok(path) = std::env::var(variable)
        && let Some(picture) = browser.screenshot(page).await
    {
        std::fs::write(path, picture).expect("a file to write the picture to");
    }
}

#[tokio::test]
async fn on_a_phone_everything_is_within_the_thumbs_reach() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    let (browser, alice) = (&pair.browser, &pair.alice);
    browser.hold_as_phone(alice, 390, 844).await;
    browser.until(alice, "document.querySelector('#users button')").await;
    assert_eq!(browser.value(alice, MISFITS).await, json!([]));
    photograph("STUNNER_SCREENSHOT_LOBBY", browser, alice).await;

    pair.call().await;

    assert_eq!(browser.value(alice, MISFITS).await, json!([]));
    assert_eq!(browser.value(alice, HIDDEN).await, json!([]));
    let low = "document.getElementById('terminate').getBoundingClientRect().top > innerHeight * 2 / 3";
    assert_eq!(browser.value(alice, low).await, Value::Bool(true));
    photograph("STUNNER_SCREENSHOT_PHONE", browser, alice).await;
    browser.hold_as_phone(alice, 844, 390).await;
    browser.until(alice, "innerWidth === 844").await;
    assert_eq!(browser.value(alice, HIDDEN).await, json!([]));
}

/// Texts with less contrast to what is behind them than WCAG's AA asks for.
const FAINT: &str = "(() => { \
    const parse = c => (c.match(/[\\d.]+/g) ?? []).map(Number); \
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4) \
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0); \
    const over = ([r, g, b, a = 1], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a)); \
    const behind = e => { const chain = []; for (let n = e; n; n = n.parentElement) chain.unshift(parse(getComputedStyle(n).backgroundColor)); \
        return chain.reduce((under, c) => c.length ? over(c, under) : under, [255, 255, 255]); }; \
    return [...document.body.querySelectorAll('*')].filter(e => e.checkVisibility() && !e.closest(':disabled, svg') \
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) \
        .map(e => { const under = behind(e); const [a, b] = [light(over(parse(getComputedStyle(e).color), under)), light(under)]; \
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + '#' + e.id + ' ' + e.textContent.slice(0, 30)]; }) \
        .filter(([ratio]) => ratio < 4.5).map(([ratio, what]) => `${what}: ${ratio.toFixed(2)}`); })()";

#[tokio::test]
async fn texts_can_be_read_by_day_and_by_night_and_controls_have_names() {
    let pair = Pair::<Chromium>::start(&UDP).await;
    let (browser, alice) = (&pair.browser, &pair.alice);
    browser.value(alice, "document.querySelector('details').open = true").await;
    for step in ["register", "call"] {
        browser.value(alice, "document.getElementById('peer').value = 'nobody'").await;
        pair.press(alice, step).await;
        for scheme in ["light", "dark"] {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            browser.devtools(alice, "Emulation.setEmulatedMedia", json!({ "features": features })).await;
            assert_eq!(browser.value(alice, FAINT).await, json!([]), "{step} {scheme}");
        }
    }
    browser.until(alice, "!document.getElementById('notice').hidden").await;
    let tree = browser.devtools(alice, "Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().expect("nodes");
    let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
    let acts = |node: &&Value| ["button", "textbox", "image", "link", "Video"].contains(&role(node).as_str());
    let (named, nameless): (Vec<_>, Vec<_>) = nodes
        .iter()
        .filter(acts)
        .partition(|node| node["name"]["value"].as_str().is_some_and(|name| !name.is_empty()));
    assert!(named.len() > 8, "{tree}");
    assert_eq!(nameless, Vec::<&Value>::new());
}

#[tokio::test]
async fn nothing_comes_from_elsewhere_and_nothing_moves_for_who_does_not_want_it() {
    let program = Program::start(&UDP);
    let url = program.url.clone();
    let watch = "window.violations = []; addEventListener('securitypolicyviolation', e => window.violations.push(e.blockedURI));";
    let pair = Pair::<Chromium>::open(program, watch, &url).await;
    let (browser, alice) = (&pair.browser, &pair.alice);
    let features = json!([{ "name": "prefers-reduced-motion", "value": "reduce" }]);
    browser.devtools(alice, "Emulation.setEmulatedMedia", json!({ "features": features })).await;

    pair.press(alice, "call").await;
    browser.until(&pair.bob, "!document.getElementById('ringing').hidden").await;

    assert_eq!(browser.value(alice, "document.getAnimations().length").await, 0);
    assert_eq!(browser.value(&pair.bob, "document.getAnimations().length > 0").await, true);
    pair.press(&pair.bob, "accept").await;
    for page in [alice, &pair.bob] {
        browser.until(page, "window.call.state().stats?.framesDecoded > 5").await;
        let foreign = "performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin) && !n.startsWith('data:'))";
        assert_eq!(browser.value(page, foreign).await, json!([]));
        assert_eq!(browser.value(page, "window.violations").await, json!([]));
    }
}
