//! A load on a server in a process of its own, through real sockets on 127.0.0.1, and what it costs that server.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

mod client;
mod measure;
mod payload;
mod process;
pub(crate) mod report;
mod rounds;
mod scenario;
mod socket;
mod traffic;

use measure::{Measured, measure};
pub(crate) use process::Process;
pub(crate) use rounds::{Rounds, in_turns};
pub(crate) use scenario::Scenario;

/// The domain and the one user of every server.
pub(crate) const REALM: &str = "example.com";
pub(crate) const USER: &str = "user";
pub(crate) const PASSWORD: &str = "pass";

/// The ports of relayed transport addresses: more than an idle server can have files open.
pub(crate) const RELAY_PORTS: std::ops::RangeInclusive<u16> = 20_000..=65_535;

/// What both benchmarks can be told.
#[derive(Clone, Debug, clap::Args, serde::Serialize)]
pub(crate) struct Options {
    /// Scenarios whose names contain one of these; all by default
    scenarios: Vec<String>,
    /// Print the scenarios, and do nothing
    #[arg(long)]
    #[serde(skip)]
    list: bool,
    /// Short measurements, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Rounds of which the medians are taken, after one that does not count if there are several
    /// [default: 5 beside another server, else 1; quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// How long a measurement takes [default: 3; quick: 0.3]
    #[arg(long, value_parser = seconds, hide_default_value = true)]
    #[arg(default_value_ifs = [("quick", "true", "0.3"), ("bench", "true", "3")], default_value = "0.3")]
    seconds: f64,
    /// Allocations that relay
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=4_000))]
    allocations: u32,
    /// Packets offered in a second; half as many from client to client, an eightieth as many allocations
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    rate: u32,
    /// Idle allocations, at most as many as files may be open [default: 10000; quick: 1000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=40_000), hide_default_value = true)]
    #[arg(default_value_ifs = [("quick", "true", "1000"), ("bench", "true", "10000")], default_value = "1000")]
    idle: u32,
    /// Our server receives and sends for relayed addresses by epoll, as where io_uring is refused
    #[arg(long)]
    pub(crate) no_io_uring: bool,
    /// Write the results to this file, too
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) json: Option<PathBuf>,
    /// What Criterion's benchmarks understand, and `cargo bench` hands to all of them: here nothing is kept to compare with.
    #[arg(long, hide = true, value_name = "NAME")]
    #[serde(skip)]
    save_baseline: Option<String>,
    /// The same.
    #[arg(long, hide = true, value_name = "NAME")]
    #[serde(skip)]
    baseline: Option<String>,
    /// What `cargo bench` adds; without it, as under `cargo test`, all is quick.
    #[arg(long, hide = true)]
    #[serde(skip)]
    bench: bool,
}

impl Options {
    /// The scenarios that were chosen; none where they were only to be listed, or no name fits.
    pub(crate) fn chosen(&self) -> Vec<Scenario> {
        if self.save_baseline.is_some() || self.baseline.is_some() {
            println!("The load through sockets keeps no baselines: see --json.");
            return Vec::new();
        }
        let all = scenario::SCENARIOS.iter().copied();
        let fits = |name: &str| self.scenarios.iter().any(|part| name.contains(part.as_str()));
        let chosen: Vec<Scenario> =
            all.clone().filter(|scenario| self.scenarios.is_empty() || fits(scenario.name)).collect();
        if self.list || chosen.is_empty() {
            println!("The scenarios are:");
            all.for_each(|scenario| println!("  {:<16} {}", scenario.name, scenario.what));
            return Vec::new();
        }
        chosen
    }

    /// How many rounds, where the options leave it open.
    pub(crate) fn rounds(&self, default: u16) -> u16 {
        self.rounds.unwrap_or(if self.quick || !self.bench { 1 } else { default })
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// As many idle allocations as a process can have files for, a few kept for other things.
    fn idle(&self) -> u32 {
        let files = process::raise_open_files().saturating_sub(200);
        self.idle.min(u32::try_from(files).unwrap_or(u32::MAX))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=60.0).contains(&seconds) { Ok(seconds) } else { Err("not in 0.05 to 60".to_owned()) }
}

/// Runs a benchmark: this process may have been started to be the server.
pub(crate) fn run(benchmark: impl FnOnce() -> io::Result<()>) -> std::process::ExitCode {
    process::raise_open_files();
    match process::serve_if_asked().and_then(|served| if served { Ok(()) } else { benchmark() }) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}
