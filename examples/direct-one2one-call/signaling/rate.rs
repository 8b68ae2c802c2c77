//! How fast one client may send.

use std::time::Duration;

use tokio::time::Instant;

/// Messages at once; a call with all its candidates has some dozens.
const BURST: u32 = 200;

/// Messages in a second, in the long run.
const PER_SECOND: u32 = 20;

/// A bucket that fills with time.
#[derive(Debug)]
pub(super) struct Rate {
    /// When the bucket would be full again.
    full: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Whether one more message is within the rate.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let one = Duration::from_secs(1) / PER_SECOND;
        let full = self.full.max(now) + one;
        let within = full <= now + one * BURST;
        if within {
            self.full = full;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_as_many_as_time_gives() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut passed = |now| (0..1000).filter(|_| rate.admits(now)).count();

        assert_eq!(passed(start), 200);
        assert_eq!(passed(start + Duration::from_secs(2)), 40);
        assert_eq!(passed(start + Duration::from_secs(3600)), 200);
    }
}
