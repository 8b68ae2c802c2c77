//! Looks at a TURN server from outside, over UDP and TCP, and says clause by clause what it does as the RFCs have it.
//!
//! `cargo run --release --example conformance -- turn://user:pass@192.0.2.1:3478`, or with `--own` instead of a URI for
//! the server of this repository. Next: `--only LTS,ALC`, `--json`, `--slow`; the ids are explained in
//! docs/conformance.md.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    process::ExitCode,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
    thread,
    time::Duration,
};

use clap::Parser;
use stunner_proto::uri::{StunnerUri, Transport, percent_decoded};

use own::Sockets;
use report::{Check, Outcome, Report, Stop, group};
use world::{User, World};

mod address;
mod allocate;
mod attribute;
mod base;
mod channel;
mod channel_data;
mod client;
mod connection;
mod credentials;
mod general;
mod icmp;
mod malformed;
mod message;
mod mobility;
mod own;
mod path;
mod permission;
mod refresh;
mod report;
mod security;
mod send;
mod stream;
mod token;
mod wire;
mod world;

/// How many checks run at a time: they mostly wait.
const THREADS: usize = 48;

/// Checks a TURN server against the RFCs.
#[derive(Parser)]
struct Options {
    /// The server and who asks: turn://user:pass@host:port
    #[arg(required_unless_present_any = ["own", "portable", "no_io_uring"])]
    server: Option<String>,
    /// Starts a server of this repository and looks at that
    #[arg(long, conflicts_with = "server")]
    own: bool,
    /// That server uses the sockets that every system has, on Linux too
    #[arg(long, requires = "own", conflicts_with = "server")]
    portable: bool,
    /// That server receives and sends for relayed transport addresses by epoll, and not by io_uring
    #[arg(long, requires = "own", conflicts_with_all = ["server", "portable"])]
    no_io_uring: bool,
    /// The realm that the server must name
    #[arg(long)]
    realm: Option<String>,
    /// Clients come over TCP
    #[arg(long)]
    tcp: bool,
    /// A second user, as NAME:PASSWORD
    #[arg(long)]
    other: Option<String>,
    /// Where peers are: an address of this machine that the server may relay to
    #[arg(long, default_value = "127.0.0.1")]
    peer_address: IpAddr,
    /// A peer that the server must refuse
    #[arg(long, default_value = "0.0.0.0")]
    denied: IpAddr,
    /// The server redirects clients (300)
    #[arg(long)]
    redirects: bool,
    /// Checks that wait for minutes, too
    #[arg(long)]
    slow: bool,
    /// One object a line
    #[arg(long)]
    json: bool,
    /// Only these groups or ids, such as LTS,ALC-06
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long nothing must come where no answer is right, in milliseconds
    #[arg(long, default_value = "300", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    quiet: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let (user, address, own) = match &options.server {
        Some(uri) => {
            let (user, address) = target(uri)?;
            (user, address, None)
        }
        None => {
            let users = [user("user:pass")?, user("other:secret")?];
            let (server, address) = own::start(&users, sockets(options))?;
            (users[0].clone(), address, Some((server, users)))
        }
    };
    let other = match (&options.other, &own) {
        (Some(other), _) => Some(self::user(other)?),
        (None, Some((_, [_, other]))) => Some(other.clone()),
        (None, None) => None,
    };
    let mut world = world(options, user, other, address);
    match world.look() {
        Err(Stop::Fail { expected, got }) => {
            return Err(format!("{address}: expected {expected}, got {got}").into());
        }
        Err(Stop::Skip(reason)) => return Err(format!("{address}: {reason}").into()),
        Ok(()) => {}
    }
    let report = check(&world, &checks(&options.only));
    if options.json {
        report.print_json();
    } else {
        report.print();
    }
    Ok(report.exit_code())
}

/// Who asks, and whom, out of a URI.
fn target(uri: &str) -> Result<(User, SocketAddr), Box<dyn Error>> {
    let uri = StunnerUri::parse(uri).map_err(|error| format!("{uri}: {error}"))?;
    if !matches!(uri.transport(), Some(Transport::Udp | Transport::Tcp)) {
        return Err("only UDP and TCP are looked at".into());
    }
    let decoded = |text| String::from_utf8(percent_decoded(text).collect());
    let user = User { name: decoded(uri.username)?, password: decoded(uri.password)? };
    let host = uri.server.host.to_string();
    let address = (host.trim_matches(['[', ']']), uri.port_or_default()).to_socket_addrs()?.next();
    Ok((user, address.ok_or_else(|| format!("{host} has no address"))?))
}

fn user(text: &str) -> Result<User, Box<dyn Error>> {
    let (name, password) = text.split_once(':').ok_or("a user is NAME:PASSWORD")?;
    Ok(User { name: name.to_owned(), password: password.to_owned() })
}

fn world(options: &Options, user: User, other: Option<User>, server: SocketAddr) -> World {
    World {
        server,
        own: options.own,
        sockets: sockets(options),
        tcp: options.tcp,
        realm: options.realm.clone(),
        user,
        other,
        peer_address: options.peer_address,
        denied: options.denied,
        quiet: Duration::from_millis(options.quiet),
        slow: options.slow,
        redirects: options.redirects,
        features: world::Features::default(),
        pace: Mutex::new(wire::now()),
    }
}

/// What the own server relays by.
const fn sockets(options: &Options) -> Sockets {
    if options.portable || !cfg!(target_os = "linux") {
        Sockets::Portable
    } else if options.no_io_uring {
        Sockets::Epoll
    } else {
        Sockets::IoUring
    }
}

