//! An epoch's path: pieces that tile the time from when it was due to when it was complete.
//!
//! [`Tiles`] is the only way to make one, and the invariant is its own: a walk says, going backwards, what holds from some
//! instant up to where it stands; whatever it says, the pieces tile the epoch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::activity::ActivityKind;
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};

/// What an epoch's time went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochPieceKind {
    /// Work on the epoch's records, at sources and sinks too.
    Processing,
    /// Overhead of the host: nothing was missing, and the lane did nothing or the host's own work.
    Scheduling,
    /// Records or state became bytes.
    Serialization,
    /// Bytes became records or state.
    Deserialization,
    /// Waiting for something outside the dataflow.
    ExternalWait,
    /// The lane gave bins away, or the records moved to another instance with their bins.
    Migration,
    /// The records waited while the lane did other work: see [`EpochPiece::behind`].
    Queueing,
    /// Results were complete and waited to be given out.
    Release,
    /// Records were on their way between lanes.
    Network,
    /// Word of progress was on its way, or the last records had left and the frontier had not passed yet.
    Progress,
    /// The source had not emitted what was due, and nobody held it: its pace, or the host was late.
    SourceDelay,
    /// The source had not emitted what was due because an instance's queue was, or had been, above its mark: it was paused, or had not
    /// made up for the lag of that.
    Backpressure,
    /// The log does not tell.
    Unknown,
}

impl EpochPieceKind {
    /// Whether a lane worked on the epoch's records all the while.
    pub fn is_work(self) -> bool {
        use EpochPieceKind::{Deserialization, ExternalWait, Migration, Processing, Serialization};
        matches!(self, Processing | Serialization | Deserialization | ExternalWait | Migration)
    }

    /// The kind of a piece of own work.
    pub(super) fn of_work(kind: ActivityKind) -> EpochPieceKind {
        match kind {
            ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink => EpochPieceKind::Processing,
            ActivityKind::Scheduling => EpochPieceKind::Scheduling,
            ActivityKind::Serialization => EpochPieceKind::Serialization,
            ActivityKind::Deserialization => EpochPieceKind::Deserialization,
            ActivityKind::ExternalWait => EpochPieceKind::ExternalWait,
            ActivityKind::Migration => EpochPieceKind::Migration,
        }
    }
}

/// What occupied a lane while an epoch's records waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Behind {
    /// Whose work it was.
    pub instance: InstanceId,
    /// On which epoch.
    pub epoch: Epoch,
    /// What it was: an instance that waits for something outside keeps others waiting, too.
    pub activity: ActivityKind,
}

/// A piece of an epoch's latency; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPiece {
    /// What the time went into.
    pub kind: EpochPieceKind,
    /// Who worked; for queueing, scheduling and release, whose records waited; for backpressure, who is charged.
    pub instance: Option<InstanceId>,
    /// For queueing, behind what.
    pub behind: Option<Behind>,
    /// For messages, by which channel.
    pub channel: Option<ChannelId>,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

impl EpochPiece {
    /// How long it is.
    pub fn length(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// Of what the latency of one completed epoch consists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPath {
    /// The epoch.
    pub epoch: Epoch,
    /// When the earliest of its records was due.
    pub due: Timestamp,
    /// When the output frontier passed it; at least `due`.
    pub completed: Timestamp,
    /// Pieces in order of time that tile `[due, completed]`.
    pub pieces: Vec<EpochPiece>,
    /// What a faster operator could at most have gained.
    pub gains: Gains,
    /// By operator, how much later its output could have been without delaying the epoch, in ns: 0 where it was critical, rather too little
    /// than too much. Empty where that was not asked for or is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slack: Vec<(OperatorId, u64)>,
}

/// Bounds on how much earlier an epoch would have been complete had an operator been faster, in ns.
///
/// *Faster* means: all of the operator's work that began once the epoch was due takes less time, or none at all. What had
/// happened before, when sources emit, how long messages travel and results wait for their release, and the order of work on
/// each lane stay as they were. If all that work together takes x less, the gain is at most x, too.
// papers/snailtrail-nsdi18.md#epoch-slack
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gains {
    /// For operators that are not named: 0 if the log is complete.
    pub others: u64,
    /// By operator, in their order; greater than `others`.
    pub operators: Vec<(OperatorId, u64)>,
}

impl Gains {
    /// Nothing is known but that no epoch is complete before it is due.
    pub(super) fn unknown(latency: u64) -> Gains {
        Gains { others: latency, operators: Vec::new() }
    }

    /// The same bounds, none above `latency`.
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

/// A path in the making, from its end backwards.
pub(super) struct Tiles {
    epoch: Epoch,
    due: Timestamp,
    completed: Timestamp,
    /// Down to where the path is made.
    now: u64,
    /// Down to where it may be made for the time being.
    floor: u64,
    /// The latest first.
    pieces: Vec<EpochPiece>,
}

/// What a piece is, apart from when.
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

    /// Whether everything down to the floor is made.
    pub(super) fn is_down(&self) -> bool {
        self.now <= self.floor
    }

    /// Opens what lies below the floor.
    pub(super) fn open(&mut self) {
        self.floor = self.due.0;
    }

    /// Down to where the path is made.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// What holds from `from` up to [`now`](Self::now).
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

    /// The path; what is still open is unknown.
    pub(super) fn finish(mut self, gains: Gains) -> EpochPath {
        self.open();
        self.down_to(0, Label::plain(EpochPieceKind::Unknown));
        self.pieces.reverse();
        EpochPath { epoch: self.epoch, due: self.due, completed: self.completed, pieces: self.pieces, gains, slack: Vec::new() }
    }
}
