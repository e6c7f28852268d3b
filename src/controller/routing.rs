//! The speeds by which stateless operators distribute their records, kept from plan to plan, since
//! a plan only names changes.

use std::collections::BTreeMap;

use crate::dataflow::{Configuration, Plan, Role, Topology};
use crate::id::OperatorId;
use crate::migration::{Step, Weights};

/// By operator, the speeds of its instances. Instances of operators that are not listed are equally
/// fast.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Routing(BTreeMap<OperatorId, Vec<f64>>);

impl Routing {
    /// The speeds after `plan`, which leads to `after`. New instances have speed 1 unless the plan
    /// says otherwise.
    pub(super) fn after(&self, plan: &Plan, topology: &Topology, after: &Configuration) -> Routing {
        let stateless = topology.operators().iter().filter(|operator| operator.role == Role::Stateless).map(|operator| operator.id);
        let speeds = |id: OperatorId| {
            let is_touched = plan.rescales.contains_key(&id) || plan.rebalances.contains(&id);
            let mut speeds = plan.speeds.get(&id).filter(|_| is_touched).or_else(|| self.0.get(&id))?.clone();
            speeds.resize(after.parallelism(id) as usize, 1.0);
            Some((id, speeds))
        };
        Routing(stateless.filter_map(speeds).filter(|(_, speeds)| Weights::of(speeds).is_some()).collect())
    }

    /// Adds to `step` what changed: for every operator that changes, the host receives its complete
    /// settings.
    pub(super) fn change_to(&self, after: &Routing, configuration: &Configuration, step: &mut Step) {
        let differs = |id: &&OperatorId| self.0.get(*id) != after.0.get(*id);
        for &id in self.0.keys().chain(after.0.keys()).filter(differs) {
            step.parallelism.insert(id, configuration.parallelism(id));
        }
        let weights = |&id: &OperatorId| Some((id, Weights::of(after.0.get(&id)?)?));
        step.weights = step.parallelism.keys().filter_map(weights).collect();
    }

    /// Operators whose speeds differ in `after`, with their new speeds; empty if all instances are
    /// equally fast.
    pub(super) fn changes(&self, after: &Routing) -> BTreeMap<OperatorId, Vec<f64>> {
        let ids = self.0.keys().chain(after.0.keys()).filter(|id| self.0.get(*id) != after.0.get(*id));
        ids.map(|id| (*id, after.0.get(id).cloned().unwrap_or_default())).collect()
    }

    /// Takes over the speeds of these operators from `other`.
    pub(super) fn take_over(&mut self, other: &Routing, operators: impl Iterator<Item = OperatorId>) {
        for id in operators {
            match other.0.get(&id) {
                Some(speeds) => _ = self.0.insert(id, speeds.clone()),
                None => _ = self.0.remove(&id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: OperatorId = OperatorId(1);
    const COUNT: OperatorId = OperatorId(2);

    /// What holds after each plan, and the step that leads there.
    fn follow(plans: &[(Plan, u32)]) -> Vec<(Option<Vec<f64>>, Step)> {
        let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", Role::Keyed { bins: 16 }, 8)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap();
        let mut routing = Routing::default();
        let follow = |(plan, instances): &(Plan, u32)| {
            let configuration = Configuration::ones(&topology).with(MAP, *instances);
            let (after, mut step) = (routing.after(plan, &topology, &configuration), Step::default());
            routing.change_to(&after, &configuration, &mut step);
            routing.take_over(&after, [MAP, COUNT].into_iter());
            assert_eq!(routing, after);
            assert!(routing.changes(&after).is_empty());
            (routing.0.get(&MAP).cloned(), step)
        };
        plans.iter().map(follow).collect()
    }

    fn by_speed(speeds: &[f64]) -> Plan {
        Plan { rebalances: [MAP].into(), speeds: [(MAP, speeds.to_vec())].into(), ..Plan::default() }
    }

    #[test]
    fn speeds_are_kept_until_a_plan_says_otherwise() {
        let count = Plan { speeds: [(COUNT, vec![0.5])].into(), ..Plan::rescale(COUNT, 3) };
        let plans = [(by_speed(&[1.0, 0.5]), 3), (count, 3), (Plan::rescale(MAP, 4), 4), (Plan::rescale(MAP, 1), 1), (by_speed(&[1.0]), 4)];
        let speeds: Vec<_> = follow(&plans).into_iter().map(|(speeds, _)| speeds).collect();
        assert_eq!(speeds, [Some(vec![1.0, 0.5, 1.0]), Some(vec![1.0, 0.5, 1.0]), Some(vec![1.0, 0.5, 1.0, 1.0]), None, None]);
    }

    #[test]
    fn a_step_changes_what_differs_and_says_all_of_it() {
        let plans = [(by_speed(&[0.5]), 2), (Plan::rescale(COUNT, 3), 2), (by_speed(&[0.25]), 2), (by_speed(&[1.0]), 2)];
        let steps: Vec<_> = follow(&plans).into_iter().map(|(_, step)| step).collect();
        let step = |weights: Option<Weights>| Step {
            parallelism: [(MAP, 2)].into(),
            weights: weights.map(|weights| (MAP, weights)).into_iter().collect(),
            ..Step::default()
        };
        assert_eq!(steps, [step(Weights::of(&[0.5, 1.0])), Step::default(), step(Weights::of(&[0.25, 1.0])), step(None)]);
    }
}
