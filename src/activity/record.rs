//! One record of the activity log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BinId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// A sequential execution context: things on one lane never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// A worker thread of the host.
    Worker(WorkerId),
    /// An instance with a capacity of its own (see `Capacity::Limited`).
    Instance(InstanceId),
}

/// What a lane was doing.
// papers/snailtrail-nsdi18.md#activity-types
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ActivityKind {
    /// The operator's own work on records.
    Processing,
    /// Work of the host that serves an operator: routing, queueing.
    Scheduling,
    /// Turning records or state into bytes.
    Serialization,
    /// Turning bytes into records or state.
    Deserialization,
    /// Waiting for something outside the dataflow.
    ExternalWait,
    /// Giving bins away: records are bins, the epoch is the one from which they belong to others.
    Migration,
    /// A source emitting records.
    Source,
    /// A sink taking records.
    Sink,
}

/// Work on a lane over `[start, end)`, on one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Where it ran.
    pub lane: Lane,
    /// What it was.
    pub kind: ActivityKind,
    /// For which instance of which operator.
    pub instance: InstanceId,
    /// Of which epoch the records were.
    pub epoch: Epoch,
    /// When it began.
    pub start: Timestamp,
    /// When it ended; at least `start`.
    pub end: Timestamp,
    /// Records taken in.
    pub records_in: u64,
    /// Records given out.
    pub records_out: u64,
}

/// One side of a message: a batch of records that crosses from one lane to another.
///
/// The two sides carry equal `(channel, from, sequence)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// When it was sent or taken out of the channel.
    pub at: Timestamp,
    /// The operator whose input the channel is.
    pub channel: OperatorId,
    /// Counts the messages of one sending worker on this channel, from 0.
    pub sequence: u64,
    /// The worker that sent it.
    pub from: WorkerId,
    /// The lane whose output it carries.
    pub from_lane: Lane,
    /// The worker that receives it.
    pub to: WorkerId,
    /// Epoch of its records.
    pub epoch: Epoch,
    /// Number of its records.
    pub records: u64,
}

/// What one bin did since the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinLoad {
    /// The bin.
    pub bin: BinId,
    /// Records that arrived for it.
    pub arrivals: u64,
    /// Useful time spent on it.
    pub useful: Duration,
    /// Keys it holds now.
    pub keys: u64,
}

/// A record of the activity log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Work on a lane.
    Activity(Activity),
    /// A batch left a lane.
    Sent(Message),
    /// A batch reached a worker.
    Received(Message),
    /// A source gave out the first records of an epoch.
    EpochOpened {
        /// When.
        at: Timestamp,
        /// The source.
        source: OperatorId,
        /// The epoch.
        epoch: Epoch,
        /// When the earliest of its records was due: latency counts from here (no coordinated omission).
        due: Timestamp,
        /// How many records.
        records: u64,
    },
    /// The output frontier passed an epoch.
    EpochCompleted {
        /// When.
        at: Timestamp,
        /// The epoch.
        epoch: Epoch,
    },
    /// An instance's queue was above its mark over `[start, end)` and sources were paused for it.
    Backpressure {
        /// The instance that is charged.
        instance: InstanceId,
        /// From when.
        start: Timestamp,
        /// Until when (a long span is reported in pieces).
        end: Timestamp,
    },
    /// State of an instance's input queue.
    Queue {
        /// The instance.
        instance: InstanceId,
        /// When it was looked at.
        at: Timestamp,
        /// Records that wait, sent but not yet processed.
        length: u64,
        /// Records that arrived since the sample before.
        arrivals: u64,
    },
    /// Load of an instance's bins since the sample before; bins without arrivals and keys are left out.
    Bins {
        /// The instance.
        instance: InstanceId,
        /// When it was looked at.
        at: Timestamp,
        /// The bins.
        loads: Vec<BinLoad>,
    },
    /// Progress of a source against its schedule, both counted from the start of the run.
    Source {
        /// The source.
        source: OperatorId,
        /// When it was looked at.
        at: Timestamp,
        /// Records due by the schedule (a fraction of a record is kept, so that rates are exact).
        due: f64,
        /// Records emitted.
        emitted: u64,
    },
}

impl Record {
    /// The instant by which a window claims the record: its end for what lasts.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Activity(activity) => activity.end,
            Record::Sent(message) | Record::Received(message) => message.at,
            Record::Backpressure { end, .. } => *end,
            Record::EpochOpened { at, .. }
            | Record::EpochCompleted { at, .. }
            | Record::Queue { at, .. }
            | Record::Bins { at, .. }
            | Record::Source { at, .. } => *at,
        }
    }
}
