//! Jobs that the project runs itself, their sources and sinks.

pub mod chain;
mod closed_loop;
mod feed;
pub mod key_count;
mod registry;
mod sink;
mod source;
pub mod word_count;

pub(super) use chain::mix;
pub(super) use feed::Feed;
pub(super) use key_count::Group;
pub use registry::{EngineJob, Job};
pub use sink::DrainToSink;
pub use source::{OpenLoop, SourceConfig};
pub(super) use word_count::OperatorConfig;
pub use word_count::Verdict;
