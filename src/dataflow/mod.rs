//! The logical dataflow: which operators there are, how many instances each has, and how that is to change.

mod capacity;
mod configuration;
mod plan;
mod topology;

pub use capacity::{Capacity, QueueMarks, Straggler};
pub use configuration::Configuration;
pub use plan::{Plan, PlanError};
pub use topology::{Edge, Operator, Role, Topology, TopologyError};
