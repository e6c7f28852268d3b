//! The jobs that run on several processes, as process 0 describes them to the others; and what a run under a policy needs of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key_count::KeyCount;
use super::word_count::{Verdict, WordCount};
use crate::dataflow::{Configuration, Topology};
use crate::engine::cluster::Seat;
use crate::engine::host::{RunError, Running};
use crate::engine::nexmark::Nexmark;

/// A job that can be run under a policy.
pub trait EngineJob {
    /// What a worker found, once the job is complete.
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
    /// When threads or processes cannot be started or do not come together.
    fn start(&self) -> Result<Running<Self::Outcome>, RunError>;

    /// Compares what reached the sinks with what a sequential run gives for what was emitted.
    fn verify(&self, outcomes: &[Self::Outcome]) -> Verdict;
}

/// A job with all that another process has to know to build its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// A word count.
    WordCount(WordCount),
    /// A count of keys.
    KeyCount(KeyCount),
    /// A query of NEXMark.
    Nexmark(Box<Nexmark>),
}

impl Job {
    /// Works for the job in another process than 0 until it is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, seat: Seat) -> Result<(), RunError> {
        match self {
            Job::WordCount(job) => job.serve(seat),
            Job::KeyCount(job) => job.serve(seat),
            Job::Nexmark(job) => job.serve(seat),
        }
    }
}
