//! One record of the activity log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BinId, ChannelId, InstanceId, OperatorId, WorkerId};
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

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageKind {
    /// Records.
    Data,
    /// Word of how far the sender has come; every worker may receive it.
    Progress,
}

/// One side of a message: a batch of records, or word of progress, that crosses from one lane to another.
///
/// The two sides carry equal `(channel, from, sequence)`. A message is sent once and received any number of times: at one lane, at
/// each instance that takes a part of it, or at every worker. What stays on one lane needs no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// When it was sent or taken out of the channel.
    pub at: Timestamp,
    /// What it carries.
    pub kind: MessageKind,
    /// The channel.
    pub channel: ChannelId,
    /// Tells the messages of one sending worker on this channel apart.
    pub sequence: u64,
    /// The worker that sent it.
    pub from: WorkerId,
    /// The lane whose output it carries.
    pub from_lane: Lane,
    /// The lane that takes it; on the sender's side, the worker as far as it is known.
    pub to_lane: Lane,
    /// Epoch of its records.
    pub epoch: Epoch,
    /// Number of its records, or of those that this receiver took.
    pub records: u64,
}

/// What happened to an arrangement: an index that several operators may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ArrangementEvent {
    /// A batch of updates was added.
    Batch,
    /// Two batches were merged into one.
    Merge,
    /// A batch was let go.
    Drop,
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
    /// What its state takes now, in bytes, estimated from a few of its entries.
    pub bytes: u64,
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
        /// The worker that saw it.
        worker: WorkerId,
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
    /// Name of an operator; comes before anything that names its number.
    Operator {
        /// The operator.
        operator: OperatorId,
        /// Its name.
        name: String,
    },
    /// Ends of a channel.
    Channel {
        /// The channel.
        channel: ChannelId,
        /// The operator that sends.
        source: OperatorId,
        /// The operator that receives.
        target: OperatorId,
    },
    /// An arrangement changed.
    Arrangement {
        /// When.
        at: Timestamp,
        /// The instance that keeps it.
        instance: InstanceId,
        /// What happened.
        event: ArrangementEvent,
        /// Updates in the batch, or in the batches that were merged.
        updates: u64,
    },
    /// No record of before `at` is still to come from a worker, however long nothing else does: what makes a window complete.
    UpTo {
        /// The worker.
        worker: WorkerId,
        /// The instant.
        at: Timestamp,
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
    /// The instant by which a window claims the record: its end for what lasts, the start of the run for names.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Activity(activity) => activity.end,
            Record::Sent(message) | Record::Received(message) => message.at,
            Record::Backpressure { end, .. } => *end,
            Record::EpochOpened { at, .. }
            | Record::EpochCompleted { at, .. }
            | Record::Queue { at, .. }
            | Record::Bins { at, .. }
            | Record::Arrangement { at, .. }
            | Record::UpTo { at, .. }
            | Record::Source { at, .. } => *at,
            Record::Operator { .. } | Record::Channel { .. } => Timestamp::ZERO,
        }
    }
}
