//! The best configuration, known in advance: a bound that no policy which has to measure can beat.
//!
//! Uses the configurations computed from a scenario's true parameters, with the times from which
//! each is best, and no measurements. It still decides only when it is consulted, and its plans are
//! carried out by the same controller, so the remaining difference to another policy is due to that
//! policy.

use super::kind::PolicyKind;
use super::settings::{PolicyError, no_parameters};
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Plan, Topology};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Changes to the configuration that is currently best.
#[derive(Clone, Debug)]
pub struct Oracle {
    topology: Topology,
    best: Vec<(Timestamp, Configuration)>,
}

impl Oracle {
    /// Configurations with the time from which each is best, in any order. Before the first of them
    /// nothing is done.
    pub fn new(topology: Topology, best: impl IntoIterator<Item = (Timestamp, Configuration)>) -> Oracle {
        let mut best: Vec<_> = best.into_iter().collect();
        best.sort_by_key(|(from, _)| *from);
        Oracle { topology, best }
    }
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "oracle",
    summary: "knows the job's true limits and load: a bound for the others",
    rules: &[
        ("best-is-known", "the job's needs are known in advance"),
        ("as-is-best", "no change needed"),
        ("nothing-known-yet", "the job's needs are not known yet"),
    ],
    make: |topology, _, given| {
        if given.best.is_empty() {
            return Err(PolicyError::NothingKnown);
        }
        no_parameters(&given.settings, || Ok(Box::new(Oracle::new(topology.clone(), given.best.clone()))))
    },
};

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let begun = self.best.partition_point(|(from, _)| *from <= now);
        let Some((from, best)) = self.best[..begun].last() else {
            return Decision::Hold(Reason::new("nothing-known-yet"));
        };
        let reason = |rule: &str| Reason::new(rule).with("best from s", from.as_secs_f64());
        let rescales =
            self.topology.scalable().map(|operator| (operator.id, best.parallelism(operator.id).clamp(1, operator.max_parallelism)));
        let plan = Plan {
            rescales: rescales.filter(|(operator, instances)| observation.configuration.parallelism(*operator) != *instances).collect(),
            ..Plan::default()
        };
        if plan.rescales.is_empty() { Decision::Hold(reason("as-is-best")) } else { Decision::Rescale(plan, reason("best-is-known")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    #[test]
    fn it_goes_to_what_is_best_now_and_rests_there() {
        let topology = fixture::word_count();
        let at = |seconds: f64, flatmap, count| (Timestamp::from_secs_f64(seconds), fixture::instances(flatmap, count));
        let mut oracle = Oracle::new(topology.clone(), [at(100.0, 5, 999), at(10.0, 10, 20)]);
        let mut decide = |end: f64, (flatmap, count)| {
            let observation = fixture::idle(&topology, &fixture::instances(flatmap, count), end, 5.0);
            match oracle.decide(observation.window.end, &observation) {
                Decision::Hold(reason) => reason.rule,
                Decision::Rescale(plan, _) => plan.apply(&topology, &observation.configuration).unwrap().to_string(),
            }
        };
        assert_eq!(decide(5.0, (1, 1)), "nothing-known-yet");
        assert_eq!(decide(10.0, (1, 20)), "1/10/20/1");
        assert_eq!(decide(99.0, (10, 20)), "as-is-best");
        assert_eq!(decide(100.0, (10, 20)), "1/5/64/1", "as many as there may be");
        assert_eq!(decide(1000.0, (5, 64)), "as-is-best");
    }
}
