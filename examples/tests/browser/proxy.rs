//! What stands between a browser and a server: a TCP proxy that can be cut, and a forwarder of datagrams.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    task::AbortHandle,
};

/// Forwards TCP connections.
pub(crate) struct Proxy {
    open: Arc<Mutex<Vec<AbortHandle>>>,
    down: Arc<AtomicBool>,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    pub(crate) async fn start(listen: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(listen).await.expect("an address to listen on");
        let address = listener.local_addr().expect("an address");
        let (open, down) = (Arc::<Mutex<Vec<AbortHandle>>>::default(), Arc::<AtomicBool>::default());
        let (all, refuse) = (open.clone(), down.clone());
        tokio::spawn(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                if refuse.load(Ordering::Relaxed) {
                    continue;
                }
                let task = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                all.lock().expect("the list").push(task.abort_handle());
            }
        });
        Self { open, down, address }
    }

    /// Ends all connections, and lets none through until [`Proxy::mend`].
    pub(crate) fn cut(&self) {
        self.down.store(true, Ordering::Relaxed);
        self.open.lock().expect("the list").drain(..).for_each(|task| task.abort());
    }

    pub(crate) fn mend(&self) {
        self.down.store(false, Ordering::Relaxed);
    }
}

/// Forwards datagrams as a NAT does, by one socket for each source.
pub(crate) async fn forward_udp(listen: SocketAddr, to: SocketAddr) {
    let near = Arc::new(UdpSocket::bind(listen).await.expect("an address to listen on"));
    tokio::spawn(async move {
        let mut sources: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut packet = vec![0; 65_536];
        while let Ok((length, from)) = near.recv_from(&mut packet).await {
            let far = match sources.entry(from) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let far = Arc::new(UdpSocket::bind(SocketAddr::new(to.ip(), 0)).await.expect("a socket"));
                    far.connect(to).await.expect("an address");
                    tokio::spawn(back(far.clone(), near.clone(), from));
                    new.insert(far)
                }
            };
            let _ = far.send(&packet[..length]).await;
        }
    });
}

async fn back(far: Arc<UdpSocket>, near: Arc<UdpSocket>, to: SocketAddr) {
    let mut packet = vec![0; 65_536];
    while let Ok(length) = far.recv(&mut packet).await {
        let _ = near.send_to(&packet[..length], to).await;
    }
}
