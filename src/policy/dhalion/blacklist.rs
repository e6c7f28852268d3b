//! Actions that did not help, and when a new one is too like them.
//!
//! Takes failed actions; says whether an action is forbidden for what is seen now. The paper blacklists pairs of diagnosis
//! and action; what makes two diagnoses alike is the prototype's for scale-ups. Invariant: bounded memory.

use super::ComponentStatus;
use crate::id::OperatorId;

/// What an action does to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Adds instances.
    ScaleUp,
    /// Takes instances away.
    ScaleDown,
}

/// An action and the diagnosis it answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// To which operator.
    pub operator: OperatorId,
    /// Parallelism before.
    pub from: u32,
    /// Parallelism after.
    pub to: u32,
    /// The operator as it was seen when the action was decided.
    pub seen: ComponentStatus,
}

/// Most actions kept; the oldest is forgotten first.
const MOST_ENTRIES: usize = 256;

/// Two amounts of work are alike when neither is more than this many times the other (the prototype's value).
const ALIKE_WITHIN: f64 = 2.0;

/// The blacklist.
#[derive(Clone, Debug, Default)]
pub struct Blacklist {
    entries: Vec<Action>,
}

impl Blacklist {
    /// Adds an action that failed.
    pub fn add(&mut self, action: Action) {
        if self.entries.len() == MOST_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(action);
    }

    /// The actions on it, oldest first.
    pub fn entries(&self) -> &[Action] {
        &self.entries
    }

    /// Whether an action of this kind on `component` failed before under a similar diagnosis.
    ///
    /// Under-provisioning is similar for the same operator when all instances of then are still there, the same of them
    /// have backpressure, and the work done is alike. Over-provisioning is similar for the same operator with the same
    /// parallelism and work that is alike; the prototype never finds it similar, which would make a scale-down and its
    /// undoing alternate for ever, against the paper's text.
    // papers/dhalion-vldb17.md#blacklist
    pub fn forbids(&self, kind: ActionKind, component: &ComponentStatus) -> bool {
        let of_kind = |entry: &&Action| entry.kind == kind && entry.operator == component.operator;
        self.entries.iter().filter(of_kind).any(|entry| {
            let same_instances = match kind {
                ActionKind::ScaleUp => {
                    let held_back = |status: &super::InstanceStatus| status.backpressure > 0.0;
                    let mut pairs = entry.seen.instances.iter().zip(&component.instances);
                    entry.seen.parallelism() <= component.parallelism() && pairs.all(|(then, now)| held_back(then) == held_back(now))
                }
                ActionKind::ScaleDown => entry.seen.parallelism() == component.parallelism(),
            };
            let (then, now) = (entry.seen.executed(), component.executed());
            same_instances && now <= ALIKE_WITHIN * then && then <= ALIKE_WITHIN * now
        })
    }
}
