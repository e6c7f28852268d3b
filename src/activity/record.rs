//! One record of the activity log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BinId, ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// A sequential execution context: activities on one lane never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// A worker thread of the host.
    Worker(WorkerId),
    /// An instance with its own capacity (see `Capacity::Limited`).
    Instance(InstanceId),
}

/// The kind of an activity on a lane.
// papers/snailtrail-nsdi18.md#activity-types
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ActivityKind {
    /// The operator's own work on records.
    Processing,
    /// Work of the host for an operator: routing, queueing.
    Scheduling,
    /// Turning records or state into bytes.
    Serialization,
    /// Turning bytes into records or state.
    Deserialization,
    /// Waiting for something external to the dataflow.
    ExternalWait,
    /// Sending bins to other instances: records are bins, and the epoch is the one from which they
    /// belong to their new owners.
    Migration,
    /// A source emitting records.
    Source,
    /// A sink consuming records.
    Sink,
    /// Work in vain: it failed or was killed, or another copy of it was used.
    Lost,
    /// Work of a second copy, made because the first was slow, whose result was used.
    Speculative,
}

/// An activity on a lane over `[start, end)`, on one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The lane.
    pub lane: Lane,
    /// The kind of activity.
    pub kind: ActivityKind,
    /// The instance it was for.
    pub instance: InstanceId,
    /// The epoch of the records.
    pub epoch: Epoch,
    /// Its start.
    pub start: Timestamp,
    /// Its end; not before `start`.
    pub end: Timestamp,
    /// Number of records consumed.
    pub records_in: u64,
    /// Number of records produced.
    pub records_out: u64,
}

/// The content of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MessageKind {
    /// Records.
    Data,
    /// A progress update of the sender; any worker may receive it.
    Progress,
}

/// One side of a message, a batch of records or a progress update, that crosses from one lane to
/// another.
///
/// Both sides carry the same `(channel, from, sequence)`. A message is sent once and received any
/// number of times: at one lane, at each instance that receives a part of it, or at every worker.
/// Transfers within one lane need no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// When it was sent, or taken out of the channel.
    pub at: Timestamp,
    /// Its content.
    pub kind: MessageKind,
    /// The channel.
    pub channel: ChannelId,
    /// Sequence number among the messages of one sending worker on this channel.
    pub sequence: u64,
    /// The worker that sent it.
    pub from: WorkerId,
    /// The lane whose output it carries.
    pub from_lane: Lane,
    /// The receiving lane; on the sender's side only the worker, if known.
    pub to_lane: Lane,
    /// Epoch of its records.
    pub epoch: Epoch,
    /// Number of its records; on the receiver's side, of those that this receiver took.
    pub records: u64,
}

/// A change of an arrangement: an index that several operators may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ArrangementEvent {
    /// A batch of updates was added.
    Batch,
    /// Two batches were merged into one.
    Merge,
    /// A batch was dropped.
    Drop,
}

/// Activity of one bin since the previous sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinLoad {
    /// The bin.
    pub bin: BinId,
    /// Records that arrived for it.
    pub arrivals: u64,
    /// Useful time spent on it.
    pub useful: Duration,
    /// Keys it holds.
    pub keys: u64,
    /// Estimated size of its state in bytes, from a sample of its entries.
    pub bytes: u64,
}

/// A record of the activity log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An activity on a lane.
    Activity(Activity),
    /// A batch left a lane.
    Sent(Message),
    /// A batch reached a worker.
    Received(Message),
    /// A source emitted the first records of an epoch.
    EpochOpened {
        /// When.
        at: Timestamp,
        /// The source: its partition, of which each has a schedule of its own.
        source: InstanceId,
        /// The epoch.
        epoch: Epoch,
        /// When the earliest of its records was due: latency is measured from here (no coordinated
        /// omission).
        due: Timestamp,
        /// Number of records.
        records: u64,
    },
    /// The output frontier passed an epoch.
    EpochCompleted {
        /// When.
        at: Timestamp,
        /// The worker that observed it.
        worker: WorkerId,
        /// The epoch.
        epoch: Epoch,
    },
    /// An instance's queue was above its high mark over `[start, end)` and the sources were paused
    /// because of it.
    Backpressure {
        /// The instance that caused it.
        instance: InstanceId,
        /// From when.
        start: Timestamp,
        /// Until when (a long span is reported in pieces).
        end: Timestamp,
    },
    /// A sample of an instance's input queue.
    Queue {
        /// The instance.
        instance: InstanceId,
        /// When it was sampled.
        at: Timestamp,
        /// Records queued: sent but not yet processed.
        length: u64,
        /// Records that arrived since the previous sample.
        arrivals: u64,
    },
    /// Load of an instance's bins since the previous sample; bins without arrivals and keys are
    /// omitted.
    Bins {
        /// The instance.
        instance: InstanceId,
        /// When it was sampled.
        at: Timestamp,
        /// The bins.
        loads: Vec<BinLoad>,
    },
    /// Name of an operator; precedes any record that refers to its number.
    Operator {
        /// The operator.
        operator: OperatorId,
        /// Its name.
        name: String,
    },
    /// Endpoints of a channel.
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
        /// The instance that maintains it.
        instance: InstanceId,
        /// The change.
        event: ArrangementEvent,
        /// Updates in the batch, or in the merged batches.
        updates: u64,
    },
    /// A promise that the worker will write no record from before `at`, even if nothing else
    /// happens: it makes windows complete.
    UpTo {
        /// The worker.
        worker: WorkerId,
        /// The instant.
        at: Timestamp,
    },
    /// Progress of a source against its schedule, counted from the start of the run.
    Source {
        /// The source: its partition, of which each has a schedule of its own.
        source: InstanceId,
        /// When it was sampled.
        at: Timestamp,
        /// Records due by the schedule (with the fraction of a record, so that rates are exact).
        due: f64,
        /// Records emitted.
        emitted: u64,
    },
    /// What a worker has had of a core, counted from the start of the run.
    Core {
        /// The worker.
        worker: WorkerId,
        /// When it was sampled.
        at: Timestamp,
        /// Time on a core.
        ran: Duration,
        /// Time that it could have used a core and had none.
        denied: Duration,
    },
    /// A worker waited over `[start, end)`, as the log itself says; it need not say for what.
    Waited {
        /// The worker.
        worker: WorkerId,
        /// From when.
        start: Timestamp,
        /// Until when.
        end: Timestamp,
    },
    /// A worker joined the job. Jobs whose workers come and go have one for each; others may have
    /// none.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// When.
        at: Timestamp,
        /// Its name for people: what it is part of, and where.
        name: String,
    },
    /// A worker left the job.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
        /// When.
        at: Timestamp,
    },
}

impl Record {
    /// The time that decides to which window the record belongs: the end of activities and spans,
    /// the start of the run for names.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Activity(activity) => activity.end,
            Record::Sent(message) | Record::Received(message) => message.at,
            Record::Backpressure { end, .. } | Record::Waited { end, .. } => *end,
            Record::EpochOpened { at, .. }
            | Record::EpochCompleted { at, .. }
            | Record::Queue { at, .. }
            | Record::Bins { at, .. }
            | Record::Arrangement { at, .. }
            | Record::UpTo { at, .. }
            | Record::Source { at, .. }
            | Record::Core { at, .. }
            | Record::WorkerJoined { at, .. }
            | Record::WorkerLeft { at, .. } => *at,
            Record::Operator { .. } | Record::Channel { .. } => Timestamp::ZERO,
        }
    }
}
