//! What a person asks of a running controller: pause it, hold an operator, carry out a plan, change the latency goal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Plan, Topology};
use crate::id::OperatorId;

/// The rule of a plan that a person asked for.
pub const BY_HAND: &str = "by-hand";

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Start no plan of the policy from now on. It is consulted all the same, and what it asks for is logged.
    Pause,
    /// Start plans of the policy again.
    Resume,
    /// Leave an operator as it is: plans of the policy are carried out without their changes to it.
    Hold {
        /// The operator.
        operator: OperatorId,
    },
    /// Let plans of the policy change an operator again.
    Release {
        /// The operator.
        operator: OperatorId,
    },
    /// Carry out a plan now, also while the controller is paused, and also if it changes an operator that is held.
    Apply {
        /// The plan.
        plan: Plan,
    },
    /// Change the latency goal of the policy.
    Goal {
        /// The new goal in milliseconds; 0 for none.
        goal_ms: f64,
    },
}

/// A command, and who gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Name or address of the person.
    pub who: String,
    /// What is asked for.
    pub command: Command,
}

/// What is kept back from the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// Who paused the controller.
    pub paused_by: Option<String>,
    /// Operators that are to stay as they are, with who holds them.
    pub held_by: BTreeMap<OperatorId, String>,
}

impl Steered {
    /// Takes over a request that was accepted.
    pub fn take(&mut self, request: &Request) {
        let who = || request.who.clone();
        match &request.command {
            Command::Pause => self.paused_by = Some(who()),
            Command::Resume => self.paused_by = None,
            Command::Hold { operator } => _ = self.held_by.insert(*operator, who()),
            Command::Release { operator } => _ = self.held_by.remove(operator),
            Command::Apply { .. } | Command::Goal { .. } => {}
        }
    }

    /// Divides a plan of the policy into what may be carried out and what is withheld, with the reason for the latter.
    pub(super) fn divide(&self, plan: Plan, topology: &Topology) -> (Plan, Option<(Plan, String)>) {
        if let Some(who) = &self.paused_by {
            return (Plan::default(), Some((plan, format!("the controller is paused by {who}"))));
        }
        let (held, free) = plan.divided(|operator| self.held_by.contains_key(&operator));
        if held == Plan::default() {
            return (free, None);
        }
        let named = self.held_by.iter().filter(|(operator, _)| held.changes(**operator));
        let named: Vec<String> = named.map(|(operator, who)| format!("{} is held by {who}", topology.operator(*operator).name)).collect();
        (free, Some((held, named.join(", "))))
    }
}
