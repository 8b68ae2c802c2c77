//! Two allocations that talk to each other through the server: permissions, round trips, and how large packets may be.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use stunner_relay::client::{Event, Failure, Request};

use crate::{
    advice, now,
    options::Plan,
    probe::broken,
    report::Finding,
    session::{Happening, Session},
};

/// Application data of an audio packet, in bytes.
const AUDIO: usize = 160;

/// How far apart packets are sent, as audio is.
const GAP: Duration = Duration::from_millis(20);

/// How long to wait for packets after the last was sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// IP packets of these sizes are tried, in bytes; the last is what every network of IPv4 must take.
const SIZES: [usize; 13] = [1500, 1492, 1480, 1460, 1440, 1420, 1400, 1380, 1340, 1280, 1200, 1000, 576];

/// What packets of media need: 1,200 bytes of data, and headers.
const MEDIA: usize = 1_280;

/// Lets each of two allocations receive from the other.
pub(crate) async fn permit(
    plan: &Plan,
    pairs: [(&mut Session, SocketAddr); 2],
) -> Result<((), Finding), Finding> {
    let [_, (_, one)] = &pairs;
    let text = format!("{} may send to itself", one.ip());
    for (session, peer) in pairs {
        permit_one(plan, session, peer).await?;
    }
    Ok(((), Finding::ok(text)))
}

async fn permit_one(plan: &Plan, session: &mut Session, peer: SocketAddr) -> Result<(), Finding> {
    let until = now() + plan.timeout;
    let asked = session.client().permit(peer.ip(), now());
    asked.map_err(|error| Finding::failed(error.to_string(), advice::LOST))?;
    loop {
        match session.next(until).await {
            Happening::Event(Event::Permitted(ip)) if ip == peer.ip() => return Ok(()),
            Happening::Event(Event::Refused { request: Request::Permission(_), why }) => {
                let text = format!("a permission for {} is refused: {why}", peer.ip());
                return Err(Finding::failed(text, advice::of(&why, "CreatePermission")));
            }
            Happening::Event(Event::Lost(why)) => {
                return Err(Finding::failed(
                    format!("the allocation is gone: {why:?}"),
                    advice::of(&Failure::Unreachable, ""),
                ));
            }
            Happening::Broken(error) => return Err(broken(plan, &error)),
            Happening::TimeOut => {
                return Err(Finding::failed("no answer", advice::of(&Failure::Timeout, "")));
            }
            Happening::Event(_) | Happening::Data(..) => {}
        }
    }
}

/// How long packets take through both allocations and back, and how many are lost.
pub(crate) async fn round_trips(
    plan: &Plan,
    first: &mut Session,
    second: &mut Session,
    peer: SocketAddr,
) -> Result<((), Finding), Finding> {
    let sizes = vec![AUDIO; plan.packets.into()];
    let trips = trips(first, second, peer, &sizes).await.map_err(|error| broken(plan, &error))?;
    let mut times: Vec<_> = trips.into_iter().flatten().collect();
    times.sort();
    let lost = sizes.len() - times.len();
    let (Some(least), Some(most)) = (times.first(), times.last()) else {
        let text = format!("none of {} packets came back", sizes.len());
        return Err(Finding::failed(text, advice::RELAY_PORTS));
    };
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1_000.0;
    let text = format!(
        "there and back in {:.1} ms ({:.1} to {:.1}), {lost} of {} packets lost",
        milliseconds(&times[times.len() / 2]),
        milliseconds(least),
        milliseconds(most),
        sizes.len()
    );
    Ok(((), if lost == 0 { Finding::ok(text) } else { Finding::warning(text, advice::LOSS) }))
}

/// The largest packets that pass.
pub(crate) async fn largest(
    plan: &Plan,
    first: &mut Session,
    second: &mut Session,
    peer: SocketAddr,
) -> Result<((), Finding), Finding> {
    if plan.transport.is_stream() {
        return Ok(((), Finding::skipped("a stream cuts packets as it needs")));
    }
    let exact = [&*first, &*second].into_iter().all(|session| session.link().forbid_fragments());
    let overhead = overhead(first.link().server, peer);
    let mut left = SIZES.to_vec();
    // What was lost by chance gets another chance.
    for _ in 0..2 {
        let data: Vec<_> = left.iter().map(|size| size - overhead).collect();
        let back = trips(first, second, peer, &data).await.map_err(|error| broken(plan, &error))?;
        let Some(at) = back.iter().position(Option::is_some) else { continue };
        left.truncate(at);
        if left.is_empty() {
            break;
        }
    }
    let largest = SIZES.get(left.len()).copied();
    Ok(((), judge(largest, exact)))
}

