//! Which relayed port next: random within a range, and the ones that are kept under a token.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    iter::repeat_n,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stunner_proto::attribute::ReservationToken;

use super::{RelayAddress, socket::Network};
use crate::LiveRelays;

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
    /// What all workers have in use: each port that is tried in vain is a few system calls, and each that is known none.
    live: Arc<LiveRelays>,
    /// Closed ports in the order in which they may be used again, and the same to look them up.
    resting: VecDeque<(Instant, SocketAddr)>,
    is_resting: HashSet<SocketAddr>,
}

impl Ports {
    /// The ports of the only worker.
    pub(super) fn new(range: RangeInclusive<u16>, seed: [u8; 32]) -> Self {
        let (slice, rng) = (range.clone(), StdRng::from_seed(seed));
        let live = Arc::default();
        Self { range, slice, rng, live, resting: VecDeque::new(), is_resting: HashSet::new() }
    }

    /// Those of a server whose relayed transport addresses are known.
    pub(super) fn knowing(self, live: Arc<LiveRelays>) -> Self {
        Self { live, ..self }
    }

    /// The ports of one of several workers, which are counted from 0.
    pub(super) fn of_worker(self, index: usize, workers: usize) -> Self {
        Self { slice: slice(&self.range, index, workers), ..self }
    }

    /// Binds a free port; an even one where that is asked for.
    pub(super) fn bind<N: Network>(
        &mut self,
        network: &N,
        on: RelayAddress,
        even: bool,
    ) -> io::Result<N::Bound> {
        self.first(network.now(), on, even, |address, _| network.bind_relay(address))
    }

    /// Binds an even port and the next one.
    pub(super) fn bind_pair<N: Network>(
        &mut self,
        network: &N,
        on: RelayAddress,
    ) -> io::Result<(N::Bound, N::Bound)> {
        self.first(network.now(), on, true, |address, is_free| {
            let next = address.port().checked_add(1).filter(|&next| is_free(next));
            let next = SocketAddr::new(on.bind, next.ok_or(io::ErrorKind::AddrInUse)?);
            Ok((network.bind_relay(address)?, network.bind_relay(next)?))
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
        on: RelayAddress,
        even: bool,
        mut bind: impl FnMut(SocketAddr, &dyn Fn(u16) -> bool) -> io::Result<T>,
    ) -> io::Result<T> {
        while let Some((_, address)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.is_resting.remove(&address);
        }
        let Self { range, slice, rng, live, is_resting, .. } = self;
        let is_free = |port: u16| {
            range.contains(&port)
                && !live.is_live(SocketAddr::new(on.advertise, port))
                && !is_resting.contains(&SocketAddr::new(on.bind, port))
        };
        let start = rng.random_range(slice.clone());
        let random = repeat_n(&*slice, RANDOM_TRIES).chain(repeat_n(&*range, RANDOM_TRIES));
        let random = random.map(|ports| rng.random_range(ports.clone()));
        let walked = (start..=*slice.end()).chain(*slice.start()..start);
        let walked = walked.chain(range.clone().filter(|port| !slice.contains(port)));
        for port in random.map(|port| if even { port & !1 } else { port }).chain(walked) {
            if even && port % 2 == 1 || !is_free(port) {
                continue;
            }
            match bind(SocketAddr::new(on.bind, port), &is_free) {
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

    /// How many are kept for a user.
    pub(super) fn of_user(&mut self, user: &str, now: Instant) -> usize {
        self.expire(now);
        self.kept.values().filter(|kept| *kept.user == *user).count()
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
mod tests;
