//! The system calls, and all that is unsafe.
#![expect(unsafe_code, reason = "no safe interface to these calls avoids an allocation for each")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::unnecessary_cast,
    reason = "C libraries differ in their types for lengths, which are small here"
)]

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

use libc::{c_int, iovec, mmsghdr, msghdr};
use tokio::io::{Interest, unix::AsyncFd};

use super::control::Control;

/// An address as the kernel reads and writes it: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; 28]);

/// The length of a [`Name`] that is to be written.
pub(super) const NAME_LEN: u32 = 28;

/// Where the parts of one message are: plain numbers, which mean something during one call only.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub(super) name: *mut Name,
    pub(super) name_len: u32,
    pub(super) parts: *mut iovec,
    pub(super) part_count: usize,
    pub(super) control: *mut Control,
    pub(super) control_len: usize,
}

/// A message's header, as the calls want it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Header(mmsghdr);

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Header(..)")
    }
}

impl Header {
    pub(super) const fn new(message: Message) -> Self {
        // SAFETY: all fields of `mmsghdr` are integers and pointers, of which zero and null are values. Some C libraries
        // have padding fields besides those that are set below.
        let mut header: msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = message.name.cast();
        header.msg_namelen = message.name_len;
        header.msg_iov = message.parts;
        header.msg_iovlen = message.part_count as _;
        header.msg_control = message.control.cast();
        header.msg_controllen = message.control_len as _;
        Self(mmsghdr { msg_hdr: header, msg_len: 0 })
    }

    /// How many bytes were received.
    pub(super) const fn len(&self) -> usize {
        self.0.msg_len as usize
    }

    /// How many bytes of control messages were received.
    pub(super) const fn control_len(&self) -> usize {
        self.0.msg_hdr.msg_controllen as usize
    }
}

/// How much room there is for a name and for control messages, for a call that finds places for them by itself.
pub(super) const fn shape(name_len: usize, control_len: usize) -> msghdr {
    // SAFETY: all fields of `msghdr` are integers and pointers, of which zero and null are values.
    let mut header: msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = name_len as u32;
    header.msg_controllen = control_len as _;
    header
}

