//! DS2 (Kalavri et al., OSDI'18): every operator's parallelism at once, from true rates and the
//! dataflow graph.
//!
//! Uses one observation per decision and keeps only its configuration; interval, warm-up and
//! activation are the controller's. Returns one plan with every operator that is to change.
//! Invariants: parallelism stays between 1 and the operator's maximum, sources and sinks are never
//! changed, an operator without measurements keeps its parallelism. Notes on the paper are in
//! `papers/ds2-osdi18.md`; where the released program is more specific than the paper, its rule is
//! named.

mod demand;

use std::collections::BTreeMap;

pub use demand::{Demand, Measurement, demands, demands_of, round_up, workers_needed};
use serde::{Deserialize, Serialize};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Parameters of DS2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ds2Config {
    /// Offered over achieved source rate above which parallelism is multiplied by that ratio
    /// although the equations need no more instances, except in the first window of a
    /// configuration. The paper uses 1.0, where a measurement error of a thousandth already adds an
    /// instance; the default of 1.05 is above such noise. Infinity disables the correction.
    // papers/ds2-osdi18.md#target-rate-ratio
    pub target_rate_ratio: f64,
    /// Relative excess over a whole number of instances that is attributed to measurement error;
    /// see [`round_up`].
    pub ceil_tolerance: f64,
    /// A decrease of at most this many instances is ignored. The released program ignores a
    /// decrease of exactly 1 and acts on every increase; 0 acts on every decrease.
    // papers/ds2-osdi18.md#minor-change
    pub ignored_decrease: u32,
    /// So many times the instances that the equations need, rounded up afterwards; at least 1. The
    /// paper has no such factor; the comparison of autoscalers for DEBS'24 runs DS2 with 1 and with
    /// 1.2.
    pub overprovisioning: f64,
}

impl Ds2Config {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// Names the parameter, the range and the value.
    pub fn check(&self) -> Result<(), String> {
        let factor = self.overprovisioning;
        if (1.0..=100.0).contains(&factor) { Ok(()) } else { Err(format!("overprovisioning: expected 1 to 100, found {factor}")) }
    }
}

impl Default for Ds2Config {
    fn default() -> Self {
        Ds2Config { target_rate_ratio: 1.05, ceil_tolerance: 1e-6, ignored_decrease: 1, overprovisioning: 1.0 }
    }
}

/// The DS2 policy.
#[derive(Clone, Debug)]
pub struct Ds2 {
    topology: Topology,
    config: Ds2Config,
    /// The configuration of the last observation.
    seen: Option<Configuration>,
}

impl Ds2 {
    /// DS2 for the job `topology`.
    pub fn new(topology: Topology, config: Ds2Config) -> Ds2 {
        Ds2 { topology, config, seen: None }
    }

    /// Instances required by the equations, clipped to each operator's maximum; without operators
    /// that have no measured demand, sources and sinks.
    fn wanted(&self, demands: &[Demand]) -> BTreeMap<OperatorId, u32> {
        let needed = |operator: &Operator| Some(demands[operator.id.0 as usize].instances()? * self.config.overprovisioning);
        let wanted = |operator: &Operator| Some((operator.id, self.clamped(operator.id, needed(operator)?)));
        self.topology.scalable().filter_map(wanted).collect()
    }

    fn clamped(&self, operator: OperatorId, instances: f64) -> u32 {
        round_up(instances, self.config.ceil_tolerance).min(self.topology.operator(operator).max_parallelism)
    }

    /// Offered over achieved rate, if it is known and above the threshold: if a source emitted
    /// nothing, something is wrong, but the ratio is undefined.
    fn shortfall(&self, observation: &Observation) -> Option<f64> {
        let ratio = observation.target_rate_ratio();
        (ratio.is_finite() && ratio > self.config.target_rate_ratio).then_some(ratio)
    }

