//! How long no plan is begun after the host gave one up.
//!
//! A host that fails once may well succeed at the next attempt, one that fails time and again will not, and every attempt costs the job
//! something. So the wait doubles with each failure, up to a bound, and the first success ends it.

use std::time::Duration;

use crate::time::Timestamp;

/// Policy intervals after the first failure.
const FIRST: u32 = 2;
/// Policy intervals at most.
const MOST: u32 = 32;

/// Failures one after the other, and what follows from them.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    interval: Duration,
    failures: u32,
    until: Timestamp,
}

impl Backoff {
    /// Nothing has failed; waits are multiples of `interval`.
    pub(super) fn new(interval: Duration) -> Backoff {
        Backoff { interval, failures: 0, until: Timestamp::ZERO }
    }

    /// The host gave a plan up. Gives how many it has, one after the other, and before when none is begun.
    pub(super) fn failed(&mut self, at: Timestamp) -> (u32, Timestamp) {
        let intervals = FIRST.saturating_mul(2u32.saturating_pow(self.failures)).min(MOST);
        self.failures += 1;
        self.until = at + self.interval * intervals;
        (self.failures, self.until)
    }

    /// The host has carried a plan out.
    pub(super) fn succeeded(&mut self) {
        *self = Backoff::new(self.interval);
    }

    /// Before when no plan is begun, if that is later than `at`.
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
