use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr},
};

use super::*;

/// A host whose ports are a set, and whose clock stands still.
struct Host {
    bound: RefCell<HashSet<u16>>,
    tried: Cell<usize>,
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
        self.tried.set(self.tried.get() + 1);
        let free = self.bound.borrow_mut().insert(address.port());
        if free { Ok(Port(address)) } else { Err(io::ErrorKind::AddrInUse.into()) }
    }

    fn now(&self) -> Instant {
        self.now
    }
}

const IP: RelayAddress = RelayAddress::bind(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn host(bound: impl IntoIterator<Item = u16>) -> Host {
    Host { bound: RefCell::new(bound.into_iter().collect()), tried: Cell::new(0), now: clock() }
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
                .filter(|port| port % 2 == 0 && port.checked_add(1).is_some_and(|next| slice.contains(&next)))
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
fn the_next_port_of_a_pair_has_rested_as_well() {
    let mut host = host([]);
    let mut ports = Ports::new(50_000..=50_001, [1; 32]);
    let (_, Port(next)) = ports.bind_pair(&host, IP).unwrap();
    host.bound.borrow_mut().clear();
    ports.release(next, host.now);

    assert!(ports.bind_pair(&host, IP).is_err());
    host.now += REST;
    assert!(ports.bind_pair(&host, IP).is_ok());
}

#[test]
fn a_port_that_is_known_to_be_in_use_is_not_tried() {
    let advertised = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    let live = Arc::new(LiveRelays::new(&[advertised]));
    (50_000..=50_999).for_each(|port| live.set(SocketAddr::new(advertised, port), port != 50_777));
    let (host, on) = (host([]), IP.advertise(advertised));
    let mut ports = Ports::new(50_000..=50_999, [1; 32]).knowing(live.clone());

    assert_eq!(port(ports.bind(&host, on, false)), Some(50_777));
    live.set(SocketAddr::new(advertised, 50_777), true);
    assert_eq!(port(ports.bind(&host, on, false)), None);
    assert_eq!(host.tried.get(), 1);
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
