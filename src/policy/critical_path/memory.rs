//! What is remembered from window to window of operators, of the last action, of missed goals and
//! of needed instances.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::external_waits::ExternalWaits;
use super::limits::{FailedTry, Limit, MeasuredRate};
use super::operator_view::OperatorView;
use crate::dataflow::Configuration;
use crate::id::OperatorId;
use crate::time::Timestamp;

/// A rebalance that leaves more than this share of the imbalance did not help.
const USELESS: f64 = 0.9;
/// A goal counts as missed once this many windows missed it...
const OFTEN: f64 = 1.8;
/// ... where each further window discounts the earlier ones by this factor.
const KEPT: f64 = 0.85;

/// Memory of one operator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Consecutive windows in which it was under-provisioned.
    pub(super) under: u32,
    /// Consecutive windows in which an imbalance mattered.
    pub(super) hot: u32,
    /// The last rebalance, if it did not help.
    pub(super) failed_rebalance: Option<FailedRebalance>,
    /// The parallelism beyond which more instances did not help.
    pub(super) limit: Option<Limit>,
    /// Its rate before a scale-up that did not help, perhaps for other reasons.
    pub(super) doubt: Option<MeasuredRate>,
    /// Demand at its last scale-up, in records per second.
    pub(super) raised_for: Option<f64>,
    /// Whether it was ever scaled up because of backpressure although its instances had the capacity for the demand.
    pub(super) raised_for_pauses: bool,
    /// What is known about its external waits.
    pub(super) waits: ExternalWaits,
}

impl Memory {
    /// Whether a rebalance did not help, is in back-off, and the imbalance is as it was then.
    pub(super) fn is_rebalance_useless(&self, view: &OperatorView) -> bool {
        let as_then = |failed: FailedRebalance| {
            failed.backs_off && failed.instances == view.instances && (view.imbalance / failed.imbalance - 1.0).abs() < 1.0 - USELESS
        };
        self.failed_rebalance.is_some_and(as_then)
    }
}

/// A rebalance that hardly reduced the imbalance.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedRebalance {
    /// The imbalance after it.
    imbalance: f64,
    /// The number of instances.
    pub(super) instances: u32,
    pub(super) tried: FailedTry,
    /// Whether it is too early to try again.
    pub(super) backs_off: bool,
}

impl FailedRebalance {
    /// What a rebalance at an imbalance of `before` came to, as `view` shows it, at `now` and a demand in records per second; nothing if it
    /// helped. `last` is the failed rebalance before it.
    pub(super) fn of(
        before: f64,
        view: &OperatorView,
        last: Option<FailedRebalance>,
        now: Timestamp,
        demand: f64,
    ) -> Option<FailedRebalance> {
        let hardly_helped = view.imbalance - 1.0 > (before - 1.0) * USELESS;
        hardly_helped.then(|| FailedRebalance {
            imbalance: view.imbalance,
            instances: view.instances,
            tried: FailedTry::after(last.map(|last| last.tried), now, demand),
            backs_off: true,
        })
    }
}

/// The last action.
#[derive(Clone, Debug)]
pub(super) struct LastAction {
    /// The configuration before it.
    pub(super) before: Configuration,
    /// The operators that it rebalanced, with their imbalance before it.
    pub(super) rebalanced: BTreeMap<OperatorId, f64>,
    /// Windows seen since.
    pub(super) windows: u32,
}

impl LastAction {
    /// An action in the configuration `before` that rebalanced operators of the given imbalance.
    pub(super) fn new(before: Configuration, rebalanced: BTreeMap<OperatorId, f64>) -> LastAction {
        LastAction { before, rebalanced, windows: 0 }
    }

    /// Whether no window has been seen since.
    pub(super) fn is_new(&self) -> bool {
        self.windows == 0
    }
}

/// Windows that missed the latency goal, discounted by age.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GoalMisses(f64);

impl GoalMisses {
    /// After one window more, which missed the goal or met it; earlier ones count less.
    ///
    /// Where latency is measured in short windows, misses come and go.
    pub(super) fn after(self, missed: Option<f64>) -> GoalMisses {
        GoalMisses(self.0 * KEPT + if missed.is_some() { 1.0 } else { 0.0 })
    }

    /// After one window more; earlier ones count in full until one meets the goal.
    ///
    /// Where latency is calculated by the formula, a miss persists.
    pub(super) fn in_succession(self, missed: Option<f64>) -> GoalMisses {
        GoalMisses(if missed.is_some() { self.0 + 1.0 } else { 0.0 })
    }

    /// Whether these are enough to act upon.
    pub(super) fn are_often(self) -> bool {
        self.0 >= OFTEN
    }
}

/// Instances that recent windows needed.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentNeeds {
    /// By operator, with a margin; with the end of the window.
    windows: VecDeque<(Timestamp, Vec<u32>)>,
    /// Since when there has been a surplus.
    pub(super) surplus_since: Option<Timestamp>,
}

impl RecentNeeds {
    /// Records the needs of the window that ended at `now`; forgets those that ended before `look_back`.
    pub(super) fn observe(&mut self, now: Timestamp, enough: &[u32], look_back: Duration) {
        self.windows.push_back((now, enough.to_vec()));
        while self.windows.len() > 1 && self.windows[0].0 + look_back < now {
            self.windows.pop_front();
        }
    }

    /// The highest need of an operator in the last `windows` of these windows.
    pub(super) fn most(&self, operator: usize, windows: usize) -> u32 {
        self.windows.iter().rev().take(windows).map(|(_, enough)| enough[operator]).max().unwrap_or(u32::MAX)
    }
}
