//! A network in memory that notes where packets lie when they are received and sent, and that does not send everything.

use std::{cell::RefCell, io, net::SocketAddr, ops::Range, rc::Rc, time::Instant};

use stunner_relay::net::{Datagram, DatagramSocket, Network, Ready, RecvBatch};

use crate::switchboard::{MemorySocket, Switchboard};

/// From where to where bytes lie in memory.
pub(crate) type Place = Range<usize>;

pub(crate) fn place(bytes: &[u8]) -> Place {
    let Range { start, end } = bytes.as_ptr_range();
    start as usize..end as usize
}

/// What went through the sockets of a worker.
#[derive(Default)]
pub(crate) struct Log {
    /// Each packet, in the batch that it was received into.
    pub(crate) received: Vec<Place>,
    /// The parts of each datagram.
    pub(crate) sent: Vec<[Place; 3]>,
}

/// The network of a worker, whose sockets all write into one log.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) network: Switchboard,
    pub(crate) log: Rc<RefCell<Log>>,
    /// What is not sent, by its last byte, and why.
    pub(crate) refuses: Option<(u8, io::ErrorKind)>,
}

pub(crate) struct WatchedSocket {
    socket: MemorySocket,
    watched: Watched,
}

impl Watched {
    pub(crate) fn new(network: &Switchboard) -> Self {
        Self { network: network.clone(), log: Rc::default(), refuses: None }
    }

    pub(crate) fn socket(&self, socket: MemorySocket) -> WatchedSocket {
        WatchedSocket { socket, watched: self.clone() }
    }

    fn refusal(&self, datagram: &Datagram<'_>) -> Option<io::ErrorKind> {
        let last = datagram.parts.iter().rev().find_map(|part| part.last())?;
        self.refuses.filter(|(refused, _)| refused == last).map(|(_, why)| why)
    }
}

impl Network for Watched {
    type Bound = MemorySocket;
    type Socket = WatchedSocket;

    fn bind_relay(&self, address: SocketAddr) -> io::Result<MemorySocket> {
        self.network.bind_relay(address)
    }

    fn attach(&self, bound: MemorySocket) -> io::Result<WatchedSocket> {
        Ok(self.socket(bound))
    }

    fn now(&self) -> Instant {
        self.network.now()
    }
}

impl DatagramSocket for WatchedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn ready(&self) -> impl Future<Output = io::Result<Ready>> {
        self.socket.ready()
    }

    fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        let before = batch.packets().count();
        self.socket.try_recv(batch)?;
        let received = batch.packets().skip(before).map(|packet| place(packet.data));
        self.watched.log.borrow_mut().received.extend(received);
        Ok(())
    }

    fn try_send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        for (index, datagram) in datagrams.iter().enumerate() {
            match self.watched.refusal(datagram) {
                Some(why) if index == 0 => return Err(why.into()),
                Some(_) => return Ok(index),
                None => {}
            }
            let parts = [0, 1, 2].map(|part| place(&datagram.parts[part]));
            self.watched.log.borrow_mut().sent.push(parts);
            self.socket.try_send(std::slice::from_ref(datagram))?;
        }
        Ok(datagrams.len())
    }
}
