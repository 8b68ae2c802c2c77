//! What an orchestrator asks: whether the program lives, and whether to send it anybody.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use tokio::task::JoinHandle;
use warp::{Filter, http::StatusCode};

/// How long the program may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the program says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// Nothing goes on any more: it is to be started again.
    Dead,
    /// It lives, but nobody is to come; and why.
    NotReady(&'static str),
    /// All is well.
    Ready,
}

/// Answers `/live` and `/ready` until the task is aborted.
pub(crate) fn start(
    address: SocketAddr,
    health: impl Fn() -> Health + Clone + Send + Sync + 'static,
) -> Result<(SocketAddr, JoinHandle<()>), String> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, tokio::net::TcpListener::from_std(listener)?))
    });
    let (address, listener) = bound
        .map_err(|error| format!("cannot listen on {address}: {error}; give another --health-address"))?;
    let answer = |good, text: &'static str| {
        warp::reply::with_status(text, if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
    };
    let of_live = health.clone();
    let live = warp::path!("live").map(move || match of_live() {
        Health::Dead => answer(false, "dead\n"),
        Health::NotReady(_) | Health::Ready => answer(true, "live\n"),
    });
    let ready = warp::path!("ready").map(move || match health() {
        Health::Dead => answer(false, "dead\n"),
        Health::NotReady(why) => answer(false, why),
        Health::Ready => answer(true, "ready\n"),
    });
    let routes = warp::get().or(warp::head()).unify().and(live.or(ready));
    Ok((address, tokio::spawn(warp::serve(routes).incoming(listener).run())))
}

/// Asks another program's `/live`.
pub(crate) fn check(address: SocketAddr) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("nobody answers at http://{address}/live: {error}");
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&reachable(address), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1024).read_to_end(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = ask().map_err(|error| failed(&error))?;
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(failed(&"it is not live")) }
}

/// Where to reach what listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// The status that is answered for a path.
    fn status(address: SocketAddr, path: &str) -> u16 {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn live_and_ready_are_two_questions() {
        let now = Arc::new(Mutex::new(Health::Ready));
        let said = now.clone();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, _task) = start(local, move || *said.lock().expect("it is free")).expect("a free port");

        for (health, live, ready) in
            [(Health::Ready, 200, 200), (Health::NotReady("draining\n"), 200, 503), (Health::Dead, 503, 503)]
        {
            *now.lock().expect("it is free") = health;
            assert_eq!((status(address, "/live"), status(address, "/ready")), (live, ready), "{health:?}");
            assert_eq!(check(address).is_ok(), live == 200, "{health:?}");
        }
        assert_eq!(status(address, "/stats"), 404);
        assert!(start(address, || Health::Ready).is_err_and(|error| error.contains("--health-address")));
    }

    #[test]
    fn nobody_is_not_live() {
        // It is taken, so that nobody else can listen on it, and nobody does.
        let taken = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        let address = taken.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");

        assert!(check(address).is_err_and(|error| error.contains("nobody answers")));
    }

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:8086", "127.0.0.1:8086"), ("[::]:1", "[::1]:1"), ("192.0.2.1:2", "192.0.2.1:2")]
        {
            assert_eq!(reachable(bound.parse().expect(bound)), asked.parse().expect(asked));
        }
    }
}
