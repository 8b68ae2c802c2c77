//! Calls of two users, each through a replica of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use stunner_relay::Transport;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    leg::{Kind, Leg, Seen},
    net::v6,
    signaling::{Server, User},
};

/// How often a client asks for a peer that was refused: over UDP once, as browsers do.
fn tries(kind: Kind) -> u32 {
    if kind.transport == Transport::Udp { 1 } else { 8 }
}

/// A call that is up.
pub(crate) struct Call {
    pub(crate) legs: [Side; 2],
    /// Their sessions: a user that leaves ends the call.
    _users: [User; 2],
}

/// Packets of one side.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) lost: u64,
}

/// One side of it.
pub(crate) struct Side {
    pub(crate) relayed: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    talk: JoinHandle<Result<(), stunner_relay::client::Lost>>,
}

impl Call {
    /// Registers two users, lets one call the other, and waits until either has a channel to the other. Their relayed
    /// addresses are on different replicas.
    pub(crate) async fn place(name: String, kind: Kind, certificate: CertificateDer<'static>) -> Self {
        let (caller, callee) = (format!("{name}-caller"), format!("{name}-callee"));
        let mut second = User::register(&callee, certificate.clone()).await;
        let mut first = User::register(&caller, certificate).await;

        let (mut near, relayed) = allocate(&first.server(kind.transport), kind, None).await;
        let offer = relayed.to_string();
        let server = second.server(kind.transport);
        let answered = async {
            let (from, offer) = second.called().await;
            let peer: SocketAddr = offer.parse().expect("an address");
            let (mut far, relayed) = allocate(&server, kind, Some(peer)).await;
            second.accept(&from, &relayed.to_string()).await;
            far.reach(peer, tries(kind)).await.unwrap_or_else(|why| panic!("{relayed} to {peer}: {why}"));
            (far, relayed, peer)
        };
        let asked = async {
            let answer = first.call(&callee, &offer).await;
            let peer: SocketAddr = answer.parse().expect("an address");
            near.reach(peer, tries(kind)).await.unwrap_or_else(|why| panic!("{relayed} to {peer}: {why}"));
        };
        let ((far, far_relayed, _), ()) = tokio::join!(answered, asked);
        let legs = [Side::new(near, relayed, far_relayed), Side::new(far, far_relayed, relayed)];
        Self { legs, _users: [first, second] }
    }

    /// What both sides have received and missed.
    pub(crate) fn counts(&self) -> [Counts; 2] {
        self.legs.each_ref().map(|side| Counts {
            received: side.seen.received.load(Ordering::Relaxed),
            lost: side.seen.lost.load(Ordering::Relaxed),
        })
    }

    /// Whether a replica carries it.
    pub(crate) fn uses(&self, replica: Ipv4Addr) -> bool {
        let addresses = [IpAddr::from(replica), v6(replica).into()];
        self.legs.iter().any(|side| addresses.contains(&side.relayed.ip()))
    }

    /// Ends it: both give their allocations back.
    pub(crate) async fn hang_up(self) {
        for side in &self.legs {
            side.seen.over.store(true, Ordering::Relaxed);
        }
        for side in self.legs {
            // Who has lost its server has nothing to give back.
            let _ = side.talk.await.expect("it does not panic");
        }
    }
}

impl Side {
    fn new(leg: Leg, relayed: SocketAddr, peer: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let talk = tokio::spawn(leg.talk(peer, seen.clone()));
        Self { relayed, seen, talk }
    }
}

/// An allocation on another replica than the peer's, which is tried for until chance has it.
async fn allocate(server: &Server, kind: Kind, peer: Option<SocketAddr>) -> (Leg, SocketAddr) {
    loop {
        let (mut leg, relayed) = Leg::allocate(server, kind).await.expect("an allocation");
        if peer.is_none_or(|peer| peer.ip() != relayed.ip()) {
            return (leg, relayed);
        }
        leg.close().await;
    }
}
