//! What the tests ask of a browser, whichever it is.

use serde_json::Value;

/// One page, by the browser's own handle.
pub(crate) struct Page(pub(crate) String);

pub(crate) trait Browser: Sized {
    /// Starts it with a fake camera and a fake microphone.
    async fn start() -> Self;

    /// Opens an address in a window of its own.
    async fn open(&self, url: &str) -> Page {
        self.open_after("", url).await
    }

    /// The same, where a script of the test's runs before those of the page.
    async fn open_after(&self, script: &str, url: &str) -> Page;

    /// The value of a JavaScript expression; a promise is awaited.
    async fn value(&self, page: &Page, expression: &str) -> Value;

    /// A picture of the window, PNG, from browsers that give one.
    async fn screenshot(&self, _: &Page) -> Option<Vec<u8>> {
        None
    }

    /// Waits until an expression is true, and shows the page when it takes too long.
    async fn until(&self, page: &Page, expression: &str) {
        let asked = format!(
            "new Promise((yes) => {{ const end = performance.now() + 25000; const look = () => {{ let v; \
             try {{ v = ({expression}); }} catch (e) {{ v = false; }} \
             if (v) yes(true); else if (performance.now() > end) yes(document.body.innerText); \
             else setTimeout(look, 50); }}; look(); }})"
        );
        assert_eq!(self.value(page, &asked).await, Value::Bool(true), "never true: {expression}");
    }
}
