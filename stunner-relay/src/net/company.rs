//! Waiting for company: a busy worker that rests a moment before it looks for packets finds more of them at once, and
//! waking up costs more than a packet.

use std::time::{Duration, Instant};

/// So many packets must be expected while it waits: for fewer, the wait is one more time to wake up.
const EXPECTED: u128 = 12;

/// How often it is counted anew.
const WINDOW: Duration = Duration::from_millis(10);

/// What the kernel adds to a wait: 50 microseconds of timer slack, and a little.
const LATE: Duration = Duration::from_micros(60);

/// Says when to wait, and for how long.
#[derive(Debug)]
pub(super) struct Company {
    most: Duration,
    since: Instant,
    packets: u64,
    busy: bool,
}

impl Company {
    /// A packet shall never wait longer than `most`.
    pub(super) const fn new(most: Duration, now: Instant) -> Self {
        Self { most, since: now, packets: 0, busy: false }
    }

    /// So many packets were sent.
    pub(super) const fn sent(&mut self, packets: usize) {
        self.packets += packets as u64;
    }

    /// How long to wait now; nothing, while there are few packets.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since);
        if passed >= WINDOW {
            let expected = u128::from(self.packets) * self.most.as_nanos();
            self.busy = expected >= EXPECTED * passed.as_nanos();
            (self.since, self.packets) = (now, 0);
        }
        if self.busy { self.most.saturating_sub(LATE) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said last, when `packets` are sent every millisecond, for a second and some.
    fn waits(packets: usize) -> Duration {
        let start = tokio::time::Instant::now().into_std();
        let mut company = Company::new(Duration::from_micros(300), start);
        let times = (1..=1_005).map(|millisecond| start + Duration::from_millis(millisecond));
        let wait = |now| {
            company.sent(packets);
            company.wait(now)
        };
        times.map(wait).last().unwrap_or_default()
    }

    #[test]
    fn a_busy_worker_waits_less_than_it_may_and_another_does_not() {
        assert_eq!(waits(40), Duration::from_micros(240));
        assert_eq!(waits(39), Duration::ZERO);
    }

    #[test]
    fn one_packet_after_a_pause_waits_for_nobody() {
        let start = tokio::time::Instant::now().into_std();
        let mut company = Company::new(Duration::from_micros(300), start);
        company.sent(1_000);
        assert!(company.wait(start + WINDOW) > Duration::ZERO);

        company.sent(1);
        assert_eq!(company.wait(start + Duration::from_secs(60)), Duration::ZERO);
    }
}
