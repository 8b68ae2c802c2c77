//! Which relayed port next: random within a range, and the ones that are kept under a token.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    iter::repeat_n,
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

/// Random ports that are tried of the slice, and then of the range, before both are walked.
const RANDOM_TRIES: usize = 32;

/// Finds free ports on the addresses of one worker.
#[derive(Debug)]
pub(super) struct Ports {
    /// What all workers relay from.
    range: RangeInclusive<u16>,
    /// The part of the range that this worker looks in first: no other does, so that they do not get into each other's way.
    slice: RangeInclusive<u16>,
    rng: StdRng,
    /// Closed ports in the order in which they may be used again, and the same to look them up.
    resting: VecDeque<(Instant, SocketAddr)>,
    is_resting: HashSet<SocketAddr>,
}

impl Ports {
    /// The ports of the only worker.
    pub(super) fn new(range: RangeInclusive<u16>, seed: [u8; 32]) -> Self {
        let (slice, rng) = (range.clone(), StdRng::from_seed(seed));
        Self { range, slice, rng, resting: VecDeque::new(), is_resting: HashSet::new() }
    }

    /// The ports of one of several workers, which are counted from 0.
    pub(super) fn of_worker(self, index: usize, workers: usize) -> Self {
        Self { slice: slice(&self.range, index, workers), ..self }
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

    /// Tries ports until one can be bound: random ones of the slice, random ones of the range, and then all of them, those of
    /// the slice first. The kernel spreads clients over workers by chance: who has used up its slice goes on in the others'.
    /// It does so before the slice is walked, since each port that is tried in vain is a system call.
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
        let Self { range, slice, rng, is_resting, .. } = self;
        let start = rng.random_range(slice.clone());
        let random = repeat_n(&*slice, RANDOM_TRIES).chain(repeat_n(&*range, RANDOM_TRIES));
        let random = random.map(|ports| rng.random_range(ports.clone()));
        let walked = (start..=*slice.end()).chain(*slice.start()..start);
        let walked = walked.chain(range.clone().filter(|port| !slice.contains(port)));
        for port in random.map(|port| if even { port & !1 } else { port }).chain(walked) {
            let address = SocketAddr::new(ip, port);
            let unfit = even && port % 2 == 1 || !range.contains(&port);
            if unfit || is_resting.contains(&address) {
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

/// A worker's part of a range. An even port and the next one are in the same part, and the parts' sizes differ by no more
/// than such a pair, and a port at either end that has no other. Where there are fewer pairs than workers, everybody has the
/// whole range.
fn slice(range: &RangeInclusive<u16>, index: usize, workers: usize) -> RangeInclusive<u16> {
    let (start, end) = (usize::from(*range.start()), usize::from(*range.end()));
    let first = start.next_multiple_of(2);
    let pairs = (end + 1).saturating_sub(first) / 2;
    if pairs < workers {
        return range.clone();
    }
    let begin_of = |index| first + pairs * index / workers * 2;
    let from = if index == 0 { start } else { begin_of(index) };
    let to = if index + 1 == workers { end } else { begin_of(index + 1) - 1 };
    let port = |port: usize, otherwise: &u16| u16::try_from(port).unwrap_or(*otherwise);
    port(from, range.start())..=port(to, range.end())
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

    /// The parts of a range that so many workers have.
    fn slices(range: &RangeInclusive<u16>, workers: usize) -> Vec<RangeInclusive<u16>> {
        (0..workers).map(|index| slice(range, index, workers)).collect()
    }

    /// Ranges that begin and end on even and on odd ports, and how many share them.
    fn shared() -> impl Iterator<Item = (RangeInclusive<u16>, usize)> {
        let ranges = [49_152..=65_535, 50_000..=50_099, 50_001..=50_099, 50_000..=50_100, 50_001..=50_100];
        ranges.into_iter().flat_map(|range| [1, 2, 3, 7, 16].map(|workers| (range.clone(), workers)))
    }

    #[test]
    fn slices_are_disjoint_and_cover_the_range() {
        for (range, workers) in shared() {
            let all: Vec<u16> = slices(&range, workers).into_iter().flatten().collect();

            assert_eq!(all, range.clone().collect::<Vec<_>>(), "{range:?} of {workers}");
        }
    }

    #[test]
    fn all_slices_but_that_of_an_odd_beginning_begin_on_an_even_port() {
        for (range, workers) in shared() {
            let slices = slices(&range, workers);

            assert_eq!(slices[0].start(), range.start());
            assert!(slices[1..].iter().all(|slice| slice.start() % 2 == 0), "{slices:?}");
        }
    }

    #[test]
    fn the_pairs_of_slices_differ_by_one_at_most() {
        for (range, workers) in shared() {
            let pairs = slices(&range, workers).into_iter().map(|slice| {
                slice
                    .clone()
                    .filter(|port| {
                        port % 2 == 0 && port.checked_add(1).is_some_and(|next| slice.contains(&next))
                    })
                    .count()
            });
            let pairs: Vec<usize> = pairs.collect();

            let (least, most) = (pairs.iter().min().unwrap(), pairs.iter().max().unwrap());
            assert!(most - least <= 1 && *least > 0, "{range:?} of {workers}: {pairs:?}");
        }
    }

    #[test]
    fn a_range_of_fewer_pairs_than_workers_is_everybodys() {
        for range in [50_000..=50_000, 65_535..=65_535, 50_001..=50_002, 50_000..=50_006, 50_001..=50_008] {
            assert_eq!(slices(&range, 4), vec![range.clone(); 4]);
        }
        assert_ne!(slices(&(50_000..=50_007), 4)[0], 50_000..=50_007);
    }

    #[test]
    fn workers_take_ports_of_their_slices_while_there_are_some() {
        let host = host([]);
        for index in 0..4 {
            let mut ports = Ports::new(50_000..=50_999, [1; 32]).of_worker(index, 4);
            let drawn: Vec<u16> = (0..150).filter_map(|_| port(ports.bind(&host, IP, false))).collect();

            let slice = slice(&(50_000..=50_999), index, 4);
            assert_eq!(drawn.len(), 150);
            assert!(drawn.iter().all(|port| slice.contains(port)), "{slice:?}: {drawn:?}");
        }
    }

    #[test]
    fn a_worker_that_has_used_up_its_slice_goes_on_in_the_rest_of_the_range() {
        for index in 0..4 {
            let host = host([]);
            let mut ports = Ports::new(50_000..=50_999, [1; 32]).of_worker(index, 4);
            let drawn: HashSet<u16> = (0..1_000).filter_map(|_| port(ports.bind(&host, IP, false))).collect();

            assert_eq!(drawn.len(), 1_000, "worker {index}");
            assert_eq!(port(ports.bind(&host, IP, false)), None);
        }
    }

    #[test]
    fn the_last_free_pair_is_found_in_the_slice_of_another_worker() {
        let host = host((50_001..=50_999).filter(|&port| port / 2 != 50_666 / 2));
        let mut ports = Ports::new(50_001..=50_999, [1; 32]).of_worker(0, 4);

        let (even, next) = ports.bind_pair(&host, IP).unwrap();

        assert_eq!((even.0.port(), next.0.port()), (50_666, 50_667));
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
