//! Where packets are received into: buffers of their own, which can be exchanged for others, and who sent what is in them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use super::marks::Marks;

/// A packet of a [`RecvBatch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// What was received.
    pub data: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of the machine's addresses, where the socket is bound to all of them and can tell.
    pub to: Option<IpAddr>,
    /// What its IP header said, as far as the network can tell.
    pub marks: Marks,
}

/// The longest datagram there is, and the longest train of datagrams that came as one.
pub(super) const SLOT: usize = 1 << 16;

/// What is in front of a packet where the kernel writes it with all that it says of it.
pub(super) const FRONT: usize = 192;

/// How much one turn takes in at most before it is sent.
pub(super) const SLOTS: usize = 32;

/// Room for packets that are received together.
#[derive(Debug)]
pub struct RecvBatch {
    slots: Box<[Slot]>,
    trains: Vec<Train>,
}

/// A buffer that has room for one train.
#[derive(Debug)]
pub(super) struct Slot {
    bytes: Box<[u8]>,
    /// Where its room begins: not at the same distance from a page for all, or the beginnings of all packets would share
    /// a few sets of every cache.
    shift: usize,
}

impl Slot {
    /// One of several, which are numbered.
    pub(super) fn new(number: usize) -> Self {
        let shift = number % 16 * 5 * 64;
        // Pages that no packet was ever received into cost nothing.
        Self { bytes: vec![0; shift + FRONT + SLOT].into(), shift }
    }

    /// All of its room.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.shift..]
    }

    /// What is in it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.shift..]
    }
}

/// Datagrams of one sender that the kernel joined: each has `stride` bytes, but the last, which may have fewer.
#[derive(Clone, Debug)]
pub(super) struct Train {
    pub(super) from: SocketAddr,
    pub(super) to: Option<IpAddr>,
    /// Where it begins in its slot.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) stride: usize,
    /// Those of the first; the kernel joins what is marked alike.
    pub(super) marks: Marks,
    /// Which socket it came to, where that is not known by who asked for it.
    pub(super) token: usize,
}

/// One of the buffers that packets of a turn are in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer<'a> {
    number: u16,
    bytes: &'a [u8],
}

impl<'a> Buffer<'a> {
    /// One that is alone.
    pub(super) const fn only(bytes: &'a [u8]) -> Self {
        Self { number: 0, bytes }
    }

    /// Where in it these bytes are; `None` when they are not part of it.
    pub(super) fn part(self, data: &[u8]) -> Option<Part> {
        let start = (data.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        let end = start.checked_add(data.len()).filter(|&end| end <= self.bytes.len())?;
        Some(Part { buffer: self.number, bytes: start..end })
    }
}

/// Bytes that stay where they are until they are sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Part {
    buffer: u16,
    bytes: Range<usize>,
}

impl Part {
    /// So many of the bytes of a buffer that is alone.
    pub(super) const fn at(bytes: Range<usize>) -> Self {
        Self { buffer: 0, bytes }
    }
}

/// What parts are parts of.
pub(super) trait Buffers {
    /// The bytes of a part.
    fn part(&self, part: &Part) -> &[u8];
}

impl Buffers for [u8] {
    fn part(&self, part: &Part) -> &[u8] {
        self.get(part.bytes.clone()).unwrap_or_default()
    }
}

impl Buffers for RecvBatch {
    fn part(&self, part: &Part) -> &[u8] {
        self.slots.get(usize::from(part.buffer)).map_or(&[], |slot| slot.bytes().part(part))
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(Slot::new).collect(), trains: Vec::with_capacity(SLOTS) }
    }
}

