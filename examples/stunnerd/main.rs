//! A TURN server that reads STUNner's configuration files.
//!
//! ```text
//! cargo run --release --example stunnerd -- turn://user:pass@0.0.0.0:3478?transport=udp
//! cargo run --release --example stunnerd -- -c stunnerd.yaml
//! ```
//!
//! What to try next:
//!
//! * `--check-config` tells what is wrong with a file, and starts nothing;
//! * `-l all:INFO,turn:DEBUG` logs more of the server;
//! * `--help` explains the rest, and docs/stunnerd.md has it at length.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use stunner_auth::Environment;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

mod levels;
mod options;
mod plan;
mod server;
mod signals;
mod source;

use options::Options;
use plan::{Fault, Faults, Plan};
use signals::Signals;
use source::Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let plan = plan(&options, &Environment::from_process());
    if options.check_config {
        return check(plan);
    }
    let ended = match plan {
        Ok(plan) => run(&options, plan).await,
        Err(faults) => {
            faults.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Err(faults.errors)
        }
    };
    let Err(errors) = ended else { return ExitCode::SUCCESS };
    errors.iter().for_each(|error| eprintln!("error: {error}"));
    ExitCode::FAILURE
}

fn plan(options: &Options, environment: &Environment) -> Result<Plan, Faults> {
    let read = Source::read(options, environment);
    let source = read.map_err(|error| Faults { warnings: Vec::new(), errors: vec![error] })?;
    Plan::new(source, options)
}

/// Tells all that is wrong, and may be.
fn check(plan: Result<Plan, Faults>) -> ExitCode {
    let (warnings, errors) = match plan {
        Ok(plan) => (plan.warnings, Vec::new()),
        Err(faults) => (faults.warnings, faults.errors),
    };
    warnings.iter().for_each(|warning| println!("warning: {warning}"));
    errors.iter().for_each(|error| println!("error: {error}"));
    println!("errors: {}, warnings: {}", errors.len(), warnings.len());
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Serves until it is asked to end.
async fn run(options: &Options, plan: Plan) -> Result<(), Vec<Fault>> {
    let failed = |message: String| vec![Fault::new("", &message)];
    let mut signals = Signals::new().map_err(|error| failed(error.to_string()))?;
    log(plan.levels.clone());
    plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let server = server::start(&plan).map_err(failed)?;

    signals.next().await;
    let allocations = server.stats().allocations;
    let again = async {
        tracing::info!(allocations, seconds = options.grace, "ending; a second signal ends at once");
        signals.next().await;
    };
    tokio::select! {
        // First, so that no allocation is made once the log says that it ends.
        biased;
        () = server.shutdown(Duration::from_secs(options.grace)) => tracing::info!("ended"),
        () = again => tracing::info!("ended at once"),
    }
    Ok(())
}

fn log(levels: Targets) {
    let lines = tracing_subscriber::fmt::layer().with_ansi(io::stdout().is_terminal());
    tracing_subscriber::registry().with(lines).with(levels).init();
}
