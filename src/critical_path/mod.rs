//! The critical path of a job: two measures of what is critical, each ranked by operator, instance,
//! activity, worker and channel.
//!
//! - *Critical participation* ([`Participation`], [`WindowSummary`]): the share of all paths
//!   through a window that pass through an activity or message.
//! - The *epoch critical path* ([`EpochPaths`], [`EpochSummary`]): the breakdown of a completed
//!   epoch's latency; online, window by window, by a [`PathObserver`].
//!
//! [`Retimer`] times a whole trace again to predict what a change would give. [`Pieces`] counts pieces of work whole, whatever the windows, [`Supply`] what sources and workers were given; [`Batches`] tells differences from noise. [`LagLedger`] attributes the lag of a source that is behind its schedule.

mod batches;
mod counted;
mod epoch;
mod online;
mod participation;
mod path;
mod pieces;
mod retime;
mod scaled;
mod slowest;
mod summary;
mod supply;
mod trace;

pub use batches::Batches;
pub use counted::{CountedWindows, Firsts};
pub use epoch::{
    Behind, EpochOddities, EpochPart, EpochPath, EpochPaths, EpochPiece, EpochPieceKind, EpochSummary, FurtherParts, Gains, LagLedger,
    LagOwner, OperatorLatency, PartLatency, SourceLag,
};
pub use online::{Arrival, InputTraffic, OperatorSlack, OperatorTraffic, PathGroup, PathObserver, PathPiece, WindowPaths};
pub use participation::Participation;
pub use path::{PathStep, likeliest_path, random_path};
pub use pieces::{InstanceWork, LaneWork, OperatorWork, Pieces};
pub use retime::{Change, Curve, Forecast, Predicted, RetimedEpoch, Retimer};
pub use slowest::{SlowEpochs, Slowest};
pub use summary::{By, Entity, Entry, Row, Subject, Summarizer, WaitPattern, WindowSummary};
pub use supply::Supply;
pub use trace::{Further, Least, TraceSummary};
