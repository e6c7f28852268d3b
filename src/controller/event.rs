//! What the controller did and why: the decision log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Configuration, Plan};
use crate::id::{BinId, OperatorId};
use crate::metrics::Doubt;
use crate::policy::Reason;
use crate::time::Timestamp;

/// Something the controller did, at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When: the end of the window decided on, or when the host reported.
    pub at: Timestamp,
    /// What.
    #[serde(rename = "event")]
    pub kind: EventKind,
}

/// What the controller did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The window was ignored while the job warms up; so many are left.
    WarmingUp {
        /// Windows still to be ignored after this one.
        left: u32,
    },
    /// What was seen in the window cannot be relied on; the policy was not asked.
    Doubted {
        /// Why.
        doubts: Vec<Doubt>,
    },
    /// The policy wants nothing to change.
    Held {
        /// Why.
        reason: Reason,
    },
    /// The policy wants a rescale, but has not asked often enough in a row.
    Activating {
        /// What it wants.
        plan: Plan,
        /// Why.
        reason: Reason,
        /// How many more windows must agree.
        left: u32,
    },
    /// A plan was accepted and its migration begins.
    Rescaling {
        /// The plan.
        plan: Plan,
        /// Why.
        reason: Reason,
        /// Configuration before.
        before: Configuration,
        /// Configuration after.
        after: Configuration,
        /// Bins that move.
        bins: usize,
        /// State that they hold, in bytes, as far as the last window told; 0 where no host says how large bins are.
        #[serde(default)]
        bytes: u64,
        /// Steps of the schedule; `adaptive` may take several together.
        steps: usize,
        /// Stateless operators whose records are divided among their instances in other parts from now on: the speeds of the instances in
        /// order, to which these parts are in proportion; nothing where instances take equal turns again.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        divided: BTreeMap<OperatorId, Vec<f64>>,
    },
    /// The plan that follows begins with splitting bins, because each of them alone exceeds what an instance is to carry.
    Splitting {
        /// The operator.
        operator: OperatorId,
        /// Bins, in order; a half has the next number.
        bins: Vec<BinId>,
    },
    /// A bin alone exceeds what an instance is to carry, and a single key makes it so: no number of instances helps.
    HotKey {
        /// The operator.
        operator: OperatorId,
        /// The bin.
        bin: BinId,
        /// Its load over what an instance is to carry.
        share: f64,
    },
    /// A plan was refused; nothing changed.
    Refused {
        /// The plan.
        plan: Plan,
        /// Why.
        why: String,
    },
    /// The host has carried the plan out.
    Migrated {
        /// Configuration now.
        configuration: Configuration,
    },
    /// How a migration with a latency goal went.
    Paced {
        /// The goal.
        goal_ms: f64,
        /// Steps that were sent.
        steps: usize,
        /// Steps of these that were expected to exceed the goal, whatever their size: of one bin, or with the job beyond the goal
        /// already.
        beyond_goal: usize,
    },
    /// The host gave up the plan that was being carried out: for a while no other is begun.
    BackingOff {
        /// Plans that it gave up, one after the other.
        failures: u32,
        /// Before then no plan of the policy is begun.
        until: Timestamp,
    },
    /// The policy wants a rescale, but the host gave up the last one a short while ago.
    Postponed {
        /// What it wants.
        plan: Plan,
        /// Why.
        reason: Reason,
        /// Before then it is not begun.
        until: Timestamp,
    },
    /// The input ended or the host gave up before the plan was carried out; what was not complete has not begun.
    Interrupted {
        /// Bins that moved.
        moved: usize,
        /// Bins that were to move.
        of: usize,
        /// Configuration now: an operator whose bins are not all where they should be has the instances that hold any.
        configuration: Configuration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_decision_log_reads_back() {
        let plan = Plan::rescale(OperatorId(1), 10).and(OperatorId(2), 20);
        let event = Event { at: Timestamp(5), kind: EventKind::Refused { plan, why: "no".into() } };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"at":5,"event":{"refused":{"plan":{"rescales":{"1":10,"2":20},"rebalances":[]},"why":"no"}}}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
