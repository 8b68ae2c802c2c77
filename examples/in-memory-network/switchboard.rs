//! A network in memory: a switchboard that sockets are plugged into, and wires that take their time.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as StdInstant},
};

use stunner_relay::net::{Datagram, DatagramSocket, Network, Ready, RecvBatch};
use tokio::{
    sync::Notify,
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

/// How long a datagram is on its way.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// How many datagrams wait in a socket at most: the next one is dropped, as a kernel does.
const ROOM: usize = 64;

/// Where datagrams find their receivers.
#[derive(Clone, Default)]
pub(crate) struct Switchboard {
    plugged: Arc<Mutex<HashMap<SocketAddr, Arc<Inbox>>>>,
}

/// What is on its way to a socket, or waits there.
#[derive(Default)]
struct Inbox {
    letters: Mutex<VecDeque<Letter>>,
    sent: Notify,
}

struct Letter {
    from: SocketAddr,
    arrives: Instant,
    data: Vec<u8>,
}

/// A socket that is plugged in for as long as it lives.
pub(crate) struct MemorySocket {
    own: SocketAddr,
    inbox: Arc<Inbox>,
    network: Switchboard,
}

impl Switchboard {
    pub(crate) fn bind(&self, own: SocketAddr) -> io::Result<MemorySocket> {
        let mut plugged = lock(&self.plugged);
        if plugged.contains_key(&own) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let inbox = Arc::<Inbox>::default();
        plugged.insert(own, inbox.clone());
        Ok(MemorySocket { own, inbox, network: self.clone() })
    }

    /// Nobody is told where nobody listens, and who listens to too much loses some.
    fn deliver(&self, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        let Some(inbox) = lock(&self.plugged).get(&to).cloned() else { return };
        let mut letters = lock(&inbox.letters);
        if letters.len() < ROOM {
            letters.push_back(Letter { from, arrives: Instant::now() + DELAY, data });
            inbox.sent.notify_one();
        }
    }
}

/// A relayed port is bound by the socket that it will be.
impl Network for Switchboard {
    type Bound = MemorySocket;
    type Socket = MemorySocket;

    fn bind_relay(&self, address: SocketAddr) -> io::Result<MemorySocket> {
        self.bind(address)
    }

    fn attach(&self, bound: MemorySocket) -> io::Result<MemorySocket> {
        Ok(bound)
    }

    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }

    /// Everything happens in the same way each time. On a network with strangers, leave this method out.
    fn seed(&self) -> [u8; 32] {
        [7; 32]
    }
}

impl MemorySocket {
    pub(crate) async fn recv(&self) -> io::Result<(Vec<u8>, SocketAddr)> {
        loop {
            self.ready().await?;
            if let Some(Letter { from, data, .. }) = self.take() {
                return Ok((data, from));
            }
        }
    }

    pub(crate) fn send(&self, data: Vec<u8>, to: SocketAddr) {
        self.network.deliver(self.own, to, data);
    }

    /// The first letter, if it has arrived.
    fn take(&self) -> Option<Letter> {
        lock(&self.inbox.letters).pop_front_if(|letter| letter.arrives <= Instant::now())
    }
}

impl DatagramSocket for MemorySocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.own)
    }

    async fn ready(&self) -> io::Result<Ready> {
        // Where there is always something, others have their turn all the same.
        consume_budget().await;
        loop {
            // All are equally long on their way, so that the first letter is the first to arrive.
            let first = lock(&self.inbox.letters).front().map(|letter| letter.arrives);
            match first {
                Some(arrives) if arrives <= Instant::now() => return Ok(Ready { data: true, error: false }),
                Some(arrives) => sleep_until(arrives).await,
                None => self.inbox.sent.notified().await,
            }
        }
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        let mut received = 0;
        while batch.has_room()
            && let Some(Letter { from, data, .. }) = self.take()
        {
            batch.receive(|room| {
                room[..data.len()].copy_from_slice(&data);
                Ok((data.len(), from))
            })?;
            received += 1;
        }
        if received > 0 { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        for datagram in datagrams {
            let data = datagram.parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.send(data, datagram.to);
        }
        Ok(datagrams.len())
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        lock(&self.network.plugged).remove(&self.own);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
