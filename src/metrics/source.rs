//! Metrics of a source: its offered load and what it emitted.

use serde::{Deserialize, Serialize};

use crate::id::OperatorId;
use crate::rate::Rate;
use crate::time::Timestamp;

/// Progress of a source, or of one of its partitions, against its schedule at one instant, counted from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceSample {
    /// The instant.
    pub at: Timestamp,
    /// Records due by then.
    pub due: f64,
    /// Records emitted by then.
    pub emitted: u64,
}

/// Metrics of a source over one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceMetrics {
    /// The source.
    pub operator: OperatorId,
    /// Rate at which records were due: given by the schedule, never throttled.
    // papers/ds2-osdi18.md#source-rate
    pub offered: Rate,
    /// Rate at which records were emitted.
    pub achieved: Rate,
    /// Records due but not yet emitted at the end of the window, of all partitions together.
    pub lag_records: f64,
}

impl SourceMetrics {
    /// Metrics between two samples of the source; without time between them all rates are 0.
    pub fn between(operator: OperatorId, before: SourceSample, after: SourceSample) -> SourceMetrics {
        let time = after.at.since(before.at);
        let rate = |records: f64| Rate::of(records.max(0.0), time).unwrap_or(Rate::ZERO);
        SourceMetrics {
            operator,
            offered: rate(after.due - before.due),
            achieved: rate(after.emitted.saturating_sub(before.emitted) as f64),
            lag_records: (after.due - after.emitted as f64).max(0.0),
        }
    }

    /// Adds another partition of the same source.
    pub fn add(&mut self, partition: &SourceMetrics) {
        self.offered = self.offered + partition.offered;
        self.achieved = self.achieved + partition.achieved;
        self.lag_records += partition.lag_records;
    }
}
