//! Chromium, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, wd::WindowHandle};
use serde_json::{Value, json};

/// A browser with fake camera and microphone, and one window for each page.
pub(crate) struct Chromium {
    driver: Child,
    client: Client,
}

/// One page.
#[derive(Clone)]
pub(crate) struct Page(WindowHandle);

impl Chromium {
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let mut lines =
            BufReader::new(driver.stdout.take().expect("an output")).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("successfully on port ").map(|(_, port)| port.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let port = port.expect("a port").trim_end_matches('.').to_owned();
        let options = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--allow-loopback-in-peer-connection", "--ignore-certificate-errors",
                "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                "--autoplay-policy=no-user-gesture-required", "--window-size=1280,860",
            ] },
        });
        let Value::Object(capabilities) = options else { unreachable!("it is an object") };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        client.update_timeouts(fantoccini::wd::TimeoutConfiguration::default()).await.expect("time-outs");
        Self { driver, client }
    }

    /// Opens an address in a window of its own.
    pub(crate) async fn open(&self, url: &str) -> Page {
        let handle = self.client.new_window(false).await.expect("a window").handle;
        let page = Page(handle.clone());
        self.client.switch_to_window(handle).await.expect("the window");
        self.client.goto(url).await.expect("the page");
        page
    }

    /// The value of a JavaScript expression; a promise is awaited.
    pub(crate) async fn value(&self, page: &Page, expression: &str) -> Value {
        self.client.switch_to_window(page.0.clone()).await.expect("the window");
        let script = format!(
            "const done = arguments[arguments.length - 1]; Promise.resolve({expression}).then(done, e => done(String(e)));"
        );
        self.client
            .execute_async(&script, vec![])
            .await
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true, and says what was not when it takes too long.
    pub(crate) async fn until(&self, page: &Page, expression: &str) {
        let asked = format!(
            "new Promise((yes, no) => {{ const end = performance.now() + 25000; const look = () => {{ let v; \
             try {{ v = ({expression}); }} catch (e) {{ v = false; }} \
             if (v) yes(true); else if (performance.now() > end) yes(document.body.innerText); \
             else setTimeout(look, 50); }}; look(); }})"
        );
        assert_eq!(self.value(page, &asked).await, Value::Bool(true), "never true: {expression}");
    }

    /// A picture of the window, PNG.
    pub(crate) async fn screenshot(&self, page: &Page) -> Vec<u8> {
        self.client.switch_to_window(page.0.clone()).await.expect("the window");
        self.client.screenshot().await.expect("a screenshot")
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        let ended = tokio::time::timeout(Duration::from_secs(10), self.client.clone().close()).await;
        ended.expect("it ends in time").expect("it ends");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
