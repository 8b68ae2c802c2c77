//! Time-limited user names, and whether the clocks agree on them.

use std::{net::SocketAddr, time::Duration};

use stunner_auth::TimeLimited;
use stunner_relay::{SystemClock, TimeSource};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{advice, options::Plan, report::Finding};

/// Smaller numbers are no times of the credentials of today: this is 2001.
const FIRST: i64 = 1_000_000_000;

/// Clocks that differ by more than this many seconds are worth a word.
const SKEW: i64 = 60;

/// How long to wait for the time.
const PATIENCE: Duration = Duration::from_secs(2);

/// When a user name expires; `None` where it says no time.
pub(crate) fn expiry(username: &str) -> Option<i64> {
    TimeLimited::parse(username).map(|name| name.expires).filter(|&time| time >= FIRST)
}

/// Compares the time in the user name with the clock here, and with the server's where it tells it.
pub(crate) async fn check(plan: &Plan, server: SocketAddr, expires: i64) -> Finding {
    let here = i64::try_from(SystemClock.unix_seconds()).unwrap_or(i64::MAX);
    let there = server_time(plan, server).await;
    judge(expires, here, there)
}

fn judge(expires: i64, here: i64, there: Option<i64>) -> Finding {
    let ahead = there.map(|there| here.saturating_sub(there));
    let left = |now: i64| expires.saturating_sub(now);
    let clocks = match ahead {
        None => "the server's clock cannot be seen".to_owned(),
        Some(0) => "the server's clock agrees".to_owned(),
        Some(ahead @ 1..) => format!("the clock here is {} ahead of the server's", duration(ahead)),
        Some(behind) => format!("the clock here is {} behind the server's", duration(-behind)),
    };
    if left(there.unwrap_or(here)) < 0 {
        let past = duration(-left(there.unwrap_or(here)));
        let advice = if left(here) < 0 { advice::EXPIRED } else { advice::SKEW };
        return Finding::failed(format!("the user name expired {past} ago; {clocks}"), advice);
    }
    if left(here) < 0 || ahead.is_some_and(|ahead| ahead.abs() > SKEW) {
        return Finding::warning(
            format!("the user name is good for {}; {clocks}", duration(left(there.unwrap_or(here)))),
            advice::SKEW,
        );
    }
    Finding::ok(format!("the user name is good for {}; {clocks}", duration(left(here))))
}

/// Seconds, in the unit that says it best.
fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The time in seconds since 1970, as a web server at the same place has it.
async fn server_time(plan: &Plan, server: SocketAddr) -> Option<i64> {
    let web = plan.clock.clone().unwrap_or_else(|| SocketAddr::new(server.ip(), 80).to_string());
    let head = timeout(PATIENCE, head(&web, &plan.host)).await.ok()?.ok()?;
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    let date = httpdate::parse_http_date(date).ok()?;
    i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok()
}

async fn head(web: &str, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(web).await?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    stream.take(8_192).read_to_end(&mut head).await?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn judged(expires: i64, here: i64, there: Option<i64>) -> (Status, String, Option<String>) {
        let Finding { status, text, advice } = judge(expires, here, there);
        (status, text, advice)
    }

    #[test]
    fn only_times_of_today_are_times() {
        assert_eq!(expiry("1700000000:alice"), Some(1_700_000_000));
        assert_eq!(expiry("1700000000"), Some(1_700_000_000));
        for name in ["alice", "4711", "alice:12"] {
            assert_eq!(expiry(name), None, "{name}");
        }
    }

    #[test]
    fn a_time_that_is_past_is_expired() {
        let (status, text, advice) = judged(1_000, 4_600, None);

        assert_eq!(status, Status::Failed);
        assert_eq!(text, "the user name expired 60 min ago; the server's clock cannot be seen");
        assert_eq!(advice.as_deref(), Some(advice::EXPIRED));
    }

    #[test]
    fn a_time_that_is_past_for_the_server_alone_is_a_matter_of_clocks() {
        let (status, text, advice) = judged(1_000, 500, Some(1_010));

        assert_eq!((status, advice.as_deref()), (Status::Failed, Some(advice::SKEW)));
        assert_eq!(text, "the user name expired 10 s ago; the clock here is 8 min behind the server's");
    }

    #[test]
    fn clocks_that_differ_much_are_told_and_little_ones_are_fine() {
        assert_eq!(judged(10_000, 1_000, Some(930)).0, Status::Warning);
        assert_eq!(judged(1_000, 1_100, Some(930)).0, Status::Warning);
        assert_eq!(judged(10_000, 1_000, Some(1_000)).0, Status::Ok);
        let (status, text, _) = judged(10_000, 1_000, Some(998));
        assert_eq!(
            (status, text.as_str()),
            (Status::Ok, "the user name is good for 2 h; the clock here is 2 s ahead of the server's")
        );
    }
}
