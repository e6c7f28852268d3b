//! Delayed scale-downs.
//!
//! Receives the recommendations for an operator while they are below its parallelism; after the
//! delay, returns the maximum of those in that time. Invariant: recommendations that can no longer
//! be the maximum are forgotten, so that memory is bounded by the number of different parallelisms.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::id::OperatorId;
use crate::time::Timestamp;

/// Whether an operator's true rate is outside of its band, so that it is by itself a reason to
/// rescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Within: the operator changes only together with another one.
    Inside,
    /// Outside.
    Outside,
}

/// A recommended parallelism, and the operator's state when it was recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The parallelism.
    pub instances: u32,
    /// Whether it is by itself a reason to rescale.
    pub band: Band,
}

/// The delayed scale-down of one operator.
#[derive(Clone, Debug)]
struct Waiting {
    since: Timestamp,
    /// Recommendations by time, in descending order: a smaller one before a larger one is never the
    /// maximum.
    recommended: VecDeque<(Timestamp, Change)>,
}

/// All delayed scale-downs.
// papers/flink-autoscaler.md#delay
#[derive(Clone, Debug)]
pub struct ScaleDowns {
    wait: Duration,
    waiting: BTreeMap<OperatorId, Waiting>,
}

impl ScaleDowns {
    /// Scale-downs with this delay; 0 is no delay.
    pub fn waiting_for(wait: Duration) -> ScaleDowns {
        ScaleDowns { wait, waiting: BTreeMap::new() }
    }

    /// Adds the recommendation at `now` to scale `operator` down; returns the parallelism to scale
    /// to, if the delay has passed.
    pub fn recommend(&mut self, now: Timestamp, operator: OperatorId, change: Change) -> Option<Change> {
        if self.wait.is_zero() {
            return Some(change);
        }
        // Intervals and delays are multiples of each other only up to rounding.
        let grace = self.wait / 1_000_000;
        let waiting = self.waiting.entry(operator).or_insert(Waiting { since: now, recommended: VecDeque::new() });
        while waiting.recommended.back().is_some_and(|(_, before)| before.instances <= change.instances) {
            waiting.recommended.pop_back();
        }
        waiting.recommended.push_back((now, change));
        if now.since(waiting.since) + grace < self.wait {
            return None;
        }
        while waiting.recommended.front().is_some_and(|(at, _)| now.since(*at) > self.wait + grace) {
            waiting.recommended.pop_front();
        }
        waiting.recommended.front().map(|(_, most)| *most)
    }

    /// Cancels the scale-down of `operator`.
    pub fn forget(&mut self, operator: OperatorId) {
        self.waiting.remove(&operator);
    }

    /// Cancels all scale-downs.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether any scale-down is waiting.
    pub fn any(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATOR: OperatorId = OperatorId(1);

    /// What comes of recommendations of (minute, instances, outside), with a wait of ten minutes.
    fn minutes(recommended: &[(u32, u32, bool)]) -> Vec<Option<(u32, Band)>> {
        let mut downs = ScaleDowns::waiting_for(Duration::from_secs(600));
        let decide = |&(minute, instances, outside): &(u32, u32, bool)| {
            let band = if outside { Band::Outside } else { Band::Inside };
            let now = Timestamp::from_secs_f64(f64::from(minute) * 60.0);
            downs.recommend(now, OPERATOR, Change { instances, band }).map(|change| (change.instances, change.band))
        };
        recommended.iter().map(decide).collect()
    }

    #[test]
    fn the_most_of_the_last_interval_is_taken_and_says_whether_it_was_outside() {
        let found = minutes(&[(0, 4, true), (3, 7, false), (6, 5, true), (10, 3, true), (13, 3, true), (14, 3, false)]);
        let inside = Some((7, Band::Inside));
        assert_eq!(found, [None, None, None, inside, inside, Some((5, Band::Outside))], "what is older than ten minutes does not count");
    }

    #[test]
    fn the_newest_of_equals_counts() {
        assert_eq!(minutes(&[(0, 4, true), (10, 4, false)]), [None, Some((4, Band::Inside))]);
    }

    #[test]
    fn what_is_forgotten_waits_from_the_beginning() {
        let mut downs = ScaleDowns::waiting_for(Duration::from_secs(60));
        let change = Change { instances: 2, band: Band::Outside };
        let at = Timestamp::from_secs_f64;
        assert_eq!((downs.recommend(at(0.0), OPERATOR, change), downs.any()), (None, true));
        downs.forget(OPERATOR);
        assert_eq!((downs.any(), downs.recommend(at(60.0), OPERATOR, change)), (false, None));
        assert_eq!(downs.recommend(at(120.0), OPERATOR, change), Some(change));
        downs.clear();
        assert_eq!(downs.recommend(at(180.0), OPERATOR, change), None);
        assert_eq!(ScaleDowns::waiting_for(Duration::ZERO).recommend(at(0.0), OPERATOR, change), Some(change));
    }
}
