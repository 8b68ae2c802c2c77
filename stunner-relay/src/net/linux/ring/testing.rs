//! What tests make go wrong.

use super::*;
use crate::net::linux::tests::sever;

impl Rings {
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
