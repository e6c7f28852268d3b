//! Typed numbers for operators, instances, channels, bins and workers.
//!
//! Ids of different kinds cannot be confused, and each prints as in reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operator of the logical dataflow, numbered in topological order from 0 (sources first).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorId(pub u32);

/// One parallel copy of an operator; `index` counts from 0 within the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    /// The operator it is a copy of.
    pub operator: OperatorId,
    /// Which copy, from 0 to the operator's parallelism minus 1.
    pub index: u32,
}

/// A slice of an operator's key space: the high bits of a key's hash. The unit that migrates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BinId(pub u32);

/// A worker thread of the host, from 0; it hosts instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u32);

/// A channel of the dataflow: connects an operator's output to another's input. Between elastic
/// operators it has the number of the receiving operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub u32);

impl ChannelId {
    /// Notification of the completion of an epoch, from the sink to the worker that observed it:
    /// inferred, not logged.
    pub const COMPLETION: ChannelId = ChannelId(u32::MAX);
}

impl InstanceId {
    /// The instance `index` of `operator`.
    pub fn new(operator: OperatorId, index: u32) -> Self {
        InstanceId { operator, index }
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op{}", self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.operator, self.index)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ChannelId::COMPLETION {
            return f.write_str("completion");
        }
        write!(f, "channel{}", self.0)
    }
}

impl fmt::Display for BinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bin{}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker{}", self.0)
    }
}