/// A part of a message.
pub(super) const fn part(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Room for a message.
pub(super) const fn room(bytes: &mut [u8]) -> iovec {
    iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

/// Receives as many messages as there are, without waiting, and returns how many.
///
/// # Safety
/// Everything that the headers point to must be there, and must not be borrowed by anybody else during the call.
pub(super) unsafe fn receive(fd: RawFd, headers: &mut [Header]) -> io::Result<usize> {
    let (pointer, len) = (headers.as_mut_ptr().cast::<mmsghdr>(), headers.len());
    // SAFETY: the headers are `len` values of `mmsghdr`, and point to what the caller vouches for.
    let received =
        unsafe { libc::recvmmsg(fd, pointer, len as libc::c_uint, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Receives one message from a socket's queue of errors, without waiting.
///
/// # Safety
/// Everything that the header points to must be there, and must not be borrowed by anybody else during the call.
pub(super) unsafe fn receive_error(fd: RawFd, header: &mut Header) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE;
    // SAFETY: it is one `msghdr`, and points to what the caller vouches for.
    let received = unsafe { libc::recvmsg(fd, &raw mut header.0.msg_hdr, flags) };
    if received < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends as many messages as the kernel takes, without waiting, and returns how many.
///
/// # Safety
/// Everything that the headers point to must be there, and must not be changed by anybody during the call.
pub(super) unsafe fn send(fd: RawFd, headers: &mut [Header]) -> io::Result<usize> {
    if let [Header(header)] = headers {
        // SAFETY: it is one `msghdr`, and points to what the caller vouches for.
        let sent = unsafe { libc::sendmsg(fd, &raw const header.msg_hdr, libc::MSG_DONTWAIT) };
        return if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(1) };
    }
    let (pointer, len) = (headers.as_mut_ptr().cast::<mmsghdr>(), headers.len());
    // SAFETY: the headers are `len` values of `mmsghdr`, and point to what the caller vouches for.
    let sent = unsafe { libc::sendmmsg(fd, pointer, len as libc::c_uint, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sends one message without anything beside it, without waiting: that costs the kernel less.
pub(super) fn send_one(fd: RawFd, data: &[u8], name: &Name, name_len: u32) -> io::Result<()> {
    let name = ptr::from_ref(name).cast();
    // SAFETY: data and name are borrowed for the time of the call, which only reads them, and the name is that long.
    let sent = unsafe {
        libc::sendto(fd, data.as_ptr().cast(), data.len(), libc::MSG_DONTWAIT, name, name_len.min(NAME_LEN))
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The same by a socket that is connected to whom it is for.
pub(super) fn send_connected(fd: RawFd, data: &[u8]) -> io::Result<()> {
    // SAFETY: the data are borrowed for the time of the call, which only reads them.
    let sent = unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has tokio tell when there is something to receive, or an error. Tokio's own sockets are told of room to send, too, which
/// there is anew behind every datagram sent: each would be an event for nothing.
pub(super) fn watch(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a socket of the standard library keeps its file descriptor open, and the same, for as long as it lives.
    let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) };
    watched.map_err(Into::into)
}

/// Asks the kernel to join datagrams of one sender; `false` where it cannot.
pub(super) fn join(socket: &UdpSocket) -> bool {
    switch_on(socket, libc::SOL_UDP, libc::UDP_GRO)
}

/// Whether the kernel knows how to cut a train into datagrams. It is asked to cut none, which is how sockets begin.
pub(super) fn knows_cutting(socket: &UdpSocket) -> bool {
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0)
}

/// Asks the kernel to tell to which address a datagram came; `false` where it cannot.
pub(super) fn tell_destination(socket: &UdpSocket) -> bool {
    switch_on_for_family(socket, libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO)
}

/// Asks the kernel to tell of ICMP errors; `false` where it cannot.
pub(super) fn tell_errors(socket: &UdpSocket) -> bool {
    switch_on_for_family(socket, libc::IP_RECVERR, libc::IPV6_RECVERR)
}

/// Asks the kernel to tell DSCP and ECN of what comes; `false` where it cannot.
pub(super) fn tell_traffic_class(socket: &UdpSocket) -> bool {
    switch_on_for_family(socket, libc::IP_RECVTOS, libc::IPV6_RECVTCLASS)
}

/// Asks the kernel to tell the hop limit of what comes; `false` where it cannot.
pub(super) fn tell_hop_limit(socket: &UdpSocket) -> bool {
    switch_on_for_family(socket, libc::IP_RECVTTL, libc::IPV6_RECVHOPLIMIT)
}

/// Asks the kernel to tell how many datagrams it dropped because the socket was full; `false` where it cannot.
pub(super) fn tell_dropped(socket: &UdpSocket) -> bool {
    switch_on(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL)
}

/// What becomes of datagrams that are too long for their way: a property of sockets, and of IPv4 alone (RFC 8656,
/// section 14). A socket of IPv6 is told of ICMP errors about it as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TooLong {
    /// They are cut in pieces: DF is clear. What ICMP says of those that were not is not told.
    Cut,
    /// They are cut in pieces, and it is told what ICMP says of those that were sent before and were not to be cut.
    CutAndTold,
    /// Routers drop them, and ICMP says so: DF is set, whatever the kernel believes of the way.
    Dropped,
}

/// Has a socket treat what it sends from now on in this way.
pub(super) fn treat(socket: &impl AsRawFd, too_long: TooLong) {
    let set = |discover| set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover);
    // Not all that call themselves Linux know the first; DF must be as it was asked for all the same. A socket of IPv6
    // does not know the option, and need not.
    let _ = match too_long {
        TooLong::Cut => set(libc::IP_PMTUDISC_DONT),
        TooLong::CutAndTold => set(libc::IP_PMTUDISC_OMIT) || set(libc::IP_PMTUDISC_DONT),
        TooLong::Dropped => set(libc::IP_PMTUDISC_PROBE) || set(libc::IP_PMTUDISC_DO),
    };
}

/// Whether datagrams may be cut on their way.
#[cfg(test)]
pub(super) fn may_fragment(socket: &impl AsRawFd) -> bool {
    let (mut value, mut len): (c_int, _) = (-1, size_of::<c_int>() as libc::socklen_t);
    let (fd, level, option) = (socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
    // SAFETY: the option is an `int`, and `value` is one that lives through the call, as `len` does.
    let got = unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast(), &raw mut len) };
    assert_eq!(got, 0, "the option is there");
    matches!(value, libc::IP_PMTUDISC_DONT | libc::IP_PMTUDISC_OMIT)
}

fn switch_on_for_family(socket: &UdpSocket, v4: c_int, v6: c_int) -> bool {
    match socket.local_addr() {
        Ok(own) if own.is_ipv4() => switch_on(socket, libc::IPPROTO_IP, v4),
        Ok(_) => switch_on(socket, libc::IPPROTO_IPV6, v6),
        Err(_) => false,
    }
}

fn switch_on(socket: &UdpSocket, level: c_int, option: c_int) -> bool {
    set(socket, level, option, 1)
}

fn set(socket: &impl AsRawFd, level: c_int, option: c_int, value: c_int) -> bool {
    // SAFETY: the option is an `int`, and `value` is one that lives through the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    done == 0
}
