//! The fuzz targets: each takes any bytes, and panics where something is wrong. Stable Rust replays them in its tests.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use stunner_auth::{Environment, Options, Settings, config as files, rest};
use stunner_proto::Message;
use stunner_relay::{
    Client, Config, FiveTuple, ListenerId, LiveRelays, MAX_REPLY, Output, RelayOnly, Server, StaticUser,
    Transport,
};

mod codec;
mod differential;
mod sequence;

pub use codec::{builder, framing, message, uri};
pub use differential::differential;
pub use sequence::sequence;

/// A server takes in packets of two clients and of a peer. Each packet gives at most one, a reply is never longer than
/// promised, and nothing is allocated for who has no credentials.
pub fn server(bytes: &[u8]) {
    let mut config = Config::new("realm", StaticUser::new("user", "pass"), RelayOnly::new());
    let address = SocketAddr::from(([192, 0, 2, 1], 3478));
    config.relays = Arc::new(LiveRelays::new(&[address.ip()]));
    let start = some_instant();
    let mut server = Server::new(Arc::new(config), [1; 32], start);
    let mut now = start;
    let mut rest = bytes;
    while let Some((&[who, len], tail)) = rest.split_first_chunk::<2>() {
        let (packet, tail) = tail.split_at(usize::from(len).min(tail.len()));
        rest = tail;
        now += Duration::from_secs(u64::from(who >> 4));
        let client = SocketAddr::from(([198, 51, 100, who & 1], 4000));
        let tuple = FiveTuple { client, server: address, transport: Transport::Udp };
        let from = Client { tuple, listener: ListenerId(0), link: 0 };
        let mut reply = [0; MAX_REPLY];
        match server.handle_client(packet, from, now, &mut reply) {
            Output::Reply(len) => assert!(Message::parse(&reply[..len]).is_ok()),
            Output::Allocate(request) => {
                let relayed = SocketAddr::new(address.ip(), 50_000 + u16::from(who));
                let relayed = request.wants().bind(|_| Ok(relayed));
                let accepted = server.accept(request, relayed, now, &mut reply);
                assert!(Message::parse(&reply[..accepted.reply]).is_ok());
            }
            _ => {}
        }
        server.handle_timeout(now);
        assert!(server.poll_timeout().is_none_or(|at| at > now));
    }
    assert_eq!(server.counters().traffic.packets_to_peers, 0);
}

/// A configuration file and everything that is made of it; the same text as variables, as a query, and for the Node
/// library's parser.
pub fn config(bytes: &[u8]) {
    let _ = stunner_auth::node::Value::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment: Environment = text.lines().filter_map(|line| line.split_once('=')).collect();
    let _ = stunner_auth::TimeLimited::parse(text);
    let loaded = match files::Config::parse(text, &environment) {
        Ok(loaded) => {
            loaded_config(loaded.config.clone(), text);
            Some(loaded)
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            None
        }
    };
    if let Ok(settings) = Settings::new(&Options::new(), &environment, loaded)
        && let Ok(ice) = settings.ice_config(1_700_000_000)
    {
        assert!(ice.ice_servers.iter().flat_map(|server| &server.urls).all(|url| url.starts_with("turn")));
    }
}

/// What was read keeps its promises.
fn loaded_config(config: files::Config, query: &str) {
    for listener in &config.listeners {
        assert!(listener.port != 0 && !listener.name.is_empty());
        assert!(!listener.protocol.is_secure() || listener.tls.is_some());
        assert!(listener.uri().is_none_or(|uri| uri.to_string().starts_with("turn")));
    }
    for cluster in &config.clusters {
        if let files::Endpoints::Static(endpoints) = &cluster.endpoints {
            for endpoint in endpoints {
                assert_eq!(endpoint.to_string().parse(), Ok(*endpoint));
                assert!(cluster.permits(endpoint.prefix.ip().to_canonical(), endpoint.ports.last()));
            }
        }
    }
    let service = rest::Service { configs: &[config], public_address: None, now: 1_700_000_000 };
    for path in ["/", "/ice"] {
        let _ = rest::answer(&format!("{path}?service=turn&{query}"), &service);
    }
}

/// Some instant to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be made in no other way, and only differences count"
)]
fn some_instant() -> std::time::Instant {
    std::time::Instant::now()
}