/// All checks, or those that were asked for.
fn checks(only: &[String]) -> Vec<Check> {
    let groups: [&[Check]; 20] = [
        base::CHECKS,
        attribute::CHECKS,
        address::CHECKS,
        credentials::CHECKS,
        general::CHECKS,
        allocate::CHECKS,
        allocate::FAMILIES,
        refresh::CHECKS,
        permission::CHECKS,
        send::CHECKS,
        icmp::CHECKS,
        channel::CHECKS,
        channel_data::CHECKS,
        stream::CHECKS,
        security::CHECKS,
        malformed::CHECKS,
        mobility::CHECKS,
        connection::CHECKS,
        path::CHECKS,
        token::CHECKS,
    ];
    let wanted = |id: &str| only.is_empty() || only.iter().any(|only| *only == id || *only == group(id));
    groups.into_iter().flatten().copied().filter(|(id, ..)| wanted(id)).collect()
}

/// Runs checks side by side, and tells of them in their order.
fn check(world: &World, checks: &[Check]) -> Report {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; checks.len()]);
    thread::scope(|scope| {
        for _ in 0..THREADS.min(checks.len()) {
            scope.spawn(|| {
                while let Some((index, (_, _, run))) = nth(checks, next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(world);
                    outcomes.lock().expect("no check panics")[index] = Some(outcome);
                }
            });
        }
    });
    let mut report = Report::default();
    let outcomes = outcomes.into_inner().expect("no check panics");
    for ((id, what, _), outcome) in checks.iter().zip(outcomes) {
        report.add(id, what, outcome.expect("every check has run"));
    }
    report
}

fn nth(checks: &[Check], index: usize) -> Option<(usize, &Check)> {
    checks.get(index).map(|check| (index, check))
}

#[cfg(test)]
mod tests {
    use stunner_relay::net::TurnServer;

    use super::*;
    use crate::message::Draft;

    #[test]
    fn no_id_is_checked_twice() {
        let mut ids: Vec<&str> = checks(&[]).iter().map(|(id, ..)| *id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();

        assert_eq!(ids.len(), all);
    }

    #[test]
    fn there_are_250_ids_and_more() {
        assert!(checks(&[]).len() >= 250, "{}", checks(&[]).len());
    }

    #[test]
    fn sockets_alone_ask_for_own() {
        for option in ["--portable", "--no-io-uring"] {
            let error = options(&[option]).err();

            assert!(error.is_some_and(|error| error.contains("--own") && !error.contains("<SERVER>")));
        }
    }

    #[test]
    fn the_sockets_of_another_server_cannot_be_chosen() {
        for option in ["--portable", "--no-io-uring"] {
            let error = options(&[option, "turn://user:pass@192.0.2.1:3478"]).err();

            let expected = format!("'{option}' cannot be used with '[SERVER]'");
            assert!(error.is_some_and(|error| error.contains(&expected)));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_own_server_relays_by_io_uring_unless_it_is_told_otherwise_once() {
        let chosen = |words: &[&str]| options(words).map(|options| sockets(&options));

        assert_eq!(chosen(&["--own"]), Ok(Sockets::IoUring));
        assert_eq!(chosen(&["--own", "--no-io-uring"]), Ok(Sockets::Epoll));
        assert_eq!(chosen(&["--own", "--portable"]), Ok(Sockets::Portable));
        assert!(chosen(&["--own", "--portable", "--no-io-uring"]).is_err());
    }

    #[test]
    fn the_own_server_has_the_sockets_that_were_asked_for() {
        let offered = [&["--own"][..], &["--own", "--portable"]].map(|words| {
            let (_server, world) = own_server(words);
            offers_dont_fragment(&world)
        });

        assert_eq!(offered, [cfg!(target_os = "linux"), false]);
    }

    #[test]
    fn servers_with_other_settings_have_the_sockets_of_the_own_one() {
        let offered = [&["--own"][..], &["--own", "--portable"]].map(|words| {
            let (_server, world) = own_server(words);
            let further = own::with(&world, "", |builder| builder).unwrap();
            offers_dont_fragment(&further)
        });

        assert_eq!(offered, [cfg!(target_os = "linux"), false]);
    }

    #[test]
    fn only_takes_groups_and_ids() {
        let only = ["MOB".to_owned(), "ALC-06".to_owned()];

        assert!(checks(&only).iter().all(|(id, ..)| *id == "ALC-06" || id.starts_with("MOB-")));
        assert!(checks(&only).len() > 1);
    }

    fn options(words: &[&str]) -> Result<Options, String> {
        let words = ["conformance"].iter().chain(words);
        Options::try_parse_from(words).map_err(|error| error.to_string())
    }

    /// The own server, and what is known before it is looked at.
    fn own_server(words: &[&str]) -> (TurnServer, World) {
        let options = options(words).unwrap();
        let users = ["user:pass", "other:secret"].map(|text| user(text).unwrap());
        let (server, address) = own::start(&users, sockets(&options)).unwrap();
        let [user, other] = users;
        (server, world(&options, user, Some(other), address))
    }

    /// DONT-FRAGMENT is for Linux's sockets alone, which is how a client tells the two apart.
    fn offers_dont_fragment(world: &World) -> bool {
        let allocate = Draft::allocate().raw(0x001A, &[]);
        world.client().unwrap().success(&allocate).is_ok()
    }
}
