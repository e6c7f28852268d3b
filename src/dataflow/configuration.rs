//! The parallelism of each operator.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Topology;
use crate::id::OperatorId;

/// Operator to parallelism, for every operator of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration {
    parallelism: BTreeMap<OperatorId, u32>,
}

impl Configuration {
    /// Every operator of `topology` with one instance.
    pub fn ones(topology: &Topology) -> Configuration {
        Configuration { parallelism: topology.operators().iter().map(|operator| (operator.id, 1)).collect() }
    }

    /// Parallelism of `operator`.
    ///
    /// # Panics
    /// If the operator is not part of this configuration.
    pub fn parallelism(&self, operator: OperatorId) -> u32 {
        self.parallelism[&operator]
    }

    /// The same configuration with `instances` instances of `operator`.
    pub fn with(mut self, operator: OperatorId, instances: u32) -> Configuration {
        self.parallelism.insert(operator, instances);
        self
    }

    /// All operators and their parallelism, by operator.
    pub fn iter(&self) -> impl Iterator<Item = (OperatorId, u32)> + '_ {
        self.parallelism.iter().map(|(&operator, &instances)| (operator, instances))
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parallelism.values().map(u32::to_string).collect();
        write!(f, "{}", parts.join("/"))
    }
}
