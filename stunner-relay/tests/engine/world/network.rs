//! What lies between hosts: links that take time, lose packets, send them twice and let them overtake one another.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// What a host's link does to packets, in either direction. The default takes no time and loses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// How long a packet takes at least.
    pub(crate) delay: Duration,
    /// And how much longer at most; packets stay in order all the same.
    pub(crate) jitter: Duration,
    /// How many of a hundred are lost.
    pub(crate) loss: u32,
    /// How many of a hundred come twice.
    pub(crate) twice: u32,
    /// How many of a hundred take twice as long, so that others overtake them.
    pub(crate) late: u32,
}

/// A packet on its way.
pub(crate) struct Flight {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Everything that is on its way. Each direction between two hosts has a seed of its own, so that a further host
/// changes nothing for the others.
pub(crate) struct Network {
    seed: u64,
    links: BTreeMap<IpAddr, Link>,
    paths: BTreeMap<(IpAddr, IpAddr), Path>,
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
}

struct Path {
    rng: StdRng,
    last: Option<Instant>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, links: BTreeMap::new(), paths: BTreeMap::new(), flights: BTreeMap::new(), sent: 0 }
    }

    /// Gives a host a link that is not the default one.
    pub(crate) fn link(&mut self, host: IpAddr, link: Link) {
        self.links.insert(host, link);
    }

    /// Puts a packet on its way; over a `stream`, nothing happens to it but that it takes time.
    pub(crate) fn send(&mut self, flight: Flight, now: Instant, stream: bool) {
        let ends = (flight.from.ip(), flight.to.ip());
        let link = self.links.get(&ends.0).or_else(|| self.links.get(&ends.1)).copied().unwrap_or_default();
        let link = if stream { Link { delay: link.delay, ..Link::default() } } else { link };
        let seed = self.seed;
        let path = self.paths.entry(ends).or_insert_with(|| Path::new(seed, ends));
        let Flight { from, to, bytes } = flight;
        for at in path.arrivals(link, now) {
            self.sent += 1;
            self.flights.insert((at, self.sent), Flight { from, to, bytes: bytes.clone() });
        }
    }

    /// When the next packet arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.flights.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next packet that has arrived by now.
    pub(crate) fn arrived(&mut self, now: Instant) -> Option<Flight> {
        let first = self.flights.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

impl Path {
    fn new(seed: u64, (from, to): (IpAddr, IpAddr)) -> Self {
        let mut own = [0; 32];
        own[..8].copy_from_slice(&seed.to_be_bytes());
        for (at, ip) in [(8, from), (20, to)] {
            let bits = match ip {
                IpAddr::V4(ip) => u128::from(ip.to_bits()),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            own[at..at + 12].copy_from_slice(&bits.to_be_bytes()[4..]);
        }
        Self { rng: StdRng::from_seed(own), last: None }
    }

    /// When the copies of a packet that is sent now arrive: none, one or two.
    fn arrivals(&mut self, link: Link, now: Instant) -> impl Iterator<Item = Instant> {
        let [lost, twice, late] =
            [link.loss, link.twice, link.late].map(|of_100| self.rng.random_range(0..100) < of_100);
        let takes = link.delay + link.jitter.mul_f64(self.rng.random());
        let at = if late {
            now + 2 * (link.delay + link.jitter)
        } else {
            let in_order = self.last.unwrap_or(now).max(now + takes);
            self.last = Some(in_order);
            in_order
        };
        std::iter::repeat_n(at, if lost { 0 } else { 1 + usize::from(twice) })
    }
}
