//! Chromium, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator, wd::WindowHandle};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
};

use crate::driver::{Browser, Page};

/// Chromium, one window for each page.
pub(crate) struct Chromium {
    driver: Child,
    client: Client,
    /// Where chromedriver listens.
    address: String,
}

impl Chromium {
    async fn switch(&self, page: &Page) {
        let handle = WindowHandle::try_from(page.0.clone()).expect("a handle");
        self.client.switch_to_window(handle).await.expect("the window");
    }
}

impl Chromium {
    /// Starts chromedriver by this command, which makes it reachable at `host`.
    pub(crate) async fn start_by(command: &[&str], host: &str) -> Self {
        let mut driver = Command::new(command[0])
            .args(&command[1..])
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
        let address = format!("{host}:{port}");
        let options = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--allow-loopback-in-peer-connection", "--ignore-certificate-errors",
                "--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream",
                "--autoplay-policy=no-user-gesture-required", "--window-size=1280,860",
            ] },
        });
        let Value::Object(capabilities) = options else { unreachable!("it is an object") };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{address}"))
            .await
            .expect("a session");
        Self { driver, client, address }
    }

    /// Types into an element as a person would, key by key.
    pub(crate) async fn type_into(&self, page: &Page, id: &str, text: &str) {
        self.switch(page).await;
        let element = self.client.find(Locator::Id(id)).await.expect("the element");
        element.send_keys(text).await.expect("it takes keys");
    }

    /// A command of the DevTools protocol, for what WebDriver has no words for.
    pub(crate) async fn devtools(&self, page: &Page, command: &str, params: Value) -> Value {
        self.switch(page).await;
        let session = self.client.session_id().await.expect("it answers").expect("a session");
        let body = json!({ "cmd": command, "params": params }).to_string();
        let head = format!(
            "POST /session/{session}/goog/cdp/execute HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let mut stream = BufStream::new(TcpStream::connect(&self.address).await.expect("a connection"));
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it is sent");
        stream.flush().await.expect("it is sent");
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.expect("a line") > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].take()
    }

    /// Makes a page think that it is on a phone, held this way.
    pub(crate) async fn hold_as_phone(&self, page: &Page, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true });
        self.devtools(page, "Emulation.setDeviceMetricsOverride", metrics).await;
    }
}

impl Browser for Chromium {
    async fn start() -> Self {
        Self::start_by(&["chromedriver"], "127.0.0.1").await
    }

    async fn open_after(&self, script: &str, url: &str) -> Page {
        let page = Page(String::from(self.client.new_window(false).await.expect("a window").handle));
        self.devtools(&page, "Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
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
