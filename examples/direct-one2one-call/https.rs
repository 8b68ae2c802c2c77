//! The web server: the page, the signaling, and what a cluster asks for.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use socket2::{Domain, Socket, Type};
use stunner_relay::TurnServer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use warp::{
    Filter, Reply,
    filters::{BoxedFilter, path::FullPath},
    http::{Uri, header},
};

use crate::{
    certificate,
    ice::{self, Ice},
    invite::{self, Place},
    options::Settings,
    signaling::{MAX_FRAME, Signaling, ended, events},
};

mod linger;
#[cfg(test)]
pub(crate) mod tests;

use linger::Lingering;

/// How long a client may take for a TLS handshake, or for the head of a request.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what it is sent.
#[cfg(target_os = "linux")]
const UNTAKEN: Duration = Duration::from_secs(30);

/// Connections at a time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 4_096;

/// How long open connections get to end.
const GRACE: Duration = Duration::from_secs(2);

/// A running web server.
pub(crate) struct Web {
    address: SocketAddr,
    tls: bool,
    place: Place,
    certificate: Option<PathBuf>,
    tasks: JoinSet<()>,
}

impl Web {
    /// Where the page is: on this machine first, then on its network.
    pub(crate) fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "https" } else { "http" };
        let port = self.address.port();
        if !self.address.ip().is_unspecified() {
            return vec![format!("{scheme}://{}/", self.address)];
        }
        let mut others = ice::own_addresses();
        others.retain(|ip| !ip.is_loopback() && !ice::is_link_local(ip));
        others.sort();
        let others = others.into_iter().map(|ip| SocketAddr::new(ip, port).to_string());
        let hosts = std::iter::once(format!("localhost:{port}")).chain(others);
        hosts.map(|host| format!("{scheme}://{host}/")).collect()
    }

    /// What it listens on.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a phone finds the page.
    pub(crate) fn url_for_others(&self) -> Option<String> {
        self.place.url()
    }

    /// Where the certificate is that was made here.
    pub(crate) fn certificate(&self) -> Option<std::path::Display<'_>> {
        self.certificate.as_deref().map(std::path::Path::display)
    }

    /// Waits until all connections are closed.
    pub(crate) async fn ended(mut self) {
        // A task that panicked has ended too.
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Binds and serves until `stopped` says so.
pub(crate) async fn start(
    settings: &Settings,
    ice: Ice,
    turn: Option<Arc<TurnServer>>,
    stopped: watch::Receiver<bool>,
) -> Result<Web, String> {
    let (acceptor, certificate) = if settings.tls {
        let (config, made) = certificate::load(settings)?;
        (Some(TlsAcceptor::from(config)), made)
    } else {
        (None, None)
    };
    let listeners = bind(settings.web).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{} is in use by another program: stop that one, or choose another port, such as --as-uri https://0.0.0.0:9443/",
            settings.web
        ),
        _ => format!("cannot listen on {}: {error}; give an address of this machine with --as-uri", settings.web),
    })?;
    let address = listeners[0].local_addr().map_err(|error| error.to_string())?;
    let weak = turn.as_ref().map(Arc::downgrade);
    let public = settings.environment.get("STUNNER_PUBLIC_ADDR").filter(|_| settings.turn);
    let place = Place { tls: settings.tls, bound: address, public: public.map(str::to_owned) };
    let routes =
        routes(place.clone(), Signaling::new(ice, settings.list_users, stopped.clone()), move || {
            weak.as_ref()?.upgrade().map(|turn| told(&turn))
        });
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(serve(listener, acceptor.clone(), routes.clone(), stopped.clone()));
    }
    Ok(Web { address, tls: settings.tls, place, certificate, tasks })
}

/// Listens on an address; on 0.0.0.0 means on IPv6 too, where the machine has it.
fn bind(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    let first = listen(address)?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    if address.ip().is_unspecified() && address.is_ipv4() {
        match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            // Of ports that the system chooses, another one may be free on both.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 => {
                return bind(address);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => tracing::debug!(%error, "no IPv6"),
            Ok(second) => listeners.push(second),
        }
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a program that has just ended do not keep its successor waiting.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    routes: BoxedFilter<(Box<dyn Reply>,)>,
    stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, acceptor.clone(), routes.clone(), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = ended(stopped.clone()) => break,
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, all).await;
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    routes: BoxedFilter<(Box<dyn Reply>,)>,
    stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    // Who takes nothing for that long is gone, though the answer may be one without end.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN));
    let Some(acceptor) = acceptor else { return http(Lingering::new(stream), routes, stopped).await };
    let mut first = [0];
    match timeout(HANDSHAKE, stream.peek(&mut first)).await {
        // Somebody typed http://, as every method of HTTP begins with a capital.
        Ok(Ok(1)) if first[0].is_ascii_uppercase() => {
            return http(Lingering::new(stream), redirect(), stopped).await;
        }
        Ok(Ok(1)) => {}
        _ => return,
    }
    match timeout(HANDSHAKE, acceptor.accept(Lingering::new(stream))).await {
        Ok(Ok(stream)) => http(stream, routes, stopped).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
        Err(_) => tracing::debug!("no TLS in time"),
    }
}

