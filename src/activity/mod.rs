//! The activity log: what every host emits and everything after it reads.
//!
//! One record a *batch*, never one a tuple. The vocabulary is SnailTrail's (activities on lanes, messages between them)
//! with what a controller needs beside it: epochs, backpressure, samples of queues and bins.

mod log;
mod record;

pub(crate) use log::VERSION as LOG_VERSION;
pub use log::{LogError, LogReader, LogWriter};
pub use record::{Activity, ActivityKind, ArrangementEvent, BinLoad, Lane, Message, MessageKind, Record};
