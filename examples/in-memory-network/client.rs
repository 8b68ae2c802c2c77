//! A TURN client on a socket in memory: what its core wants sent is sent, and what comes is given to it.

use std::{error::Error, net::SocketAddr};

use stunner_proto::ChannelNumber;
use stunner_relay::{
    client::{Allocated, Client, Config, Event, MAX_REQUEST},
    net::DatagramSocket,
};
use tokio::time::{Instant, timeout_at};

use crate::switchboard::MemorySocket;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A client with an allocation, which is renewed while the client waits for something.
pub(crate) struct TurnClient {
    core: Client,
    socket: MemorySocket,
}

/// What a client waits for.
enum Happening {
    Event(Event),
    Data(Vec<u8>, SocketAddr),
}

impl TurnClient {
    /// Asks a server for an allocation.
    pub(crate) async fn allocate(socket: MemorySocket, server: SocketAddr) -> Result<(Self, Allocated)> {
        let (own, now) = (socket.local_addr()?, Instant::now().into_std());
        let core = Client::new(Config::new("user", "pass"), own, server, [1; 32], now)?;
        let mut client = Self { core, socket };
        let allocated = client.wait(|happening| match happening {
            Happening::Event(Event::Allocated(allocated)) => Some(allocated),
            _ => None,
        });
        let allocated = allocated.await?;
        Ok((client, allocated))
    }

    /// Binds a channel to a peer.
    pub(crate) async fn bind(&mut self, peer: SocketAddr) -> Result<ChannelNumber> {
        let number = self.core.bind(peer, Instant::now().into_std())?;
        self.wait(|happening| matches!(happening, Happening::Event(Event::Bound { .. })).then_some(number))
            .await
    }

    /// Sends data to a peer, over its channel if it has one.
    pub(crate) fn send(&mut self, data: &[u8], peer: SocketAddr) -> Result<()> {
        let frame = self.core.send(data, peer)?;
        let packet = frame.slices().iter().flat_map(|part| part.iter().copied()).collect();
        self.socket.send(packet, self.core.five_tuple().server);
        Ok(())
    }

    /// Waits for data of a peer.
    pub(crate) async fn recv(&mut self) -> Result<(Vec<u8>, SocketAddr)> {
        self.wait(|happening| match happening {
            Happening::Data(data, peer) => Some((data, peer)),
            Happening::Event(_) => None,
        })
        .await
    }

    /// Waits for what `found` finds. What was asked for and is not to be had is an error.
    async fn wait<T>(&mut self, found: impl Fn(Happening) -> Option<T>) -> Result<T> {
        loop {
            match self.next().await? {
                Happening::Event(Event::Refused { why, .. }) => return Err(why.into()),
                Happening::Event(Event::Lost(lost)) => return Err(format!("lost: {lost:?}").into()),
                happening => {
                    if let Some(found) = found(happening) {
                        return Ok(found);
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Happening> {
        loop {
            self.transmit();
            if let Some(event) = self.core.poll_event() {
                return Ok(Happening::Event(event));
            }
            let received = match self.core.poll_timeout() {
                Some(due) => timeout_at(due.into(), self.socket.recv()).await,
                None => Ok(self.socket.recv().await),
            };
            // Else it is time to send something.
            if let Ok(received) = received {
                let (packet, from) = received?;
                if let Some(got) = self.core.handle_input(&packet, from, Instant::now().into_std()) {
                    return Ok(Happening::Data(got.data.to_vec(), got.peer));
                }
            }
        }
    }

    /// Sends what is to be sent now.
    fn transmit(&mut self) {
        let now = Instant::now().into_std();
        self.core.handle_timeout(now);
        let mut buffer = [0; MAX_REQUEST];
        while let Some(transmit) = self.core.poll_transmit(now, &mut buffer) {
            self.socket.send(buffer[..transmit.len].to_vec(), transmit.to);
        }
    }
}