fn judge(largest: Option<usize>, exact: bool) -> Finding {
    let Some(largest) = largest else {
        return Finding::failed("no packet of 576 bytes or more comes back", advice::MTU);
    };
    let how = if exact { "whole" } else { "whole or in fragments" };
    let text = format!("packets up to {largest} bytes come back {how}");
    match largest {
        ..MEDIA => Finding::failed(text, advice::MTU),
        MEDIA..1_500 => Finding::ok(format!("{text}: a tunnel on the way; media fit")),
        _ => Finding::ok(text),
    }
}

/// Headers of IP and UDP, and of a Send indication to a peer, in bytes.
fn overhead(server: SocketAddr, peer: SocketAddr) -> usize {
    let ip = if server.is_ipv4() { 20 } else { 40 };
    let indication = if peer.is_ipv4() { 36 } else { 48 };
    ip + 8 + indication
}

/// Sends data of these sizes to the second allocation, which sends them back: how long each took, if it came.
async fn trips(
    first: &mut Session,
    second: &mut Session,
    peer: SocketAddr,
    sizes: &[usize],
) -> io::Result<Vec<Option<Duration>>> {
    tokio::select! {
        trips = send_all(first, peer, sizes) => trips,
        error = echo(second) => Err(error),
    }
}

async fn send_all(
    session: &mut Session,
    peer: SocketAddr,
    sizes: &[usize],
) -> io::Result<Vec<Option<Duration>>> {
    let mut sent = Vec::new();
    let mut trips = vec![None; sizes.len()];
    for (number, size) in sizes.iter().enumerate() {
        let mut data = number.to_be_bytes().to_vec();
        data.resize(*size, 0);
        sent.push(now());
        // A packet that does not even leave is a packet that does not come back.
        let _ = session.send(&data, peer).await;
        listen(session, peer, sizes, &sent, &mut trips, now() + GAP).await?;
    }
    listen(session, peer, sizes, &sent, &mut trips, now() + PATIENCE).await?;
    Ok(trips)
}

/// Notes what comes back, until all has or the time is over.
async fn listen(
    session: &mut Session,
    peer: SocketAddr,
    sizes: &[usize],
    sent: &[Instant],
    trips: &mut [Option<Duration>],
    until: Instant,
) -> io::Result<()> {
    while sent.len() < sizes.len() || trips.iter().any(Option::is_none) {
        match session.next(until).await {
            Happening::Data(from, data) if from == peer => {
                let Some(number) = data.first_chunk().map(|bytes| usize::from_be_bytes(*bytes)) else {
                    continue;
                };
                let (Some(start), true) = (sent.get(number), sizes.get(number) == Some(&data.len())) else {
                    continue;
                };
                trips[number].get_or_insert(start.elapsed());
            }
            Happening::Broken(error) => return Err(error),
            Happening::TimeOut => break,
            Happening::Event(_) | Happening::Data(..) => {}
        }
    }
    Ok(())
}

/// Sends back what comes, as long as it is let.
async fn echo(session: &mut Session) -> io::Error {
    loop {
        match session.next(now() + PATIENCE).await {
            Happening::Data(peer, data) => {
                let _ = session.send(&data, peer).await;
            }
            Happening::Broken(error) => return error,
            Happening::Event(_) | Happening::TimeOut => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn packets_of_media_must_fit_and_larger_ones_need_not() {
        for (largest, status) in [
            (None, Status::Failed),
            (Some(1_200), Status::Failed),
            (Some(1_280), Status::Ok),
            (Some(1_420), Status::Ok),
            (Some(1_500), Status::Ok),
        ] {
            assert_eq!(judge(largest, true).status, status, "{largest:?}");
        }
    }

    #[test]
    fn sizes_are_those_of_ip_packets_without_padding() {
        for (server, peer) in [("192.0.2.1:1", "192.0.2.1:2"), ("[2001:db8::1]:1", "[2001:db8::1]:2")] {
            let overhead = overhead(server.parse().unwrap(), peer.parse().unwrap());
            assert!(SIZES.iter().all(|size| (size - overhead).is_multiple_of(4)), "{server}");
        }
    }
}
