//! Measurements of a run: what its activity log shows of each operator.

use std::collections::BTreeMap;

use super::{DelayFit, MoveFit, StateFit};
use crate::id::OperatorId;
use crate::workload::Phase;

/// Measurements of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Measurements by operator.
    pub operators: BTreeMap<OperatorId, OperatorMeasured>,
    /// How long messages with records travelled; nothing where none was paired.
    pub delay: Option<DelayFit>,
    /// Cost of moving bins; none where none moved or the log does not say how long it took.
    pub moves: Option<MoveFit>,
    /// Records of the log.
    pub records: u64,
}

/// Measurements of an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorMeasured {
    /// Records received.
    pub taken: u64,
    /// Records emitted; of a source, emitted.
    pub given: u64,
    /// Records that waited when it was last looked at.
    pub waiting: u64,
    /// How long its work takes; nothing where it took no time.
    pub service: Option<ServiceFit>,
    /// How long it waits for something outside; nothing where it does not.
    pub wait: Option<WaitFit>,
    /// When records were due; sources only.
    pub schedule: Vec<Phase>,
    /// Samples of the source from which the schedule was derived.
    pub schedule_samples: u64,
    /// Its state at the end; keyed operators only.
    pub state: Option<StateFit>,
}

impl OperatorMeasured {
    /// Records emitted per record received; nothing if none was taken in.
    pub fn selectivity(&self) -> Option<f64> {
        (self.taken > 0).then(|| self.given as f64 / self.taken as f64)
    }
}

/// How long the work of an operator takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceFit {
    /// Mean useful time of a record in seconds, over all records.
    pub mean_s: f64,
    /// The same of the median batch.
    pub median_s: f64,
    /// Standard deviation over mean of the mean times of batches.
    pub batch_variation: f64,
    /// Standard deviation over mean of single records, as batches of their sizes suggest.
    pub variation: f64,
    /// Records.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// The instance that took longest for a record on average, and how many times the mean of all
    /// that is.
    pub slowest: (u32, f64),
}

/// How long an operator waits for something outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WaitFit {
    /// Mean time of a record in seconds.
    pub mean_s: f64,
    /// Records.
    pub records: u64,
}
