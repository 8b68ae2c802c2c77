//! What a relay passes on of IP headers (RFC 8656, sections 13 to 16).

/// What the IP header of a datagram says besides addresses and lengths.
///
/// Of a [`Packet`](super::Packet) it is what the network saw, of a [`Datagram`](super::Datagram) what it is to see to: a
/// network that cannot leaves it at the default, which is what an operating system does of itself. The portable one
/// neither sees nor sees to any of it. Data that are relayed from UDP to UDP keep the marks they came with. Responses have
/// the default, and so has what comes from or goes to a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// DSCP in the upper six bits and ECN in the lower two: the type of service of IPv4, the traffic class of IPv6. 0 is best
    /// effort and not ECT.
    pub traffic_class: u8,
    /// The time to live of IPv4, the hop limit of IPv6; `None` is one that was not seen, or the system's.
    pub hop_limit: Option<u8>,
    /// The DF bit: whether routers on the way must not cut the datagram in pieces.
    pub dont_fragment: bool,
}

impl Marks {
    /// The marks of a packet that is relayed: as a router does, the relay takes one from its hop limit. `None` where nothing
    /// is left of that: the packet ends here.
    #[must_use]
    pub fn relayed(self) -> Option<Self> {
        match self.hop_limit {
            None => Some(self),
            Some(0 | 1) => None,
            Some(hops) => Some(Self { hop_limit: Some(hops - 1), ..self }),
        }
    }
}

/// What a network with a sight of IP headers tells of them, and so what is passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    /// DSCP and ECN.
    pub(super) traffic_class: bool,
    /// Hop limits.
    pub(super) hop_limit: bool,
}

impl Default for Copied {
    fn default() -> Self {
        Self { traffic_class: true, hop_limit: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hop_less_is_left_to_what_is_relayed_and_nothing_is_relayed_without_one() {
        let relayed = |hop_limit| {
            let marks = Marks { traffic_class: 0xB9, hop_limit, dont_fragment: true };
            marks.relayed().map(|relayed| {
                assert_eq!(Marks { hop_limit, ..relayed }, marks);
                relayed.hop_limit
            })
        };

        assert_eq!(relayed(Some(64)), Some(Some(63)));
        assert_eq!(relayed(Some(2)), Some(Some(1)));
        assert_eq!(relayed(Some(1)), None);
        assert_eq!(relayed(Some(0)), None);
        assert_eq!(relayed(None), Some(None));
    }
}
