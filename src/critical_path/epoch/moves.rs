//! When instances gave bins away, by operator: records of bins that are under way wait at their new instance, and it works on without them.
//!
//! Hosts record who gives bins away and when, not when they have come. So what is known is that they were let go.

use std::collections::{BTreeMap, VecDeque};

use crate::activity::{Activity, ActivityKind};
use crate::id::OperatorId;

/// Instants of one operator at most; of more, the oldest are forgotten.
const MOST_INSTANTS: usize = 1 << 12;
/// Bins are under way for less than this, in ns.
const LONGEST: u64 = 60_000_000_000;

/// When bins were let go.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    /// By operator, in order of time.
    operators: BTreeMap<OperatorId, VecDeque<u64>>,
}

impl Moves {
    /// Takes note of an activity.
    #[inline]
    pub(super) fn push(&mut self, activity: &Activity) {
        if activity.kind == ActivityKind::Migration {
            let instants = self.operators.entry(activity.instance.operator).or_default();
            // Bins of several instances leave at once.
            if instants.back().is_none_or(|last| *last < activity.start.0) {
                instants.push_back(activity.start.0);
            }
            if instants.len() > MOST_INSTANTS {
                instants.pop_front();
            }
        }
    }

    /// Whether bins of `operator` may have been under way at some time in `[from, until)`.
    pub(super) fn within(&self, operator: OperatorId, from: u64, until: u64) -> bool {
        let Some(instants) = self.operators.get(&operator) else { return false };
        let before = instants.partition_point(|at| *at < until);
        before.checked_sub(1).is_some_and(|last| instants[last].saturating_add(LONGEST) > from)
    }
}
