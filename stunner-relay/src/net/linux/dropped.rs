//! How many datagrams the kernel dropped because a socket was full.

/// What the kernel tells of one socket: a running total, which has 32 bits only and begins again at 0 behind them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Dropped {
    last: u32,
    count: u64,
}

impl Dropped {
    /// Counts what the kernel drops from now on, where it has told of so many before.
    pub(super) const fn since(last: u32) -> Self {
        Self { last, count: 0 }
    }

    /// What the kernel told last.
    pub(super) const fn last(self) -> u32 {
        self.last
    }

    /// How many have been counted.
    pub(super) const fn count(self) -> u64 {
        self.count
    }

    /// Takes in the kernel's total, and returns how many it dropped since the last time.
    pub(super) fn take(&mut self, total: u32) -> u64 {
        let more = total.wrapping_sub(self.last);
        // Two processors may have counted at once, and what came later knows of less: that is no lap of the counter.
        if more > u32::MAX / 2 {
            return 0;
        }
        self.last = total;
        self.count += u64::from(more);
        more.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has been counted after each of the kernel's totals.
    fn counted<const N: usize>(mut dropped: Dropped, totals: [u32; N]) -> [u64; N] {
        totals.map(|total| {
            dropped.take(total);
            dropped.count()
        })
    }

    #[test]
    fn the_kernels_total_begins_again_and_ours_does_not() {
        let totals = counted(Dropped::default(), [u32::MAX / 2, u32::MAX - 1, 3]);

        assert_eq!(totals[1..], [u64::from(u32::MAX) - 1, (1 << 32) + 3]);
    }

    #[test]
    fn a_total_that_is_less_than_the_last_one_takes_and_adds_nothing() {
        assert_eq!(counted(Dropped::default(), [5, 4, 7]), [5, 5, 7]);
    }

    #[test]
    fn what_each_total_adds_is_told() {
        let mut dropped = Dropped::default();

        assert_eq!([5, 5, 4, 8].map(|total| dropped.take(total)), [5, 0, 0, 3]);
    }

    #[test]
    fn what_was_dropped_before_is_somebody_elses() {
        assert_eq!(counted(Dropped::since(7), [7, 9]), [0, 2]);
        assert_eq!(Dropped::since(7).last(), 7);
    }
}