    /// Whether this is the first observation after a migration. The achieved rate in it was
    /// affected by the migration, by queues that fill or drain and by instances that are starting.
    /// The ratio would add instances because of the migration itself, and the equations would
    /// remove what the ratio had added before its effect is visible; such a window is therefore
    /// skipped.
    // papers/ds2-osdi18.md#target-rate-ratio
    fn has_just_moved(&mut self, observation: &Observation) -> bool {
        if self.seen.as_ref() == Some(&observation.configuration) {
            return false;
        }
        self.seen.replace(observation.configuration.clone()).is_some()
    }
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "ds2",
    summary: "all operators at once, by true rates (DS2, OSDI 2018)",
    rules: &[
        ("equation-7", "the operators' true rates and the offered load call for a different parallelism"),
        ("target-rate-ratio", "the model needs no more instances, but sources emit less than is offered"),
        ("not-measured", "no true rate was measured"),
        ("at-limit", "it needs more than its maximum parallelism"),
        ("settling", "waiting for the last action to take effect"),
        ("as-demanded", "no change needed"),
    ],
    make: |topology, _, given| Ok(Box::new(Ds2::new(topology.clone(), set(Ds2Config::default(), &given.settings, Ds2Config::check)?))),
};

impl Policy for Ds2 {
    fn name(&self) -> &'static str {
        "ds2"
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let demands = demands(&self.topology, observation);
        let just_moved = self.has_just_moved(observation);
        let mut wanted = self.wanted(&demands);
        let present = |operator: OperatorId| observation.configuration.parallelism(operator);
        let mut rule = "equation-7";
        let increases = wanted.iter().any(|(&operator, &instances)| instances > present(operator));
        // As released: the correction only applies if the equations need no increase, and
        // multiplies their result.
        if !increases && let Some(ratio) = self.shortfall(observation) {
            if just_moved {
                return Decision::Hold(self.reason("settling", &demands, observation));
            }
            rule = "target-rate-ratio";
            for (&operator, instances) in &mut wanted {
                *instances = self.clamped(operator, f64::from(*instances) * ratio);
            }
        }
        // The filter applies to each operator separately, even if others change.
        wanted
            .retain(|&operator, instances| *instances > present(operator) || present(operator) - *instances > self.config.ignored_decrease);
        let reason = self.reason(rule, &demands, observation);
        if wanted.is_empty() {
            let demand = |operator: &Operator| demands[operator.id.0 as usize].instances();
            let over = |operator: &Operator| {
                let wanted = demand(operator).map(|fraction| round_up(fraction, self.config.ceil_tolerance));
                wanted.is_some_and(|wanted| wanted > operator.max_parallelism)
            };
            let rule = if self.topology.scalable().any(over) {
                "at-limit"
            } else if self.topology.scalable().any(|operator| demand(operator).is_none()) {
                "not-measured"
            } else {
                "as-demanded"
            };
            return Decision::Hold(Reason { rule: rule.to_owned(), ..reason });
        }
        Decision::Rescale(Plan { rescales: wanted, ..Plan::default() }, reason)
    }
}

impl Ds2 {
    /// The rule, the ratio of the sources, each operator's unrounded demand, and the operators that
    /// keep their parallelism because they were not measured.
    fn reason(&self, rule: &str, demands: &[Demand], observation: &Observation) -> Reason {
        let mut reason = Reason::new(rule);
        let ratio = observation.target_rate_ratio();
        if ratio.is_finite() {
            // Decision logs are JSON, which has no infinity.
            reason = reason.with("offered/achieved", ratio);
        }
        for operator in self.topology.scalable() {
            reason = match demands[operator.id.0 as usize].instances() {
                Some(fraction) => reason.with(&format!("{} demand", operator.name), fraction),
                None => {
                    let kept = observation.configuration.parallelism(operator.id);
                    reason.with(&format!("{} kept for want of a true rate", operator.name), f64::from(kept))
                }
            };
        }
        reason
    }
}

#[cfg(test)]
mod tests;
