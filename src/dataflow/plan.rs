//! A plan: rescales and rebalances that lead from one configuration to the next, validated and
//! applied as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Configuration, Topology};
use crate::id::{OperatorId, WorkerId};

/// A change of the configuration. Operators that are not named stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// New parallelism by operator.
    pub rescales: BTreeMap<OperatorId, u32>,
    /// Keyed operators whose bins are to be rebalanced over their current instances, and stateless
    /// ones whose records are to be distributed by `speeds`.
    pub rebalances: BTreeSet<OperatorId>,
    /// Relative speeds, by index, of instances that are slower than others; each more than 0. When
    /// the plan migrates bins of a keyed operator, or rescales or rebalances a stateless one, each
    /// instance receives load in proportion to its speed. Instances that are not listed have speed
    /// 1; entries beyond the new parallelism are ignored. Bins of operators that are not listed are
    /// balanced as if all instances were equally fast; a stateless operator that is not listed
    /// keeps its speeds, with 1 for new instances. To make all instances of a stateless operator
    /// equal again, list equal speeds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub speeds: BTreeMap<OperatorId, Vec<f64>>,
    /// The worker of each instance after the plan, for operators whose instances move to other
    /// workers or whose new instances are not to be spread by default. Instances of other operators
    /// stay where they are. A plan may consist of this alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placement: BTreeMap<OperatorId, Vec<WorkerId>>,
}

/// Why a plan is rejected. A rejected plan changes nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The plan names nothing that would change the configuration.
    #[error("the plan changes nothing")]
    Nothing,
    /// The operator is not part of the job.
    #[error("{0} is not an operator of this job")]
    UnknownOperator(OperatorId),
    /// Sources and sinks are not rescaled.
    #[error("'{0}' is a source or a sink and cannot be rescaled")]
    NotScalable(String),
    /// The parallelism is out of range.
    #[error("'{name}' cannot have {asked} instances: expected 1 to {most}")]
    OutOfRange {
        /// Operator.
        name: String,
        /// The parallelism in the plan.
        asked: u32,
        /// The maximum parallelism of the operator.
        most: u32,
    },
    /// Only keyed operators have bins. A stateless operator is rebalanced only by speeds, a source
    /// or a sink never.
    #[error("'{0}' has no bins to rebalance")]
    NoBins(String),
    /// A speed is not more than 0.
    #[error("expected a speed of more than 0 for instance {instance} of '{name}', found {found}")]
    Speed {
        /// Operator.
        name: String,
        /// Index of the instance.
        instance: usize,
        /// The speed in the plan.
        found: f64,
    },
    /// The host does not place instances on workers.
    #[error("instances of '{0}' cannot be placed: the host does not say which workers it has")]
    NoWorkers(String),
    /// The plan does not have one worker for each instance.
    #[error("expected a worker for each of the {instances} instances of '{name}', found {found}")]
    Places {
        /// Operator.
        name: String,
        /// Its instances after the plan.
        instances: u32,
        /// Workers in the plan.
        found: usize,
    },
    /// There is no such worker.
    #[error("instance {instance} of '{name}' cannot be on {found}: expected a worker below {workers}")]
    UnknownWorker {
        /// Operator.
        name: String,
        /// Index of the instance.
        instance: usize,
        /// The worker in the plan.
        found: WorkerId,
        /// Number of workers.
        workers: u32,
    },
}

impl Plan {
    /// The plan that gives `operator` `instances` instances.
    pub fn rescale(operator: OperatorId, instances: u32) -> Plan {
        Plan { rescales: BTreeMap::from([(operator, instances)]), ..Plan::default() }
    }

    /// Adds another rescale.
    pub fn and(mut self, operator: OperatorId, instances: u32) -> Plan {
        self.rescales.insert(operator, instances);
        self
    }

    /// Speeds of the first `instances` instances of `operator`.
    pub fn speeds_of(&self, operator: OperatorId, instances: u32) -> Vec<f64> {
        let mut speeds = self.speeds.get(&operator).cloned().unwrap_or_default();
        speeds.resize(instances as usize, 1.0);
        speeds
    }

    /// Whether it changes `operator`.
    pub fn changes(&self, operator: OperatorId) -> bool {
        self.rescales.contains_key(&operator) || self.rebalances.contains(&operator) || self.placement.contains_key(&operator)
    }

    /// Its changes to operators that `is_first` names, and its other changes.
    pub fn divided(self, is_first: impl Fn(OperatorId) -> bool) -> (Plan, Plan) {
        fn split<T>(all: BTreeMap<OperatorId, T>, is_first: impl Fn(OperatorId) -> bool) -> [BTreeMap<OperatorId, T>; 2] {
            let (first, rest) = all.into_iter().partition(|(operator, _)| is_first(*operator));
            [first, rest]
        }
        let [first_rescales, rescales] = split(self.rescales, &is_first);
        let [first_speeds, speeds] = split(self.speeds, &is_first);
        let [first_placement, placement] = split(self.placement, &is_first);
        let (first_rebalances, rebalances) = self.rebalances.into_iter().partition(|operator| is_first(*operator));
        let first = Plan { rescales: first_rescales, rebalances: first_rebalances, speeds: first_speeds, placement: first_placement };
        (first, Plan { rescales, rebalances, speeds, placement })
    }