/// To the same page over TLS.
fn redirect() -> BoxedFilter<(Box<dyn Reply>,)> {
    let query = warp::query::raw().map(|query| format!("?{query}")).or(warp::any().map(String::new)).unify();
    let there = warp::header::<String>("host").and(warp::path::full()).and(query);
    let there = there.and_then(|host: String, path: FullPath, query: String| async move {
        let uri = format!("https://{host}{}{query}", path.as_str()).parse::<Uri>();
        let redirected = uri.map(|uri| Box::new(warp::redirect::temporary(uri)) as Box<dyn Reply>);
        redirected.map_err(|_| warp::reject::not_found())
    });
    there.boxed()
}

async fn http<S>(stream: S, routes: BoxedFilter<(Box<dyn Reply>,)>, stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    let service = TowerToHyperService::new(warp::service(routes));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = ended(stopped) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// The files of the page, part of the program.
const FILES: &[(&str, &str, &str)] = &[
    ("", "text/html; charset=utf-8", include_str!("static/index.html")),
    ("advice.js", "text/javascript; charset=utf-8", include_str!("static/advice.js")),
    ("call.js", "text/javascript; charset=utf-8", include_str!("static/call.js")),
    ("check", "text/html; charset=utf-8", include_str!("static/check.html")),
    ("check.css", "text/css; charset=utf-8", include_str!("static/check.css")),
    ("check.js", "text/javascript; charset=utf-8", include_str!("static/check.js")),
    ("devices.js", "text/javascript; charset=utf-8", include_str!("static/devices.js")),
    ("media.js", "text/javascript; charset=utf-8", include_str!("static/media.js")),
    ("peer.js", "text/javascript; charset=utf-8", include_str!("static/peer.js")),
    ("relay.js", "text/javascript; charset=utf-8", include_str!("static/relay.js")),
    ("stats.js", "text/javascript; charset=utf-8", include_str!("static/stats.js")),
    ("ticker.js", "text/javascript; charset=utf-8", include_str!("static/ticker.js")),
    ("view.js", "text/javascript; charset=utf-8", include_str!("static/view.js")),
    ("wire.js", "text/javascript; charset=utf-8", include_str!("static/wire.js")),
    ("layout.css", "text/css; charset=utf-8", include_str!("static/layout.css")),
    ("style.css", "text/css; charset=utf-8", include_str!("static/style.css")),
];

/// Nothing but this server's own files, and nobody may frame the page.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// What `/stats` tells of the TURN server.
fn told(turn: &stunner_relay::TurnServer) -> serde_json::Value {
    let counters = turn.stats();
    serde_json::json!({
        "networks": turn.networks(),
        "allocations": counters.allocations,
        "opened": counters.opened,
        "refusals": counters.refusals,
        "packetsToPeers": counters.traffic.packets_to_peers,
        "bytesToPeers": counters.traffic.bytes_to_peers,
        "packetsToClients": counters.traffic.packets_to_client,
        "bytesToClients": counters.traffic.bytes_to_client,
        "droppedFromClients": counters.dropped_from_clients,
        "droppedFromPeers": counters.dropped_from_peers,
        "droppedByKernel": counters.dropped_by_kernel,
        "droppedBetweenWorkers": counters.dropped_between_workers,
        "droppedOnStreams": counters.dropped_on_streams,
    })
}

fn routes(
    place: Place,
    signaling: Signaling,
    stats: impl Fn() -> Option<serde_json::Value> + Clone + Send + Sync + 'static,
) -> BoxedFilter<(Box<dyn Reply>,)> {
    let users = signaling.clone();
    let events = events::routes(signaling.clone());
    let socket = warp::path!("one2one").and(warp::ws()).and(warp::header::optional::<String>("host")).map(
        move |socket: warp::ws::Ws, host: Option<String>| {
            let signaling = signaling.clone();
            let socket = socket.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
            Box::new(socket.on_upgrade(move |socket| signaling.serve(socket, host))) as Box<dyn Reply>
        },
    );
    let health = warp::path!("healthz").map(|| Box::new("ok\n") as Box<dyn Reply>);
    let stats = warp::path!("stats").map(move || {
        let all = serde_json::json!({ "users": users.users(), "turn": stats() });
        Box::new(warp::reply::json(&all)) as Box<dyn Reply>
    });
    let files = warp::path::tail().and_then(|path: warp::path::Tail| async move { file(path.as_str()) });
    socket
        .or(events)
        .unify()
        .or(invite::routes(place))
        .unify()
        .or(health)
        .unify()
        .or(stats)
        .unify()
        .or(warp::get().and(files))
        .unify()
        .boxed()
}

fn file(path: &str) -> Result<Box<dyn Reply>, warp::Rejection> {
    let name = if path == "index.html" { "" } else { path };
    let (_, kind, text) =
        FILES.iter().find(|(file, ..)| *file == name).ok_or_else(warp::reject::not_found)?;
    let reply = warp::reply::with_header(*text, header::CONTENT_TYPE, *kind);
    let reply = warp::reply::with_header(reply, header::CONTENT_SECURITY_POLICY, POLICY);
    let reply = warp::reply::with_header(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let reply = warp::reply::with_header(reply, header::REFERRER_POLICY, "no-referrer");
    Ok(Box::new(warp::reply::with_header(reply, header::CACHE_CONTROL, "no-cache")))
}
