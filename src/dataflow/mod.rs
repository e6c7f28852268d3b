//! The logical dataflow: operators and edges, their parallelism, and plans that change it.

mod capacity;
mod configuration;
mod placement;
mod plan;
mod topology;

pub use capacity::{Capacity, QueueMarks, Straggler};
pub use configuration::Configuration;
pub use placement::Placement;
pub use plan::{Plan, PlanError};
pub use topology::{Edge, Operator, Role, Topology, TopologyError};
