//! The jobs that can run on several processes, as a further process deserializes them.

use serde::{Deserialize, Serialize};

use super::key_count::KeyCount;
use super::word_count::WordCount;
use super::work_chain::WorkChain;
use crate::engine::cluster::Member;
use crate::engine::host::RunError;
use crate::engine::nexmark::Nexmark;

/// A job with everything that a further process needs to build its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// A word count.
    WordCount(WordCount),
    /// A count of keys.
    KeyCount(KeyCount),
    /// A query of NEXMark.
    Nexmark(Box<Nexmark>),
    /// A chain of operators that compute.
    WorkChain(WorkChain),
}

impl Job {
    /// Runs the job's workers in a further process until the job is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, member: Member) -> Result<(), RunError> {
        match self {
            Job::WordCount(job) => job.serve(member),
            Job::KeyCount(job) => job.serve(member),
            Job::Nexmark(job) => job.serve(member),
            Job::WorkChain(job) => job.serve(member),
        }
    }
}