impl RecvBatch {
    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.trains.clear();
    }

    /// Whether another packet of any length fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.trains.len() < SLOTS
    }

    /// Receives one packet with `recv`, which is given a buffer and returns a length and the sender. Without room it is
    /// not called. The buffer has room for the longest datagram, and what was there before in it.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        self.receive_marked(0, |slot| recv(slot).map(|(len, from)| (len, from, Marks::default())))
    }

    /// The same, where what the packet's IP header says is known, and for a socket that the network was asked to
    /// [deliver](super::DatagramSocket::deliver) for by this token; other sockets have none, which is 0.
    ///
    /// # Errors
    /// What `recv` returns; the batch is then as it was.
    pub fn receive_marked(
        &mut self,
        token: usize,
        recv: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr, Marks)>,
    ) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(self.trains.len()) else { return Ok(()) };
        let (len, from, marks) = recv(&mut slot.room()[..SLOT])?;
        let len = len.min(SLOT);
        self.trains.push(Train { from, to: None, start: 0, len, stride: SLOT, marks, token });
        Ok(())
    }

    /// Has a slot filled with what is read from a stream, behind `before`, which came earlier. `fill` returns how many bytes it
    /// put into the room that it is given; when that is none, or an error, the batch is as it was. Otherwise returns the
    /// buffer, and all that it has of the stream. There must be room.
    pub(super) fn fill(
        &mut self,
        before: &[u8],
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Option<(Buffer<'_>, &[u8])>> {
        let number = self.trains.len();
        let Some(slot) = self.slots.get_mut(number) else { return Ok(None) };
        let room = slot.room();
        let Some((start, rest)) = room.split_at_mut_checked(before.len()) else { return Ok(None) };
        start.copy_from_slice(before);
        let len = match fill(rest)? {
            0 => return Ok(None),
            filled => before.len() + filled.min(rest.len()),
        };
        let from = SocketAddr::from(([0; 4], 0));
        let (stride, marks) = (len, Marks::default());
        self.trains.push(Train { from, to: None, start: 0, len, stride, marks, token: 0 });
        let bytes = self.slots[number].bytes();
        let number = u16::try_from(number).unwrap_or_default();
        Ok(Some((Buffer { number, bytes }, &bytes[..len])))
    }

    /// The slots for what comes next, in which [`push`](Self::push) expects it in order.
    #[cfg(target_os = "linux")]
    pub(super) fn vacant(&mut self) -> impl ExactSizeIterator<Item = &mut Slot> {
        self.slots[self.trains.len()..].iter_mut()
    }

    /// Takes in what was received into the next vacant slot.
    #[cfg(target_os = "linux")]
    pub(super) fn push(&mut self, train: Train) {
        debug_assert!(self.has_room() && train.stride > 0);
        self.trains.push(train);
    }

    /// The packets, in the order of arrival.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.arrivals(0).map(|arrival| arrival.packet)
    }

    /// How many slots are taken: [`arrivals`](Self::arrivals) from there are those that are received after this.
    pub(super) fn taken(&self) -> usize {
        self.trains.len()
    }

    /// What is in a slot and in those behind it.
    pub(super) fn arrivals(&self, first: usize) -> impl Iterator<Item = Arrival<'_>> {
        let trains = self.slots.iter().zip(&self.trains).zip(0..).skip(first);
        trains.flat_map(|((slot, train), number)| {
            let buffer = Buffer { number, bytes: slot.bytes() };
            let bytes = buffer.bytes.get(train.start..train.start + train.len).unwrap_or_default();
            let packets = bytes.chunks(train.stride).chain(bytes.is_empty().then_some(bytes));
            packets.map(move |data| Arrival {
                packet: Packet { data, from: train.from, to: train.to, marks: train.marks },
                token: train.token,
                buffer,
            })
        })
    }
}

/// A packet, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) token: usize,
    pub(super) buffer: Buffer<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(port: u16) -> SocketAddr {
        ([198, 51, 100, 1], port).into()
    }

    #[test]
    fn packets_come_back_in_order_and_an_empty_one_is_one() {
        let mut batch = RecvBatch::default();
        for (port, text) in [(1, &b"first"[..]), (2, b""), (3, b"third")] {
            let received = batch.receive(|slot| {
                slot[..text.len()].copy_from_slice(text);
                Ok((text.len(), sender(port)))
            });
            assert!(received.is_ok());
        }

        let packets: Vec<_> = batch.packets().map(|packet| (packet.from.port(), packet.data)).collect();

        assert_eq!(packets, [(1, &b"first"[..]), (2, b""), (3, b"third")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_train_comes_apart_where_its_datagrams_were_joined() {
        let mut batch = RecvBatch::default();
        batch.vacant().next().unwrap().room()[3..13].copy_from_slice(b"aaaabbbbcc");
        let marks = Marks::default();
        batch.push(Train { from: sender(1), to: None, start: 3, len: 10, stride: 4, marks, token: 0 });

        let packets: Vec<_> = batch.packets().map(|packet| packet.data).collect();

        assert_eq!(packets, [&b"aaaa"[..], b"bbbb", b"cc"]);
    }

    #[test]
    fn a_part_of_a_buffer_is_found_in_it_and_what_is_elsewhere_is_not() {
        let bytes = *b"header and data";
        let found = |data, bytes| Buffer::only(bytes).part(data);

        assert_eq!(found(&bytes[11..], &bytes), Some(Part::at(11..15)));
        assert_eq!(found(&bytes[15..], &bytes), Some(Part::at(15..15)));
        assert_eq!(found(&bytes, &bytes), Some(Part::at(0..15)));
        assert_eq!(found(&bytes, &bytes[1..]), None);
    }

    #[test]
    fn a_part_is_of_the_slot_that_its_packet_is_in() {
        let mut batch = RecvBatch::default();
        for text in [b"one", b"two"] {
            let received = batch.receive(|slot| {
                slot[..3].copy_from_slice(text);
                Ok((3, sender(1)))
            });
            assert!(received.is_ok());
        }

        let parts: Vec<_> = batch.arrivals(0).filter_map(|a| a.buffer.part(&a.packet.data[1..])).collect();

        assert_eq!(parts.iter().map(|part| batch.part(part)).collect::<Vec<_>>(), [b"ne", b"wo"]);
    }

    #[test]
    fn a_full_batch_takes_no_more() {
        let mut batch = RecvBatch::default();
        while batch.has_room() {
            batch.receive(|_| Ok((1, sender(1)))).unwrap();
        }

        batch.receive(|_| panic!("there is no room")).unwrap();

        assert_eq!(batch.packets().count(), SLOTS);
    }
}
