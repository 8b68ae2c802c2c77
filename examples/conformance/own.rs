//! A server of this repository, in this process: what a run without a server to look at uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use stunner_proto::attribute::Userhash;
use stunner_relay::{
    Authenticator, Credential, Identity, RelayOnly, UserId,
    net::{Listener, RelayAddress, TurnServer},
};

use crate::world::User;

/// Two users with passwords.
struct Users([User; 2]);

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

/// Starts it on a free port of 127.0.0.1, over UDP and TCP. Peers are those on loopback.
pub(crate) fn start(users: [User; 2]) -> Result<(TurnServer, SocketAddr), Box<dyn std::error::Error>> {
    let policy = RelayOnly::new().allow("127.0.0.0/8".parse()?).allow("::1/128".parse()?);
    let builder = TurnServer::builder()
        .realm("example.com")
        .software("stunner")
        .authenticator(Users(users))
        .policy(policy)
        .relay_address(RelayAddress::bind(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let six = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let builder = if six {
        builder.relay_address(RelayAddress::bind(IpAddr::V6(Ipv6Addr::LOCALHOST)))
    } else {
        builder
    };
    let port = free_port()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = builder.listen(Listener::udp(address)).listen(Listener::tcp(address)).start()?;
    Ok((server, address))
}

/// A port that is free on UDP and TCP.
fn free_port() -> std::io::Result<u16> {
    loop {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}
