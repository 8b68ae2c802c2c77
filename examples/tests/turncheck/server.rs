//! Our own server in this process, coturn as another one.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use stunner_relay::{Listener, RelayAddress, StaticUser, TurnServer, TurnServerBuilder};

/// A server on free ports of an address, over UDP and TCP.
pub(crate) struct Own {
    // Ends when it is dropped.
    _server: TurnServer,
    pub(crate) udp: String,
    pub(crate) tcp: String,
}

impl Own {
    /// With one user.
    pub(crate) fn start() -> Self {
        Self::with(|builder| builder.authenticator(StaticUser::new("user", "pass")))
    }

    /// The same, set up otherwise.
    pub(crate) fn with(change: impl FnOnce(TurnServerBuilder) -> TurnServerBuilder) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), change)
    }

    /// The same at another address.
    pub(crate) fn at(ip: IpAddr, change: impl FnOnce(TurnServerBuilder) -> TurnServerBuilder) -> Self {
        let any = SocketAddr::new(ip, 0);
        let builder = TurnServer::builder()
            .realm("example.com")
            .relay_address(RelayAddress::bind(ip))
            .listen(Listener::udp(any))
            .listen(Listener::tcp(any));
        let server = change(builder).start().expect("it starts");
        let address = |at: usize| server.listeners()[at].address().to_owned();
        let (udp, tcp) = (address(0), address(1));
        Self { _server: server, udp, tcp }
    }

    pub(crate) fn udp_uri(&self) -> String {
        format!("turn:{}?transport=udp", self.udp)
    }

    pub(crate) fn tcp_uri(&self) -> String {
        format!("turn:{}?transport=tcp", self.tcp)
    }
}

/// A running coturn.
pub(crate) struct Coturn {
    child: Child,
    pub(crate) port: u16,
}

impl Coturn {
    /// Starts it, and waits until it answers. `None` where it is not installed, which must not be where `CI` is set.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        loop {
            let port = free_port();
            let child = Command::new("turnserver")
                .args(["-n", "-m", "1", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech"])
                .args(["-L", "127.0.0.1", "-E", "127.0.0.1", "-r", "example.com", "-u", "user:pass"])
                .args(["--pidfile", "/dev/null", "--log-file=/dev/null", "--no-stdout-log"])
                .args(["-p", &port.to_string()])
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(child) = child else {
                assert!(std::env::var_os("CI").is_none(), "turnserver must be installed where CI is set");
                eprintln!("turnserver is not installed: nothing was tested");
                return None;
            };
            let mut coturn = Self { child, port };
            if coturn.answers() {
                return Some(coturn);
            }
        }
    }

    /// Waits until a Binding request is answered; `false` where it has ended, since somebody else took the port.
    fn answers(&mut self) -> bool {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let binding = *b"\x00\x01\x00\x00\x21\x12\xA4\x42transaction!";
        for _ in 0..1_000 {
            // Not connected, a socket hears nothing of a port that is closed yet, and waits.
            socket.send_to(&binding, (Ipv4Addr::LOCALHOST, self.port)).expect("it is sent");
            if socket.recv(&mut [0; 1_500]).is_ok() {
                return true;
            }
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
        }
        panic!("coturn does not answer");
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // Ended already is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free over UDP and over TCP.
fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A port where nobody listens over UDP or TCP, and nobody else can for as long as the sockets are held.
pub(crate) fn closed_port() -> ([Socket; 2], u16) {
    loop {
        let sockets = [Type::DGRAM, Type::STREAM].map(|kind| Socket::new(Domain::IPV4, kind, None));
        let [udp, tcp] = sockets.map(|socket| socket.expect("a socket"));
        udp.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        let address = udp.local_addr().expect("an address");
        // It hears somebody else only.
        udp.connect(&SocketAddr::from(([127, 0, 0, 2], 9)).into()).expect("an address");
        if tcp.bind(&address).is_ok() {
            return ([udp, tcp], address.as_socket().expect("an address").port());
        }
    }
}
