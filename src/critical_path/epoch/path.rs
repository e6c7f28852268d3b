//! The path of an epoch: pieces that tile the time from when it was due until it was complete.
//!
//! [`Tiles`] is the only way to build one, and enforces the invariant: a walk names, going
//! backwards, what explains the time from some point to its current position, and whatever it
//! names, the pieces tile the epoch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::activity::ActivityKind;
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};

/// What the time of an epoch was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochPieceKind {
    /// Processing of the epoch's records, including sources and sinks.
    Processing,
    /// Overhead of the host: everything was available, and the lane was idle or did the host's own
    /// work.
    Scheduling,
    /// Serialization of records or state.
    Serialization,
    /// Deserialization of records or state.
    Deserialization,
    /// Waiting for something external to the dataflow.
    ExternalWait,
    /// The lane sent bins away, or the records migrated to another instance with their bins.
    Migration,
    /// The records were queued while the lane did other work: see [`EpochPiece::behind`].
    Queueing,
    /// Results were complete and waited to be released.
    Release,
    /// Records were in flight between lanes.
    Network,
    /// A progress update was in flight, or the last records had left and the frontier had not
    /// advanced yet.
    Progress,
    /// The source had not emitted records that were due, without backpressure: its pace, or
    /// scheduling delay of its host.
    SourceDelay,
    /// The source had not emitted records that were due because an instance's queue was or had been
    /// above its mark: it was paused, or had not yet drained the resulting lag.
    Backpressure,
    /// Not covered by the log.
    Unknown,
}

impl EpochPieceKind {
    /// Whether a lane worked on the epoch's records for the whole piece.
    pub fn is_work(self) -> bool {
        use EpochPieceKind::{Deserialization, ExternalWait, Migration, Processing, Serialization};
        matches!(self, Processing | Serialization | Deserialization | ExternalWait | Migration)
    }

    /// The kind of a piece of the epoch's own work.
    pub(super) fn of_work(kind: ActivityKind) -> EpochPieceKind {
        match kind {
            ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink | ActivityKind::Lost | ActivityKind::Speculative => {
                EpochPieceKind::Processing
            }
            ActivityKind::Scheduling => EpochPieceKind::Scheduling,
            ActivityKind::Serialization => EpochPieceKind::Serialization,
            ActivityKind::Deserialization => EpochPieceKind::Deserialization,
            ActivityKind::ExternalWait => EpochPieceKind::ExternalWait,
            ActivityKind::Migration => EpochPieceKind::Migration,
        }
    }
}

/// What occupied a lane while an epoch's records were queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Behind {
    /// Whose work it was.
    pub instance: InstanceId,
    /// On which epoch.
    pub epoch: Epoch,
    /// The kind of activity: an instance in an external wait delays others, too.
    pub activity: ActivityKind,
}

/// A piece of an epoch's latency; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPiece {
    /// What the time was spent on.
    pub kind: EpochPieceKind,
    /// The instance that worked; for queueing, scheduling and release, the one whose records
    /// waited; for backpressure, the one that caused it.
    pub instance: Option<InstanceId>,
    /// For queueing, what the records waited for.
    pub behind: Option<Behind>,
    /// For messages, by which channel.
    pub channel: Option<ChannelId>,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

impl EpochPiece {
    /// Its length.
    pub fn length(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// Breakdown of the latency of one completed epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPath {
    /// The epoch.
    pub epoch: Epoch,
    /// When the earliest of its records was due.
    pub due: Timestamp,
    /// When the output frontier passed it; not before `due`.
    pub completed: Timestamp,
    /// Pieces in order of time that tile `[due, completed]`.
    pub pieces: Vec<EpochPiece>,
    /// Upper bounds on what a faster operator could have gained.
    pub gains: Gains,
    /// By operator, how much later its output could have been without delaying the epoch, in ns: a
    /// lower bound, 0 for a critical operator. Empty if not requested or unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slack: Vec<(OperatorId, u64)>,
}

/// Upper bounds on how much earlier an epoch would have completed with a faster operator, in ns.
///
/// *Faster* means: all of the operator's activities that started after the epoch was due take less
/// time, or none at all. Everything before, the emissions of sources, the time of messages in
/// flight and of results waiting for their release, and the order of activities on each lane stay
/// the same. If all these activities together take x less, the gain is at most x, too.
// papers/snailtrail-nsdi18.md#epoch-slack
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gains {
    /// For operators that are not named: 0 if the log is complete.
    pub others: u64,
    /// By operator, in their order; greater than `others`.
    pub operators: Vec<(OperatorId, u64)>,
}

impl Gains {
    /// Without any knowledge, except that no epoch completes before it is due.
    pub(super) fn unknown(latency: u64) -> Gains {
        Gains { others: latency, operators: Vec::new() }
    }

