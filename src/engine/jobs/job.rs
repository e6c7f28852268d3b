//! What all jobs have in common: topology, start, configuration of operators, verification of
//! results.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Capacity, Configuration, QueueMarks, Straggler, Topology};
use crate::engine::host::{RunError, Running};

/// A job that can be run under a policy.
pub trait EngineJob {
    /// Outcome of a worker, once the job is complete.
    type Outcome: Send + 'static;

    /// Its operators.
    ///
    /// # Panics
    /// If the number of bins is no power of two.
    fn topology(&self) -> Topology;

    /// The configuration at the start.
    fn configuration(&self) -> Configuration;

    /// How long its source emits.
    fn duration(&self) -> Duration;

    /// Starts it, from process 0.
    ///
    /// # Errors
    /// When threads or processes cannot be started or cannot be connected.
    fn start(&self) -> Result<Running<Self::Outcome>, RunError>;

    /// Compares the results at the sinks with those of a sequential run over the emitted records.
    fn verify(&self, outcomes: &[Self::Outcome]) -> Verdict;
}

/// One elastic operator of the job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorConfig {
    /// Capacity of an instance.
    pub capacity: Capacity,
    /// When sources pause for an instance.
    pub marks: QueueMarks,
    /// Instances at the start.
    pub instances: u32,
    /// Maximum number of instances.
    pub max_parallelism: u32,
    /// An instance that is slow for a time; only where capacity is limited.
    pub slow: Option<Straggler>,
}

/// What reached the sinks of a job, compared with a sequential run over the same input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records that its sources emitted.
    pub emitted: u64,
    /// Results that a sequential run gives for them.
    pub results: u64,
    /// Results that did not reach a sink.
    pub lost: u64,
    /// Results that reached a sink more than once.
    pub duplicated: u64,
    /// Keys whose final result differs from the sequential one.
    pub miscounted: u64,
}

/// A job as process 0 describes it to the others: an object with one entry, named after the job's
/// variant of [`Job`](super::Job), which reads it.
pub(in crate::engine) fn described<'j, J: Serialize>(kind: &'static str, job: &'j J) -> BTreeMap<&'static str, &'j J> {
    BTreeMap::from([(kind, job)])
}
