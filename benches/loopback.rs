//! A load through real sockets on 127.0.0.1: what each packet costs our server, how long it takes, and how many are lost.
//!
//! `cargo bench --bench loopback -- --help` lists the options; docs/performance.md says how to read the figures.

use std::{io, process::ExitCode};

use clap::Parser;
use serde::Serialize;

mod load;

use load::{Measured, Options, Process, Table, cells};

/// A load through real sockets against a server of ours in a process of its own
#[derive(Debug, Parser, Serialize)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Threads of the server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
}

#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    measured: Measured,
}

fn main() -> ExitCode {
    load::run(|| benchmark(&Arguments::parse()))
}

fn benchmark(arguments: &Arguments) -> io::Result<()> {
    let mut rows = Vec::new();
    for scenario in arguments.options.chosen() {
        eprintln!("{}: {}", scenario.name, scenario.what);
        let server = Process::ours(usize::from(arguments.workers))?;
        let measured = load::measure(&scenario, &server, &arguments.options)
            .map_err(|error| io::Error::other(format!("{}: {error}", scenario.name)))?;
        rows.push(Row { scenario: scenario.name, unit: cells::unit(&scenario), measured });
    }
    if rows.is_empty() {
        return Ok(());
    }
    println!("{}", table(&rows));
    let save = |path| load::save(path, arguments, &rows);
    arguments.options.json.as_deref().map_or(Ok(()), save)
}

fn table(rows: &[Row]) -> Table {
    let head = ["scenario", "cost", "unit", "user", "system", "offered/s", "delivered/s", "loss", "wrong"];
    let mut table = Table::new(&[&head[..], &["p50 us", "p99 us"]].concat());
    for Row { scenario, unit, measured } in rows {
        let figures =
            [measured.user, measured.system, measured.offered_per_second, measured.delivered_per_second];
        let mut row = vec![(*scenario).to_owned(), cells::whole(measured.cost), (*unit).to_owned()];
        row.extend(figures.map(cells::whole));
        row.extend([cells::percent(measured.loss), measured.wrong.to_string()]);
        row.extend([measured.p50, measured.p99].map(cells::whole));
        table.row(row);
    }
    table
}
