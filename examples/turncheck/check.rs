//! The steps, one after another, for each address of the server.

use std::{io::ErrorKind, net::SocketAddr};

use stunner_relay::{Transport, client::Allocated};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    allocate, clock,
    link::Link,
    name,
    options::Plan,
    probe::{self, broken},
    relay,
    report::{Finding, Report},
    session::Session,
    tls,
};

/// Looks at everything.
pub(crate) async fn run(plan: &Plan) -> Report {
    let mut report = Report::new(plan.json);
    let Some(servers) = report.step("name", name::resolve(plan)).await else { return report };
    let several = servers.len() > 1;
    for server in servers {
        report.turn_to(server);
        if several && !name::has_route(server) {
            let family = if server.is_ipv4() { "IPv4" } else { "IPv6" };
            report.note("route", Finding::skipped(format!("this machine has no {family}"))).await;
        } else {
            look(plan, server, &mut report).await;
        }
    }
    report
}

/// Looks at one address. `None` where a step failed without which the rest makes no sense.
async fn look(plan: &Plan, server: SocketAddr, report: &mut Report) -> Option<()> {
    let link = first_link(plan, server, report).await?;
    report.step("answer", probe::probe(plan, link)).await?;
    if let Some(expires) = clock::expiry(&plan.username) {
        report.step("clock", async { Ok(((), clock::check(plan, server, expires).await)) }).await;
    }
    let mut first = report.step("allocate", allocated(plan, server)).await?;
    let granted = *first.client().allocated()?;
    report.note("mapped", allocate::mapped(&granted, first.link().local)).await;
    let relayed = relayed(&granted)?;
    report.note("relayed", allocate::relayed(relayed, server)).await;

    let second = report.step("second", allocated(plan, server)).await;
    let Some(mut second) = second else {
        first.close().await;
        return None;
    };
    pair(plan, &mut first, &mut second, report).await;
    tokio::join!(first.close(), second.close());
    Some(())
}

/// What two allocations can do with each other.
async fn pair(plan: &Plan, first: &mut Session, second: &mut Session, report: &mut Report) -> Option<()> {
    let (one, other) = (relayed(first.client().allocated()?)?, relayed(second.client().allocated()?)?);
    report.step("peer", relay::permit(plan, [(&mut *first, other), (&mut *second, one)])).await?;
    report.step("data", relay::round_trips(plan, first, second, other)).await?;
    report.step("mtu", relay::largest(plan, first, second, other)).await
}

async fn allocated(plan: &Plan, server: SocketAddr) -> Result<(Session, Finding), Finding> {
    allocate::allocate(plan, open(plan, &plan.host, server).await?).await
}

fn relayed(granted: &Allocated) -> Option<SocketAddr> {
    granted.v4.or(granted.v6)
}

/// A link, of which every stage is a step.
async fn first_link(plan: &Plan, server: SocketAddr, report: &mut Report) -> Option<Link> {
    if plan.transport == Transport::Udp {
        let opened = open(plan, &plan.host, server).await;
        // Nothing was sent yet, so that only a failure is worth a line.
        return match opened {
            Ok(link) => Some(link),
            Err(finding) => report.step("connect", async { Err(finding) }).await,
        };
    }
    let tcp = report.step("connect", connect(plan, server)).await?;
    if plan.transport == Transport::Tls {
        return report.step("tls", tls::handshake(plan, &plan.host, tcp)).await;
    }
    let local = tcp.local_addr().ok()?;
    Some(Link::stream(tcp, local, server))
}

/// A link to a server, whose certificate must have this name.
pub(crate) async fn open(plan: &Plan, name: &str, server: SocketAddr) -> Result<Link, Finding> {
    let failed = |error: std::io::Error| broken(plan, &error);
    match plan.transport {
        Transport::Udp | Transport::Dtls => Link::datagrams(server).await.map_err(failed),
        Transport::Tcp => {
            let (tcp, _) = connect(plan, server).await?;
            let local = tcp.local_addr().map_err(failed)?;
            Ok(Link::stream(tcp, local, server))
        }
        Transport::Tls => {
            let (tcp, _) = connect(plan, server).await?;
            tls::handshake(plan, name, tcp).await.map(|(link, _)| link)
        }
    }
}

async fn connect(plan: &Plan, server: SocketAddr) -> Result<(TcpStream, Finding), Finding> {
    let connected = timeout(plan.timeout, TcpStream::connect(server)).await;
    let tcp = connected
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
        .map_err(|error| broken(plan, &error))?;
    // Small packets go at once; where that cannot be set, they go a little later.
    let _ = tcp.set_nodelay(true);
    Ok((tcp, Finding::ok(format!("TCP port {} is open", server.port()))))
}
