//! The web server, asked over plain sockets.

use std::{
    net::{Ipv4Addr, TcpListener as StdTcpListener},
    path::Path,
};

use clap::Parser;
use stunner_auth::Environment;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::options::Options;

/// How long anything may take that has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What has to come, in time: a test that waits for ever says nothing.
pub(crate) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.expect("it comes in time")
}

/// Settings of a program without TURN of its own.
pub(crate) fn settings(uri: &str, state_dir: &Path) -> Settings {
    made(uri, state_dir, &[("STUNNER_PUBLIC_ADDR", "203.0.113.1")])
}

/// The same with an environment, on a port of its own.
pub(crate) fn settings_with(variables: &[(&str, &str)]) -> Settings {
    made("http://127.0.0.1:0/", &std::env::temp_dir(), variables)
}

fn made(uri: &str, state_dir: &Path, variables: &[(&str, &str)]) -> Settings {
    let options = Options::parse_from([
        "direct-one2one-call".as_ref(),
        "--no-turn".as_ref(),
        "--as-uri".as_ref(),
        uri.as_ref(),
        "--state-dir".as_ref(),
        state_dir.as_os_str(),
    ]);
    let environment: Environment = variables.iter().copied().collect();
    Settings::new(options, &environment).expect("good settings")
}

async fn started(uri: &str, state_dir: &Path) -> (Web, watch::Sender<bool>) {
    let settings = settings(uri, state_dir);
    let (stop, stopped) = watch::channel(false);
    let ice = Ice::new(&settings, None).expect("a public address");
    (start(&settings, ice, None, stopped).await.expect("a free port"), stop)
}

/// Everything that comes back for one request.
pub(crate) async fn answer(to: impl Into<SocketAddr>, request: &str) -> String {
    let mut stream = TcpStream::connect(to.into()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("text");
    answer
}

#[tokio::test]
async fn who_types_http_is_sent_to_the_same_page_over_tls() {
    let state = std::env::temp_dir().join(format!("stunner-rs-redirect-{}", std::process::id()));
    let (web, _stop) = started("https://127.0.0.1:0/", &state).await;

    let request = "GET /?name=alice HTTP/1.1\r\nHost: call.example:8443\r\nConnection: close\r\n\r\n";
    let answer = answer(web.address, request).await;

    assert!(answer.starts_with("HTTP/1.1 307"), "{answer}");
    assert!(answer.contains("\r\nlocation: https://call.example:8443/?name=alice\r\n"), "{answer}");
    std::fs::remove_dir_all(state).expect("the directory");
}

#[tokio::test]
async fn everywhere_is_ipv6_too_and_a_busy_port_is_busy_on_either() {
    let (web, _stop) = started("http://0.0.0.0:0/", &std::env::temp_dir()).await;
    let port = web.address.port();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    let mut all = vec![SocketAddr::from(([0; 4], port))];
    if StdTcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        all.push((Ipv6Addr::UNSPECIFIED, port).into());
    }
    for taken in all {
        let local = if taken.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        assert!(answer(SocketAddr::new(local, port), request).await.ends_with("ok\n"), "{local}");
        assert_eq!(bind(taken).map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_the_page_allows_no_foreign_script() {
    let (web, _stop) = started("http://127.0.0.1:0/", &std::env::temp_dir()).await;
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    for path in ["/nothing", "/../Cargo.toml", "/static/call.js"] {
        assert!(answer(web.address, &get(path)).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    let page = answer(web.address, &get("/")).await;
    assert!(page.contains("content-security-policy: default-src 'self';"), "{page}");
}
