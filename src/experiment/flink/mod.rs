//! Experiments on a real Flink, which `scripts/flink` starts on this machine: whether barriers name
//! what is slow, and what policies make of a job under a load that changes.
//!
//! The job's records carry what they waited for at each operator, so the sink knows the truth.

mod asked;
mod cluster;
mod converge;
mod heard;
mod paths;
mod sink;

pub use converge::FlinkConverge;
pub use paths::FlinkPaths;
