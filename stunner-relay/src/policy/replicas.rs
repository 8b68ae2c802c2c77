//! The other replicas of a server, whose relayed transport addresses are peers too.

use std::{
    fmt,
    net::IpAddr,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;

use super::{Cidr, SPECIAL, Verdict, canonical};

/// Where other replicas of a server relay from: their addresses, on the ports of the relay range.
///
/// Addresses come and go as replicas do: whoever finds them out, from a name for instance, [sets](Self::set) them.
/// Judging takes no lock.
///
/// A peer that is not known may be a replica that has just come. If what is known may be [outdated](Self::outdated), the
/// judgement is [`Verdict::NotYet`] and [`on_miss`](Self::on_miss) is called: look again, and set what was found.
///
/// ```
/// use std::sync::Arc;
/// use stunner_relay::{RelayOnly, Replicas};
///
/// let replicas = Arc::new(Replicas::new(49_152..=65_535).range("10.244.0.0/16".parse()?));
/// let policy = RelayOnly::new().replicas(replicas.clone());
/// replicas.set(vec!["192.0.2.7".parse()?]);
/// # drop(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replicas {
    ports: RangeInclusive<u16>,
    ranges: Vec<Cidr>,
    own: Vec<IpAddr>,
    /// Sorted.
    known: ArcSwap<Vec<IpAddr>>,
    outdated: AtomicBool,
    missed: Box<dyn Fn() + Send + Sync>,
}

impl Replicas {
    /// Replicas that relay from these ports, of which none is known yet.
    #[must_use]
    pub fn new(ports: RangeInclusive<u16>) -> Self {
        Self {
            ports,
            ranges: Vec::new(),
            own: Vec::new(),
            known: ArcSwap::default(),
            outdated: AtomicBool::new(false),
            missed: Box::new(|| ()),
        }
    }

    /// Replicas are anywhere in this range too, whatever is set.
    #[must_use]
    pub fn range(mut self, range: Cidr) -> Self {
        self.ranges.push(range);
        self
    }

    /// This address is the server's own, so that only its live relayed transport addresses are peers there.
    #[must_use]
    pub fn own(mut self, ip: IpAddr) -> Self {
        self.own.push(ip);
        self
    }

    /// Calls this where a peer is not known and what is known may be outdated: it is called on the path of packets, so that
    /// it must not wait.
    #[must_use]
    pub fn on_miss(mut self, missed: impl Fn() + Send + Sync + 'static) -> Self {
        self.missed = Box::new(missed);
        self
    }

    /// These are all that there are now. Loopback, link-local and other special addresses are left out.
    pub fn set(&self, addresses: Vec<IpAddr>) {
        let special = |ip: &IpAddr| SPECIAL.iter().any(|range| range.contains(*ip));
        let mut known: Vec<_> = addresses.into_iter().filter_map(canonical).collect();
        known.retain(|ip| !special(ip));
        known.sort_unstable();
        known.dedup();
        self.known.store(known.into());
        self.outdated.store(false, Ordering::Release);
    }

    /// What was set may no longer be all that there is.
    pub fn outdated(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// Every port of a replica is asked for by itself, packet by packet: a replica that is gone is no peer any more.
    pub(super) fn judge(&self, peer: IpAddr, port: Option<u16>) -> Verdict {
        if self.own.contains(&peer) || port.is_some_and(|port| !self.ports.contains(&port)) {
            return Verdict::Deny;
        }
        let in_range = || self.ranges.iter().any(|range| range.contains(peer));
        if self.known.load().binary_search(&peer).is_ok() || in_range() {
            return Verdict::AskPort;
        }
        if self.outdated.load(Ordering::Acquire) {
            (self.missed)();
            return Verdict::NotYet;
        }
        Verdict::Deny
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ports, ranges, known, .. } = self;
        f.debug_struct("Replicas")
            .field("ports", ports)
            .field("ranges", ranges)
            .field("known", known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn replicas() -> Replicas {
        Replicas::new(50_000..=50_099)
    }

    #[test]
    fn a_replica_is_a_peer_on_the_relay_ports_only() {
        let replicas = replicas();
        replicas.set(vec![ip("10.244.0.7"), ip("fd00::7")]);

        for peer in ["10.244.0.7", "fd00::7"] {
            let verdict = |port| replicas.judge(ip(peer), port);
            assert_eq!([verdict(None), verdict(Some(50_000)), verdict(Some(50_099))], [Verdict::AskPort; 3]);
            assert_eq!([verdict(Some(49_999)), verdict(Some(50_100)), verdict(Some(53))], [Verdict::Deny; 3]);
        }
        assert_eq!(replicas.judge(ip("10.244.0.8"), None), Verdict::Deny);
        assert_eq!(replicas.judge(ip("fd00::8"), Some(50_000)), Verdict::Deny);
    }

    #[test]
    fn what_is_set_replaces_what_was_and_ranges_stay() {
        let replicas = replicas().range("192.0.2.0/24".parse().expect("a range"));
        replicas.set(vec![ip("10.244.0.7")]);
        replicas.set(vec![ip("10.244.0.8")]);

        assert_eq!(replicas.judge(ip("10.244.0.7"), None), Verdict::Deny);
        assert_eq!(replicas.judge(ip("10.244.0.8"), None), Verdict::AskPort);
        assert_eq!(replicas.judge(ip("192.0.2.9"), Some(50_001)), Verdict::AskPort);
        assert_eq!(replicas.judge(ip("192.0.2.9"), Some(80)), Verdict::Deny);
    }

    #[test]
    fn an_address_of_the_server_itself_is_none_of_a_replica() {
        let replicas = replicas().own(ip("10.244.0.7")).range("10.0.0.0/8".parse().expect("a range"));
        replicas.set(vec![ip("10.244.0.7"), ip("10.244.0.8")]);

        assert_eq!(replicas.judge(ip("10.244.0.7"), Some(50_000)), Verdict::Deny);
        assert_eq!(replicas.judge(ip("10.244.0.8"), Some(50_000)), Verdict::AskPort);
    }

    #[test]
    fn special_addresses_are_no_replicas_though_a_name_has_them() {
        let replicas = replicas();
        let special = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0"];
        replicas.set(special.map(ip).to_vec());

        for peer in special {
            assert_eq!(replicas.judge(ip(peer), Some(50_000)), Verdict::Deny, "{peer}");
        }
    }

    #[test]
    fn a_miss_is_told_and_is_no_refusal_until_somebody_has_looked() {
        let misses = Arc::new(AtomicUsize::new(0));
        let counter = misses.clone();
        let replicas = replicas().on_miss(move || _ = counter.fetch_add(1, Ordering::Relaxed));
        let peer = ip("10.244.0.9");

        replicas.outdated();
        assert_eq!(replicas.judge(peer, Some(53)), Verdict::Deny);
        assert_eq!(misses.load(Ordering::Relaxed), 0);
        assert_eq!([replicas.judge(peer, None), replicas.judge(peer, Some(50_000))], [Verdict::NotYet; 2]);
        assert_eq!(misses.load(Ordering::Relaxed), 2);

        replicas.set(vec![]);
        assert_eq!(replicas.judge(peer, None), Verdict::Deny);
        replicas.set(vec![peer]);
        assert_eq!(replicas.judge(peer, None), Verdict::AskPort);
        assert_eq!(misses.load(Ordering::Relaxed), 2);
    }
}
