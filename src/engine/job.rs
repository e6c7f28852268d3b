//! The jobs that run on several processes, as process 0 describes them to the others.

use serde::{Deserialize, Serialize};

use super::RunError;
use super::cluster::Seat;
use super::key_count::KeyCount;
use super::word_count::WordCount;

/// A job with all that another process has to know to build its part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// A word count.
    WordCount(WordCount),
    /// A count of keys.
    KeyCount(KeyCount),
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
        }
    }
}
