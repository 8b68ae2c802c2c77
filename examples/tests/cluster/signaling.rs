//! A user of the page: the tutorial's messages over a WebSocket with TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use stunner_relay::Transport;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::net::PUBLIC;

/// Where the page is, by the name that its certificate has.
pub(crate) const HOST: &str = "webrtc-server";

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where TURN is, and with which credentials, as the page says it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// One who is registered.
pub(crate) struct User {
    name: String,
    socket: WebSocketStream<TlsStream<TcpStream>>,
    configuration: Value,
}

impl User {
    /// Connects to the page and registers.
    pub(crate) async fn register(name: &str, certificate: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect((PUBLIC, 8443)).await.expect("the page is there");
        let host = HOST.try_into().expect("a name");
        let stream = connector.connect(host, stream).await.expect("TLS");
        let (socket, _) = client_async(format!("wss://{HOST}/one2one"), stream).await.expect("a WebSocket");
        let mut user = Self { name: name.to_owned(), socket, configuration: Value::Null };
        user.say(&json!({ "id": "register", "name": name })).await;
        let mut registered = user.hear("registerResponse").await;
        assert_eq!(registered["response"], "accepted", "{registered}");
        user.configuration = registered["iceConfiguration"].take();
        user
    }

    /// The server of a transport that it was told.
    pub(crate) fn server(&self, transport: Transport) -> Server {
        let wanted = format!("?transport={}", transport.name());
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let servers = self.configuration["iceServers"].as_array().expect("servers");
        let server =
            servers.iter().find(|server| text(&server["url"]).ends_with(&wanted)).expect("its transport");
        let url = text(&server["url"]);
        let address = url.trim_start_matches("turn:").trim_end_matches(&wanted).parse().expect("an address");
        Server { address, username: text(&server["username"]), password: text(&server["credential"]) }
    }

    /// Calls, and returns the answer.
    pub(crate) async fn call(&mut self, to: &str, offer: &str) -> String {
        self.say(&json!({ "id": "call", "from": self.name, "to": to, "sdpOffer": offer })).await;
        let response = self.hear("callResponse").await;
        assert_eq!(response["response"], "accepted", "{response}");
        response["sdpAnswer"].as_str().expect("an answer").to_owned()
    }

    /// Waits to be called: by whom, and the offer.
    pub(crate) async fn called(&mut self) -> (String, String) {
        let incoming = self.hear("incomingCall").await;
        let text = |name: &str| incoming[name].as_str().expect("text").to_owned();
        (text("from"), text("sdpOffer"))
    }

    /// Takes the call.
    pub(crate) async fn accept(&mut self, from: &str, answer: &str) {
        let response = json!({ "id": "incomingCallResponse", "from": from, "callResponse": "accept", "sdpAnswer": answer });
        self.say(&response).await;
    }

    async fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("the page listens");
    }

    /// The next message of this kind.
    async fn hear(&mut self, id: &str) -> Value {
        let heard = async {
            loop {
                let frame = self.socket.next().await.expect("the page is there").expect("a frame");
                let Ok(message) = serde_json::from_slice::<Value>(&frame.into_data()) else { continue };
                if message["id"] == id {
                    return message;
                }
            }
        };
        timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("no {id} in time"))
    }
}
