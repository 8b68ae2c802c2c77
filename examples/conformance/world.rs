//! The server that is looked at, what it offers, and the clients and peers that look at it.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use stunner_proto::{
    AttributeType, Method,
    attribute::{Nonce, RequestedAddressFamily, RequestedTransport},
};

use crate::{
    client::Client,
    message::{Answer, Draft},
    own::Sockets,
    report::{Outcome, fail, skip},
    wire::{PATIENCE, Wire, now},
};

/// Challenges that are asked for in a second. Servers limit what one address gets.
const CHALLENGES: u32 = 120;

/// Who has credentials.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// What a server was seen to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features {
    pub(crate) tcp_listener: bool,
    pub(crate) password_algorithms: bool,
    pub(crate) userhash: bool,
    pub(crate) oauth: bool,
    pub(crate) software: bool,
    pub(crate) ipv6: bool,
    pub(crate) dont_fragment: bool,
    pub(crate) mobility: bool,
    pub(crate) tcp_relay: bool,
    pub(crate) other_address: bool,
}

/// All that a check may use.
pub(crate) struct World {
    pub(crate) server: SocketAddr,
    /// Whether the server is one of this repository, in this process: then there can be others with other settings.
    pub(crate) own: bool,
    /// What that one relays by.
    pub(crate) sockets: Sockets,
    /// Whether clients come over TCP where it does not matter.
    pub(crate) tcp: bool,
    pub(crate) realm: Option<String>,
    pub(crate) user: User,
    pub(crate) other: Option<User>,
    pub(crate) peer_address: IpAddr,
    /// A peer that the server must refuse.
    pub(crate) denied: IpAddr,
    pub(crate) quiet: Duration,
    pub(crate) slow: bool,
    pub(crate) redirects: bool,
    pub(crate) features: Features,
    /// When the next challenge may be asked for.
    pub(crate) pace: Mutex<Instant>,
}

impl World {
    /// The same clients and peers before another server.
    pub(crate) fn elsewhere(&self, server: SocketAddr, features: Features) -> Self {
        Self {
            server,
            own: self.own,
            sockets: self.sockets,
            tcp: self.tcp,
            realm: self.realm.clone(),
            user: self.user.clone(),
            other: self.other.clone(),
            peer_address: self.peer_address,
            denied: self.denied,
            quiet: self.quiet,
            slow: self.slow,
            redirects: self.redirects,
            features,
            pace: Mutex::new(now()),
        }
    }

