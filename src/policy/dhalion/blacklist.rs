//! Actions that did not help, and when a new action is similar to one of them.
//!
//! Stores failed actions and decides whether an action is forbidden for the current observation.
//! The paper blacklists pairs of diagnosis and action; the similarity of diagnoses is that of the
//! prototype for scale-ups. Invariant: bounded memory.

use super::ComponentStatus;
use crate::id::OperatorId;

/// What an action does to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Adds instances.
    ScaleUp,
    /// Removes instances.
    ScaleDown,
}

/// An action and the diagnosis that led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its kind.
    pub kind: ActionKind,
    /// The operator.
    pub operator: OperatorId,
    /// Parallelism before.
    pub from: u32,
    /// Parallelism after.
    pub to: u32,
    /// The operator's metrics when the action was decided.
    pub seen: ComponentStatus,
}

/// The most actions kept; the oldest is forgotten first.
const MOST_ENTRIES: usize = 256;

/// Two amounts of work are similar if neither is more than this many times the other (the
/// prototype's value).
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
    /// Under-provisioning is similar for the same operator if all instances of that time still
    /// exist, the same of them have backpressure, and the amount of work is similar.
    /// Over-provisioning is similar for the same operator with the same parallelism and a similar
    /// amount of work; the prototype never finds it similar, so that a scale-down and its undoing
    /// would alternate forever, contrary to the paper.
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
