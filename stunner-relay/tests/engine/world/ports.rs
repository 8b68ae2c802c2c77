//! The relayed transport addresses that a world hands out: free ones, even ones, and those that are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};
use stunner_proto::attribute::AddressFamily;
use stunner_relay::{AllocateRequest, PortWish, Refusal, Relayed};

/// How long a port is kept for who has its token.
const HOLD: Duration = Duration::from_secs(30);

pub(crate) struct Ports {
    /// The addresses that relayed transport addresses are on, one of a family at most.
    pub(crate) addresses: Vec<IpAddr>,
    /// The ports of each.
    pub(crate) range: RangeInclusive<u16>,
    /// Addresses on which no port is free, whatever their range says.
    pub(crate) exhausted: BTreeSet<IpAddr>,
    taken: BTreeSet<SocketAddr>,
    kept: BTreeMap<[u8; 8], Kept>,
}

/// A port that waits for its user.
struct Kept {
    until: Instant,
    user: String,
    relayed: SocketAddr,
}

impl Ports {
    pub(crate) fn new(addresses: &[IpAddr]) -> Self {
        Self {
            addresses: addresses.to_vec(),
            range: 49_152..=65_535,
            exhausted: BTreeSet::new(),
            taken: BTreeSet::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Takes what is wanted.
    pub(crate) fn take(&mut self, request: &AllocateRequest, now: Instant, rng: &mut StdRng) -> Relayed {
        self.kept.retain(|_, kept| now < kept.until);
        let wants = request.wants();
        if let PortWish::Reserved(token) = wants.port {
            let kept = self.kept.get(&token.0).filter(|kept| kept.user == request.user());
            let relayed = kept.map(|kept| kept.relayed).ok_or(Refusal::InsufficientCapacity);
            if let Ok(relayed) = relayed {
                self.kept.remove(&token.0);
                self.taken.insert(relayed);
            }
            return match relayed {
                Ok(relayed) if relayed.is_ipv6() => Relayed { v4: None, v6: Some(Ok(relayed)) },
                relayed => Relayed { v4: Some(relayed), v6: None },
            };
        }
        wants.bind(|family| self.take_family(request, family, now, rng))
    }

    fn take_family(
        &mut self,
        request: &AllocateRequest,
        family: AddressFamily,
        now: Instant,
        rng: &mut StdRng,
    ) -> Result<SocketAddr, Refusal> {
        let own = |ip: &&IpAddr| AddressFamily::of(**ip) == family;
        let ip = *self.addresses.iter().find(own).ok_or(Refusal::AddressFamilyNotSupported)?;
        let is_even = |port: u16| port.is_multiple_of(2);
        let relayed = match request.wants().port {
            PortWish::Even => self.free(ip, rng, |_, port| is_even(port)),
            PortWish::EvenAndNext(token) => {
                let even = self.free(ip, rng, |this, port| {
                    is_even(port) && this.is_free(SocketAddr::new(ip, port.saturating_add(1)))
                });
                if let Some(even) = even {
                    let relayed = SocketAddr::new(ip, even.port() + 1);
                    let user = request.user().to_owned();
                    self.kept.insert(token.0, Kept { until: now + HOLD, user, relayed });
                }
                even
            }
            _ => self.free(ip, rng, |_, _| true),
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
        let kept = self.kept.values().any(|kept| kept.relayed == relayed);
        let exhausted = self.exhausted.contains(&relayed.ip());
        self.range.contains(&relayed.port()) && !self.taken.contains(&relayed) && !kept && !exhausted
    }
}
