//! Which relayed port next: random within a range, and the ones that are kept under a token.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::attribute::ReservationToken;

use super::socket::Network;

/// How long a port rests after it was closed, so that late packets do not reach its next owner.
const REST: Duration = Duration::from_secs(10);

/// How long a reserved port is kept: at least 30 s (RFC 8656, section 7.2).
const RESERVATION: Duration = Duration::from_secs(45);

/// Random ports that are tried before the range is walked.
const RANDOM_TRIES: usize = 32;

/// Finds free ports on the addresses of one worker.
#[derive(Debug)]
pub(super) struct Ports {
    range: RangeInclusive<u16>,
    rng: StdRng,
    /// Closed ports in the order in which they may be used again, and the same to look them up.
    resting: VecDeque<(Instant, SocketAddr)>,
    is_resting: HashSet<SocketAddr>,
}

impl Ports {
    pub(super) fn new(range: RangeInclusive<u16>, seed: [u8; 32]) -> Self {
        Self { range, rng: StdRng::from_seed(seed), resting: VecDeque::new(), is_resting: HashSet::new() }
    }

    /// Binds a free port; an even one where that is asked for.
    pub(super) fn bind<N: Network>(&mut self, network: &N, ip: IpAddr, even: bool) -> io::Result<N::Bound> {
        self.first(network.now(), ip, even, |address| network.bind_relay(address))
    }

    /// Binds an even port and the next one.
    pub(super) fn bind_pair<N: Network>(
        &mut self,
        network: &N,
        ip: IpAddr,
    ) -> io::Result<(N::Bound, N::Bound)> {
        let last = *self.range.end();
        self.first(network.now(), ip, true, |address| {
            let next =
                address.port().checked_add(1).filter(|&next| next <= last).ok_or(io::ErrorKind::AddrInUse)?;
            Ok((network.bind_relay(address)?, network.bind_relay(SocketAddr::new(ip, next))?))
        })
    }

    /// Lets a closed port rest.
    pub(super) fn release(&mut self, address: SocketAddr, now: Instant) {
        if self.is_resting.insert(address) {
            self.resting.push_back((now + REST, address));
        }
    }

