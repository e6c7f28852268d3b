//! Which worker hosts each instance.
//!
//! Several instances share the time of a worker, so where they are decides what each can do.
//! Invariant: a placement has one worker for each instance of every operator that it lists, and
//! all of them are below [`workers`](Placement::workers).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Role, Topology};
use crate::id::{InstanceId, OperatorId, WorkerId};

/// Instance to worker, for every operator of a job whose instances share workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    workers: u32,
    /// By operator, the worker of each instance.
    places: BTreeMap<OperatorId, Vec<WorkerId>>,
}

impl Placement {
    /// The default: instances spread over `workers` workers by number.
    ///
    /// Instances of sources and sinks are where they are, one per worker from the first worker on.
    /// Any other instance goes to the worker with the fewest instances of its operator; of several
    /// to the one with the fewest instances placed so far, in the order of the topology; of several
    /// to the first. So the single instances of a chain take turns with the workers.
    ///
    /// # Panics
    /// Without workers, or if `parallelism` lacks an operator.
    ///
    /// ```
    /// use thalweg::dataflow::{Configuration, Placement, Role, Topology};
    /// use thalweg::id::{OperatorId, WorkerId};
    ///
    /// let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 4), ("count", Role::Keyed { bins: 16 }, 4)];
    /// let topology = Topology::new(&operators, &[(0, 1), (1, 2)])?;
    /// let configuration = Configuration::ones(&topology).spread_over(&topology, 2);
    /// let places = configuration.placement().unwrap();
    /// assert_eq!(places.of(OperatorId(1)), [WorkerId(1)]);
    /// assert_eq!(places.of(OperatorId(2)), [WorkerId(0)]);
    /// # Ok::<(), thalweg::dataflow::TopologyError>(())
    /// ```
    pub fn spread(topology: &Topology, parallelism: &BTreeMap<OperatorId, u32>, workers: u32) -> Placement {
        assert!(workers > 0, "instances need a worker");
        let mut placement = Placement { workers, places: BTreeMap::new() };
        for operator in topology.operators() {
            let instances = parallelism[&operator.id];
            if matches!(operator.role, Role::Source | Role::Sink) {
                placement.places.insert(operator.id, (0..instances).map(|index| WorkerId(index % workers)).collect());
            } else {
                placement.resize(operator.id, instances);
            }
        }
        placement
    }

    /// Number of workers.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// The worker of each instance of `operator`; none if the operator is not listed.
    pub fn of(&self, operator: OperatorId) -> &[WorkerId] {
        self.places.get(&operator).map_or(&[], Vec::as_slice)
    }

    /// The worker of an instance; `None` if it is not listed.
    pub fn worker(&self, instance: InstanceId) -> Option<WorkerId> {
        self.of(instance.operator).get(instance.index as usize).copied()
    }

    /// All instances with their workers, by operator and number.
    pub fn instances(&self) -> impl Iterator<Item = (InstanceId, WorkerId)> + '_ {
        self.places.iter().flat_map(|(&operator, places)| {
            (0..).zip(places.iter().copied()).map(move |(index, worker)| (InstanceId::new(operator, index), worker))
        })
    }

    /// The instances on `worker`, by operator and number.
    pub fn hosted(&self, worker: WorkerId) -> impl Iterator<Item = InstanceId> + '_ {
        self.instances().filter(move |(_, of)| *of == worker).map(|(instance, _)| instance)
    }

    /// Whether its workers are those that there are, one for each of so many instances.
    pub(super) fn fits(&self, parallelism: &BTreeMap<OperatorId, u32>) -> bool {
        let is_there = |worker: &WorkerId| worker.0 < self.workers;
        let fits = |(id, places): (&OperatorId, &Vec<WorkerId>)| {
            parallelism.get(id).is_some_and(|instances| places.len() == *instances as usize) && places.iter().all(is_there)
        };
        self.workers > 0 && self.places.iter().all(fits)
    }

    /// Puts the instances of `operator` on these workers.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn put(&mut self, operator: OperatorId, places: Vec<WorkerId>) {
        assert!(places.iter().all(|worker| worker.0 < self.workers), "expected workers below {}: {places:?}", self.workers);
        self.places.insert(operator, places);
    }

    /// Gives `operator` `instances` instances. Those that stay keep their workers; new ones are
    /// spread as in [`spread`](Placement::spread).
    pub fn resize(&mut self, operator: OperatorId, instances: u32) {
        let mut places = self.places.remove(&operator).unwrap_or_default();
        places.truncate(instances as usize);
        let mut all = vec![0; self.workers as usize];
        self.places.values().flatten().for_each(|worker| all[worker.0 as usize] += 1);
        let mut own = vec![0; self.workers as usize];
        places.iter().for_each(|worker| own[worker.0 as usize] += 1);
        while places.len() < instances as usize {
            let emptiest = (0..self.workers as usize).min_by_key(|&worker| (own[worker], all[worker])).expect("there are workers");
            own[emptiest] += 1;
            places.push(WorkerId(emptiest as u32));
        }
        self.places.insert(operator, places);
    }

    /// Instances that exist before and after and have another worker in `after`, with both workers.
    pub fn moves_to<'a>(&'a self, after: &'a Placement) -> impl Iterator<Item = (InstanceId, WorkerId, WorkerId)> + 'a {
        let both = self.instances().filter_map(|(instance, from)| Some((instance, from, after.worker(instance)?)));
        both.filter(|(_, from, to)| from != to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(instances: [u32; 4], workers: u32) -> Placement {
        let keyed = Role::Keyed { bins: 16 };
        let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", keyed, 8), ("sink", Role::Sink, 8)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2), (2, 3)]).unwrap();
        Placement::spread(&topology, &(0..).map(OperatorId).zip(instances).collect(), workers)
    }

    fn text(placement: &Placement) -> String {
        let of = |operator| placement.of(OperatorId(operator)).iter().map(|worker| worker.0.to_string()).collect::<String>();
        (0..4).map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn single_instances_take_turns_and_several_are_spread() {
        assert_eq!(text(&chain([1, 1, 1, 2], 2)), "0 1 0 01");
        assert_eq!(text(&chain([1, 1, 1, 4], 4)), "0 1 2 0123");
        assert_eq!(text(&chain([1, 2, 3, 2], 2)), "0 10 101 01");
        assert_eq!(text(&chain([1, 3, 1, 1], 1)), "0 000 0 0");
        let mut placement = chain([1, 2, 3, 2], 2);
        assert_eq!(
            placement.hosted(WorkerId(1)).map(|instance| instance.to_string()).collect::<Vec<_>>(),
            ["op1[0]", "op2[0]", "op2[2]", "op3[1]"]
        );
        // Who stays keeps its worker.
        placement.put(OperatorId(2), vec![WorkerId(1); 3]);
        placement.resize(OperatorId(2), 2);
        placement.resize(OperatorId(2), 4);
        assert_eq!(text(&placement), "0 10 1100 01");
    }

    #[test]
    fn what_moves_is_what_exists_before_and_after() {
        let before = chain([1, 2, 1, 2], 2);
        let mut after = before.clone();
        after.put(OperatorId(1), vec![WorkerId(1), WorkerId(1), WorkerId(0)]);
        let moves: Vec<_> = before.moves_to(&after).collect();
        assert_eq!(moves, [(InstanceId::new(OperatorId(1), 1), WorkerId(0), WorkerId(1))]);
        assert_eq!(before.moves_to(&before).count(), 0);
    }
}
