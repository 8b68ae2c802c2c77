//! Receiving: as many datagrams as a batch has room for, in one call.
#![expect(unsafe_code, reason = "the kernel is given addresses of memory")]

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::RawFd,
    ptr,
};

use libc::iovec;

use super::{
    control::Control,
    sys::{self, Header, Message, Name},
};
use crate::{
    IcmpError,
    net::batch::{RecvBatch, SLOTS, Train},
};

/// Places for what comes with datagrams, used again for each call.
#[derive(Debug)]
pub(super) struct Receiver {
    names: Box<[Name; SLOTS]>,
    controls: Box<[Control; SLOTS]>,
    parts: Box<[iovec; SLOTS]>,
    headers: Vec<Header>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            names: Box::new([Name::default(); SLOTS]),
            controls: Box::new([Control::default(); SLOTS]),
            parts: Box::new([iovec { iov_base: ptr::null_mut(), iov_len: 0 }; SLOTS]),
            headers: Vec::with_capacity(SLOTS),
        }
    }
}

/// What a call brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Received {
    /// How many messages, trains among them.
    pub(super) messages: usize,
    /// How many datagrams the socket dropped since it was made, where the kernel tells: a `u32` that begins again at 0.
    pub(super) dropped: Option<u32>,
}

impl Receiver {
    /// Receives what is there into the vacant places of a batch, `most` of them.
    pub(super) fn receive(&mut self, fd: RawFd, batch: &mut RecvBatch, most: usize) -> io::Result<Received> {
        let Self { names, controls, parts, headers } = self;
        headers.clear();
        let places = names.iter_mut().zip(controls.iter_mut()).zip(parts.iter_mut());
        for (((name, control), part), slot) in places.zip(batch.vacant()).take(most) {
            *part = sys::room(slot.room());
            headers.push(Header::new(Message {
                name,
                name_len: sys::NAME_LEN,
                parts: part,
                part_count: 1,
                control,
                control_len: size_of::<Control>(),
            }));
        }
        // SAFETY: the headers were made just now, of places that are ours and of slots of the batch, which is borrowed
        // from its owner alone; nobody touches either before the call returns.
        let messages = unsafe { sys::receive(fd, headers) }?;
        let mut dropped = None;
        for ((header, name), control) in headers.iter().zip(names.iter()).zip(controls.iter()).take(messages)
        {
            let said = control.read(header.control_len());
            let len = header.len();
            let stride = said.stride.unwrap_or(len).max(1);
            // A sender of another family than IP cannot be on a UDP socket.
            let from = address(name).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)));
            let marks = said.marks;
            batch.push(Train { from, to: said.own, start: 0, len, stride, token: 0, marks });
            // Nothing is said as long as nothing was dropped; what came later knows of more.
            dropped = said.dropped.or(dropped);
        }
        Ok(Received { messages, dropped })
    }
}

/// Takes an ICMP error from a socket's queue, and to whom the datagram was sent that it is about; `None` for an error of
/// another origin.
pub(super) fn take_error(fd: RawFd) -> io::Result<Option<(IcmpError, SocketAddr)>> {
    let (mut name, mut control, mut quoted) = (Name::default(), Control::default(), [0; 64]);
    let mut part = sys::room(&mut quoted);
    let mut header = Header::new(Message {
        name: &raw mut name,
        name_len: sys::NAME_LEN,
        parts: &raw mut part,
        part_count: 1,
        control: &raw mut control,
        control_len: size_of::<Control>(),
    });
    // SAFETY: the header was made just now, of places that live through the call and that nobody else knows.
    unsafe { sys::receive_error(fd, &mut header) }?;
    Ok(control.read(header.control_len()).error.zip(address(&name)))
}

/// The address that the kernel wrote.
pub(super) fn address(Name(bytes): &Name) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Some((Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into()),
        libc::AF_INET6 => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into())
        }
        _ => None,
    }
}
