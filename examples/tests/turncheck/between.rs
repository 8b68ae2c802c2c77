//! What stands between a client and a server, or in its place.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio::io::copy_bidirectional;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// Accepts connections and lets `serve` have each; returns the port.
pub(crate) fn accepting(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

/// A web server that says this and closes, whatever it is asked.
pub(crate) fn web(says: String) -> u16 {
    accepting(move |mut stream| {
        let _ = stream.read(&mut [0; 1_024]);
        let _ = stream.write_all(says.as_bytes());
        // Closed while something is unread, it would be a reset, and what was said would be lost.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// Hands datagrams on to a server and back, unless they are longer than `longest` bytes. Returns the port.
pub(crate) fn narrow(server: &str, longest: usize) -> u16 {
    let server: SocketAddr = server.parse().expect("an address");
    let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"));
    let port = front.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut clients = HashMap::new();
        let mut buffer = [0; 65_536];
        while let Ok((len, client)) = front.recv_from(&mut buffer) {
            let back = clients.entry(client).or_insert_with(|| behind(server, Arc::clone(&front), client));
            if len <= longest {
                let _ = back.send(&buffer[..len]);
            }
        }
    });
    port
}

/// A client's socket on the server's side.
fn behind(server: SocketAddr, front: Arc<UdpSocket>, client: SocketAddr) -> Arc<UdpSocket> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"));
    socket.connect(server).expect("it is there");
    let reader = Arc::clone(&socket);
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(len) = reader.recv(&mut buffer) {
            let _ = front.send_to(&buffer[..len], client);
        }
    });
    socket
}

/// A certificate for a server.
pub(crate) struct Certificate {
    chain: Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>,
    key: KeyPair,
    /// The file of its authority.
    pub(crate) authority: PathBuf,
}

impl Certificate {
    /// For a name, from and until so many days from now.
    pub(crate) fn new(name: &str, days: [i64; 2]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let authority = authority.expect("an authority");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        let [from, until] = days.map(|days| OffsetDateTime::now_utc() + Duration::days(days));
        (params.not_before, params.not_after) = (from, until);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &authority).expect("a certificate");
        Self { chain: vec![leaf.der().clone()], key, authority: file(&authority.pem()) }
    }

    /// TLS in front of a server. Returns the port.
    pub(crate) async fn serve(&self, server: &str) -> u16 {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(self.chain.clone(), key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("they fit")));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    let mut front = acceptor.accept(stream).await.ok()?;
                    let mut back = tokio::net::TcpStream::connect(server).await.ok()?;
                    copy_bidirectional(&mut front, &mut back).await.ok()
                });
            }
        });
        port
    }
}

fn file(text: &str) -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let name = format!("turncheck-{}-{}.pem", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file");
    path
}
