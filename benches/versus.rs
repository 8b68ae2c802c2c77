//! Our server beside coturn: the same load on both in turns, and the ratio of what it costs them.
//!
//! `cargo bench --bench versus -- --help` lists the options; docs/performance.md says how to read the figures.

use std::{
    io,
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use serde::Serialize;

mod load;

use load::{
    Options, PASSWORD, Process, REALM, RELAY_PORTS, Rounds, Scenario, USER,
    report::{self, Table},
};

/// Our server beside coturn, one worker beside one relay thread
#[derive(Debug, Parser, Serialize)]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    options: Options,
    /// coturn's program
    #[arg(long, default_value = "turnserver")]
    turnserver: String,
}

#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    unit: &'static str,
    ours: Rounds,
    coturn: Rounds,
    /// Our cost in terms of coturn's.
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
    let options = &arguments.options;
    let scenarios = options.chosen();
    let rows = scenarios.iter().map(|scenario| compare(scenario, options, program));
    let rows = rows.collect::<io::Result<Vec<_>>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    print(&rows, &version);
    let settings = Settings { arguments, coturn: version };
    options.json.as_deref().map_or(Ok(()), |path| report::save(path, &settings, &rows))
}

fn compare(scenario: &Scenario, options: &Options, program: &str) -> io::Result<Row> {
    let ours = || Process::ours(1, 0, !options.no_io_uring);
    let coturn = || coturn(program);
    let servers: [(&str, &dyn Fn() -> io::Result<Process>); 2] = [("ours", &ours), ("coturn", &coturn)];
    let rounds = load::in_turns(scenario, options, options.rounds(5), &servers)?;
    let Ok([ours, coturn]) = <[Rounds; 2]>::try_from(rounds) else {
        unreachable!("two servers were measured")
    };
    let ratio = ours.median.cost / coturn.median.cost;
    Ok(Row { scenario: scenario.name, unit: scenario.unit(), ours, coturn, ratio })
}

fn print(rows: &[Row], version: &str) {
    let mut table = Table::new(&["", "unit", "ours", "coturn", "ratio"]);
    for Row { scenario, unit, ours, coturn, ratio } in rows {
        let costs = [ours, coturn].map(|server| report::whole(server.median.cost));
        table.row(
            [&[(*scenario).to_owned(), (*unit).to_owned()], &costs[..], &[format!("{ratio:.2}")]].concat(),
        );
    }
    let both = rows.iter().flat_map(|row| {
        let named = |name: &str| format!("{}, {name}", row.scenario);
        [(named("ours"), row.unit, &row.ours), (named("coturn"), row.unit, &row.coturn)]
    });
    println!("{}\nBeside coturn {version}:\n\n{table}", report::figures(&both.collect::<Vec<_>>()));
}

/// What `turnserver --version` says; `None` where it cannot be run.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(text.lines().last().unwrap_or_default().to_owned())
}

/// A coturn with one relay thread, on 127.0.0.1 only.
fn coturn(program: &str) -> io::Result<Process> {
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
    });
    // It answers, so it has written the file, which nobody needs.
    let _ = std::fs::remove_file(&id_file);
    process
}
