//! Servers of this repository, in this process: the one that a run without a server to look at uses, and one with other
//! settings for each check that needs them.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    ops::Deref,
};

use stunner_proto::attribute::Userhash;
use stunner_relay::{
    Authenticator, Credential, Identity, OAuth, RelayOnly, SystemClock, UserId,
    net::{Listener, RelayAddress, StartError, TurnServer, TurnServerBuilder},
};

use crate::{
    report::{Outcome, fail, skip},
    world::{Features, User, World},
};

/// What an authorization server would share with ours.
pub(crate) const SERVER_NAME: &str = "turn.example.com";
pub(crate) const KEY_ID: &str = "north";
pub(crate) const KEY: [u8; 32] = [9; 32];

/// A second address, where the system has all of 127/8.
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How often a port may be taken by somebody else between the look for a free one and its use.
const TRIES: usize = 20;

/// What a server relays by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sockets {
    /// Linux's, with io_uring where the kernel allows it.
    IoUring,
    /// Linux's, without.
    Epoll,
    /// Those of every system, which are not told of ICMP errors.
    Portable,
}

impl Sockets {
    fn of(self, builder: TurnServerBuilder) -> TurnServerBuilder {
        match self {
            Self::IoUring => builder,
            Self::Epoll => builder.io_uring(false),
            Self::Portable => builder.portable(),
        }
    }
}

/// Users with passwords.
struct Users(Vec<User>);

impl Authenticator for Users {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        let user = self.0.iter().find(|user| match who.user {
            UserId::Name(name) => name == user.name,
            UserId::Hash(hash) => *hash == Userhash::new(&user.name, who.realm).0,
            _ => false,
        });
        if let Some(user) = user {
            try_key(Credential::new(who.key(&user.name, &user.password), &user.name));
        }
    }

    fn knows_hashes(&self) -> bool {
        true
    }
}

/// Starts the server that is looked at, on a free port of 127.0.0.1, over UDP and TCP, with all that it can do.
pub(crate) fn start(users: &[User; 2], sockets: Sockets) -> Result<(TurnServer, SocketAddr), Box<dyn Error>> {
    let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let started = listen(users, &both, sockets, |builder| {
        let oauth = OAuth::new(SERVER_NAME, SystemClock).key(KEY_ID, KEY);
        let builder = builder.software("stunner").mobility().oauth(oauth);
        if is_here(SECOND) { builder.behaviour_discovery((SECOND, 0).into()) } else { builder }
    });
    Ok(started?)
}

/// A server with the settings that a check needs, for as long as the check runs.
pub(crate) struct Own {
    server: TurnServer,
    world: World,
}

impl Own {
    /// Where its nth listener is.
    pub(crate) fn server_at(&self, n: usize) -> &str {
        self.server.listeners().get(n).map_or("", Listener::address)
    }
}

impl Deref for Own {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// A server with other settings, where the one that is looked at is ours; otherwise the check needs `what`.
pub(crate) fn with(
    w: &World,
    what: &str,
    change: impl Fn(TurnServerBuilder) -> TurnServerBuilder,
) -> Outcome<Own> {
    with_families(w, what, &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)], change)
}

/// The same, with relayed transport addresses on these addresses only.
pub(crate) fn with_families(
    w: &World,
    what: &str,
    relays: &[IpAddr],
    change: impl Fn(TurnServerBuilder) -> TurnServerBuilder,
) -> Outcome<Own> {
    let Some(other) = w.other.as_ref().filter(|_| w.own) else { return skip(format!("needs {what}")) };
    let one = NonZeroUsize::MIN;
    let users = [w.user.clone(), other.clone()];
    match listen(&users, relays, w.sockets, |builder| change(builder.workers(one))) {
        Ok((server, address)) => {
            let features = Features {
                mobility: false,
                oauth: false,
                other_address: false,
                software: false,
                ..w.features.clone()
            };
            Ok(Own { server, world: w.elsewhere(address, features) })
        }
        Err(error) => fail("a server with other settings", error.to_string()),
    }
}

/// A server that knows no more than its users. Peers are those on loopback.
fn listen(
    users: &[User; 2],
    relays: &[IpAddr],
    sockets: Sockets,
    change: impl Fn(TurnServerBuilder) -> TurnServerBuilder,
) -> Result<(TurnServer, SocketAddr), StartError> {
    let ranges = ["127.0.0.0/8", "::1/128"].map(|range| range.parse().expect("a range"));
    let mut tries = TRIES;
    loop {
        let policy = ranges.iter().fold(RelayOnly::new(), |policy, &range| policy.allow(range));
        let builder =
            TurnServer::builder().realm("example.com").authenticator(Users(users.to_vec())).policy(policy);
        let relays = relays.iter().filter(|&&ip| is_here(ip));
        let builder = relays.fold(builder, |builder, &ip| builder.relay_address(RelayAddress::bind(ip)));
        let builder = sockets.of(builder);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let builder = builder.listen(Listener::udp(address)).listen(Listener::tcp(address));
        tries -= 1;
        match change(builder).start() {
            Ok(server) => return Ok((server, address)),
            Err(StartError::Busy(_)) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// A port that is free on UDP, and most likely on TCP.
pub(crate) fn free_port() -> u16 {
    let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    bound.map_or(0, |address| address.port())
}
