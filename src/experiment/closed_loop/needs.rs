//! The minimum parallelism that keeps up as far as possible: the reference for every policy of a
//! suite.
//!
//! When bounds, a budget or an external limit keep the job from keeping up, the other operators
//! need no more than the load that still reaches them. A straggler counts with its actual speed.

use crate::dataflow::Operator;
use crate::experiment::result::Needs;
use crate::sim::Job;
use crate::time::Timestamp;

/// An excess over a whole number of instances that is rounding and not demand.
const TOLERANCE: f64 = 1e-6;

/// Halvings until the part of the demand that comes through is known to a billionth.
const HALVINGS: u32 = 30;

/// The fewest instances by operator that keep up with as much of the demand as can be kept up with,
/// within the operators' bounds and, if there is a budget, with so many instances in all; with the
/// time from which on that is so.
pub(super) fn needs(job: &Job, budget: Option<u32>) -> Needs {
    let mut needs = Needs::new();
    for at in changes(job) {
        let demands = job.demands(at);
        let of = |part: f64| {
            let needed = |operator: &Operator| Some((operator.id, needed(job, operator, demands[operator.id.0 as usize] * part, at)?));
            let all: Option<std::collections::BTreeMap<_, _>> = job.topology.scalable().map(needed).collect();
            all.filter(|all| budget.is_none_or(|budget| all.values().sum::<u32>() <= budget))
        };
        let ones = || job.topology.scalable().map(|operator| (operator.id, 1)).collect();
        let best = of(1.0).unwrap_or_else(|| {
            let (mut possible, mut impossible) = (0.0, 1.0);
            for _ in 0..HALVINGS {
                let middle = (possible + impossible) / 2.0;
                if of(middle).is_some() { possible = middle } else { impossible = middle }
            }
            of(possible).unwrap_or_else(ones)
        });
        if needs.last().is_none_or(|(_, last)| *last != best) {
            needs.push((at, best));
        }
    }
    needs
}

/// When what is needed may change: when a rate does, and when an instance or a worker becomes slow
/// or is so no longer.
pub(super) fn changes(job: &Job) -> Vec<Timestamp> {
    let stragglers = job.models.iter().flat_map(|model| &model.stragglers).flat_map(|slow| [slow.from, slow.until]);
    let lost = job.workers.iter().flat_map(|workers| &workers.lost);
    let lost = lost.flat_map(|lost| [Some(lost.from_s), lost.until_s]).flatten().map(Timestamp::from_secs_f64);
    let mut changes: Vec<Timestamp> = job.changes().into_iter().chain(stragglers).chain(lost).collect();
    changes.retain(|at| *at < Timestamp::ZERO + job.duration);
    changes.sort_unstable();
    changes.dedup();
    changes
}

/// The fewest instances of `operator` that work off so many records per second; nothing if there
/// may not be so many, or what is outside lets none through.
fn needed(job: &Job, operator: &Operator, demand: f64, at: Timestamp) -> Option<u32> {
    let model = &job.models[operator.id.0 as usize];
    if model.external_limit.is_some_and(|limit| limit.as_per_second() < demand * (1.0 - TOLERANCE)) {
        return None;
    }
    let slow = |p: u32| -> f64 {
        let now = model.stragglers.iter().filter(|slow| slow.instance < p && slow.from <= at && at < slow.until);
        now.map(|slow| 1.0 - slow.speed).sum()
    };
    let enough = |p: &u32| model.instance_rate(*p).is_none_or(|rate| rate * (f64::from(*p) - slow(*p)) >= demand * (1.0 - TOLERANCE));
    (1..=operator.max_parallelism).find(enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::scenario::Scenario;

    fn all(change: impl FnOnce(&mut Scenario), budget: Option<u32>) -> Vec<(f64, Vec<u32>)> {
        let mut scenario = Scenario::read(Scenario::text("heron-wordcount").unwrap()).unwrap();
        change(&mut scenario);
        let needs = needs(&scenario.job(), budget);
        needs.iter().map(|(at, needed)| (at.as_secs_f64(), needed.values().copied().collect())).collect()
    }

    #[test]
    fn what_cannot_come_through_needs_no_instances() {
        assert_eq!(all(|_| (), None), [(0.0, vec![10, 20])]);
        assert_eq!(all(|scenario| scenario.operators[2].max_parallelism = 12, None), [(0.0, vec![6, 12])]);
        let outside = |scenario: &mut Scenario| scenario.operators[2].external_limit = Some("10000000/min".parse().unwrap());
        assert_eq!(all(outside, None), [(0.0, vec![5, 10])]);
        assert_eq!(all(|_| (), Some(24)), [(0.0, vec![8, 16])]);
        assert_eq!(all(|_| (), Some(1)), [(0.0, vec![1, 1])], "an operator has at least one instance");
    }

    #[test]
    fn a_slow_instance_counts_for_what_it_does() {
        let straggler = |scenario: &mut Scenario| {
            let text = "instance = 3\nspeed = 0.5\nfrom_s = 20\nuntil_s = 40\n";
            scenario.operators[2].stragglers = vec![toml::from_str(text).unwrap()];
        };
        assert_eq!(all(straggler, None), [(0.0, vec![10, 20]), (20.0, vec![10, 21]), (40.0, vec![10, 20])]);
    }
}
