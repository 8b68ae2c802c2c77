//! Control messages, which go beside a datagram: into how many it is to be cut, which address it came to, what its IP
//! header says, and how many were dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{IcmpError, net::marks::Marks};

/// A length, a level and a type, before the data.
const HEAD: usize = size_of::<usize>() + 8;

/// Room for all that comes with one datagram: a segment's size, an IPv6 address with its interface, a traffic class, a hop
/// limit, and how many were dropped. An error and the address of who sent it need less, and so does what is sent.
const ROOM: usize = 136;

/// A place for control messages.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; ROOM]);

impl Default for Control {
    fn default() -> Self {
        Self([0; ROOM])
    }
}

/// What control messages say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Said {
    /// The length of each datagram of a train.
    pub(super) stride: Option<usize>,
    /// Which address it came to, or is to come from.
    pub(super) own: Option<IpAddr>,
    /// What its IP header said, or is to say, but for the DF bit.
    pub(super) marks: Marks,
    /// Which ICMP error it is.
    pub(super) error: Option<IcmpError>,
    /// How many datagrams the socket dropped before this one, since it was made; a `u32` that begins again at 0.
    pub(super) dropped: Option<u32>,
}

impl Control {
    /// Reads what the kernel wrote: so many bytes.
    pub(super) fn read(&self, len: usize) -> Said {
        let mut said = Said::default();
        let mut rest = self.0.get(..len).unwrap_or_default();
        while let Some((head, _)) = rest.split_first_chunk::<HEAD>() {
            let (length, kind) = head.split_at(size_of::<usize>());
            let length = length.try_into().map_or(0, usize::from_ne_bytes);
            let Some(data) = rest.get(HEAD..length) else { break };
            match (number(kind, 0), number(kind, 4)) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    said.stride = usize::try_from(number(data, 0)).ok().filter(|&stride| stride > 0);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // An interface, the address that answers come from, and the one in the datagram.
                    said.own = chunk(data, 8).map(|ip| Ipv4Addr::from(ip).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    said.own = chunk(data, 0).map(|ip| Ipv6Addr::from(ip).into());
                }
                // A byte, unlike the others.
                (libc::IPPROTO_IP, libc::IP_TOS) => {
                    said.marks.traffic_class = data.first().copied().unwrap_or_default();
                }
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    said.marks.traffic_class = u8::try_from(number(data, 0)).unwrap_or_default();
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    said.marks.hop_limit = u8::try_from(number(data, 0)).ok();
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    said.dropped = chunk(data, 0).map(u32::from_ne_bytes);
                }
                (libc::IPPROTO_IP, libc::IP_RECVERR) => said.error = error(data, ICMP),
                (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => said.error = error(data, ICMPV6),
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        }
        said
    }

    /// Writes what the kernel is to know of a datagram to an address of IPv4 or of IPv6, and returns how many bytes that takes.
    /// Of what a socket does of itself nothing is said, since each message is read by the kernel anew.
    pub(super) fn write(&mut self, said: Said, v4: bool) -> usize {
        let mut len = 0;
        if let Some(stride) = said.stride {
            let stride = u16::try_from(stride).unwrap_or(u16::MAX).to_ne_bytes();
            len = self.push(len, libc::SOL_UDP, libc::UDP_SEGMENT, &stride);
        }
        match said.own {
            Some(IpAddr::V4(ip)) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&ip.octets());
                len = self.push(len, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(ip)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&ip.octets());
                len = self.push(len, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        let (level, class, hops) = if v4 {
            (libc::IPPROTO_IP, libc::IP_TOS, libc::IP_TTL)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::IPV6_HOPLIMIT)
        };
        if said.marks.traffic_class != 0 {
            len = self.push(len, level, class, &i32::from(said.marks.traffic_class).to_ne_bytes());
        }
        if let Some(hop_limit) = said.marks.hop_limit {
            len = self.push(len, level, hops, &i32::from(hop_limit).to_ne_bytes());
        }
        len
    }

    fn push(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let length = HEAD + data.len();
        let end = at + length.next_multiple_of(size_of::<usize>());
        let place = &mut self.0[at..end];
        place.fill(0);
        let (head, rest) = place.split_at_mut(HEAD);
        let (size, kinds) = head.split_at_mut(size_of::<usize>());
        size.copy_from_slice(&length.to_ne_bytes());
        kinds[..4].copy_from_slice(&level.to_ne_bytes());
        kinds[4..].copy_from_slice(&kind.to_ne_bytes());
        rest[..data.len()].copy_from_slice(data);
        end
    }
}

/// Where errors come from that came from the network.
const ICMP: u8 = 2;
const ICMPV6: u8 = 3;

/// An error number, an origin, a type, a code, and what ICMP says besides: an MTU, for us.
fn error(data: &[u8], from: u8) -> Option<IcmpError> {
    let [origin, kind, code, _] = chunk(data, 4)?;
    let mtu = u32::from_ne_bytes(chunk(data, 8)?);
    (origin == from).then_some(IcmpError { kind, code, mtu })
}

