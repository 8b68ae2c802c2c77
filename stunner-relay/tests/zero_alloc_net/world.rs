//! Two servers, their clients, and a peer of two ports, in one thread.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket},
    thread,
};

use stunner_proto::framing::frame_len;
#[cfg(target_os = "linux")]
use stunner_relay::net::LinuxNetwork;
use stunner_relay::{
    Listener, RelayAddress, RelayOnly, StaticUser, Transport, TurnServer,
    client::{Client as Core, Config, Event, MAX_REQUEST},
    net::{Network, TokioNetwork},
};
use tokio::{
    net::UdpSocket,
    runtime::Runtime,
    sync::oneshot,
    task::LocalSet,
    time::{Duration, Instant, pause, resume, sleep, timeout_at},
};

use crate::{BURST, link::Link};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often packets pass before and while it is counted.
const ROUNDS: usize = 30;

pub(crate) struct World {
    pub(crate) peers: [Link; 2],
    servers: [TurnServer; 2],
    local: LocalSet,
    runtime: Runtime,
}

/// A client with an allocation.
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) relayed: SocketAddr,
    core: Core,
}

/// Runs a test in worlds of Linux's sockets, with io_uring and without, and in one of those that every system has.
pub(crate) fn each_world(test: impl Fn(&World)) {
    #[cfg(target_os = "linux")]
    for network in [LinuxNetwork::with_io_uring, LinuxNetwork::default] {
        test(&World::new(|| {
            let network = network();
            let socket = network.listener(listener()).expect("a listener");
            start(network, socket)
        }));
    }
    test(&World::new(|| start(TokioNetwork, UdpSocket::from_std(listener()).expect("a runtime"))));
}

fn listener() -> StdUdpSocket {
    let socket = StdUdpSocket::bind((LOCALHOST, 0)).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket
}

fn start<N: Network>(network: N, listener: N::Socket) -> TurnServer {
    TurnServer::builder()
        .realm("example.com")
        .authenticator(StaticUser::new("user", "pass"))
        .policy(RelayOnly::new().allow("127.0.0.0/8".parse().expect("a range")))
        .relay_address(RelayAddress::bind(LOCALHOST))
        .listen(Listener::tcp("127.0.0.1:0"))
        .start_on(network, [listener])
        .expect("a server on loopback")
}

impl World {
    fn new(start: impl Fn() -> TurnServer) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        let (servers, peers) =
            local.block_on(&runtime, async { ([start(), start()], [Link::udp(), Link::udp()]) });
        Self { peers, servers, local, runtime }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, future)
    }

    /// How often this thread allocates in `run`.
    pub(crate) fn count(&self, run: impl FnOnce()) -> u64 {
        allocation_counter::measure(run).count_total
    }

    /// How often the worker allocates while packets pass which `send` sends and `take` takes, singly and many at once.
    /// That is counted when it has happened for a while: what grows stays as it is then.
    pub(crate) fn allocations(&self, send: impl Fn(usize), take: impl AsyncFn(usize)) -> u64 {
        let pass = |times| {
            send(times);
            // A runtime boxes a future that is long, and this one is.
            let taken = Box::pin(take(times));
            self.count(|| self.run(taken))
        };
        for _ in 0..ROUNDS {
            pass(BURST);
        }
        (0..ROUNDS).map(|_| pass(1) + pass(BURST)).sum()
    }

    /// How often the workers allocate while something happens in another thread, for the second time.
    pub(crate) fn allocations_meanwhile(&self, happens: impl Fn() + Sync) -> u64 {
        let pass = || {
            let (over, is_over) = oneshot::channel();
            let happens = &happens;
            thread::scope(|scope| {
                scope.spawn(move || {
                    happens();
                    over.send(()).expect("somebody waits");
                });
                self.count(|| self.run(async { is_over.await.expect("it happens") }))
            })
        };
        pass();
        pass()
    }

    /// How often the workers allocate while so many seconds pass, in no time, without any packet.
    pub(crate) fn allocations_of_seconds(&self, seconds: u64) -> u64 {
        self.run(async { pause() });
        let counted = self.count(|| self.run(async { sleep(Duration::from_secs(seconds)).await }));
        self.run(async { resume() });
        counted
    }

    /// How many allocations there are of the first server's.
    pub(crate) fn allocated(&self) -> u64 {
        self.servers[0].stats().allocations
    }

    pub(crate) fn udp_client(&self) -> Client {
        self.client(0, Transport::Udp)
    }

    pub(crate) fn tcp_client(&self) -> Client {
        self.client(0, Transport::Tcp)
    }

    /// A client of the second server.
    pub(crate) fn client_of_the_other(&self) -> Client {
        self.client(1, Transport::Udp)
    }

    fn client(&self, server: usize, transport: Transport) -> Client {
        let listeners = self.servers[server].listeners();
        let found = listeners.iter().find(|listener| listener.transport() == transport);
        let server = found.expect("it listens").address().parse().expect("an address");
        self.run(Client::new(server, transport))
    }

    /// Binds a channel of a client to a peer.
    pub(crate) fn bind(&self, client: &mut Client, peer: SocketAddr) {
        client.core.bind(peer, Instant::now().into_std()).expect("a channel");
        self.run(client.until(|event| matches!(event, Event::Bound { .. }).then_some(())));
    }

    /// Has a client permit a peer.
    pub(crate) fn permit(&self, client: &mut Client, peer: SocketAddr) {
        client.core.permit(peer.ip(), Instant::now().into_std()).expect("a permission");
        self.run(client.until(|event| matches!(event, Event::Permitted(_)).then_some(())));
    }
}

impl Client {
    async fn new(server: SocketAddr, transport: Transport) -> Self {
        let link = if transport == Transport::Udp { Link::udp() } else { Link::tcp(server) };
        link.connect(server);
        let mut config = Config::new("user", "pass");
        config.transport = transport;
        let now = Instant::now().into_std();
        let core = Core::new(config, link.address(), server, [1; 32], now).expect("a client");
        let mut client = Self { link, relayed: server, core };
        client.relayed = client
            .until(|event| match event {
                Event::Allocated(allocated) => allocated.v4,
                _ => None,
            })
            .await;
        client
    }

    /// Data for a peer, in a frame.
    pub(crate) fn frame(&mut self, data: &[u8], peer: SocketAddr) -> Vec<u8> {
        let frame = self.core.send(data, peer).expect("it may be sent");
        frame.slices().iter().flat_map(|part| part.iter().copied()).collect()
    }

    /// Goes on until an event comes that is waited for.
    async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let (mut bytes, mut filled) = ([0; 4_096], 0);
        loop {
            let now = Instant::now().into_std();
            self.core.handle_timeout(now);
            let mut request = [0; MAX_REQUEST];
            while let Some(transmit) = self.core.poll_transmit(now, &mut request) {
                self.link.send(&request[..transmit.len]);
            }
            while let Some(event) = self.core.poll_event() {
                assert!(!matches!(event, Event::Refused { .. } | Event::Lost(_)), "{event:?}");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            let due = self.core.poll_timeout().expect("it waits for something");
            if let Ok(len) = timeout_at(due.into(), self.link.recv(&mut bytes[filled..])).await {
                filled += len;
                while let Ok(Some(len)) = frame_len(&bytes[..filled])
                    && len <= filled
                {
                    let server = self.core.five_tuple().server;
                    self.core.handle_input(&bytes[..len], server, Instant::now().into_std());
                    bytes.copy_within(len..filled, 0);
                    filled -= len;
                }
            }
        }
    }
}
