//! How a capacity is measured, and what a load in capacities is in records.

use serde::{Deserialize, Serialize};

use crate::experiment::scenario::Scenario;
use crate::rate::Rate;

/// How the capacity of a case is measured: as it starts, with nothing changed, while more is due
/// than it can do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Records per second: more than any machine does.
    pub rate: Rate,
    /// Seconds that it takes; the last quarter counts.
    pub seconds: f64,
}

/// Has loads, which are in capacities, in records.
pub(super) fn in_records(scenario: &mut Scenario, capacity: f64) {
    for load in scenario.operators.iter_mut().filter_map(|form| form.load.as_mut()) {
        *load = load.times(capacity);
    }
}
