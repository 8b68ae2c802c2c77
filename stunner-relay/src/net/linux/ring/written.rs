//! What the kernel writes into a buffer that was lent to it: a packet, and in front of it all that it says of it.
#![expect(unsafe_code, reason = "what the kernel reads is shared by all threads")]

use std::net::SocketAddr;

use libc::msghdr;

use crate::net::{
    batch::{FRONT, Train},
    linux::{
        control::Control,
        receive::address,
        sys::{self, NAME_LEN, Name},
    },
};

/// What is in front of a packet: four lengths and flags, the sender's address, and control messages.
const HEAD: usize = 16;
const NAME: usize = NAME_LEN as usize;
const CONTROL: usize = size_of::<Control>();

// Otherwise the longest datagrams would lose their ends.
const _: () = assert!(HEAD + NAME + CONTROL <= FRONT);

/// How much room there is for a name and for control messages. The kernel reads it when it is asked, and may read it for
/// as long as it is asked.
#[repr(transparent)]
struct Shape(msghdr);

// SAFETY: its pointers are null, and nobody writes it.
unsafe impl Sync for Shape {}

static SHAPE: Shape = Shape(sys::shape(NAME, CONTROL));

/// Where the kernel reads how a packet is to be written.
pub(super) const fn shape() -> *const msghdr {
    &raw const SHAPE.0
}

/// What is in a buffer.
pub(super) struct Written {
    pub(super) train: Train,
    /// The socket's total of what was dropped, where the kernel tells it.
    pub(super) dropped: Option<u32>,
}

impl Written {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (name, rest) = rest.split_first_chunk::<NAME>()?;
        let (control, packet) = rest.split_first_chunk::<CONTROL>()?;
        let number = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_ne_bytes) as usize;
        let len = number(8).min(packet.len());
        let said = Control(*control).read(number(4).min(CONTROL));
        // A sender of another family than IP cannot be on a UDP socket.
        let from = address(&Name(*name)).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)));
        let stride = said.stride.unwrap_or(len).max(1);
        let start = HEAD + NAME + CONTROL;
        let train = Train { from, to: said.own, start, len, stride, marks: said.marks, token: 0 };
        Some(Self { train, dropped: said.dropped })
    }
}
