//! The project's own jobs, their sources and sinks.

pub mod chain;
mod closed_loop;
mod digest;
mod job;
pub mod key_count;
mod pace;
mod registry;
mod sink;
mod source;
mod source_driver;
pub mod word_count;
pub mod work_chain;

pub(super) use digest::{GroupTally, mix};
pub(super) use job::described;
pub use job::{EngineJob, OperatorConfig, Verdict};
pub use registry::Job;
pub use sink::DrainToSink;
pub use source::{OpenLoop, SourceConfig};
pub(super) use source_driver::{Poll, SourceDriver};
