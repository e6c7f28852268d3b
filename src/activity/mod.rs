//! The activity log: emitted by every host and read by everything after it.
//!
//! One record per *batch*, never per tuple. The vocabulary is SnailTrail's (activities on lanes,
//! messages between them), extended by what a controller needs: epochs, backpressure, samples of
//! queues and bins.

mod decode;
mod log;
mod names;
mod record;

pub(crate) use log::VERSION as LOG_VERSION;
pub use log::{LogError, LogReader, LogWriter};
pub use names::Names;
pub use record::{Activity, ActivityKind, ArrangementEvent, BinLoad, Lane, Message, MessageKind, Record};
