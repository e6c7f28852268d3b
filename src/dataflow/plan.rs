//! A plan: the rescales and rebalances from one configuration to the next, validated and applied as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Configuration, Role, Topology};
use crate::id::OperatorId;

/// What is to change. Operators not named stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// New parallelism by operator.
    pub rescales: BTreeMap<OperatorId, u32>,
    /// Keyed operators whose bins are to be spread anew over the instances they have.
    pub rebalances: BTreeSet<OperatorId>,
}

/// Why a plan is refused. Nothing has changed when it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The plan names nothing that would change.
    #[error("the plan changes nothing")]
    Nothing,
    /// The operator is not part of the job.
    #[error("{0} is not an operator of this job")]
    UnknownOperator(OperatorId),
    /// Sources and sinks are not rescaled.
    #[error("'{0}' is a source or a sink and cannot be rescaled")]
    NotScalable(String),
    /// Parallelism out of range.
    #[error("'{name}' cannot have {asked} instances: expected 1 to {most}")]
    OutOfRange {
        /// Operator.
        name: String,
        /// What the plan asks.
        asked: u32,
        /// What the operator allows.
        most: u32,
    },
    /// Only keyed operators have bins.
    #[error("'{0}' has no bins to rebalance")]
    NoBins(String),
}

impl Plan {
    /// The plan that gives `operator` `instances` instances.
    pub fn rescale(operator: OperatorId, instances: u32) -> Plan {
        Plan { rescales: BTreeMap::from([(operator, instances)]), rebalances: BTreeSet::new() }
    }

    /// Adds another rescale.
    pub fn and(mut self, operator: OperatorId, instances: u32) -> Plan {
        self.rescales.insert(operator, instances);
        self
    }

    /// The configuration after the plan, or why it cannot be applied to `before`.
    ///
    /// # Errors
    /// See [`PlanError`]; the plan is accepted as a whole or not at all.
    pub fn apply(&self, topology: &Topology, before: &Configuration) -> Result<Configuration, PlanError> {
        let mut after = before.clone();
        let known = |id: OperatorId| topology.operators().get(id.0 as usize).ok_or(PlanError::UnknownOperator(id));
        for (&id, &instances) in &self.rescales {
            let operator = known(id)?;
            if !operator.is_scalable() {
                return Err(PlanError::NotScalable(operator.name.clone()));
            }
            if instances == 0 || instances > operator.max_parallelism {
                return Err(PlanError::OutOfRange { name: operator.name.clone(), asked: instances, most: operator.max_parallelism });
            }
            after = after.with(id, instances);
        }
        for &id in &self.rebalances {
            let operator = known(id)?;
            if !matches!(operator.role, Role::Keyed { .. }) {
                return Err(PlanError::NoBins(operator.name.clone()));
            }
        }
        if after == *before && self.rebalances.is_empty() {
            return Err(PlanError::Nothing);
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_taken_whole_or_not_at_all() {
        let topology = Topology::new(
            &[("source", Role::Source, 1), ("map", Role::Stateless, 4), ("count", Role::Keyed { bins: 4 }, 4)],
            &[(0, 1), (1, 2)],
        )
        .unwrap();
        let before = Configuration::ones(&topology);
        let (source, map, count) = (OperatorId(0), OperatorId(1), OperatorId(2));
        let after = Plan::rescale(map, 2).and(count, 4).apply(&topology, &before).unwrap();
        assert_eq!(after.to_string(), "1/2/4");
        let refused = |plan: Plan| plan.apply(&topology, &before).unwrap_err();
        assert_eq!(refused(Plan::rescale(map, 2).and(count, 5)).to_string(), "'count' cannot have 5 instances: expected 1 to 4");
        assert_eq!(refused(Plan::rescale(map, 0)).to_string(), "'map' cannot have 0 instances: expected 1 to 4");
        assert_eq!(refused(Plan::rescale(source, 2)), PlanError::NotScalable("source".into()));
        assert_eq!(refused(Plan::rescale(OperatorId(9), 2)), PlanError::UnknownOperator(OperatorId(9)));
        assert_eq!(refused(Plan::rescale(map, 1)), PlanError::Nothing);
        assert_eq!(refused(Plan { rebalances: BTreeSet::from([map]), ..Plan::default() }), PlanError::NoBins("map".into()));
    }
}
