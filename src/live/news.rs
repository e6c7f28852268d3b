//! What is new of a story: the messages that a page gets while a run goes on.

use std::collections::BTreeMap;

use serde::Serialize;

use super::story::{Decision, Diagnosis, HeldAt, Instances, Migration, PathAt, QuietSpan, State, SteeredBy, Warning, Window};

/// What is new since the last message to a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct News {
    /// Number of this message; each is one higher than the last.
    pub number: u64,
    /// Whether the run goes on.
    pub state: State,
    /// The window that closed, if one did.
    pub window: Option<Window>,
    /// Its instances, if they are shown for it.
    pub instances: Option<Instances>,
    /// New critical paths.
    pub paths: Vec<PathAt>,
    /// The latency goal.
    pub goal_ms: Option<f64>,
    /// Plans that are new or changed, and those after them.
    pub decisions: Tail<Decision>,
    /// The same of periods without a plan.
    pub quiet: Tail<QuietSpan>,
    /// The same of reasons to change nothing.
    pub held: Tail<HeldAt>,
    /// The same of migrations.
    pub migrations: Tail<Migration>,
    /// The same of warnings.
    pub warnings: Tail<Warning>,
    /// What a person keeps from the policy.
    pub steered: SteeredBy,
    /// Totals, once they are known.
    pub totals: Option<BTreeMap<String, f64>>,
    /// Notes, if they changed.
    pub notes: Option<Vec<String>>,
    /// Of an analysis, what it says so far.
    pub diagnosis: Option<Diagnosis>,
}

/// The end of a list: what was at `from` and after it is replaced by `items`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tail<T> {
    /// How many entries stay.
    pub from: usize,
    /// What follows them.
    pub items: Vec<T>,
}

impl<T: Clone + PartialEq> Tail<T> {
    /// What changes `before` into `after`.
    pub fn between(before: &[T], after: &[T]) -> Tail<T> {
        let from = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        Tail { from, items: after[from..].to_vec() }
    }
}
