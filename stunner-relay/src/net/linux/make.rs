//! A network of Linux's, with io_uring or without.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

use super::{LinuxNetwork, Shared, features, ring::Rings, send::Takes};
use crate::net::marks::Copied;

impl Default for LinuxNetwork {
    fn default() -> Self {
        Self::new(Copied::default(), None)
    }
}

impl LinuxNetwork {
    /// Like [`default`](Self::default), but relayed transport addresses are received and sent by io_uring where the kernel,
    /// version 6.1 or later, and the container allow it; where they do not, the log says why.
    ///
    /// It has to be made on the worker's thread, whose blocking calls the kernel may interrupt from then on.
    #[must_use]
    pub fn with_io_uring() -> Self {
        let (network, refusal) = Self::try_io_uring(Copied::default());
        refusal.into_iter().for_each(|error| features::log_refusal(&error, 1));
        network
    }

    /// One with io_uring, or one without and why.
    pub(in crate::net) fn try_io_uring(copied: Copied) -> (Self, Option<io::Error>) {
        match Rings::new() {
            Ok(rings) => (Self::new(copied, Some(rings)), None),
            Err(error) => (Self::new(copied, None), Some(error)),
        }
    }

    /// One without.
    pub(in crate::net) fn without_io_uring(copied: Copied) -> Self {
        Self::new(copied, None)
    }

    fn new(copied: Copied, rings: Option<Rings>) -> Self {
        let (receiver, sender) = (RefCell::default(), RefCell::default());
        let takes = Cell::new(Takes { trains: features::cuts_trains(), marks: true });
        Self { shared: Rc::new(Shared { receiver, sender, takes, copied, rings }) }
    }
}
