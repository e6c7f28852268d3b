//! Which workers host the instances of one operator.

use crate::dataflow::Configuration;
use crate::id::{OperatorId, WorkerId};

/// The worker of each instance of an operator, from some logical time on.
///
/// Instances that are not listed take turns with the workers: instance `n` is on worker `n % peers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<WorkerId>);

impl Places {
    /// Instances on these workers, by number.
    pub fn new(workers: Vec<WorkerId>) -> Places {
        Places(workers)
    }

    /// The first instances on these workers, by number; those that are not among them, since they
    /// are to go, stay where they were.
    pub(in crate::engine) fn updated(&self, first: &[WorkerId]) -> Places {
        Places(first.iter().chain(self.0.iter().skip(first.len())).copied().collect())
    }

    /// Those of `operator` at the start of a job in `configuration`.
    pub(in crate::engine) fn at_start(configuration: &Configuration, operator: OperatorId) -> Places {
        Places(configuration.placement().map_or_else(Vec::new, |placement| placement.of(operator).to_vec()))
    }

    /// The worker that hosts instance `index` where there are `peers` workers.
    pub(in crate::engine) fn of(&self, index: u32, peers: u32) -> WorkerId {
        self.0.get(index as usize).copied().unwrap_or(WorkerId(index % peers))
    }

    /// Whether each of `peers` workers hosts equally many of the first `instances` instances.
    pub(in crate::engine) fn are_even(&self, instances: u32, peers: u32) -> bool {
        let mut hosted = vec![0; peers as usize];
        (0..instances).for_each(|index| hosted[self.of(index, peers).0 as usize] += 1);
        hosted.iter().all(|count| *count == hosted[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_listed_takes_turns() {
        let places = Places::new(vec![WorkerId(1), WorkerId(1)]);
        assert_eq!([0, 1, 2, 3].map(|index| places.of(index, 2).0), [1, 1, 0, 1]);
        assert_eq!(places.updated(&[WorkerId(0)]), Places::new(vec![WorkerId(0), WorkerId(1)]));
        assert_eq!(places.updated(&[WorkerId(0); 3]), Places::new(vec![WorkerId(0); 3]));
        assert!(!places.are_even(2, 2) && !places.are_even(4, 2) && Places::default().are_even(4, 2));
    }
}
