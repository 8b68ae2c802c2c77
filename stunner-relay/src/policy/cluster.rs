//! Peers that are listed, for each listener by itself: what a gateway's routes and clusters say.

use std::{collections::HashMap, net::IpAddr, ops::RangeInclusive};

use foldhash::quality::RandomState;

use super::{Cidr, PeerPolicy, SPECIAL, Verdict};
use crate::{Client, ListenerId};

/// Peers that are listed, and no others; each listener has a list of its own.
///
/// A range opens what lies in it, public or private. What is special (unspecified, loopback, link-local, multicast,
/// broadcast, reserved) opens for a range only that lies inside the special one: `127.0.0.1/32` opens itself, and
/// `0.0.0.0/0` opens neither that nor the metadata of clouds at 169.254.169.254.
///
/// ```
/// use stunner_relay::{ClusterPolicy, ListenerId};
///
/// let media = "10.1.0.0/16".parse()?;
/// let policy = ClusterPolicy::new(1).allow(ListenerId(0), media, 10_000..=20_000);
/// # Ok::<(), stunner_relay::ParseCidrError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClusterPolicy {
    listeners: Vec<Listed>,
    relays_are_listed: bool,
}

impl ClusterPolicy {
    /// For a server with so many listeners, of which none lists anybody yet.
    #[must_use]
    pub fn new(listeners: u16) -> Self {
        Self { listeners: vec![Listed::default(); usize::from(listeners)], relays_are_listed: false }
    }

    /// Lists the peers of a range, on these ports, for the clients of one listener.
    ///
    /// # Panics
    /// There are not so many listeners.
    #[must_use]
    pub fn allow(mut self, listener: ListenerId, range: Cidr, ports: RangeInclusive<u16>) -> Self {
        self.listeners[usize::from(listener.0)].add(range, &ports);
        self
    }

    /// Says which addresses this server relays from, once everything is listed. Where every listener lists them all, on
    /// all ports, its clients reach one another by their relayed transport addresses even if those are special: a server
    /// that relays from 127.0.0.1 then lets `0.0.0.0/0` reach its live relays there, and nothing else on that address.
    #[must_use]
    pub fn relays(mut self, addresses: &[IpAddr]) -> Self {
        let listed = |listed: &Listed| addresses.iter().all(|&ip| listed.everything_at(ip));
        self.relays_are_listed = !self.listeners.is_empty() && self.listeners.iter().all(listed);
        self
    }
}

impl PeerPolicy for ClusterPolicy {
    fn judge(&self, peer: IpAddr, port: Option<u16>, client: &Client, _: &str) -> Verdict {
        let listed = self.listeners.get(usize::from(client.listener.0));
        listed.map_or(Verdict::Deny, |listed| listed.judge(peer, port))
    }

    fn relay_to_relay(&self) -> bool {
        self.relays_are_listed
    }
}

/// What one listener's clients may reach: for each family, the ranges by their length, of which there are few.
#[derive(Clone, Debug, Default)]
struct Listed {
    v4: Vec<Ranges>,
    v6: Vec<Ranges>,
}

/// All ranges of one length, by the bits that their addresses share.
#[derive(Clone, Debug, Default)]
struct Ranges {
    bits: u8,
    ranges: HashMap<u128, Range, RandomState>,
}

/// The ports of a range: from a first to a last, in order, none touching another.
#[derive(Clone, Debug, Default)]
struct Range {
    special: bool,
    ports: Vec<(u16, u16)>,
}

impl Listed {
    fn add(&mut self, range: Cidr, ports: &RangeInclusive<u16>) {
        if ports.is_empty() {
            return;
        }
        let lengths = if range.base.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let found = lengths.iter().position(|ranges| ranges.bits == range.bits);
        let at = found.unwrap_or_else(|| {
            lengths.push(Ranges { bits: range.bits, ranges: HashMap::default() });
            lengths.len() - 1
        });
        let entry = lengths[at].ranges.entry(shared_bits(range.base, range.bits)).or_default();
        entry.special = is_special(range);
        entry.add(*ports.start(), *ports.end());
    }

    /// The listed ranges that an address lies in.
    fn ranges(&self, peer: IpAddr) -> impl Iterator<Item = &Range> {
        let lengths = if peer.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().filter_map(move |ranges| ranges.ranges.get(&shared_bits(peer, ranges.bits)))
    }

    fn judge(&self, peer: IpAddr, port: Option<u16>) -> Verdict {
        let mut ranges = self.ranges(peer).peekable();
        if ranges.peek().is_none() {
            return Verdict::Deny;
        }
        let special = is_special(Cidr::from(peer));
        let mut open = ranges.filter(|range| range.special || !special);
        match port {
            Some(port) => open.any(|range| range.contains(port)).into(),
            None => match open.next() {
                None => Verdict::Deny,
                Some(first) if first.has_all_ports() || open.any(Range::has_all_ports) => Verdict::Allow,
                Some(_) => Verdict::AskPort,
            },
        }
    }

    /// Whether an address is listed with all of its ports, be it special or not.
    fn everything_at(&self, ip: IpAddr) -> bool {
        self.ranges(ip).any(Range::has_all_ports)
    }
}

impl Range {
    /// Adds ports, and joins them with those that they touch.
    fn add(&mut self, first: u16, last: u16) {
        let from = self.ports.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.ports.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let touched = &self.ports[from..to];
        let first = touched.first().map_or(first, |&(start, _)| start.min(first));
        let last = touched.last().map_or(last, |&(_, end)| end.max(last));
        self.ports.splice(from..to, [(first, last)]);
    }

    fn contains(&self, port: u16) -> bool {
        let next = self.ports.partition_point(|&(_, last)| last < port);
        self.ports.get(next).is_some_and(|&(first, _)| first <= port)
    }

    /// Port 0 is nobody's.
    fn has_all_ports(&self) -> bool {
        matches!(self.ports[..], [(0 | 1, u16::MAX)])
    }
}

/// The first bits of an address, as a number.
fn shared_bits(ip: IpAddr, bits: u8) -> u128 {
    let (number, all) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    number.checked_shr(all - u32::from(bits)).unwrap_or(0)
}

/// Whether a range lies inside a special one.
fn is_special(range: Cidr) -> bool {
    SPECIAL.iter().any(|special| special.bits <= range.bits && special.contains(range.base))
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