fn number(bytes: &[u8], at: usize) -> i32 {
    chunk(bytes, at).map_or(0, i32::from_ne_bytes)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_and_an_address_stand_behind_one_another() {
        let mut control = Control::default();

        let len = control.write(
            Said { stride: Some(1_200), own: Some("2001:db8::1".parse().unwrap()), ..Said::default() },
            false,
        );

        assert_eq!(len % size_of::<usize>(), 0);
        assert_eq!(control.read(len).own, Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_the_kernel_says_of_a_train_is_read_and_nonsense_is_not() {
        let mut control = Control::default();
        let len = control.push(0, libc::SOL_UDP, libc::UDP_GRO, &1_200_i32.to_ne_bytes());

        assert_eq!(control.read(len), Said { stride: Some(1_200), ..Said::default() });
        for len in [0, 1, HEAD - 1, HEAD, HEAD + 3] {
            assert_eq!(control.read(len).stride, None, "{len}");
        }
        control.0[..size_of::<usize>()].fill(0xFF);
        assert_eq!(control.read(ROOM), Said::default());
    }

    #[test]
    fn an_error_of_the_network_is_read_and_one_of_this_machine_is_not() {
        let read = |origin| {
            let mut control = Control::default();
            let mut data = [0; 32];
            data[..12].copy_from_slice(&[90, 0, 0, 0, origin, 3, 4, 0, 0x14, 5, 0, 0]);
            let len = control.push(0, libc::IPPROTO_IP, libc::IP_RECVERR, &data);
            control.read(len).error
        };

        assert_eq!(read(2), Some(IcmpError { kind: 3, code: 4, mtu: u32::from_ne_bytes([0x14, 5, 0, 0]) }));
        assert_eq!(read(1), None);
    }

    #[test]
    fn how_many_were_dropped_is_read_whole_and_not_in_part() {
        for (data, dropped) in [
            (&7_u32.to_ne_bytes()[..], Some(7)),
            (&u32::MAX.to_ne_bytes(), Some(u32::MAX)),
            (&[1, 0, 0], None),
            (&[], None),
        ] {
            let mut control = Control::default();
            let len = control.push(0, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, data);

            assert_eq!(control.read(len), Said { dropped, ..Said::default() }, "{data:?}");
        }
    }

    #[test]
    fn there_is_room_for_all_that_comes_with_a_datagram() {
        let mut control = Control::default();
        let own: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let mut info = [0; 20];
        info[..16].copy_from_slice(&own.octets());

        let len = control.push(0, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &3_u32.to_ne_bytes());
        let len = control.push(len, libc::SOL_UDP, libc::UDP_GRO, &1_200_i32.to_ne_bytes());
        let len = control.push(len, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        let len = control.push(len, libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &64_i32.to_ne_bytes());
        let len = control.push(len, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &0xBB_i32.to_ne_bytes());

        let marks = Marks { traffic_class: 0xBB, hop_limit: Some(64), dont_fragment: false };
        let said = Said { stride: Some(1_200), own: Some(own.into()), marks, error: None, dropped: Some(3) };
        assert_eq!(control.read(len), said);
    }

    #[test]
    fn an_ipv4_destination_is_the_one_in_the_datagram() {
        let mut control = Control::default();
        let len =
            control.push(0, libc::IPPROTO_IP, libc::IP_PKTINFO, &[1, 0, 0, 0, 192, 0, 2, 9, 192, 0, 2, 1]);

        assert_eq!(control.read(len).own, Some(IpAddr::from([192, 0, 2, 1])));
    }

    #[test]
    fn marks_are_written_for_their_family_and_of_what_the_system_does_nothing_is() {
        let marks = Marks { traffic_class: 0xBB, hop_limit: Some(63), dont_fragment: true };
        let mut control = Control::default();

        let len = control.write(Said { marks, ..Said::default() }, false);
        let said = control.read(len);
        assert_eq!(said.marks, Marks { dont_fragment: false, ..marks });

        let len = control.write(Said { marks, ..Said::default() }, true);
        assert_eq!(control.read(len).marks.hop_limit, Some(63));
        for v4 in [true, false] {
            assert_eq!(control.write(Said::default(), v4), 0);
        }
    }

    #[test]
    fn a_type_of_service_is_a_byte_and_a_time_to_live_a_number() {
        let mut control = Control::default();
        let len = control.push(0, libc::IPPROTO_IP, libc::IP_TTL, &64_i32.to_ne_bytes());
        let len = control.push(len, libc::IPPROTO_IP, libc::IP_TOS, &[0xB8]);

        let marks = Marks { traffic_class: 0xB8, hop_limit: Some(64), dont_fragment: false };
        assert_eq!(control.read(len), Said { marks, ..Said::default() });
    }
}
