//! How long to wait for a response before asking again: the estimate of RFC 6298, as RFC 8489, section 6.2.1, has it.

use std::time::Duration;

/// An estimate that nobody used for this long is forgotten: 10 minutes.
const STALE: u64 = 600_000;

/// The finest step of the clock.
const GRANULARITY: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Rto {
    initial: Duration,
    least: Duration,
    /// Smoothed round-trip time, and how much it varies.
    estimate: Option<(Duration, Duration)>,
    used: u64,
}

impl Rto {
    pub(super) const fn new(initial: Duration, least: Duration) -> Self {
        Self { initial, least, estimate: None, used: 0 }
    }

    /// The RTO of a transaction that begins now, in milliseconds.
    pub(super) fn begin(&mut self, now: u64) -> u64 {
        if now.saturating_sub(self.used) >= STALE {
            self.estimate = None;
        }
        self.used = now;
        let rto = match self.estimate {
            None => self.initial,
            Some((smoothed, variation)) => (smoothed + GRANULARITY.max(4 * variation)).max(self.least),
        };
        u64::try_from(rto.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
    }

    /// A round-trip time, of a transaction that was sent only once: else nobody knows which one was answered.
    pub(super) fn sample(&mut self, took: u64, now: u64) {
        let took = Duration::from_millis(took);
        self.used = now;
        self.estimate = Some(match self.estimate {
            None => (took, took / 2),
            Some((smoothed, variation)) => {
                ((7 * smoothed + took) / 8, (3 * variation + smoothed.abs_diff(took)) / 4)
            }
        });
    }

    /// Begins anew, for another path or another server.
    pub(super) fn reset(&mut self) {
        self.estimate = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rto() -> Rto {
        Rto::new(Duration::from_millis(500), Duration::ZERO)
    }

    #[test]
    fn rtx_05_the_estimate_is_that_of_rfc_6298_to_the_millisecond() {
        let mut rto = rto();

        assert_eq!(rto.begin(0), 500);
        rto.sample(200, 200);
        assert_eq!(rto.begin(300), 600);
        rto.sample(280, 580);
        assert_eq!(rto.begin(600), 210 + 4 * 95);
    }

    #[test]
    fn rtx_07_an_estimate_is_forgotten_after_ten_minutes_without_transactions() {
        let mut rto = rto();
        rto.sample(200, 200);

        assert_eq!(rto.begin(600_199), 600);
        assert_eq!(rto.begin(1_200_199), 500);
    }

    #[test]
    fn rtx_11_an_estimate_is_never_below_what_the_settings_allow() {
        let mut rto = Rto::new(Duration::from_millis(500), Duration::from_millis(500));
        rto.sample(1, 1);

        assert_eq!(rto.begin(2), 500);
    }
}
