//! One step that tells whether instances wait for something outside each for itself, or for their part of what all of them share.
//!
//! As long as their number stays the same the two look alike. With a few more instances, either each does what it did, and the operator is scaled as any
//! other; or all together do what they did, and the step is taken back. Waits that are most of an operator's time are those of synchronous calls as a rule,
//! so that the step is taken at once; where its own work has most of the time, and instances enough for that, something shared is the likelier, and
//! the step is taken only after all else has had its time.

use std::time::Duration;

use super::sight::Sight;
use crate::time::Timestamp;

/// Waits that are more than this part of the busy time are likely to be each instance's own.
const LIKELY_OWN: f64 = 0.4;
/// Other waits are looked into after so many times as long as a lag may take to be worked off.
const PATIENCE: f64 = 4.0;
/// The step is so many instances at least: one more of several hardly shows.
const LEAST_STEP: u32 = 2;

/// What is known of an operator's waits for something outside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Waits {
    /// Since when it has waited, if it does.
    since: Option<Timestamp>,
    /// Whether more instances were seen to wait no longer than before.
    pub(super) apart: bool,
}

impl Waits {
    /// Takes account of a window that ends at `now`: since when the operator has been bounded by waiting.
    pub(super) fn observe(&mut self, now: Timestamp, sight: &Sight) {
        let since = self.since.get_or_insert(now);
        if !sight.waits {
            *since = now;
        }
    }

    /// Instances to which the operator may go to see what they wait for; nothing where it is not the time for that.
    pub(super) fn probe(&self, now: Timestamp, sight: &Sight, catch_up_s: f64) -> Option<u32> {
        let patience = Duration::from_secs_f64((catch_up_s * PATIENCE).min(1e9));
        let due = sight.waiting_share > LIKELY_OWN || self.since.is_some_and(|since| since + patience <= now);
        (sight.waits && due).then(|| sight.instances.saturating_add(LEAST_STEP.max(sight.instances.div_ceil(2))))
    }
}
