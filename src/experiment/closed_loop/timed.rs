//! A policy whose decisions are timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::dataflow::Plan;
use crate::engine::Clock;
use crate::observation::Observation;
use crate::policy::{Decision, Needs, Policy};
use crate::time::Timestamp;

/// The longest that a decision took; shared with whoever wants to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest(Arc<AtomicU64>);

impl Slowest {
    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Asks another policy and remembers the longest time it took: the one thing here that is not
/// virtual.
pub(super) struct Timed {
    policy: Box<dyn Policy>,
    clock: Clock,
    slowest: Slowest,
}

impl Timed {
    pub(super) fn new(policy: Box<dyn Policy>, slowest: Slowest) -> Timed {
        Timed { policy, clock: Clock::start(), slowest }
    }
}

impl Policy for Timed {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn needs(&self) -> Needs {
        self.policy.needs()
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let before = self.clock.now();
        let decision = self.policy.decide(now, observation);
        let took = self.clock.now().since(before);
        self.slowest.0.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
        decision
    }

    fn refused(&mut self, why: &str) {
        self.policy.refused(why);
    }

    fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
        self.policy.set_goal(goal_ms)
    }

    fn overridden(&mut self) {
        self.policy.overridden();
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.policy.migrated(began, ended, bytes);
    }

    fn failed(&mut self) {
        self.policy.failed();
    }

    fn postponed(&mut self, plan: &Plan, until: Timestamp) {
        self.policy.postponed(plan, until);
    }
}
