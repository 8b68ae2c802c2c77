//! Two addresses of one server, IPv4 and IPv6: whichever answers first is used (RFC 8656, section 3.9).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Client, MAX_REQUEST, Transmit, allocate::State};

/// The head start of the address that is preferred: 250 ms (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Clients for the two addresses of one server, until one of them is answered.
///
/// Neither has shown any credentials until then, so that the other leaves nothing behind at the server.
#[derive(Debug)]
pub struct Race {
    /// The preferred one first; none when the race is over.
    clients: Vec<Client>,
    start: Instant,
}

impl Race {
    /// A race between two clients that were just made; `other` begins 250 ms later.
    #[must_use]
    pub fn new(preferred: Client, other: Client, now: Instant) -> Self {
        Self { clients: vec![preferred, other], start: now + HEAD_START }
    }

    /// Takes in a packet.
    pub fn handle_input(&mut self, packet: &[u8], from: SocketAddr, now: Instant) {
        for client in &mut self.clients {
            client.handle_input(packet, from, now);
        }
    }

    /// Takes in a hard ICMP error from the way to one of the two addresses.
    pub fn handle_unreachable(&mut self, server: SocketAddr, now: Instant) {
        for client in self.clients.iter_mut().filter(|client| client.tuple.server == server) {
            client.handle_unreachable(now);
        }
    }

    /// Writes the next request that is to be sent now.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8; MAX_REQUEST]) -> Option<Transmit> {
        let started = if now < self.start { 1 } else { 2 };
        self.clients.iter_mut().take(started).find_map(|client| client.poll_transmit(now, buf))
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) are to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = self.clients.iter().map(Client::poll_timeout);
        let head_start = [None, Some(self.start)];
        timeouts
            .zip(head_start)
            .filter_map(|(at, start)| at.map(|at| start.map_or(at, |start| at.max(start))))
            .min()
    }

    /// Gives up what was not answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        for client in &mut self.clients {
            client.handle_timeout(now);
        }
    }

    /// The client that was answered first, or the preferred one once both have given up. The race is over then.
    pub fn poll_winner(&mut self) -> Option<Client> {
        let answered = self.clients.iter().position(|client| client.credentials.is_challenged());
        let idle = self.clients.iter().all(|client| matches!(client.state, State::Idle));
        let winner = answered.or((idle && !self.clients.is_empty()).then_some(0))?;
        let winner = self.clients.swap_remove(winner);
        self.clients.clear();
        Some(winner)
    }
}
