//! The decision log: what the controller did, and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Request;
use crate::dataflow::{Configuration, Plan};
use crate::id::{BinId, OperatorId};
use crate::metrics::MetricIssue;
use crate::policy::Reason;
use crate::time::Timestamp;

/// An action of the controller, with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The end of the window decided on, or the time at which the host reported.
    pub at: Timestamp,
    /// What the controller did.
    #[serde(rename = "event")]
    pub kind: EventKind,
}

/// What the controller did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The window was ignored because the job is warming up.
    WarmingUp {
        /// Windows still to be ignored after this one.
        left: u32,
    },
    /// The metrics of the window are unreliable; the policy was not consulted.
    Doubted {
        /// The reasons.
        doubts: Vec<MetricIssue>,
    },
    /// The policy asks for no change.
    Held {
        /// The policy's reason.
        reason: Reason,
    },
    /// The policy asks for a change, but not yet in enough consecutive windows.
    Activating {
        /// The plan it asks for.
        plan: Plan,
        /// The policy's reason.
        reason: Reason,
        /// How many more windows must agree.
        left: u32,
    },
    /// A plan was accepted and its migration starts.
    Rescaling {
        /// The plan.
        plan: Plan,
        /// The policy's reason.
        reason: Reason,
        /// Configuration before.
        before: Configuration,
        /// Configuration after.
        after: Configuration,
        /// Number of bins that migrate.
        bins: usize,
        /// Size of their state in bytes, by the metrics of the last window; 0 if the host does not
        /// report sizes of bins.
        #[serde(default)]
        bytes: u64,
        /// Number of steps of the schedule; `adaptive` may combine several.
        steps: usize,
        /// Stateless operators whose records are distributed differently among their instances from
        /// now on: the speeds of the instances in order, to which their shares are proportional;
        /// empty for equal shares.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        divided: BTreeMap<OperatorId, Vec<f64>>,
    },
    /// The plan that follows starts by splitting bins, each of which exceeds an instance's fair
    /// share of the load.
    Splitting {
        /// The operator.
        operator: OperatorId,
        /// The bins, in order; the number of the new half is one higher.
        bins: Vec<BinId>,
    },
    /// A single bin exceeds an instance's fair share because of a single key: no number of
    /// instances helps.
    HotKey {
        /// The operator.
        operator: OperatorId,
        /// The bin.
        bin: BinId,
        /// Its load over an instance's fair share.
        share: f64,
    },
    /// A plan was rejected; nothing changed.
    Refused {
        /// The plan.
        plan: Plan,
        /// The reason.
        why: String,
    },
    /// The host has completed the plan.
    Migrated {
        /// The new configuration.
        configuration: Configuration,
    },
    /// How a migration with a latency goal went.
    Paced {
        /// The goal.
        goal_ms: f64,
        /// Steps that were executed.
        steps: usize,
        /// Steps that were expected to exceed the goal whatever their size: steps of one bin, or
        /// with the job above the goal already.
        beyond_goal: usize,
    },
    /// The host abandoned the plan in progress: no other is started for a while.
    BackingOff {
        /// Number of plans abandoned in a row.
        failures: u32,
        /// Time before which no plan of the policy is started.
        until: Timestamp,
    },
    /// The policy asks for a change, but the host abandoned the last plan a short while ago.
    Postponed {
        /// The plan it asks for.
        plan: Plan,
        /// The policy's reason.
        reason: Reason,
        /// Time before which no plan is started.
        until: Timestamp,
    },
    /// The policy asks for a change, but a person keeps it from being made.
    Withheld {
        /// The plan, or the part of it that is withheld; the rest follows as a plan of its own.
        plan: Plan,
        /// The policy's reason.
        reason: Reason,
        /// Why it is withheld.
        why: String,
    },
    /// A person asked for something.
    Steered {
        /// What, and who.
        request: Request,
        /// Why it was refused, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The input ended or the host abandoned the plan before it was complete; incomplete steps have
    /// had no effect.
    Interrupted {
        /// Number of bins that migrated.
        moved: usize,
        /// Number of bins that were to migrate.
        of: usize,
        /// The resulting configuration: an operator with bins that have not migrated has the
        /// instances that hold any.
        configuration: Configuration,
    },
}

impl EventKind {
    /// The policy's reason, if the event has one.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            EventKind::Held { reason }
            | EventKind::Activating { reason, .. }
            | EventKind::Rescaling { reason, .. }
            | EventKind::Withheld { reason, .. }
            | EventKind::Postponed { reason, .. } => Some(reason),
            _ => None,
        }
    }
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
