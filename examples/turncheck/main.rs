//! Says why there is no relay candidate: checks a TURN server step by step, as a browser would use it.
//!
//! ```text
//! cargo run --release --example turncheck -- 'turn:192.0.2.1:3478?transport=udp' --user alice --password secret
//! ```
//!
//! What to try next: `?transport=tcp` and `turns:`; `--secret` where credentials are time-limited; `--json`. Every step is
//! explained in docs/turncheck.md.

use std::process::ExitCode;

use clap::Parser;

mod advice;
mod allocate;
mod certificate;
mod check;
mod clock;
mod link;
mod name;
mod options;
mod probe;
mod relay;
mod report;
mod scope;
mod session;
mod tls;

use options::{Options, Plan};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let json = options.json;
    match Plan::new(options) {
        Ok(plan) => {
            let report = check::run(&plan).await;
            report.finish(&plan.uri);
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(why) => {
            if json {
                println!("{}", serde_json::json!({ "ok": false, "error": why }));
            }
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "a program that waits for real sockets")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