    /// The same bounds, clipped to `latency`.
    pub(super) fn at_most(mut self, latency: u64) -> Gains {
        self.others = self.others.min(latency);
        self.operators.iter_mut().for_each(|(_, bound)| *bound = latency.min(*bound));
        self.operators.retain(|(_, bound)| *bound > self.others);
        self
    }

    /// The bound for an operator.
    pub fn of(&self, operator: OperatorId) -> u64 {
        self.operators.binary_search_by_key(&operator, |(known, _)| *known).map_or(self.others, |index| self.operators[index].1)
    }
}

impl EpochPath {
    /// The latency, which is the sum of the pieces.
    pub fn latency(&self) -> Duration {
        self.completed.since(self.due)
    }
}

/// A path under construction, from its end backwards.
pub(super) struct Tiles {
    epoch: Epoch,
    due: Timestamp,
    completed: Timestamp,
    /// The time down to which the path is complete.
    now: u64,
    /// The time down to which it may be extended for now.
    floor: u64,
    /// The latest pieces first.
    pieces: Vec<EpochPiece>,
}

/// A piece without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    kind: EpochPieceKind,
    instance: Option<InstanceId>,
    behind: Option<Behind>,
    channel: Option<ChannelId>,
}

impl Label {
    pub(super) fn of(kind: EpochPieceKind, instance: impl Into<Option<InstanceId>>) -> Label {
        Label { instance: instance.into(), ..Label::plain(kind) }
    }

    pub(super) fn plain(kind: EpochPieceKind) -> Label {
        Label { kind, instance: None, behind: None, channel: None }
    }

    pub(super) fn behind(behind: Behind, waiting: Option<InstanceId>) -> Label {
        Label { behind: Some(behind), ..Label::of(EpochPieceKind::Queueing, waiting) }
    }

    pub(super) fn message(kind: EpochPieceKind, channel: ChannelId) -> Label {
        Label { channel: Some(channel), ..Label::plain(kind) }
    }
}

impl Tiles {
    /// Nothing of `[due, completed]` yet; no piece leads below `floor` before [`open`](Self::open).
    pub(super) fn new(epoch: Epoch, due: Timestamp, completed: Timestamp, floor: Timestamp) -> Tiles {
        let completed = completed.max(due);
        let floor = floor.clamp(due, completed).0;
        Tiles { epoch, due, completed, now: completed.0, floor, pieces: Vec::with_capacity(16) }
    }

    /// Whether everything down to the floor is explained.
    pub(super) fn is_down(&self) -> bool {
        self.now <= self.floor
    }

    /// Allows pieces below the floor.
    pub(super) fn open(&mut self) {
        self.floor = self.due.0;
    }

    /// The time down to which the path is complete.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Adds a piece from `from` up to [`now`](Self::now).
    pub(super) fn down_to(&mut self, from: u64, label: Label) {
        let from = from.max(self.floor);
        if from >= self.now {
            return;
        }
        let end = Timestamp(std::mem::replace(&mut self.now, from));
        let start = Timestamp(from);
        let Label { kind, instance, behind, channel } = label;
        match self.pieces.last_mut() {
            Some(last) if Label { kind: last.kind, instance: last.instance, behind: last.behind, channel: last.channel } == label => {
                last.start = start;
            }
            _ => self.pieces.push(EpochPiece { kind, instance, behind, channel, start, end }),
        }
    }

    /// The finished path; what is still open is unknown.
    pub(super) fn finish(mut self, gains: Gains) -> EpochPath {
        self.open();
        self.down_to(0, Label::plain(EpochPieceKind::Unknown));
        self.pieces.reverse();
        EpochPath { epoch: self.epoch, due: self.due, completed: self.completed, pieces: self.pieces, gains, slack: Vec::new() }
    }
}
