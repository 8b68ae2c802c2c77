//! Chromium, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator, wd::WindowHandle};
use serde_json::{Value, json};

use crate::driver::{Browser, Page};

/// Chromium, one window for each page.
pub(crate) struct Chromium {
    driver: Child,
    client: Client,
}

impl Chromium {
    async fn switch(&self, page: &Page) {
        let handle = WindowHandle::try_from(page.0.clone()).expect("a handle");
        self.client.switch_to_window(handle).await.expect("the window");
    }
}

impl Chromium {
    /// Types into an element as a person would, key by key.
    pub(crate) async fn type_into(&self, page: &Page, id: &str, text: &str) {
        self.switch(page).await;
        let element = self.client.find(Locator::Id(id)).await.expect("the element");
        element.send_keys(text).await.expect("it takes keys");
    }
}

impl Browser for Chromium {
    async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
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
        Self { driver, client }
    }

    async fn open(&self, url: &str) -> Page {
        let page = Page(String::from(self.client.new_window(false).await.expect("a window").handle));
        self.switch(&page).await;
        self.client.goto(url).await.expect("the page");
        page
    }

    async fn value(&self, page: &Page, expression: &str) -> Value {
        self.switch(page).await;
        let script = format!(
            "const done = arguments[arguments.length - 1]; Promise.resolve({expression}).then(done, e => done(String(e)));"
        );
        self.client
            .execute_async(&script, vec![])
            .await
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn screenshot(&self, page: &Page) -> Option<Vec<u8>> {
        self.switch(page).await;
        self.client.screenshot().await.ok()
    }
}

/// Ends the driver and its browser together: they are a process group of their own.
impl Drop for Chromium {
    fn drop(&mut self) {
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
    }
}
