//! How much a client may send and receive: token buckets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{Rng, rngs::StdRng};

/// A rate of application data, for each direction by itself. What exceeds it is dropped, and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bandwidth {
    /// In the long run.
    pub bytes_per_second: u64,
    /// At once, after a pause.
    pub burst: u64,
}

impl Bandwidth {
    /// A rate, and bursts of as much as it carries in a second.
    #[must_use]
    pub const fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, burst: bytes_per_second }
    }
}

/// What was used up of a [`Bandwidth`], and not yet won back: in thousandths of a byte, so that every millisecond counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    used: u64,
    at: u64,
}

impl Bucket {
    /// Whether so many bytes are there. `now` is in milliseconds.
    pub(super) fn has(&mut self, bytes: usize, limit: Bandwidth, now: u64) -> bool {
        let burst = limit.burst.saturating_mul(1_000);
        let back = now.saturating_sub(self.at).saturating_mul(limit.bytes_per_second);
        // What was used up under another limit, or under none, is a debt of one burst at most.
        self.used = self.used.min(burst).saturating_sub(back);
        self.at = self.at.max(now);
        self.used.saturating_add(thousandths(bytes)) <= burst
    }

    /// Takes bytes that [were there](Self::has).
    pub(super) fn take(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(thousandths(bytes));
    }
}

const fn thousandths(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(1_000)
}

/// To peers, and to the client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buckets {
    pub(super) to_peers: Bucket,
    pub(super) to_client: Bucket,
}

impl Buckets {
    /// Whether anything was ever taken: then it is worth remembering.
    pub(super) const fn is_touched(&self) -> bool {
        self.to_peers.at > 0 || self.to_client.at > 0 || self.to_peers.used > 0 || self.to_client.used > 0
    }
}

/// Counts the challenges (401, 438) that sources get in a second, in a table that never grows: sources that share a
/// place share its count. So a flood from a forged address is not answered without end.
pub(super) struct Challenges {
    counts: Box<[u32; PLACES]>,
    second: u64,
    key: u64,
}

const PLACES: usize = 4_096;

impl Challenges {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        Self { counts: Box::new([0; PLACES]), second: 0, key: rng.random::<u64>() | 1 }
    }

    /// Whether this source may have another one. `now` is in milliseconds.
    pub(super) fn admits(&mut self, source: IpAddr, limit: u32, now: u64) -> bool {
        if now / 1_000 != self.second {
            self.second = now / 1_000;
            self.counts.fill(0);
        }
        let bits = match source.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            // A network of one client, of which it has all addresses.
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let place = (bits ^ self.key).wrapping_mul(self.key) >> 52;
        let count = &mut self.counts[place as usize % PLACES];
        *count = count.saturating_add(1);
        *count <= limit
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenges(..)")
    }
}

/// The network that a client's address is counted for. A socket for both families sees IPv4 inside IPv6.
pub(super) fn source(ip: IpAddr, (v4, v6): (u8, u8)) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Takes so many bytes, if they are there.
    fn takes(bucket: &mut Bucket, bytes: usize, limit: Bandwidth, now: u64) -> bool {
        let has = bucket.has(bytes, limit, now);
        if has {
            bucket.take(bytes);
        }
        has
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limit = Bandwidth { bytes_per_second: 1_000, burst: 3_000 };
        let mut bucket = Bucket::default();

        assert!((0..3).all(|_| takes(&mut bucket, 1_000, limit, 0)));
        assert!(!takes(&mut bucket, 1, limit, 0));
        assert!(!takes(&mut bucket, 501, limit, 500));
        assert!(takes(&mut bucket, 500, limit, 500));
        assert!(!takes(&mut bucket, 1, limit, 500));
    }

    #[test]
    fn what_did_not_fit_is_not_used_up() {
        let limit = Bandwidth::new(1_000);
        let mut bucket = Bucket::default();

        assert!(!takes(&mut bucket, 1_001, limit, 0));
        assert!(takes(&mut bucket, 1_000, limit, 0));
    }

    #[test]
    fn a_slow_rate_is_won_back_in_steps_of_a_millisecond_all_the_same() {
        let limit = Bandwidth { bytes_per_second: 10, burst: 10 };
        let mut bucket = Bucket::default();
        assert!(takes(&mut bucket, 10, limit, 0));

        let passed = (1..=1_000).filter(|&now| takes(&mut bucket, 1, limit, now)).count();

        assert_eq!(passed, 10);
    }

    #[test]
    fn a_clock_that_is_set_back_wins_nothing_back() {
        let limit = Bandwidth::new(1_000);
        let mut bucket = Bucket::default();
        assert!(takes(&mut bucket, 1_000, limit, 1_000));

        assert!(!takes(&mut bucket, 1, limit, 0));
        assert!(!takes(&mut bucket, 1, limit, 1_000));
    }

    #[test]
    fn sec_08_a_source_gets_so_many_challenges_a_second() {
        let mut challenges = Challenges::new(&mut StdRng::from_seed([7; 32]));
        let (one, other) = (IpAddr::from([198, 51, 100, 1]), IpAddr::from([198, 51, 100, 2]));
        let mut admitted = |source, now| (0..20).filter(|_| challenges.admits(source, 10, now)).count();

        assert_eq!((admitted(one, 0), admitted(other, 999), admitted(one, 999)), (10, 10, 0));
        assert_eq!(admitted(one, 1_000), 10);
    }

    #[test]
    fn sec_08_and_11_clients_in_ipv4_are_counted_one_by_one_where_a_socket_is_for_both_families() {
        let mut challenges = Challenges::new(&mut StdRng::from_seed([7; 32]));
        let [one, other] = ["::ffff:198.51.100.1", "::ffff:198.51.100.2"].map(|ip| ip.parse().unwrap());
        let mut admitted = |source| (0..20).filter(|_| challenges.admits(source, 10, 0)).count();

        assert_eq!((admitted(one), admitted(other)), (10, 10));
        assert_eq!(source(one, (32, 64)), IpAddr::from([198, 51, 100, 1]));
    }

    #[test]
    fn sources_are_counted_by_network() {
        let of = |ip: &str| source(ip.parse().unwrap(), (24, 64)).to_string();

        assert_eq!(of("198.51.100.7"), "198.51.100.0");
        assert_eq!(of("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        assert_eq!(source("198.51.100.7".parse().unwrap(), (0, 0)), IpAddr::from([0; 4]));
        assert_eq!(source("198.51.100.7".parse().unwrap(), (32, 0)), IpAddr::from([198, 51, 100, 7]));
    }
}
