//! How long the kernel has had no means.

use std::time::{Duration, Instant};

/// What lasts longer does not pass.
const MOST: Duration = Duration::from_secs(1);

/// Calls in a row that the kernel did not take for want of means.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Instant>,
}

impl Refusals {
    /// Takes in another one, and says whether it has been going on for too long.
    pub(super) fn add(&mut self, now: Instant) -> bool {
        now.duration_since(*self.since.get_or_insert(now)) > MOST
    }

    /// Takes in a call that was taken.
    pub(super) const fn end(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{socket::Network, tokio_network::TokioNetwork};

    #[test]
    fn a_kernel_without_means_is_given_a_second() {
        let (mut refusals, start) = (Refusals::default(), TokioNetwork.now());
        let after = |millis| start + Duration::from_millis(millis);

        assert!(!refusals.add(start) && !refusals.add(after(900)));
        refusals.end();
        assert!(!refusals.add(after(1_100)) && !refusals.add(after(2_100)));
        assert!(refusals.add(after(2_101)));
    }
}
