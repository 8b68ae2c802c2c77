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

use std::{
    error::Error,
    io::IsTerminal,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Weak},
    time::Duration,
};

use clap::Parser;
use stunner_auth::Environment;
use stunner_relay::{SystemClock, TurnServer};
use tokio::{sync::watch, time::sleep};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

mod certificate;
mod health;
mod https;
mod ice;
mod invite;
mod options;
mod reload;
mod replicas;
mod signaling;
#[path = "../stunnerd/signals.rs"]
mod signals;
mod turn;
mod users;

use health::Health;
use options::{Cluster, Options, Settings};
use reload::Reload;
use signals::Signals;
use users::Users;

/// How often the log tells how many calls are left while they end.
const PROGRESS: Duration = Duration::from_secs(5);

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
    let process = Environment::from_process();
    let dirs = options.cluster.config_dirs(&process)?;
    let environment = options::read_dirs(&dirs, &process)?;
    if options.cluster.check_health() {
        let health = Cluster::new(&options.cluster, &environment)?.health;
        return Ok(health::check(
            health.ok_or("--check-health: give --health-address or STUNNER_HEALTH_ADDR")?,
        )?);
    }
    let settings = Settings::new(options, &environment)?;
    let lines = tracing_subscriber::fmt::layer().with_ansi(std::io::stdout().is_terminal());
    tracing_subscriber::registry().with(lines).with(settings.log_filter()?).init();

    let mut signals = Signals::new()?;
    let cluster = settings.cluster.clone();
    let program = Program::start(settings, dirs, process).await?;

    signals.next().await;
    program.end(&cluster, &mut signals).await;
    Ok(())
}

/// What runs.
struct Program {
    turn: Option<Arc<TurnServer>>,
    web: Option<https::Web>,
    /// Whether nobody is to come any more.
    draining: watch::Sender<bool>,
    /// Whether connections of the page are to be closed.
    stop: watch::Sender<bool>,
}

impl Program {
    async fn start(settings: Settings, dirs: Vec<PathBuf>, process: Environment) -> Result<Self, String> {
        let users = Users::new(&settings.auth, settings.previous.as_ref(), SystemClock);
        let turn = if settings.turn { Some(Arc::new(turn::start(&settings, users.clone())?)) } else { None };
        let (stop, stopped) = watch::channel(false);
        let ice = if settings.signaling { Some(ice::Ice::new(&settings, turn.as_deref())?) } else { None };
        let web = match &ice {
            Some(ice) => Some(https::start(&settings, ice.clone(), turn.clone(), stopped).await?),
            None => None,
        };
        let (draining, drains) = watch::channel(false);
        if let Some(address) = settings.cluster.health {
            let (ice, turn) = (ice.clone(), turn.as_ref().map(Arc::downgrade));
            let stays_ready = settings.cluster.ready_while_draining;
            health::start(address, move || {
                let turn = turn.as_ref().map(Weak::upgrade);
                let turn = turn.as_ref().map(Option::as_deref);
                health(turn, ice.as_ref(), *drains.borrow() && !stays_ready)
            })?;
        }
        announce(turn.as_deref(), web.as_ref(), &settings.environment);
        if !dirs.is_empty() {
            tokio::spawn(Reload::new(dirs, process, settings, users, ice).run());
        }
        Ok(Self { turn, web, draining, stop })
    }

    async fn end(self, cluster: &Cluster, signals: &mut Signals) {
        self.draining.send_replace(true);
        if let Some(turn) = &self.turn {
            drain(turn, cluster, signals).await;
        }
        tracing::info!("ending: connections are closed");
        self.stop.send_replace(true);
        if let Some(web) = self.web {
            web.ended().await;
        }
        if let Some(turn) = self.turn.and_then(Arc::into_inner) {
            turn.shutdown(Duration::ZERO).await;
        }
    }
}

/// How the program is: `turn` is none where it runs no TURN, and has none where TURN has ended.
fn health(turn: Option<Option<&TurnServer>>, ice: Option<&ice::Ice>, draining: bool) -> Health {
    if turn.flatten().is_some_and(|turn| !turn.is_live()) {
        Health::Dead
    } else if draining || turn.is_some_and(|turn| turn.is_none()) {
        Health::NotReady("ending\n")
    } else if ice.is_some_and(|ice| !ice.is_ready()) {
        Health::NotReady("STUNNER_PUBLIC_ADDR is not known yet\n")
    } else {
        Health::Ready
    }
}

/// Lets calls end that there are, while nobody new gets in.
async fn drain(turn: &TurnServer, cluster: &Cluster, signals: &mut Signals) {
    turn.drain(&cluster.alternate_servers);
    let left = || turn.stats().allocations;
    let seconds = cluster.drain_timeout.as_secs();
    tracing::info!(
        allocations = left(),
        seconds,
        "draining: no new allocations; a second signal ends at once"
    );
    let progress = async {
        loop {
            sleep(PROGRESS).await;
            tracing::info!(allocations = left(), "draining");
        }
    };
    tokio::select! {
        () = turn.idle() => tracing::info!("drained: all allocations have ended"),
        () = sleep(cluster.drain_timeout) => tracing::warn!(allocations = left(), "not drained in time"),
        () = signals.next() => tracing::warn!(allocations = left(), "a second signal: not drained"),
        () = progress => {}
    }
}

/// Says where everything is.
fn announce(turn: Option<&TurnServer>, web: Option<&https::Web>, environment: &Environment) {
    for listener in turn.iter().flat_map(|turn| turn.listeners()) {
        println!("TURN on {} {}", listener.transport().name(), listener.address());
    }
    if let Some(web) = web {
        println!("Open this address in two browser tabs, and call one from the other:\n");
        for url in web.urls() {
            println!("    {url}");
        }
        for_phones(web, environment);
        if let Some(path) = web.certificate() {
            println!(
                "\nThe certificate is this program's own ({path}): the browser asks once whether to trust it."
            );
        }
        println!();
    }
}

/// Shows people at a terminal what to do with a phone.
fn for_phones(web: &https::Web, environment: &Environment) {
    let Some(url) = web.url_for_others() else { return };
    if invite::in_container() && environment.get("STUNNER_PUBLIC_ADDR").is_none() {
        println!(
            "\nThis is a container: others reach it by the address of its machine. Set STUNNER_PUBLIC_ADDR to that address, and a QR code of it is shown."
        );
    } else if std::io::stdout().is_terminal() {
        let code = invite::terminal(&url).unwrap_or_default();
        println!("\nA phone in the same network scans this, {url}\n\n{code}");
    }
}