    /// A client that knows realm and nonce.
    pub(crate) fn client(&self) -> Outcome<Client<'_>> {
        Client::challenged(self, self.wire()?, &self.user)
    }

    pub(crate) fn tcp_client(&self) -> Outcome<Client<'_>> {
        Client::challenged(self, self.tcp_wire()?, &self.user)
    }

    pub(crate) fn udp_client(&self) -> Outcome<Client<'_>> {
        Client::challenged(self, self.udp_wire()?, &self.user)
    }

    /// A client with an allocation, and its relayed transport address.
    pub(crate) fn allocated(&self) -> Outcome<(Client<'_>, SocketAddr)> {
        let client = self.client()?;
        let relayed = client.allocate()?;
        Ok((client, relayed))
    }

    /// A client with an allocation, and a peer that it permits.
    pub(crate) fn path(&self) -> Outcome<Path<'_>> {
        self.path_of(self.client()?)
    }

    pub(crate) fn path_of<'w>(&'w self, client: Client<'w>) -> Outcome<Path<'w>> {
        let relayed = client.allocate()?;
        let peer = self.peer()?;
        client.permit(peer.address)?;
        Ok(Path { client, relayed, peer })
    }

    pub(crate) fn wire(&self) -> Outcome<Wire> {
        if self.tcp { self.tcp_wire() } else { self.udp_wire() }
    }

    pub(crate) fn udp_wire(&self) -> Outcome<Wire> {
        Wire::open(self.server, false, 0, self.quiet)
    }

    pub(crate) fn tcp_wire(&self) -> Outcome<Wire> {
        if self.features.tcp_listener {
            Wire::open(self.server, true, 0, self.quiet)
        } else {
            skip("nothing listens on TCP there")
        }
    }

    /// Where a peer does not listen, for as long as its socket is held, which nobody else can have then.
    pub(crate) fn closed_peer(&self) -> Outcome<Peer> {
        let peer = self.peer()?;
        // It hears somebody else only.
        match peer.socket.connect((self.peer_address, 9)) {
            Ok(()) => Ok(peer),
            Err(error) => skip(format!("no closed port on {}: {error}", self.peer_address)),
        }
    }

    /// A socket that plays the peer.
    pub(crate) fn peer(&self) -> Outcome<Peer> {
        let bound =
            UdpSocket::bind((self.peer_address, 0)).and_then(|socket| Ok((socket.local_addr()?, socket)));
        match bound {
            Ok((address, socket)) => Ok(Peer { socket, address, quiet: self.quiet }),
            Err(error) => skip(format!("no peer on {}: {error}", self.peer_address)),
        }
    }

    /// Other credentials than the first.
    pub(crate) fn other(&self) -> Outcome<&User> {
        self.other.as_ref().map_or_else(|| skip("needs --other NAME:PASSWORD"), Ok)
    }

    pub(crate) fn need(&self, offered: bool, what: &str) -> Outcome {
        if offered { Ok(()) } else { skip(format!("the server does not offer {what}")) }
    }

    /// Waits for a time that only patient runs wait.
    pub(crate) fn wait(&self, seconds: u64) -> Outcome {
        self.need_slow(seconds)?;
        thread::sleep(Duration::from_secs(seconds));
        Ok(())
    }

    pub(crate) fn need_slow(&self, seconds: u64) -> Outcome {
        if self.slow { Ok(()) } else { skip(format!("takes {seconds} s, with --slow")) }
    }

    /// Waits until the next challenge may be asked for.
    pub(crate) fn pace(&self) {
        let wait = {
            let mut next = self.pace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let wait = next.saturating_duration_since(now());
            *next = (*next).max(now()) + Duration::from_secs(1) / CHALLENGES;
            wait
        };
        thread::sleep(wait);
    }

    /// Finds out what the server offers.
    pub(crate) fn look(&mut self) -> Outcome {
        self.features.tcp_listener = Wire::open(self.server, true, 0, self.quiet).is_ok();
        let challenge = self.challenge()?;
        let nonce = challenge.get::<Nonce<'_>>()?.features();
        self.features.password_algorithms = challenge.has(AttributeType::PASSWORD_ALGORITHMS);
        self.features.userhash = nonce.is_some_and(|features| features.username_anonymity);
        self.features.oauth = challenge.has(AttributeType::THIRD_PARTY_AUTHORIZATION);
        self.features.software = challenge.has(AttributeType::SOFTWARE);
        let six =
            Draft::allocate().with(&RequestedAddressFamily(stunner_proto::attribute::AddressFamily::V6));
        self.features.ipv6 = self.offers(&six)?;
        self.features.dont_fragment = self.offers(&Draft::allocate().raw(0x001A, &[]))?;
        let answer = self.client()?.success(&Draft::allocate().raw(0x8030, &[]));
        self.features.mobility = answer.is_ok_and(|answer| answer.has(AttributeType::MOBILITY_TICKET));
        if self.features.tcp_listener {
            let tcp = Draft::request(Method::ALLOCATE).with(&RequestedTransport::TCP);
            let answer = self.tcp_client()?.ask(&tcp)?;
            self.features.tcp_relay = answer.success().is_ok();
        }
        let binding = self.udp_wire()?.ask(&Draft::request(Method::BINDING).bytes());
        self.features.other_address = binding.is_ok_and(|binding| binding.has(AttributeType::OTHER_ADDRESS));
        Ok(())
    }

    fn challenge(&self) -> Outcome<Answer> {
        let answer = self.wire()?.ask(&Draft::allocate().bytes())?;
        if answer.code() == Some(401) {
            Ok(answer)
        } else {
            fail("a TURN server that asks for credentials", answer.to_string())
        }
    }

    fn offers(&self, allocate: &Draft) -> Outcome<bool> {
        Ok(self.client()?.success(allocate).is_ok())
    }
}

/// A client, its allocation, and a peer that it permits.
pub(crate) struct Path<'w> {
    pub(crate) client: Client<'w>,
    pub(crate) relayed: SocketAddr,
    pub(crate) peer: Peer,
}

impl Path<'_> {
    /// That the peer's datagrams reach the client as Data indications.
    pub(crate) fn delivers(&self, data: &[u8]) -> Outcome {
        self.peer.says(self.relayed, data);
        self.client.hears(self.peer.address, data)
    }

    /// That the peer's datagrams do not reach the client.
    pub(crate) fn holds_back(&self) -> Outcome {
        self.peer.says(self.relayed, b"not permitted");
        self.client.wire.stays_silent()
    }
}

/// A UDP socket on the other side.
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    pub(crate) address: SocketAddr,
    quiet: Duration,
}

impl Peer {
    pub(crate) fn says(&self, to: SocketAddr, data: &[u8]) {
        let _ = self.socket.send_to(data, to);
    }

    /// The next datagram, which must come and hold this; where it came from.
    pub(crate) fn hears(&self, data: &[u8]) -> Outcome<SocketAddr> {
        let Some((got, from)) = self.receive(PATIENCE) else {
            return fail(format!("{} bytes at the peer", data.len()), "nothing");
        };
        if got == data {
            Ok(from)
        } else {
            fail(format!("{} bytes at the peer", data.len()), format!("{} bytes, or others", got.len()))
        }
    }

    pub(crate) fn hears_nothing(&self) -> Outcome {
        match self.receive(self.quiet) {
            None => Ok(()),
            Some((got, from)) => fail("nothing at the peer", format!("{} bytes from {from}", got.len())),
        }
    }

    fn receive(&self, limit: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = vec![0; 66_000];
        self.socket.set_read_timeout(Some(limit)).ok()?;
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        buffer.truncate(length);
        Some((buffer, from))
    }
}
