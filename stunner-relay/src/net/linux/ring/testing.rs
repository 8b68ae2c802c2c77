//! What tests make go wrong.

use super::*;
use crate::net::linux::tests::sever;

impl Rings {
    /// Rings that are tried out though they may not wake who waits for them.
    pub(in crate::net::linux) fn deferred() -> io::Result<Self> {
        Self::with(ReceiveRing::deferred()?)
    }

    /// Rings that are tried out though the kernel knows nothing of them.
    pub(in crate::net::linux) fn severed() -> io::Result<Self> {
        let receive = ReceiveRing::new()?;
        sever(receive.as_raw_fd());
        Self::with(receive)
    }

    /// Has the kernel know nothing of the ring to receive by. Nobody is told.
    pub(in crate::net::linux) fn sever(&self) {
        sever(self.receive.borrow().as_raw_fd());
    }

    /// Gives up the ring to receive by.
    pub(in crate::net::linux) fn give_up(&self) {
        self.receiving(|ring| ring.give_up(io::Error::other("a test wants it")));
    }

    /// Does without the ring to send by.
    pub(in crate::net::linux) fn lose_sending(&self) {
        self.send.take();
    }

    /// Takes a socket from the files of the ring to send by.
    pub(in crate::net::linux) fn lose_file(&self, registered: Registered) {
        if let (Some(file), Some(ring)) = (registered.file, &mut *self.send.borrow_mut()) {
            ring.forget(file);
        }
    }

    /// Whether datagrams are still sent by the ring.
    pub(in crate::net::linux) fn sends(&self) -> bool {
        self.send.borrow().is_some()
    }
}
