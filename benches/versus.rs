//! Our server beside coturn: the same load on both in turns, and the ratio of what it costs them.
//!
//! `cargo bench --bench versus -- --help` lists the options; docs/performance.md says how to read the figures.

use std::{
    io,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use serde::Serialize;

mod load;

use load::{Measured, Options, PASSWORD, Process, REALM, RELAY_PORTS, Scenario, Table, USER, cells};

/// Our server beside coturn, one worker beside one relay thread
#[derive(Debug, Parser, Serialize)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Measurements of each server that count; one before them does not [default: 5; quick: 1, none before it]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// coturn's program
    #[arg(long, default_value = "turnserver")]
    turnserver: String,
}

/// All rounds of one server.
#[derive(Debug, Default, Serialize)]
struct Rounds {
    median_cost: f64,
    /// From the lowest to the highest, in percent of the median.
    spread: f64,
    rounds: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    unit: &'static str,
    ours: Rounds,
    coturn: Rounds,
    ratio: f64,
}

#[derive(Serialize)]
struct Settings<'a> {
    #[serde(flatten)]
    arguments: &'a Arguments,
    coturn: String,
}

fn main() -> ExitCode {
    load::run(|| benchmark(&Arguments::parse()))
}

fn benchmark(arguments: &Arguments) -> io::Result<()> {
    let program = &arguments.turnserver;
    let Some(version) = version(program) else {
        println!(
            "'{program}' is not installed (Debian's package is coturn): there is nothing to compare with."
        );
        return Ok(());
    };
    let mut rows = Vec::new();
    for scenario in arguments.options.chosen() {
        eprintln!("{}: {}", scenario.name, scenario.what);
        let row = compare(&scenario, arguments)
            .map_err(|error| io::Error::other(format!("{}: {error}", scenario.name)))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    println!("coturn {version}; costs are medians, spreads are from the lowest to the highest round");
    println!("{}", table(&rows));
    let settings = Settings { arguments, coturn: version };
    let save = |path| load::save(path, &settings, &rows);
    arguments.options.json.as_deref().map_or(Ok(()), save)
}

/// Measures both servers in turns.
fn compare(scenario: &Scenario, arguments: &Arguments) -> io::Result<Row> {
    let options = &arguments.options;
    let dropped = u16::from(!options.quick);
    let rounds = dropped + arguments.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let (mut ours, mut coturn) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let ours_now = load::measure(scenario, &Process::ours(1)?, options)?;
        let coturn_now = load::measure(scenario, &Coturn::start(&arguments.turnserver)?.process, options)?;
        let (a, b) = (cells::whole(ours_now.cost), cells::whole(coturn_now.cost));
        let counts = if round < dropped { " (does not count)" } else { "" };
        eprintln!("  round {} of {rounds}: {a} and {b} {}{counts}", round + 1, cells::unit(scenario));
        if round >= dropped {
            ours.push(ours_now);
            coturn.push(coturn_now);
        }
    }
    let (ours, coturn) = (Rounds::new(ours), Rounds::new(coturn));
    let ratio = ours.median_cost / coturn.median_cost;
    Ok(Row { scenario: scenario.name, unit: cells::unit(scenario), ours, coturn, ratio })
}

impl Rounds {
    fn new(rounds: Vec<Measured>) -> Self {
        let costs = sorted(&rounds, |round| round.cost);
        let median_cost = median(&costs);
        let spread = costs.last().zip(costs.first()).map_or(0.0, |(highest, lowest)| highest - lowest);
        Self { median_cost, spread: 100.0 * spread / median_cost, rounds }
    }

    fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(&sorted(&self.rounds, figure))
    }

    fn wrong(&self) -> u64 {
        self.rounds.iter().map(|round| round.wrong).sum()
    }
}

fn sorted(rounds: &[Measured], figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn median(sorted: &[f64]) -> f64 {
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    f64::midpoint(middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2))
}

fn table(rows: &[Row]) -> Table {
    let head =
        ["scenario", "unit", "ours", "spread", "coturn", "spread", "ratio", "loss", "coturn's", "wrong"];
    let mut table = Table::new(&[&head[..], &["coturn's", "p99 us", "coturn's"]].concat());
    for Row { scenario, unit, ours, coturn, ratio } in rows {
        let mut row = vec![(*scenario).to_owned(), (*unit).to_owned()];
        for server in [ours, coturn] {
            row.extend([cells::whole(server.median_cost), format!("{:.0} %", server.spread)]);
        }
        row.push(format!("{ratio:.2}"));
        row.extend([ours, coturn].map(|server| cells::percent(server.median(|round| round.loss))));
        row.extend([ours, coturn].map(|server| server.wrong().to_string()));
        row.extend([ours, coturn].map(|server| cells::whole(server.median(|round| round.p99))));
        table.row(row);
    }
    table
}

/// What `turnserver --version` says; `None` where it cannot be run.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(text.lines().last().unwrap_or_default().to_owned())
}

/// A coturn with one relay thread, on 127.0.0.1 only.
struct Coturn {
    process: Process,
    id_file: PathBuf,
}

impl Coturn {
    fn start(program: &str) -> io::Result<Self> {
        let id_file = std::env::temp_dir().join(format!("turnserver-{}.pid", std::process::id()));
        let process = Process::start(|port| {
            let ports = [*RELAY_PORTS.start(), *RELAY_PORTS.end(), port].map(|port| port.to_string());
            let mut command = Command::new(program);
            command
                .args(["-n", "-m", "1", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech"])
                .args(["--allow-loopback-peers", "-L", "127.0.0.1", "-E", "127.0.0.1", "-r", REALM])
                .args(["-u", &format!("{USER}:{PASSWORD}"), "--log-file=/dev/null", "--no-stdout-log"])
                .args(["--min-port", &ports[0], "--max-port", &ports[1], "-p", &ports[2], "--pidfile"])
                .arg(&id_file);
            command
        })?;
        Ok(Self { process, id_file })
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.id_file);
    }
}
