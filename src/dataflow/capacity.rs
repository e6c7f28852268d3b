//! The capacity of an instance and the bounds of its queue.

use serde::{Deserialize, Serialize};

use crate::rate::Rate;
use crate::time::Timestamp;

/// What bounds the processing rate of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// Only the core of its worker; useful time is measured.
    #[default]
    Cpu,
    /// A FIFO server that completes `n` records in `n / rate` seconds. Records, keys, state,
    /// queues, routing, progress tracking and migration are real; only the service time is imposed.
    /// Results are never presented as processor speed.
    Limited {
        /// Records per second of one instance; greater than 0.
        rate: Rate,
    },
    /// As `Limited`, with independent, exponentially distributed service times.
    Exponential {
        /// Mean rate of one instance in records per second; greater than 0.
        rate: Rate,
        /// Seed of the service times, which also depend on the instance and the index of the record
        /// among those it served.
        seed: u64,
    },
}

/// A straggler: an instance that is slow for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Straggler {
    /// The instance.
    pub instance: u32,
    /// Its relative speed; more than 0 and at most 1.
    pub speed: f64,
    /// Start of the slow period.
    pub from: Timestamp,
    /// End of the slow period; not before `from`.
    pub until: Timestamp,
}

/// Queue lengths, in records, at which an instance backpressures the sources and at which it
/// releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueMarks {
    /// Sources pause when the queue is longer than this.
    pub high_records: u64,
    /// Sources resume when the queue is shorter than this; at most `high_records`.
    pub low_records: u64,
}

impl QueueMarks {
    /// Unbounded: no queue ever causes backpressure.
    pub const NEVER: QueueMarks = QueueMarks { high_records: u64::MAX, low_records: u64::MAX };
}

impl Default for QueueMarks {
    /// A mark that no queue of a reasonable job reaches.
    fn default() -> Self {
        QueueMarks { high_records: 1 << 20, low_records: 1 << 19 }
    }
}
