//! Sending: many datagrams in one call, and those for one receiver as a train that the kernel cuts.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{io, net::SocketAddr, os::fd::RawFd};

use libc::iovec;

use super::{
    control::{Control, Said},
    sys::{self, Header, Message, Name},
};
use crate::net::{marks::Marks, socket::Datagram};

/// Datagrams of one call at most.
const MAX: usize = 64;

/// The kernel cuts a train into so many at most.
const MAX_TRAIN: usize = 64;

/// A train has no more bytes than one datagram could have.
const MAX_BYTES: usize = 65_000;

/// What a kernel takes with what it is to send; it has not refused it yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Takes {
    /// Trains, which it cuts.
    pub(super) trains: bool,
    /// Control messages of what the IP header is to say.
    pub(super) marks: bool,
}

/// Places for what goes with datagrams, used again for each call.
#[derive(Debug)]
pub(super) struct Sender {
    names: Box<[Name; MAX]>,
    controls: Box<[Control; MAX]>,
    parts: Vec<iovec>,
    headers: Vec<Header>,
    trains: Vec<Train>,
}

/// One message, which is several datagrams where the kernel cuts it.
#[derive(Debug)]
struct Train {
    datagrams: usize,
    parts: usize,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            names: Box::new([Name::default(); MAX]),
            controls: Box::new([Control::default(); MAX]),
            parts: Vec::with_capacity(3 * MAX),
            headers: Vec::with_capacity(MAX),
            trains: Vec::with_capacity(MAX),
        }
    }
}

impl Sender {
    /// Sends what the kernel takes of them, and returns how many.
    pub(super) fn send(&mut self, fd: RawFd, datagrams: &[Datagram<'_>], takes: Takes) -> io::Result<usize> {
        if let [datagram] = datagrams
            && let Some(data) = plain(datagram)
        {
            return self.send_plain(fd, datagram.to, data);
        }
        self.send_messages(fd, datagrams, takes)
    }

    fn send_plain(&mut self, fd: RawFd, to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        self.trains.clear();
        let name = &mut self.names[0];
        let name_len = write(to, name);
        sys::send_one(fd, data, name, name_len).map(|()| 1)
    }

    fn send_messages(&mut self, fd: RawFd, datagrams: &[Datagram<'_>], takes: Takes) -> io::Result<usize> {
        let Self { names, controls, parts, headers, trains } = self;
        parts.clear();
        trains.clear();
        let mut rest = &datagrams[..datagrams.len().min(MAX)];
        while !rest.is_empty() {
            let (train, behind) = rest.split_at(if takes.trains { train(rest) } else { 1 });
            let before = parts.len();
            let filled = train.iter().flat_map(|datagram| &datagram.parts).filter(|part| !part.is_empty());
            parts.extend(filled.map(|part| sys::part(part)));
            trains.push(Train { datagrams: train.len(), parts: parts.len() - before });
            rest = behind;
        }
        headers.clear();
        let mut rest = datagrams;
        let mut parts = parts.as_mut_slice();
        let places = names.iter_mut().zip(controls.iter_mut());
        for (train, (name, control)) in trains.iter().zip(places) {
            let (own, behind) = parts.split_at_mut(train.parts);
            parts = behind;
            let first = &rest[0];
            rest = &rest[train.datagrams..];
            let stride = (train.datagrams > 1).then(|| first.len());
            let marks = if takes.marks { first.marks } else { Marks::default() };
            let said = Said { stride, own: first.from, marks, ..Said::default() };
            let control_len = control.write(said, first.to.is_ipv4());
            let name_len = write(first.to, name);
            headers.push(Header::new(Message {
                name,
                name_len,
                parts: own.as_mut_ptr(),
                part_count: own.len(),
                control,
                control_len,
            }));
        }
        // SAFETY: the headers were made just now, of places that are ours and of datagrams that are borrowed until the
        // call has returned.
        let sent = unsafe { sys::send(fd, headers) }?;
        Ok(trains.iter().take(sent).map(|train| train.datagrams).sum())
    }

    /// How many datagrams the first message of the last call was made of.
    pub(super) fn first(&self) -> usize {
        self.trains.first().map_or(1, |train| train.datagrams)
    }
}

/// What is in a datagram that is in one piece and has nothing beside it.
pub(super) fn plain<'a>(datagram: &'a Datagram<'_>) -> Option<&'a [u8]> {
    let mut filled = datagram.parts.iter().filter(|part| !part.is_empty());
    let data = filled.next().map_or(&[][..], |part| part);
    let alone = datagram.from.is_none() && datagram.marks == Marks::default();
    (alone && filled.next().is_none()).then_some(data)
}

/// How many of the first datagrams make a train: of one length, but the last may be shorter, to one receiver, and
/// with the same marks.
fn train(datagrams: &[Datagram<'_>]) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let stride = first.len();
    if stride == 0 {
        return 1;
    }
    let longest = (MAX_BYTES / stride).clamp(1, MAX_TRAIN);
    let mut len = 1;
    for datagram in datagrams.iter().take(longest).skip(1) {
        let size = datagram.len();
        let is_other =
            datagram.to != first.to || datagram.from != first.from || datagram.marks != first.marks;
        if is_other || size > stride || size == 0 {
            break;
        }
        len += 1;
        if size < stride {
            break;
        }
    }
    len
}

/// Writes an address as the kernel reads it, and returns its length.
pub(super) fn write(address: SocketAddr, Name(bytes): &mut Name) -> u32 {
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&family(libc::AF_INET));
            bytes[4..8].copy_from_slice(&address.ip().octets());
            bytes[8..16].fill(0);
            16
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&family(libc::AF_INET6));
            bytes[4..8].fill(0);
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..].copy_from_slice(&address.scope_id().to_ne_bytes());
            28
        }
    }
}

fn family(number: libc::c_int) -> [u8; 2] {
    u16::try_from(number).unwrap_or_default().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    fn datagram(port: u16, len: usize) -> Datagram<'static> {
        const BYTES: [u8; 1_500] = [0; 1_500];
        let parts = [&[][..], &BYTES[..len], &[]].map(IoSlice::new);
        Datagram { to: ([203, 0, 113, 1], port).into(), from: None, marks: Marks::default(), parts }
    }

    #[test]
    fn equal_datagrams_for_one_receiver_are_a_train_and_a_shorter_one_ends_it() {
        let to = |lengths: &[usize]| {
            let all: Vec<_> = lengths.iter().map(|&len| datagram(1, len)).collect();
            train(&all)
        };

        assert_eq!(to(&[1_200, 1_200, 1_200]), 3);
        assert_eq!(to(&[1_200, 1_200, 100, 100]), 3);
        assert_eq!(to(&[100, 1_200]), 1);
        assert_eq!(to(&[0, 0]), 1);
        assert_eq!(to(&[100, 0]), 1);
        assert_eq!(train(&[datagram(1, 100), datagram(2, 100)]), 1);
    }

    #[test]
    fn a_train_is_no_longer_than_the_kernel_takes_it() {
        assert_eq!(train(&[datagram(1, 10); 100]), MAX_TRAIN);
        assert_eq!(train(&[datagram(1, 1_500); 100]), 43);
    }
}