    /// Tries ports, random ones first, until one can be bound.
    fn first<T>(
        &mut self,
        now: Instant,
        ip: IpAddr,
        even: bool,
        mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        while let Some((_, address)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.is_resting.remove(&address);
        }
        let start = self.rng.random_range(self.range.clone());
        let random = std::iter::repeat_with(|| self.rng.random_range(self.range.clone())).take(RANDOM_TRIES);
        let random: Vec<u16> = random.collect();
        let walked = (start..=*self.range.end()).chain(*self.range.start()..start);
        for port in random.into_iter().map(|port| if even { port & !1 } else { port }).chain(walked) {
            let address = SocketAddr::new(ip, port);
            let unfit = even && port % 2 == 1 || !self.range.contains(&port);
            if unfit || self.is_resting.contains(&address) {
                continue;
            }
            match bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Sockets that are kept for their users under a token.
#[derive(Debug)]
pub(super) struct Reservations<S> {
    kept: HashMap<ReservationToken, Reservation<S>>,
}

#[derive(Debug)]
struct Reservation<S> {
    user: Box<str>,
    until: Instant,
    socket: S,
}

impl<S> Default for Reservations<S> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

impl<S> Reservations<S> {
    pub(super) fn keep(&mut self, token: ReservationToken, user: &str, socket: S, now: Instant) {
        let reservation = Reservation { user: user.into(), until: now + RESERVATION, socket };
        self.kept.insert(token, reservation);
    }

    /// What is kept under a token: once, in time, and for its user.
    pub(super) fn take(&mut self, token: ReservationToken, user: &str, now: Instant) -> Option<S> {
        self.expire(now);
        self.kept.get(&token).filter(|kept| *kept.user == *user)?;
        self.kept.remove(&token).map(|kept| kept.socket)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.kept.retain(|_, kept| now < kept.until);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A host whose ports are a set, and whose clock stands still.
    struct Host {
        bound: RefCell<HashSet<u16>>,
        now: Instant,
    }

    struct Port(SocketAddr);

    impl Network for Host {
        type Bound = Port;
        type Socket = tokio::net::UdpSocket;

        fn attach(&self, _: Port) -> io::Result<tokio::net::UdpSocket> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn bind_relay(&self, address: SocketAddr) -> io::Result<Port> {
            let free = self.bound.borrow_mut().insert(address.port());
            if free { Ok(Port(address)) } else { Err(io::ErrorKind::AddrInUse.into()) }
        }

        fn now(&self) -> Instant {
            self.now
        }
    }

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn host(bound: impl IntoIterator<Item = u16>) -> Host {
        Host { bound: RefCell::new(bound.into_iter().collect()), now: clock() }
    }

    fn clock() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn port(bound: io::Result<Port>) -> Option<u16> {
        bound.ok().map(|Port(address)| address.port())
    }

    #[test]
    fn the_last_free_port_of_a_range_is_found() {
        let host = host((50_000..=50_999).filter(|&port| port != 50_777));
        let mut ports = Ports::new(50_000..=50_999, [1; 32]);

        assert_eq!(port(ports.bind(&host, IP, false)), Some(50_777));
        assert_eq!(port(ports.bind(&host, IP, false)), None);
    }

    /// The ports of so many relayed transport addresses, in order.
    fn drawn(range: RangeInclusive<u16>, seed: u8, count: usize) -> Vec<u16> {
        let host = host([]);
        let mut ports = Ports::new(range, [seed; 32]);
        (0..count).filter_map(|_| port(ports.bind(&host, IP, false))).collect()
    }

    #[test]
    fn alc_42_a_thousand_ports_are_all_of_the_range() {
        for range in [49_152..=65_535, 50_000..=50_999] {
            let drawn = drawn(range.clone(), 1, 1_000);

            assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 1_000);
            assert!(drawn.iter().all(|port| range.contains(port)), "{range:?}");
        }
    }

    /// Of a fair draw, the next port is within 64 of the last once in 128 times.
    #[test]
    fn alc_43_and_sec_15_the_next_port_does_not_follow_from_the_last() {
        let drawn_first = drawn(49_152..=65_535, 1, 4_096);

        let near = drawn_first.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 64).count();
        let upper = drawn_first.iter().filter(|&&port| port >= 57_344).count();
        let rising = drawn_first.windows(2).filter(|pair| pair[0] < pair[1]).count();

        assert!(near < 96, "{near}");
        assert!((1_848..=2_248).contains(&upper), "{upper}");
        assert!((1_848..=2_248).contains(&rising), "{rising}");
        assert_ne!(drawn_first, drawn(49_152..=65_535, 2, 4_096));
    }

    #[test]
    fn an_even_port_is_even_and_its_neighbour_is_bound_with_it() {
        let host = host([]);
        let mut ports = Ports::new(50_001..=50_999, [1; 32]);

        let (even, next) = ports.bind_pair(&host, IP).unwrap();

        assert_eq!(even.0.port() % 2, 0);
        assert_eq!(next.0.port(), even.0.port() + 1);
    }

    #[test]
    fn a_closed_port_rests_before_it_is_handed_out_again() {
        let mut host = host([]);
        let mut ports = Ports::new(50_000..=50_000, [1; 32]);
        let Port(address) = ports.bind(&host, IP, false).unwrap();
        host.bound.borrow_mut().clear();
        ports.release(address, host.now);

        assert_eq!(port(ports.bind(&host, IP, false)), None);
        host.now += REST;
        assert_eq!(port(ports.bind(&host, IP, false)), Some(50_000));
    }

    #[test]
    fn a_reservation_is_taken_once_by_its_user_and_not_after_its_time() {
        let start = clock();
        let mut reservations = Reservations::default();
        let (first, second) = (ReservationToken([1; 8]), ReservationToken([2; 8]));
        reservations.keep(first, "alice", "a", start);
        reservations.keep(second, "alice", "b", start);

        assert_eq!(reservations.take(first, "mallory", start), None);
        assert_eq!(reservations.take(first, "alice", start + Duration::from_secs(30)), Some("a"));
        assert_eq!(reservations.take(first, "alice", start), None);
        assert_eq!(reservations.take(second, "alice", start + RESERVATION), None);
    }
}
