//! The relayed transport addresses that a world hands out: free ones, even ones, and those that are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};
use stunner_proto::attribute::AddressFamily;
use stunner_relay::{PortWish, Refusal, Wants};

/// How long a port is kept for who has its token.
const HOLD: Duration = Duration::from_secs(30);

pub(crate) struct Ports {
    /// The addresses that relayed transport addresses are on, one of a family at most.
    pub(crate) addresses: Vec<IpAddr>,
    /// The ports of each.
    pub(crate) range: RangeInclusive<u16>,
    taken: BTreeSet<SocketAddr>,
    kept: BTreeMap<[u8; 8], (Instant, SocketAddr)>,
}

impl Ports {
    pub(crate) fn new(addresses: &[IpAddr]) -> Self {
        Self {
            addresses: addresses.to_vec(),
            range: 49_152..=65_535,
            taken: BTreeSet::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Takes what is wanted.
    pub(crate) fn take(
        &mut self,
        wants: Wants,
        now: Instant,
        rng: &mut StdRng,
    ) -> Result<SocketAddr, Refusal> {
        let family = |ip: &&IpAddr| AddressFamily::of(**ip) == wants.family;
        let ip = *self.addresses.iter().find(family).ok_or(Refusal::AddressFamilyNotSupported)?;
        let over: Vec<_> =
            self.kept.iter().filter(|(_, (until, _))| *until <= now).map(|(token, _)| *token).collect();
        for token in over {
            self.kept.remove(&token);
        }
        let relayed = match wants.port {
            PortWish::Any => self.free(ip, rng, |_, _| true),
            PortWish::Even => self.free(ip, rng, |_, port| port % 2 == 0),
            PortWish::EvenAndNext(token) => {
                let even = self.free(ip, rng, |this, port| {
                    port % 2 == 0 && this.is_free(SocketAddr::new(ip, port.saturating_add(1)))
                });
                if let Some(even) = even {
                    self.kept.insert(token.0, (now + HOLD, SocketAddr::new(ip, even.port() + 1)));
                }
                even
            }
            PortWish::Reserved(token) => self.kept.remove(&token.0).map(|(_, kept)| kept),
        };
        let relayed = relayed.ok_or(Refusal::InsufficientCapacity)?;
        self.taken.insert(relayed);
        Ok(relayed)
    }

    pub(crate) fn release(&mut self, relayed: SocketAddr) {
        assert!(self.taken.remove(&relayed), "{relayed} is freed twice");
    }

    /// A free port that fits: a random one, or the next one above.
    fn free(&self, ip: IpAddr, rng: &mut StdRng, fits: impl Fn(&Self, u16) -> bool) -> Option<SocketAddr> {
        let start = rng.random_range(self.range.clone());
        let mut ports = (start..=*self.range.end()).chain(*self.range.start()..start);
        ports.find_map(|port| {
            let relayed = SocketAddr::new(ip, port);
            (self.is_free(relayed) && fits(self, port)).then_some(relayed)
        })
    }

    fn is_free(&self, relayed: SocketAddr) -> bool {
        let kept = self.kept.values().any(|(_, kept)| *kept == relayed);
        self.range.contains(&relayed.port()) && !self.taken.contains(&relayed) && !kept
    }
}