    /// The configuration after applying the plan to `before`.
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
        for &id in self.rebalances.iter().chain(self.speeds.keys()) {
            let operator = known(id)?;
            if !(operator.is_keyed() || operator.is_scalable() && self.speeds.contains_key(&id)) {
                return Err(PlanError::NoBins(operator.name.clone()));
            }
        }
        for (&id, speeds) in &self.speeds {
            if let Some((instance, &found)) = speeds.iter().enumerate().find(|(_, speed)| !speed.is_finite() || **speed <= 0.0) {
                return Err(PlanError::Speed { name: known(id)?.name.clone(), instance, found });
            }
        }
        let after = self.place(topology, after)?;
        if after == *before && self.rebalances.is_empty() {
            return Err(PlanError::Nothing);
        }
        Ok(after)
    }

    /// `after` with the plan's placement.
    fn place(&self, topology: &Topology, after: Configuration) -> Result<Configuration, PlanError> {
        let Some((first, _)) = self.placement.first_key_value() else { return Ok(after) };
        let operator = |id: OperatorId| topology.operators().get(id.0 as usize).ok_or(PlanError::UnknownOperator(id));
        let Some(mut placement) = after.placement().cloned() else { return Err(PlanError::NoWorkers(operator(*first)?.name.clone())) };
        for (&id, places) in &self.placement {
            let (operator, instances, workers) = (operator(id)?, after.parallelism(id), placement.workers());
            let name = || operator.name.clone();
            if !operator.is_scalable() {
                return Err(PlanError::NotScalable(name()));
            }
            if places.len() != instances as usize {
                return Err(PlanError::Places { name: name(), instances, found: places.len() });
            }
            if let Some((instance, &found)) = places.iter().enumerate().find(|(_, worker)| worker.0 >= workers) {
                return Err(PlanError::UnknownWorker { name: name(), instance, found, workers });
            }
            placement.put(id, places.clone());
        }
        Ok(after.placed(placement))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Role;

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
        let with_speeds = |operator, speeds: &[f64]| Plan {
            rebalances: BTreeSet::from([count]),
            speeds: BTreeMap::from([(operator, speeds.to_vec())]),
            ..Plan::default()
        };
        assert_eq!(refused(with_speeds(source, &[0.5])), PlanError::NoBins("source".into()));
        // A stateless operator has no bins, but its records can be divided by speed.
        let by_speed = Plan { rebalances: BTreeSet::from([map]), speeds: BTreeMap::from([(map, vec![0.5])]), ..Plan::default() };
        assert_eq!(by_speed.apply(&topology, &before), Ok(before.clone()));
        for speed in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let expected = format!("expected a speed of more than 0 for instance 1 of 'count', found {speed}");
            assert_eq!(refused(with_speeds(count, &[1.0, speed])).to_string(), expected);
        }
        assert_eq!(with_speeds(count, &[0.5]).apply(&topology, &before), Ok(before.clone()));
        assert_eq!(with_speeds(count, &[0.5]).speeds_of(count, 3), [0.5, 1.0, 1.0]);
        assert_eq!(with_speeds(count, &[0.5, 0.25]).speeds_of(count, 1), [0.5]);
        // Speeds alone change nothing.
        assert_eq!(refused(Plan { rebalances: BTreeSet::new(), ..with_speeds(count, &[0.5]) }), PlanError::Nothing);
    }

    #[test]
    fn instances_move_between_the_workers_that_there_are() {
        let topology = Topology::new(
            &[("source", Role::Source, 1), ("map", Role::Stateless, 4), ("count", Role::Keyed { bins: 4 }, 4)],
            &[(0, 1), (1, 2)],
        )
        .unwrap();
        let (source, map, count) = (OperatorId(0), OperatorId(1), OperatorId(2));
        let before = Configuration::ones(&topology).spread_over(&topology, 2);
        let on = |operator, workers: &[u32]| Plan {
            placement: BTreeMap::from([(operator, workers.iter().copied().map(WorkerId).collect())]),
            ..Plan::default()
        };
        let after = on(map, &[0]).apply(&topology, &before).unwrap();
        assert_eq!((after.to_string().as_str(), after.placement().unwrap().of(map)), ("1/1/1", &[WorkerId(0)][..]));
        let both = Plan { placement: on(count, &[1, 0]).placement, ..Plan::rescale(count, 2) };
        assert_eq!(both.apply(&topology, &before).unwrap().placement().unwrap().of(count), [WorkerId(1), WorkerId(0)]);
        let refused = |plan: Plan| plan.apply(&topology, &before).unwrap_err().to_string();
        assert_eq!(refused(on(map, &[1])), "the plan changes nothing");
        assert_eq!(refused(on(map, &[0, 1])), "expected a worker for each of the 1 instances of 'map', found 2");
        assert_eq!(refused(on(map, &[2])), "instance 0 of 'map' cannot be on worker2: expected a worker below 2");
        assert_eq!(refused(on(source, &[1])), PlanError::NotScalable("source".into()).to_string());
        let nowhere = Configuration::ones(&topology);
        assert_eq!(on(map, &[0]).apply(&topology, &nowhere), Err(PlanError::NoWorkers("map".into())));
        let line = serde_json::to_string(&on(map, &[0])).unwrap();
        assert_eq!(line, r#"{"rescales":{},"rebalances":[],"placement":{"1":[0]}}"#);
    }
}
