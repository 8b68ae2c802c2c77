//! One measurement: a scenario against a running server.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde::Serialize;
use stunner_relay::Transport;

use super::{
    Options,
    client::{self, Client, Step},
    now,
    payload::Tally,
    process::{CpuTime, Process},
    report,
    scenario::{self, Kind, Scenario, Way},
    traffic::Load,
};

/// Load before a measurement begins, so that it finds everything warm.
const WARM_UP: Duration = Duration::from_millis(150);

/// Cycles that run side by side, and packets of a load for each of them.
const CYCLES: u32 = 8;
const PACKETS_PER_CYCLE: u32 = 80;

/// Allocations that are there before memory is looked at.
const FIRST: u32 = 64;

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// Nanoseconds of CPU time for each packet, request or cycle that was delivered; bytes for each idle allocation.
    pub(crate) cost: f64,
    /// The part of `cost` that is the program's own, and the part that is the kernel's.
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) offered: u64,
    pub(crate) delivered: u64,
    /// What came changed, twice or to someone else.
    pub(crate) wrong: u64,
    /// What the options asked for, which the driver does not reach where others use the processors.
    pub(crate) asked_per_second: f64,
    pub(crate) offered_per_second: f64,
    pub(crate) delivered_per_second: f64,
    /// What did not come, in percent.
    pub(crate) loss: f64,
    /// From send to receive, in microseconds; for cycles the whole cycle.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Sets a scenario up and measures it.
pub(crate) fn measure(scenario: &Scenario, server: &Process, options: &Options) -> io::Result<Measured> {
    let address = server.address();
    match scenario.kind {
        Kind::Relay(relay) => {
            let rate = if relay.way == Way::Hairpin { options.rate / 2 } else { options.rate };
            let load = scenario::load(relay, address, options.allocations)?;
            packets(load, server, rate, options.time())
        }
        Kind::Binding => {
            packets(scenario::bindings(address, options.allocations)?, server, options.rate, options.time())
        }
        Kind::Cycles => cycles(server, options.rate / PACKETS_PER_CYCLE, options.time()),
        Kind::Idle => idle(server, options.idle()),
    }
}

fn packets(mut load: Load, server: &Process, rate: u32, time: Duration) -> io::Result<Measured> {
    load.run(rate, WARM_UP)?;
    let before = server.cpu_time()?;
    let tally = load.run(rate, time)?;
    Ok(Measured::new(tally, before, server.cpu_time()?, rate, time))
}

/// Allocations from beginning to end, some at a time: a nonce, Allocate, ChannelBind, Refresh, and a Refresh that ends it.
fn cycles(server: &Process, rate: u32, time: Duration) -> io::Result<Measured> {
    let interval = Duration::from_secs(1) * CYCLES / rate;
    let mut first = 0;
    cycle(server.address(), &mut first, &mut Tally::default())?;
    let before = server.cpu_time()?;
    let (start, mut tally) = (now(), Tally::default());
    let mut next = start;
    while next < start + time && now() < start + time {
        std::thread::sleep(next.saturating_duration_since(now()));
        cycle(server.address(), &mut first, &mut tally)?;
        next += interval;
    }
    let took = start.elapsed().max(time);
    Ok(Measured::new(tally, before, server.cpu_time()?, rate, took))
}

fn cycle(server: SocketAddr, first: &mut u32, tally: &mut Tally) -> io::Result<()> {
    let peer = ([127, 0, 0, 2], 9).into();
    let begin: Instant = now();
    tally.offered += u64::from(CYCLES);
    let mut clients = client::allocated(server, Transport::Udp, *first, CYCLES)?;
    *first += CYCLES;
    clients.iter_mut().for_each(|client: &mut Client| client.peer = peer);
    for step in [Step::Bind, Step::Refresh(600), Step::Refresh(0)] {
        client::all(&mut clients, step)?;
    }
    let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    clients.iter().for_each(|_| tally.deliver(took));
    Ok(())
}

/// The resident memory that so many allocations add.
fn idle(server: &Process, count: u32) -> io::Result<Measured> {
    let _first = client::allocated(server.address(), Transport::Udp, 0, FIRST)?;
    let before = server.memory()?;
    let count = count.saturating_sub(FIRST).max(1);
    let _rest = client::allocated(server.address(), Transport::Udp, FIRST, count)?;
    let grown = server.memory()?.saturating_sub(before) as f64;
    let (offered, delivered) = (count.into(), count.into());
    Ok(Measured { cost: grown / f64::from(count), offered, delivered, ..Measured::default() })
}

impl Measured {
    fn new(mut tally: Tally, before: CpuTime, after: CpuTime, rate: u32, time: Duration) -> Self {
        let (user, system) = after.since(before);
        let delivered = tally.delivered as f64;
        let each = |cpu: f64| cpu / delivered.max(1.0);
        let micros = |latency: Duration| latency.as_secs_f64() * 1e6;
        Self {
            cost: each(user + system),
            user: each(user),
            system: each(system),
            offered: tally.offered,
            delivered: tally.delivered,
            wrong: tally.wrong,
            asked_per_second: rate.into(),
            offered_per_second: tally.offered as f64 / time.as_secs_f64(),
            delivered_per_second: delivered / time.as_secs_f64(),
            loss: Self::loss(tally.offered, tally.delivered),
            p50: micros(tally.percentile(50)),
            p99: micros(tally.percentile(99)),
        }
    }

    /// Packets that did not arrive, in percent.
    pub(crate) fn loss(offered: u64, delivered: u64) -> f64 {
        100.0 * offered.saturating_sub(delivered) as f64 / (offered as f64).max(1.0)
    }

    /// The most of it on one line.
    pub(crate) fn line(&self, unit: &str) -> String {
        let cost = format!("{} {unit}", report::whole(self.cost));
        if self.asked_per_second == 0.0 {
            return cost;
        }
        let [offered, asked] = [self.offered_per_second, self.asked_per_second].map(report::whole);
        format!(
            "{cost}, {offered} of {asked} offered a second, {:.2} % lost, {} wrong",
            self.loss, self.wrong
        )
    }
}
