//! Thalweg's own policy: decides for all operators at once, from the measured critical path.
//!
//! For every window it computes the demand of each operator from the offered load and the whole
//! graph, the capacity of its instances from a learned curve, a diagnosis where the two do not fit,
//! and the smallest configuration that would do. It rescales only where the estimate differs from
//! the present configuration by more than its error, or where the job falls behind; it removes
//! instances only if none of the recent windows would have needed them; it answers skew and
//! stragglers by rebalancing; and it leaves alone what rescaling cannot help. Across windows it
//! keeps capacity curves, relative speeds of instances, limits, and the cost of changes.
//!
//! Invariants: one plan holds everything that is to change; parallelism stays between 1 and each
//! operator's maximum, and within the budget; an operator that was not measured is not changed.
//!
//! # The files, in the order in which a decision needs them
//!
//! This one has what every policy has. [`CriticalPath`], in `state.rs`, holds what is known when a
//! window comes: the parameters (`config.rs`, `presets.rs`), models of the job (those of
//! [`crate::model`]) and what is remembered of earlier windows. Then `steps/mod.rs` takes one step
//! after the other:
//!
//! | step | files of `steps/` | goes by |
//! |---|---|---|
//! | correct times of workers without a whole core | | `workers.rs` |
//! | demand and lag, now and soon | `load` | `forecast.rs` |
//! | hold until the last change has settled, unless the load outruns it | `unsettled` | `warm_up.rs` |
//! | view of each operator: speeds, waits, imbalance | `views` | `operator_view.rs`, `bins.rs`, `memory.rs`, `external_waits.rs` |
//! | load of each worker | `placement` | `workers.rs` |
//! | outcome of the last action | `outcome` | `memory.rs`, `limits.rs` |
//! | for whom sources are paused | `backpressure` | `paths.rs` |
//! | the smallest configuration that would do | `run_search` | `job_model.rs`, `search.rs`; with a latency goal `goal.rs`, `climb.rs` |
//! | diagnosis of each operator | `diagnose` | `load_weights.rs` for skew and stragglers |
//! | what to change, if that is worth its cost | `change`, with `weigh` and `trim` | `cost_benefit.rs` |
//! | where the instances go | `placement` | `workers.rs` |
//! | the reason | `reason` | `paths.rs` |
//!
//! The files beside `state.rs` know nothing of the policy as a whole: each can be read by itself.

mod bins;
mod climb;
mod config;
mod cost_benefit;
mod external_waits;
mod forecast;
mod goal;
mod job_model;
mod limits;
mod load_weights;
mod memory;
mod operator_view;
mod paths;
mod presets;
mod search;
mod state;
mod steps;
mod warm_up;
mod workers;

pub use self::config::{CriticalPathConfig, Paths};
use self::load_weights::LoadWeights;
use self::memory::GoalMisses;
pub use self::presets::{PRESETS, Preset};
pub use self::state::CriticalPath;
use self::workers::with_whole_cores;
use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Needs, Policy};
use crate::observation::Observation;
use crate::time::Timestamp;

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "critical-path",
    summary: "ours: all operators at once, by the measured critical path, learned capacity and the cost of a change",
    rules: &[
        ("hold", "no change needed"),
        ("under-provisioned", "too few instances to keep up"),
        ("over-provisioned", "more instances than needed"),
        ("goal-missed", "the job keeps up, but latency exceeds the goal"),
        ("goal-unreachable", "latency exceeds the goal, and no number of instances would meet it"),
        ("hot-key", "a single key exceeds the capacity of an instance; rebalancing the others does not help"),
        ("external-wait", "it waits for something outside the job; more instances do not help"),
        ("straggling", "some instances are slower than the others, and their missing capacity bounds the job"),
        ("bounded", "an operator already has all the instances that help it and bounds the job"),
        ("budget", "the instance budget is exhausted"),
        ("uneven", "its load is not distributed according to the capacity of its instances"),
        ("roll-back", "the last action made it worse"),
        ("crowded", "instances share a worker that cannot do the work of all of them, and others have room"),
        ("no-room", "the workers cannot do the work of all instances, wherever these are"),
        ("host", "workers do not get their cores, and the others have no room for their instances"),
        ("starting", "new instances have not started yet"),
        ("settling", "waiting for the last action to take effect"),
        ("not-worth-it", "a change would cost more than it gains"),
    ],
    make: |topology, factor, given| {
        let config = set(CriticalPathConfig::standard(), &given.settings, CriticalPathConfig::check)?;
        Ok(Box::new(CriticalPath::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for CriticalPath {
    fn name(&self) -> &'static str {
        "critical-path"
    }

    fn needs(&self) -> Needs {
        if self.config.paths == Paths::On { Needs::Paths } else { Needs::Metrics }
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let corrected = with_whole_cores(observation);
        self.decision(corrected.as_ref().unwrap_or(observation))
    }

    fn refused(&mut self, _why: &str) {
        self.last_action = None;
        self.weights.iter_mut().for_each(LoadWeights::refused);
    }

    fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
        let changed = CriticalPathConfig { goal_ms, ..self.config.clone() };
        changed.check()?;
        (self.config, self.goal_misses) = (changed, GoalMisses::default());
        Ok(())
    }

    fn overridden(&mut self) {
        self.last_action = None;
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.warm_up.migrated(began, ended);
        self.workers.migrated();
        self.change_model.migrated(bytes as f64, ended.since(began).as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
