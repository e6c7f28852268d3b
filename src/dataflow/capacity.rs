//! How fast an instance may work, and how long its queue may grow.

use serde::{Deserialize, Serialize};

use crate::rate::Rate;
use crate::time::Timestamp;

/// What bounds the speed of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    /// As fast as its worker's core allows; useful time is measured.
    #[default]
    Cpu,
    /// A first-in-first-out server that completes `n` records in `n / rate` seconds. Records, keys, state, queues, routing,
    /// progress and migration are real; only the service time is imposed. Never presented as processor speed.
    Limited {
        /// Records per second of one instance; greater than 0.
        rate: Rate,
    },
    /// As `Limited`, with service times that are exponentially distributed and independent.
    Exponential {
        /// Records per second of one instance in the mean; greater than 0.
        rate: Rate,
        /// What the times are drawn from, together with the instance and the record's place among those it served.
        seed: u64,
    },
}

/// An instance that is slow for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Straggler {
    /// The instance.
    pub instance: u32,
    /// Its speed as a part of what it should be; more than 0 and at most 1.
    pub speed: f64,
    /// From when on.
    pub from: Timestamp,
    /// Until when; at or after `from`.
    pub until: Timestamp,
}

/// When sources pause for an instance and when they go on, in records that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueMarks {
    /// Sources pause when more records than this wait.
    pub high_records: u64,
    /// Sources go on when fewer records than this wait; at most `high_records`.
    pub low_records: u64,
}

impl QueueMarks {
    /// No queue ever holds a source back.
    pub const NEVER: QueueMarks = QueueMarks { high_records: u64::MAX, low_records: u64::MAX };
}

impl Default for QueueMarks {
    /// A mark no queue of a sane job reaches.
    fn default() -> Self {
        QueueMarks { high_records: 1 << 20, low_records: 1 << 19 }
    }
}
