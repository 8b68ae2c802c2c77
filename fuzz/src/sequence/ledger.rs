//! What was granted to whom, as can be seen from the answers alone: the measure of what may pass.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use stunner_proto::{
    AttributeType, Message, Method,
    attribute::{AddressFamily, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress},
};
use stunner_relay::{AllocationId, Client, Config};

/// How long a permission and a channel last (RFC 8656, sections 9 and 12).
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Ledger(pub(super) BTreeMap<AllocationId, Entry>);

pub(super) struct Entry {
    pub(super) user: &'static str,
    /// Where the client is, and where it went and has not sent from yet.
    pub(super) at: Client,
    moving: Option<Client>,
    stranded: bool,
    pub(super) tcp: bool,
    expires: Instant,
    permitted: BTreeMap<IpAddr, Grant>,
    bound: BTreeMap<u16, (SocketAddr, Grant)>,
}

/// A permission or a channel.
#[derive(Clone, Copy)]
struct Grant {
    since: Instant,
    /// Whether a policy may have ended it since: then it takes no room.
    doubtful: bool,
}

impl Grant {
    fn new(since: Instant) -> Self {
        Self { since, doubtful: false }
    }

    fn takes_room(&self, now: Instant, long: Duration) -> bool {
        now < self.since + long && !self.doubtful
    }
}

impl Ledger {
    /// A request of `user` was answered with success.
    pub(super) fn granted(
        &mut self,
        id: AllocationId,
        from: Client,
        user: &'static str,
        [request, answer]: [&Message<'_>; 2],
        now: Instant,
    ) {
        let expires =
            answer.get().ok().flatten().map(|Lifetime(seconds)| now + Duration::from_secs(seconds.into()));
        if request.method() == Method::ALLOCATE {
            self.0.entry(id).or_insert_with(|| Entry {
                user,
                at: from,
                moving: None,
                stranded: false,
                tcp: request.get() == Ok(Some(RequestedTransport::TCP)),
                expires: expires.expect("a lifetime"),
                permitted: BTreeMap::new(),
                bound: BTreeMap::new(),
            });
        }
        let entry = self.0.get_mut(&id).expect("it was allocated");
        assert_eq!(entry.user, user, "nobody touches what is another user's");
        match request.method() {
            Method::REFRESH => {
                let whole = request.get::<RequestedAddressFamily>() == Ok(None);
                let expires = expires.expect("a lifetime");
                entry.expires = if whole { expires } else { entry.expires.max(expires) };
                if request.contains(AttributeType::MOBILITY_TICKET) {
                    entry.follow(from);
                }
            }
            Method::CREATE_PERMISSION => {
                let peers = request.all::<XorPeerAddress>().map(|peer| peer.expect("an address").0.ip());
                entry.permitted.extend(peers.map(|peer| (peer, Grant::new(now))));
            }
            Method::CHANNEL_BIND => {
                let XorPeerAddress(peer) = request.require().expect("a peer");
                let number = request.require::<stunner_proto::ChannelNumber>().expect("a number").get();
                entry.permitted.insert(peer.ip(), Grant::new(now));
                entry.bound.insert(number, (peer, Grant::new(now)));
            }
            _ => {}
        }
    }

    /// Data of a client: if it has moved, it has arrived by that.
    pub(super) fn sent(&mut self, from: Client) {
        for entry in self.0.values_mut() {
            if entry.moving == Some(from) {
                (entry.at, entry.moving) = (from, None);
            }
        }
    }

    /// A connection ended that allocations may outlive.
    pub(super) fn closed(&mut self, client: Client) {
        for entry in self.0.values_mut() {
            if entry.moving == Some(client) {
                entry.moving = None;
            } else if entry.at == client {
                match entry.moving.take() {
                    Some(to) => entry.at = to,
                    None => {
                        entry.stranded = true;
                        entry.at.tuple.client.set_port(0);
                    }
                }
            }
        }
    }

    /// There is another policy, which ends what it denies when that is tried.
    pub(super) fn doubt(&mut self) {
        for entry in self.0.values_mut() {
            let channels = entry.bound.values_mut().map(|(_, grant)| grant);
            entry.permitted.values_mut().chain(channels).for_each(|grant| grant.doubtful = true);
        }
    }

    /// As many as there may be.
    pub(super) fn check(&self, config: &Config, now: Instant) {
        for entry in self.0.values() {
            let permissions =
                entry.permitted.values().filter(|grant| grant.takes_room(now, PERMISSION)).count();
            let channels = entry.bound.values().filter(|(_, grant)| grant.takes_room(now, CHANNEL)).count();
            assert!(permissions <= config.max_permissions, "{permissions} permissions");
            assert!(channels <= config.max_channels, "{channels} channels");
        }
    }
}

impl Entry {
    fn follow(&mut self, from: Client) {
        if self.stranded {
            (self.at, self.stranded) = (from, false);
        } else if self.at != from {
            self.moving = Some(from);
        }
    }

    pub(super) fn is_live(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// One of two addresses ended, and what was permitted in its family with it.
    pub(super) fn forget(&mut self, family: AddressFamily) {
        self.permitted.retain(|ip, _| AddressFamily::of(*ip) != family);
        self.bound.retain(|_, (peer, _)| AddressFamily::of(peer.ip()) != family);
    }

    pub(super) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permitted.get(&peer).is_some_and(|grant| now < grant.since + PERMISSION)
    }

    pub(super) fn bound(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let (peer, grant) = self.bound.get(&number)?;
        (now < grant.since + CHANNEL).then_some(*peer)
    }
}
