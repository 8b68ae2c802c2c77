//! A one-to-one video call in the browser, relayed by a TURN server: all of it in one program.
//!
//! ```text
//! cargo run --release --example direct-one2one-call
//! ```
//!
//! Open the address that it prints in two browser tabs, or on two machines, register two names and call one from the
//! other. The page shows that everything goes through the relay. What to try next:
//!
//! * `--help` lists what can be set, by option or by environment variable;
//! * `STUNNER_TRANSPORT_UDP_ENABLE=0 STUNNER_TRANSPORT_TCP_ENABLE=1` relays over TCP;
//! * `--no-turn` and `--no-signaling` run one half alone, as on Kubernetes.

use std::{error::Error, io::IsTerminal, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use tokio::{signal, sync::watch};

mod certificate;
mod https;
mod ice;
mod invite;
mod options;
mod signaling;
mod turn;

use options::{Options, Settings};

/// How long calls may go on once the program was asked to end.
const GRACE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(options, &stunner_auth::Environment::from_process())?;
    tracing_subscriber::fmt()
        .with_env_filter(settings.log_filter()?)
        .with_ansi(std::io::stdout().is_terminal())
        .init();

    let turn = if settings.turn { Some(Arc::new(turn::start(&settings)?)) } else { None };
    let (stop, stopped) = watch::channel(false);
    let web = if settings.signaling {
        let ice = ice::Ice::new(&settings, turn.as_deref())?;
        Some(https::start(&settings, ice, turn.clone(), stopped).await?)
    } else {
        None
    };
    announce(turn.as_deref(), web.as_ref());

    asked_to_end().await?;
    tracing::info!("ending: connections are closed");
    stop.send_replace(true);
    if let Some(web) = web {
        web.ended().await;
    }
    if let Some(turn) = turn.and_then(Arc::into_inner) {
        turn.shutdown(GRACE).await;
    }
    Ok(())
}

/// Says where everything is.
fn announce(turn: Option<&stunner_relay::TurnServer>, web: Option<&https::Web>) {
    for listener in turn.iter().flat_map(|turn| turn.listeners()) {
        println!("TURN on {} {}", listener.transport().name(), listener.address());
    }
    if let Some(web) = web {
        println!("Open this address in two browser tabs, and call one from the other:\n");
        for url in web.urls() {
            println!("    {url}");
        }
        for_phones(web);
        if let Some(path) = web.certificate() {
            println!(
                "\nThe certificate is this program's own ({path}): the browser asks once whether to trust it."
            );
        }
        println!();
    }
}

/// Shows people at a terminal what to do with a phone.
fn for_phones(web: &https::Web) {
    if invite::in_container() && std::env::var_os("STUNNER_PUBLIC_ADDR").is_none() {
        println!(
            "\nIn a container: open https://ADDRESS-OF-THE-MACHINE:8443/ from elsewhere, or set STUNNER_PUBLIC_ADDR to that address to have it shown."
        );
    } else if let Some(url) = web.url_for_others().filter(|_| std::io::stdout().is_terminal()) {
        let code = invite::terminal(&url).unwrap_or_default();
        println!("\nA phone in the same network scans this, {url}\n\n{code}");
    }
}

/// Waits for Ctrl-C, or for SIGTERM, as Kubernetes sends it.
async fn asked_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}
