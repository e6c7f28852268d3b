//! What holds a job back: two measures of the critical path, each ranked by operator, instance, activity, worker and channel.
//!
//! - *Critical participation* ([`Participation`], [`WindowSummary`]): of all paths through a window, how many lead through it.
//! - The *epoch critical path* ([`EpochPaths`], [`EpochSummary`]): of what a completed epoch's latency consists; online, window by
//!   window, by a [`PathObserver`].
//!
//! And who made the lag of a source that stands behind its schedule: [`LagLedger`].

mod epoch;
mod online;
mod participation;
mod path;
mod scaled;
mod summary;
mod trace;

pub use epoch::{
    Behind, EpochOddities, EpochPart, EpochPath, EpochPaths, EpochPiece, EpochPieceKind, EpochSummary, Gains, LagLedger, LagOwner,
    OperatorLatency, PartLatency, SourceLag,
};
pub use online::{Arrival, InputTraffic, OperatorSlack, OperatorTraffic, PathGroup, PathObserver, PathPiece, WindowPaths};
pub use participation::Participation;
pub use path::{PathStep, likeliest_path, random_path};
pub use summary::{By, Entity, Entry, Row, Subject, Summarizer, WaitPattern, WindowSummary};
pub use trace::{Firsts, TraceSummary};
