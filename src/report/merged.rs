//! What stays known of how the work of operators was spread that are no longer kept apart.

use std::collections::BTreeMap;

/// What kind of spread it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evenness {
    /// There is nothing to compare, or nothing that stands out.
    Even,
    /// An instance or a task has more to do than the others.
    Skewed,
    /// An instance or a task takes longer for as much.
    Straggling,
    /// There is more work than can be done at a time.
    Crowded,
}

/// The time that such operators have on critical paths, in ns, by how their work was spread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    critical_ns: BTreeMap<Evenness, f64>,
}

impl Merged {
    /// Adds an operator's time.
    pub(super) fn add(&mut self, evenness: Evenness, ns: f64) {
        *self.critical_ns.entry(evenness).or_default() += ns;
    }

    /// The share of the critical paths, in `length_ns`, of those whose work was spread in this way.
    pub(super) fn share(&self, evenness: Evenness, length_ns: f64) -> f64 {
        self.critical_ns.get(&evenness).map_or(0.0, |ns| ns / length_ns.max(1.0))
    }
}
