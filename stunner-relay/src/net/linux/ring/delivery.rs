//! A socket that the kernel was asked to deliver for, and what it means that it does not any more.

use std::os::fd::RawFd;

use crate::net::linux::{dropped::Dropped, retry::is_icmp};

/// So many failures in a row, without a packet between them, are not going to pass.
const MAX_FAILURES: u8 = 100;

/// A socket that was asked for what comes.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) fd: RawFd,
    pub(super) token: usize,
    pub(super) dropped: Dropped,
    /// There is somebody to tell; otherwise it ends when the kernel says that it has ended.
    pub(super) wanted: bool,
    pub(super) state: State,
    /// How often in a row the kernel had no means for it.
    pub(super) failures: u8,
    /// A packet came since it was asked.
    pub(super) served: bool,
    /// It waits to be named as one that has errors.
    pub(super) failing: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The kernel has been asked, and has not said yet that it has ended.
    Asked,
    /// It waits to be asked again.
    Hungry,
}

/// Why the kernel has ended a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A packet was empty, or the kernel had enough of it.
    Packet,
    /// All buffers were full.
    Full,
    /// An error is there to be told, such as ICMP causes.
    Error,
    /// The kernel has no means just now.
    Passing,
    /// It cannot be had, by this error.
    Never(i32),
}

impl End {
    /// What the last result of a delivery means.
    pub(super) const fn of(result: i32) -> Self {
        match -result {
            ..=0 => Self::Packet,
            libc::ENOBUFS => Self::Full,
            // The last two where it had no memory to be woken.
            libc::EINTR | libc::EAGAIN | libc::ENOMEM | libc::ECANCELED | libc::EBADFD => Self::Passing,
            number if is_icmp(number) => Self::Error,
            other => Self::Never(other),
        }
    }
}

impl Delivery {
    pub(super) const fn new(fd: RawFd, token: usize) -> Self {
        Self {
            fd,
            token,
            dropped: Dropped::since(0),
            wanted: true,
            state: State::Asked,
            failures: 0,
            served: false,
            failing: false,
        }
    }

    /// Takes in that the kernel has ended it, and says why. What was to pass and does not is [never](End::Never) to be had.
    pub(super) const fn ended(&mut self, result: i32) -> End {
        let end = End::of(result);
        self.failures = if matches!(end, End::Passing) { self.failures.saturating_add(1) } else { 0 };
        self.state = State::Hungry;
        if self.failures > MAX_FAILURES { End::Never(-result) } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_icmp_causes_and_what_passes_ends_no_delivery_for_good() {
        let mut delivery = Delivery::new(0, 0);

        for error in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::EMSGSIZE, libc::EPROTO, libc::EACCES] {
            assert_eq!((delivery.ended(-error), delivery.state), (End::Error, State::Hungry));
        }
        assert_eq!((delivery.ended(-libc::ENOBUFS), delivery.state), (End::Full, State::Hungry));
        assert_eq!((delivery.ended(-libc::ENOMEM), delivery.state), (End::Passing, State::Hungry));
        assert_eq!((delivery.ended(0), delivery.state), (End::Packet, State::Hungry));
    }

    #[test]
    fn an_error_that_nobody_knows_ends_a_delivery_for_good() {
        for error in [libc::EBADF, libc::EFAULT, libc::EINVAL, libc::ENOTSOCK, libc::EIO] {
            let mut delivery = Delivery::new(0, 0);

            assert_eq!(delivery.ended(-error), End::Never(error));
        }
    }

    #[test]
    fn a_failure_that_does_not_pass_ends_a_delivery_and_one_that_does_is_forgotten() {
        let mut delivery = Delivery::new(0, 0);
        let fail = |delivery: &mut Delivery| (0..100).all(|_| delivery.ended(-libc::ENOMEM) == End::Passing);

        assert!(fail(&mut delivery));
        assert_eq!(delivery.ended(0), End::Packet);
        assert!(fail(&mut delivery));
        assert_eq!(delivery.ended(-libc::ENOMEM), End::Never(libc::ENOMEM));
    }
}
