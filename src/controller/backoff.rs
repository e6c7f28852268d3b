//! Back-off: how long no plan is started after the host has abandoned one.
//!
//! A host that fails once may succeed at the next attempt, one that fails repeatedly will not, and
//! every attempt is a cost for the job. The wait therefore doubles with each failure, up to a
//! bound, and the first success ends it.

use std::time::Duration;

use crate::time::Timestamp;

/// Wait after the first failure, in policy intervals.
const FIRST: u32 = 2;
/// The longest wait, in policy intervals.
const MOST: u32 = 32;

/// The number of failures in a row, and the resulting wait.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    interval: Duration,
    failures: u32,
    until: Timestamp,
}

impl Backoff {
    /// No failures so far; waits are multiples of `interval`.
    pub(super) fn new(interval: Duration) -> Backoff {
        Backoff { interval, failures: 0, until: Timestamp::ZERO }
    }

    /// Called when the host abandons a plan. Returns the number of failures in a row, and the time
    /// before which no plan is started.
    pub(super) fn failed(&mut self, at: Timestamp) -> (u32, Timestamp) {
        let intervals = FIRST.saturating_mul(2u32.saturating_pow(self.failures)).min(MOST);
        self.failures += 1;
        self.until = at + self.interval * intervals;
        (self.failures, self.until)
    }

    /// Called when the host has completed a plan.
    pub(super) fn succeeded(&mut self) {
        *self = Backoff::new(self.interval);
    }

    /// The time before which no plan is started, if that is later than `at`.
    pub(super) fn until(&self, at: Timestamp) -> Option<Timestamp> {
        (at < self.until).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_a_success() {
        let seconds = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let mut backoff = Backoff::new(Duration::from_secs(2));
        assert_eq!(backoff.until(Timestamp::ZERO), None);
        let waits: Vec<u64> = (0..40).map(|_| backoff.failed(seconds(100)).1.since(seconds(100)).as_secs()).collect();
        assert_eq!(waits[..6], [4, 8, 16, 32, 64, 64]);
        assert!(waits[6..].iter().all(|wait| *wait == 64));
        assert_eq!((backoff.until(seconds(163)), backoff.until(seconds(164))), (Some(seconds(164)), None));
        backoff.succeeded();
        assert_eq!(backoff.until(seconds(101)), None);
        assert_eq!(backoff.failed(seconds(200)), (1, seconds(204)));
    }
}
