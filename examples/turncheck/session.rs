//! A TURN client on a link: the sans-IO client, its socket and the clock.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_proto::attribute::AddressFamily;
use stunner_relay::client::{Client, Config, Event, MAX_REQUEST, Port, Received, Wanted};
use tokio::time::timeout_at;

use crate::{link::Link, now, options::Plan};

/// What a client has to tell.
#[derive(Debug)]
pub(crate) enum Happening {
    Event(Event),
    /// A peer's data.
    Data(SocketAddr, Vec<u8>),
    /// The socket failed.
    Broken(io::Error),
    TimeOut,
}

/// One client of the server.
pub(crate) struct Session {
    client: Client,
    link: Link,
}

impl Session {
    /// A client that asks for an allocation.
    pub(crate) fn new(plan: &Plan, link: Link) -> Result<Self, String> {
        let mut config = Config::new(&plan.username, &plan.password);
        config.transport = plan.transport;
        config.software = Some("stunner-rs turncheck".to_owned());
        let family = if plan.relay_ipv6 { AddressFamily::V6 } else { AddressFamily::V4 };
        config.wanted = Wanted::One(family, Port::Any);
        let client = Client::new(config, link.local, link.server, rand::random(), now());
        Ok(Self { client: client.map_err(|error| error.to_string())?, link })
    }

    pub(crate) const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// Goes on with another server, that the first one named.
    pub(crate) fn redirect(&mut self, link: Link) {
        // Busy is what a client is that turns to the other server by itself.
        let _ = self.client.restart(link.local, now());
        self.link = link;
    }

    /// Waits for what happens next.
    pub(crate) async fn next(&mut self, until: Instant) -> Happening {
        loop {
            // Events are first: one of them may say that the link is another one from now on.
            if let Some(event) = self.client.poll_event() {
                return Happening::Event(event);
            }
            let time = now();
            self.client.handle_timeout(time);
            let mut buffer = [0; MAX_REQUEST];
            while let Some(transmit) = self.client.poll_transmit(time, &mut buffer) {
                if let Err(error) = self.link.send(&buffer[..transmit.len]).await {
                    return Happening::Broken(error);
                }
            }
            if time >= until {
                return Happening::TimeOut;
            }
            let wake = self.client.poll_timeout().map_or(until, |next| next.min(until));
            let packet = match timeout_at(wake.into(), self.link.receive()).await {
                Ok(Ok(packet)) => packet,
                Ok(Err(error)) => return Happening::Broken(error),
                Err(_) => continue,
            };
            if let Some(Received { peer, data }) = self.client.handle_input(&packet, self.link.server, now())
            {
                return Happening::Data(peer, data.to_vec());
            }
        }
    }

    /// Sends data to a peer.
    pub(crate) async fn send(&mut self, data: &[u8], peer: SocketAddr) -> io::Result<()> {
        let frame = self.client.send(data, peer).map_err(io::Error::other)?;
        self.link.send(&frame.to_vec()).await
    }

    /// Gives the allocation back, so that nothing of this is left at the server.
    pub(crate) async fn close(mut self) {
        let time = now();
        self.client.close(time);
        let until = time + Duration::from_secs(1);
        while !matches!(
            self.next(until).await,
            Happening::Event(Event::Closed) | Happening::Broken(_) | Happening::TimeOut
        ) {}
    }
}
