//! Firefox, driven through its own WebDriver BiDi.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::driver::{Browser, Page};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fake media without questions, and candidates on loopback.
const PREFERENCES: &str = r#"
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.normandy.enabled", false);
"#;

pub(crate) struct Firefox {
    process: Child,
    profile: PathBuf,
    socket: Mutex<WebSocketStream<TcpStream>>,
    last: AtomicU64,
}

impl Firefox {
    /// Carries out one command, and returns its result.
    async fn command(&self, method: &str, params: Value) -> Value {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut socket = self.socket.lock().await;
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        socket.send(Message::text(text)).await.expect("the command is sent");
        let answered = async {
            loop {
                let frame = socket.next().await.expect("Firefox is there").expect("a frame");
                let Ok(Value::Object(mut answer)) = serde_json::from_slice(&frame.into_data()) else {
                    continue;
                };
                if answer.get("id") == Some(&id.into()) {
                    assert_eq!(answer["type"], "success", "{method}: {answer:?}");
                    return answer.remove("result").expect("a result");
                }
            }
        };
        timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("{method}: no answer in time"))
    }
}

impl Browser for Firefox {
    async fn start() -> Self {
        let profile = std::env::temp_dir().join(format!("stunner-rs-firefox-{}", std::process::id()));
        std::fs::create_dir_all(&profile).expect("a profile");
        std::fs::write(profile.join("user.js"), PREFERENCES).expect("preferences");
        let mut process = Command::new("firefox-esr")
            .args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"])
            .arg(&profile)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("firefox-esr is installed");
        let mut lines =
            BufReader::new(process.stderr.take().expect("an output")).lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| line.split_once("WebDriver BiDi listening on ").map(|(_, url)| url.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.expect("Firefox says where it listens");
        let address = url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&address).await.expect("a connection");
        let (socket, _) = client_async(format!("ws://{address}/session"), stream).await.expect("a WebSocket");
        let firefox = Self { process, profile, socket: Mutex::new(socket), last: AtomicU64::new(0) };
        let capabilities = json!({ "alwaysMatch": { "acceptInsecureCerts": true } });
        firefox.command("session.new", json!({ "capabilities": capabilities })).await;
        firefox
    }

    async fn open_after(&self, script: &str, url: &str) -> Page {
        let created = self.command("browsingContext.create", json!({ "type": "window" })).await;
        let context = created["context"].as_str().expect("a context").to_owned();
        let preload =
            json!({ "functionDeclaration": format!("() => {{ {script} }}"), "contexts": [context] });
        self.command("script.addPreloadScript", preload).await;
        let params = json!({ "context": context, "url": url, "wait": "complete" });
        self.command("browsingContext.navigate", params).await;
        Page(context)
    }

    async fn value(&self, page: &Page, expression: &str) -> Value {
        let expression = format!("(async () => JSON.stringify((await ({expression})) ?? null))()");
        let params =
            json!({ "expression": expression, "target": { "context": page.0 }, "awaitPromise": true });
        let result = self.command("script.evaluate", params).await;
        let text = result["result"]["value"].as_str().unwrap_or_else(|| panic!("{expression}: {result}"));
        serde_json::from_str(text).expect("JSON")
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
