//! Which worker has a relayed transport address.

use std::{
    iter::repeat_with,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

/// How many ports there are.
const PORTS: usize = 1 << 16;

/// A number for each port of each advertised address: of the worker whose clients' packets come there. It is read without a
/// lock, and what is read may be out of date by the time a packet arrives: the worker looks again.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<(IpAddr, Box<[AtomicU16]>)>);

impl Owners {
    /// Of several workers. One alone owns all there is, and has no need to look.
    pub(super) fn new(advertised: &[IpAddr], workers: usize) -> Self {
        let ports = || repeat_with(AtomicU16::default).take(PORTS).collect();
        let shared = advertised.iter().filter(|_| workers > 1);
        Self(shared.map(|&ip| (ip, ports())).collect())
    }

    /// Whose it is.
    #[inline]
    pub(super) fn of(&self, relayed: SocketAddr) -> Option<usize> {
        usize::from(self.place(relayed)?.load(Ordering::Relaxed)).checked_sub(1)
    }

    /// From now on it is this worker's, counted from 0, or nobody's.
    pub(super) fn set(&self, relayed: SocketAddr, worker: Option<usize>) {
        let number = worker.and_then(|worker| u16::try_from(worker + 1).ok()).unwrap_or(0);
        if let Some(place) = self.place(relayed) {
            place.store(number, Ordering::Relaxed);
        }
    }

    #[inline]
    fn place(&self, relayed: SocketAddr) -> Option<&AtomicU16> {
        let (_, ports) = self.0.iter().find(|(own, _)| *own == relayed.ip())?;
        ports.get(usize::from(relayed.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn relayed(port: u16) -> SocketAddr {
        SocketAddr::new(IP, port)
    }

    #[test]
    fn each_port_of_each_address_has_an_owner_of_its_own_or_none() {
        let other = IpAddr::from([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1]);
        let owners = Owners::new(&[IP, other], 3);

        owners.set(relayed(65_535), Some(2));
        owners.set(SocketAddr::new(other, 65_535), Some(0));
        owners.set(relayed(49_152), Some(1));
        owners.set(relayed(49_152), None);

        assert_eq!(owners.of(relayed(65_535)), Some(2));
        assert_eq!(owners.of(SocketAddr::new(other, 65_535)), Some(0));
        assert_eq!(owners.of(relayed(49_152)), None);
        assert_eq!(owners.of(relayed(65_534)), None);
        assert_eq!(owners.of(([192, 0, 2, 2], 65_535).into()), None);
    }

    #[test]
    fn a_worker_alone_keeps_no_table() {
        let owners = Owners::new(&[IP], 1);

        owners.set(relayed(49_152), Some(0));

        assert_eq!(owners.of(relayed(49_152)), None);
        assert_eq!(owners.0.len(), 0);
    }
}
