//! A load through real sockets on 127.0.0.1: what each packet costs our server, how long it takes, and how many are lost.
//!
//! `cargo bench --bench loopback -- --help` lists the options; docs/performance.md says how to read the figures.

use std::{io, process::ExitCode};

use clap::Parser;
use serde::Serialize;

mod load;

use load::{Options, Process, Rounds, report};

/// A load through real sockets against a server of ours in a process of its own
#[derive(Debug, Parser, Serialize)]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    options: Options,
    /// Threads of the server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How many microseconds packets may wait for one another
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    added_latency: u32,
}

#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    rounds: Rounds,
}

fn main() -> ExitCode {
    load::run(|| benchmark(&Arguments::parse()))
}

fn benchmark(arguments: &Arguments) -> io::Result<()> {
    let options = &arguments.options;
    let ours = || Process::ours(arguments.workers, arguments.added_latency, !options.no_io_uring);
    let mut rows = Vec::new();
    for scenario in options.chosen() {
        let rounds = load::in_turns(&scenario, options, options.rounds(1), &[("ours", &ours)])?;
        let row = |rounds| Row { scenario: scenario.name, unit: scenario.unit(), rounds };
        rows.extend(rounds.into_iter().map(row));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let figures: Vec<_> = rows.iter().map(|row| (row.scenario.to_owned(), row.unit, &row.rounds)).collect();
    println!("{}", report::figures(&figures));
    options.json.as_deref().map_or(Ok(()), |path| report::save(path, arguments, &rows))
}
