//! Sending by one socket, and what errors mean there: that something else went wrong before, or that the kernel takes less
//! than it was given.

use std::{io, os::fd::RawFd};

use super::{
    LinuxSocket,
    send::{Sender, Takes},
    sys::{self, TooLong},
    watched::Watched,
};
use crate::net::{marks::Marks, socket::Datagram};

/// A datagram that is too long for no way: the kernel believes in none below 552 bytes (`min_pmtu` of IPv4), whatever ICMP
/// says.
const SHORT: usize = 500;

impl LinuxSocket {
    /// Sends those at the beginning that may be cut on their way, or else those that may not.
    pub(super) fn send(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let is_whole = |datagram: &Datagram<'_>| datagram.marks.dont_fragment && datagram.to.is_ipv4();
        let whole = datagrams.first().is_some_and(is_whole);
        let alike = datagrams.iter().take_while(|datagram| is_whole(datagram) == whole).count();
        let datagrams = &datagrams[..alike];
        if whole {
            self.unfragmented(|| self.send_alike(self.fd(), datagrams))
        } else {
            self.send_alike(self.way(datagrams), datagrams)
        }
    }

    /// The socket that datagrams leave by. Where all are for a busy peer, and plain, it is the one that single ones leave by,
    /// too: a network card may have a queue for each socket, and would change their order.
    fn way(&self, datagrams: &[Datagram<'_>]) -> RawFd {
        let Some(first) = datagrams.first() else { return self.fd() };
        let is_plain =
            |datagram: &Datagram<'_>| datagram.to == first.to && datagram.marks == Marks::default();
        match self.direct(first.to) {
            Some((fd, _)) if datagrams.iter().all(is_plain) => fd,
            _ => self.fd(),
        }
    }

    /// Sets the DF bit for what is sent meanwhile. It is a property of sockets and not of datagrams; few clients ask for
    /// it. What ICMP says of it comes later, when the DF bit is long clear again.
    pub(super) fn unfragmented<T>(&self, send: impl FnOnce() -> T) -> T {
        if !self.hears_too_long.replace(true)
            && let Watched::Delivered(delivered) = &self.socket
        {
            // The kernel has the second socket hear of the peer that it is connected to.
            delivered.direct.fd().iter().for_each(|second| sys::treat(second, TooLong::CutAndTold));
        }
        sys::treat(self.socket.get_ref(), TooLong::Dropped);
        let sent = send();
        sys::treat(self.socket.get_ref(), TooLong::CutAndTold);
        sent
    }

    fn send_alike(&self, fd: RawFd, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        let mut sender = self.shared.sender.borrow_mut();
        let takes = self.shared.takes.get();
        let error = match self.attempt(fd, &mut sender, datagrams, takes) {
            Err(error) => error,
            sent => return sent,
        };
        // Otherwise something would have been sent.
        let refused = &datagrams[..sender.first().min(datagrams.len())];
        let mut last = None;
        for less in less(takes, refused, &error) {
            match self.attempt(fd, &mut sender, refused, less) {
                Ok(sent) => {
                    self.learn(&error, less, refused);
                    return Ok(sent);
                }
                Err(again) if may_refuse_train(&again) || may_refuse_marks(&again) => last = Some(again),
                // It says nothing about what was left out: that it was taken without more might be chance.
                Err(again) => return Err(again),
            }
        }
        Err(last.unwrap_or(error))
    }

    /// Sends, and once more where an error may be about something else: that is not told twice.
    fn attempt(
        &self,
        fd: RawFd,
        sender: &mut Sender,
        datagrams: &[Datagram<'_>],
        takes: Takes,
    ) -> io::Result<usize> {
        match sender.send(fd, datagrams, takes) {
            Err(error) if may_be_of_another(&error) => {
                self.tell_error();
                sender.send(fd, datagrams, takes)
            }
            // The kernel stopped at an error that it does not tell, and which is then told nowhere else.
            Ok(sent) if sent < datagrams.len() => {
                self.tell_error();
                Ok(sent)
            }
            result => result,
        }
    }

    /// Remembers what the kernel refused, when it took the same with less.
    fn learn(&self, error: &io::Error, less: Takes, refused: &[Datagram<'_>]) {
        let mut takes = self.shared.takes.get();
        if takes.marks && !less.marks {
            tracing::info!(%error, "the kernel takes no marks for datagrams: DSCP, ECN and hop limit are its own");
            takes.marks = false;
        }
        let len = refused.first().map_or(0, Datagram::len);
        if takes.trains && !less.trains && refuses_all_trains(error, len) {
            tracing::debug!(%error, "the kernel does not cut a train of datagrams: they are sent one by one");
            takes.trains = false;
        }
        self.shared.takes.set(takes);
    }
}

/// What is worth trying with what was refused. The next one is tried only if that before was refused, too: so what the
/// kernel takes at last differs from something that it does not take by the marks alone, or by the train alone.
fn less(takes: Takes, refused: &[Datagram<'_>], error: &io::Error) -> impl Iterator<Item = Takes> + use<> {
    let marked = takes.marks && refused.first().is_some_and(|first| has_messages(first.marks));
    let marks = marked && may_refuse_marks(error);
    let trains = refused.len() > 1 && may_refuse_train(error);
    let unmarked = marks.then_some(Takes { marks: false, ..takes });
    let uncut = trains.then_some(Takes { trains: false, ..takes });
    let neither = (marks && trains).then_some(Takes { marks: false, trains: false });
    [unmarked, uncut, neither].into_iter().flatten()
}

/// Whether marks are such as control messages carry; the DF bit is the socket's.
const fn has_messages(Marks { traffic_class, hop_limit, dont_fragment: _ }: Marks) -> bool {
    traffic_class != 0 || hop_limit.is_some()
}

/// Whether an error may be about a datagram that was sent before: the kernel returns an ICMP error by whatever call comes
/// next, once. It may be about what was to be sent now as well, and then comes again.
pub(super) fn may_be_of_another(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(is_icmp)
}

/// Whether the kernel has this number for an ICMP error (`icmp_err_convert` and `icmpv6_err_convert`).
pub(super) const fn is_icmp(number: i32) -> bool {
    matches!(
        number,
        libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENOPROTOOPT
            | libc::ECONNREFUSED
            | libc::EMSGSIZE
            | libc::EOPNOTSUPP
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EACCES
            | libc::EPROTO
    )
}

/// Whether an error that came again may be about a train, and its datagrams may pass one by one.
fn may_refuse_train(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT | libc::EMSGSIZE)
    )
}

/// Whether no other train would be cut either, once the datagrams of one, the first of them so long, have passed one by one.
///
/// EMSGSIZE says that these are too long for the way, and older kernels say EINVAL then. What ICMP can say is not
/// believed: peers could see to it.
fn refuses_all_trains(error: &io::Error, len: usize) -> bool {
    match error.raw_os_error() {
        Some(libc::EIO) => true,
        Some(libc::EINVAL) => len <= SHORT,
        _ => false,
    }
}

/// Whether an error may be about marks: a kernel knows control messages, or does not.
fn may_refuse_marks(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasts(number: i32, len: usize) -> bool {
        refuses_all_trains(&io::Error::from_raw_os_error(number), len)
    }

    #[test]
    fn a_train_of_short_datagrams_that_is_refused_is_the_last_one_and_a_long_one_may_be_too_long_for_its_way()
    {
        assert!(lasts(libc::EINVAL, 160) && lasts(libc::EIO, 160) && lasts(libc::EIO, 1_200));
        assert!(!lasts(libc::EINVAL, 1_200) && !lasts(libc::EMSGSIZE, 160));
    }

    #[test]
    fn what_icmp_can_say_is_never_the_end_of_trains_or_marks() {
        for number in (1..200).filter(|&number| may_be_of_another(&io::Error::from_raw_os_error(number))) {
            assert!(!lasts(number, 160), "{number}");
            assert!(!may_refuse_marks(&io::Error::from_raw_os_error(number)), "{number}");
        }
    }
}
