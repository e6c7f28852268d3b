//! One probing step that tells independent external waits from a shared external limit.
//!
//! As long as the number of instances stays the same, the two look alike. With a few more, either
//! each instance keeps its rate, and the operator is scaled like any other; or all together keep
//! theirs, and the step is reverted. Waits that make up most of an operator's busy time usually
//! come from synchronous calls, so the step is taken at once; where its own work dominates and the
//! instances suffice for it, a shared limit is more likely, and the step is taken only after
//! everything else has had its time.

use std::time::Duration;

use super::operator_view::OperatorView;
use crate::time::Timestamp;

/// Share of the busy time above which waits are probably independent.
const LIKELY_OWN: f64 = 0.4;
/// Other waits are probed after this many catch-up times.
const PATIENCE: f64 = 4.0;
/// A step has at least this many instances: a single one more hardly shows.
const LEAST_STEP: u32 = 2;

/// What is known about an operator's external waits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ExternalWaits {
    /// Since when external waits have bounded it.
    since: Option<Timestamp>,
    /// Whether more instances were seen to wait independently.
    pub(super) apart: bool,
}

impl ExternalWaits {
    /// Processes a window that ends at `now`.
    pub(super) fn observe(&mut self, now: Timestamp, view: &OperatorView) {
        let since = self.since.get_or_insert(now);
        if !view.waits {
            *since = now;
        }
    }

    /// Instances to probe with; nothing where a probe is not due.
    pub(super) fn probe(&self, now: Timestamp, view: &OperatorView, catch_up_s: f64) -> Option<u32> {
        let patience = Duration::from_secs_f64((catch_up_s * PATIENCE).min(1e9));
        let due = view.waiting_share > LIKELY_OWN || self.since.is_some_and(|since| since + patience <= now);
        (view.waits && due).then(|| view.instances.saturating_add(LEAST_STEP.max(view.instances.div_ceil(2))))
    }
}
