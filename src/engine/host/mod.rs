//! The worker threads of one process: their start and end, their clock, control stream, activity
//! log and queue lengths.

mod affinity;
mod backlog;
mod clock;
mod context;
mod control;
mod core_time;
mod error;
mod horizon;
mod places;
mod queues;
mod recorder;
mod running;
mod stop;
mod waits;
mod workers;

pub use affinity::stay_on_core;
pub use clock::Clock;
pub(super) use clock::Comparison;
pub use context::{Context, OperatorSpec};
pub(super) use control::Versions;
pub use control::{Ack, Command, ControlStream, Progress, commands_of};
pub use core_time::time_on_core;
pub use error::RunError;
pub use places::Places;
pub use queues::{QueueBoard, QueueMeters};
pub(super) use queues::{Reading, ReportedTotals};
pub(super) use recorder::{Buffer, Relay};
pub use recorder::{Dropped, Link, LogBatch, Recorder, link};
pub use running::Running;
pub(super) use stop::{RaiseOnPanic, StopSignal};
pub use waits::ExternalWait;
pub use workers::WorkerPart;
pub(super) use workers::{LocalWorkers, WorkerChannels, Workers};
