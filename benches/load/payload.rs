//! What is in the packets: who sent which when, and a pattern that shows whether it arrived unchanged.

use std::time::Duration;

/// Where a packet comes from. It begins the application data, or is the transaction ID of a Binding request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) route: u32,
    pub(crate) sequence: u32,
    /// When it was sent, in nanoseconds since the load began.
    pub(crate) sent: u64,
}

/// The length of a stamp in application data.
const STAMP: usize = 16;

/// The longest application data.
const LONGEST: usize = 1_400;

/// Bytes without a period. Packet n has those from n modulo 256 on, so that two packets in a row never look alike.
const PATTERN: [u8; LONGEST + 256] = {
    let mut pattern = [0; LONGEST + 256];
    let mut state: u32 = 0x2112_A442;
    let mut index = 0;
    while index < pattern.len() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[index] = state.to_be_bytes()[0];
        index += 1;
    }
    pattern
};

impl Stamp {
    /// Fills application data.
    pub(crate) fn write(self, data: &mut [u8]) {
        let (head, rest) = data.split_at_mut(STAMP);
        head[..4].copy_from_slice(&self.route.to_be_bytes());
        head[4..].copy_from_slice(&self.to_id());
        rest.copy_from_slice(self.pattern(rest.len()));
    }

    /// Reads application data of `size` bytes; `None` where they are not what was written.
    pub(crate) fn read(data: &[u8], size: usize) -> Option<Self> {
        let (head, rest) = data.split_first_chunk::<STAMP>()?;
        let (route, id) = head.split_first_chunk::<4>()?;
        let stamp = Self::from_id(u32::from_be_bytes(*route), id.first_chunk()?);
        (data.len() == size && rest == stamp.pattern(rest.len())).then_some(stamp)
    }

    /// All but the route, as a transaction ID.
    pub(crate) fn to_id(self) -> [u8; 12] {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.sequence.to_be_bytes());
        id[4..].copy_from_slice(&self.sent.to_be_bytes());
        id
    }

    pub(crate) fn from_id(route: u32, id: &[u8; 12]) -> Self {
        let &[a, b, c, d, ref sent @ ..] = id;
        Self { route, sequence: u32::from_be_bytes([a, b, c, d]), sent: u64::from_be_bytes(*sent) }
    }

    fn pattern(self, len: usize) -> &'static [u8] {
        let from = usize::from(self.sequence.to_be_bytes()[3]);
        &PATTERN[from..from + len]
    }
}

/// What was counted in the time of a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Packets that the driver's kernel took.
    pub(crate) offered: u64,
    /// Packets that arrived where they should, unchanged, for the first time.
    pub(crate) delivered: u64,
    /// Packets that arrived changed, a second time, or at someone else's.
    pub(crate) wrong: u64,
    /// From the driver's send to the driver's receive, in nanoseconds, one for each that was delivered.
    pub(crate) latencies: Vec<u64>,
}

impl Tally {
    pub(crate) fn deliver(&mut self, latency: u64) {
        self.delivered += 1;
        self.latencies.push(latency);
    }

    /// The latency that so many in a hundred do not exceed.
    pub(crate) fn percentile(&mut self, percent: usize) -> Duration {
        self.latencies.sort_unstable();
        let index = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        Duration::from_nanos(self.latencies.get(index).copied().unwrap_or(0))
    }
}

/// The packets of one route: how many were sent, and which of them arrived.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    sent: u32,
    arrived: Vec<u64>,
}

impl Sequence {
    /// The number of the next packet.
    pub(crate) const fn next(&self) -> u32 {
        self.sent
    }

    pub(crate) fn sent(&mut self) {
        self.sent += 1;
        if self.sent.div_ceil(64) as usize > self.arrived.len() {
            self.arrived.push(0);
        }
    }

    /// Whether this one was sent, and had not arrived.
    pub(crate) fn arrives(&mut self, number: u32) -> bool {
        let (word, bit) = (number / 64, 1 << (number % 64));
        match self.arrived.get_mut(word as usize) {
            Some(word) if number < self.sent && *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }
}
