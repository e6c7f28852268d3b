//! Times at which bins were sent away, by operator: records of bins in flight wait at their new
//! instance, which meanwhile processes others.
//!
//! Hosts record which instance sends bins and when, not when they arrive. So only the departure is
//! known.

use std::collections::{BTreeMap, VecDeque};

use crate::activity::{Activity, ActivityKind};
use crate::id::OperatorId;

/// The most times of one operator; beyond, the oldest are forgotten.
const MOST_INSTANTS: usize = 1 << 12;
/// Bins are in flight for less than this, in ns.
const LONGEST: u64 = 60_000_000_000;

/// Times at which bins departed.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves {
    /// By operator, in order of time.
    operators: BTreeMap<OperatorId, VecDeque<u64>>,
}

impl Moves {
    /// Records an activity.
    #[inline]
    pub(super) fn push(&mut self, activity: &Activity) {
        if activity.kind == ActivityKind::Migration {
            let instants = self.operators.entry(activity.instance.operator).or_default();
            // Bins of several instances depart at once.
            if instants.back().is_none_or(|last| *last < activity.start.0) {
                instants.push_back(activity.start.0);
            }
            if instants.len() > MOST_INSTANTS {
                instants.pop_front();
            }
        }
    }

    /// Whether bins of `operator` may have been in flight at some time in `[from, until)`.
    pub(super) fn within(&self, operator: OperatorId, from: u64, until: u64) -> bool {
        let Some(instants) = self.operators.get(&operator) else { return false };
        let before = instants.partition_point(|at| *at < until);
        before.checked_sub(1).is_some_and(|last| instants[last].saturating_add(LONGEST) > from)
    }
}
