//! The jobs that can run on several processes: a further process reads here which one it has to build.

use serde::{Deserialize, Serialize};

use super::key_count::KeyCount;
use super::word_count::WordCount;
use crate::engine::cluster::Seat;
use crate::engine::host::RunError;
use crate::engine::nexmark::Nexmark;

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
