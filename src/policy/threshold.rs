//! Utilisation thresholds per operator, like the Horizontal Pod Autoscaler of Kubernetes for the
//! replicas of a deployment.
//!
//! Sets the parallelism of each operator that would bring its utilisation to the target, if the
//! difference from the target exceeds a tolerance. Operators are independent: load that an operator
//! holds back does not count for the ones downstream, so an overloaded job is scaled level by
//! level. Invariants: sources and sinks are never changed, parallelism stays between 1 and the
//! operator's maximum, and an operator scales down only to the maximum recommended within the
//! stabilisation window. The rules are in `papers/kubernetes-hpa.md`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Parameters of the threshold policy. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdConfig {
    /// Target utilisation; more than 0, at most 1. Kubernetes has no default, the examples in its
    /// documentation use 0.5.
    // papers/kubernetes-hpa.md#target
    pub target_utilisation: f64,
    /// Relative deviation from the target within which nothing is done.
    // papers/kubernetes-hpa.md#tolerance
    pub tolerance: f64,
    /// An operator scales up to the minimum recommended within this time; with 0, to the current
    /// recommendation.
    // papers/kubernetes-hpa.md#stabilisation
    pub scale_up_stabilisation_s: f64,
    /// An operator scales down to the maximum recommended within this time.
    // papers/kubernetes-hpa.md#stabilisation
    pub scale_down_stabilisation_s: f64,
}

impl ThresholdConfig {
    /// The defaults of Kubernetes, and a target of 0.8.
    pub fn published() -> ThresholdConfig {
        ThresholdConfig { target_utilisation: 0.8, tolerance: 0.1, scale_up_stabilisation_s: 0.0, scale_down_stabilisation_s: 300.0 }
    }

    /// The same with all times divided by `factor`.
    ///
    /// # Panics
    /// If the factor is not positive.
    pub fn compressed(self, factor: f64) -> ThresholdConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        ThresholdConfig {
            scale_up_stabilisation_s: self.scale_up_stabilisation_s / factor,
            scale_down_stabilisation_s: self.scale_down_stabilisation_s / factor,
            ..self
        }
    }

    /// Checks the configuration; the error names the field and what was expected.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(&self) -> Result<(), String> {
        let in_range = |name: &str, value: f64, least: f64, most: f64| {
            let holds = (least..=most).contains(&value);
            if holds { Ok(()) } else { Err(format!("{name}: expected {least} to {most}, found {value}")) }
        };
        in_range("target_utilisation", self.target_utilisation, 0.01, 1.0)?;
        in_range("tolerance", self.tolerance, 0.0, 1.0)?;
        in_range("scale_up_stabilisation_s", self.scale_up_stabilisation_s, 0.0, 1e6)?;
        in_range("scale_down_stabilisation_s", self.scale_down_stabilisation_s, 0.0, 1e6)
    }
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        ThresholdConfig::published()
    }
}

/// The parallelism that brings the utilisation of `instances` instances to the target; unchanged
/// within the tolerance. At least 1.
// papers/kubernetes-hpa.md#desired
pub fn desired(instances: u32, utilisation: f64, config: &ThresholdConfig) -> u32 {
    let ratio = utilisation / config.target_utilisation;
    // NaN is no reason to act either. The deviation has rounding errors, which must not exceed the
    // tolerance.
    if !ratio.is_finite() || (ratio - 1.0).abs() <= config.tolerance + 1e-9 {
        return instances;
    }
    // A billionth of an instance is a rounding error.
    ((f64::from(instances) * ratio - 1e-9).ceil() as u32).max(1)
}

/// The threshold policy.
#[derive(Clone, Debug)]
pub struct Threshold {
    topology: Topology,
    config: ThresholdConfig,
    /// By operator: recommendations with their times, oldest first.
    recommended: BTreeMap<OperatorId, VecDeque<(Timestamp, u32)>>,
}

impl Threshold {
    /// Thresholds for the job `topology`.
    ///
    /// # Panics
    /// If the configuration is invalid; see [`ThresholdConfig::check`].
    pub fn new(topology: Topology, config: ThresholdConfig) -> Threshold {
        config.check().expect("a configuration that makes sense");
        Threshold { topology, config, recommended: BTreeMap::new() }
    }

    /// Adds a recommendation for `operator` at `now`, and returns the stabilised one.
    fn stabilised(&mut self, now: Timestamp, operator: OperatorId, present: u32, wanted: u32) -> u32 {
        let since = |seconds: f64| now - Duration::from_secs_f64(seconds);
        let (up_from, down_from) = (since(self.config.scale_up_stabilisation_s), since(self.config.scale_down_stabilisation_s));
        let recommended = self.recommended.entry(operator).or_default();
        recommended.push_back((now, wanted));
        while recommended.front().is_some_and(|(at, _)| *at < up_from.min(down_from)) {
            recommended.pop_front();
        }
        let from = |from: Timestamp| recommended.iter().filter(move |(at, _)| *at >= from).map(|(_, wanted)| *wanted);
        // The current recommendation is in both.
        let least = from(up_from).min().unwrap_or(wanted);
        let most = from(down_from).max().unwrap_or(wanted);
        // Scale up to the minimum, down to the maximum; in between nothing changes.
        present.clamp(least, most)
    }
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "threshold",
    summary: "brings each operator's utilisation to a target, like Kubernetes' HPA",
    rules: &[
        ("utilisation", "utilisation is away from its target"),
        ("stabilising", "the change has not been indicated for long enough"),
        ("at-limit", "it needs more than its maximum parallelism"),
        ("within-tolerance", "no change needed"),
    ],
    make: |topology, factor, given| {
        let config = set(ThresholdConfig::published(), &given.settings, ThresholdConfig::check)?;
        Ok(Box::new(Threshold::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let mut rescales = BTreeMap::new();
        let mut busiest: Option<(OperatorId, f64)> = None;
        let (mut stabilising, mut at_limit) = (0u32, 0u32);
        let scalable: Vec<(OperatorId, u32)> = self.topology.scalable().map(|operator| (operator.id, operator.max_parallelism)).collect();
        for (operator, most) in scalable {
            let present = observation.configuration.parallelism(operator);
            let utilisation = observation.operator(operator).utilisation();
            let raw = desired(present, utilisation, &self.config);
            let wanted = raw.min(most);
            at_limit += u32::from(raw > most && present == most);
            if busiest.is_none_or(|(_, most)| utilisation > most) {
                busiest = Some((operator, utilisation));
            }
            let instances = self.stabilised(now, operator, present, wanted);
            if instances != present {
                rescales.insert(operator, instances);
            } else if wanted != present {
                stabilising += 1;
            }
        }
        let mut reason = Reason::new(match (rescales.is_empty(), stabilising, at_limit) {
            (false, ..) => "utilisation",
            (true, 1.., _) => "stabilising",
            (true, 0, 1..) => "at-limit",
            (true, 0, 0) => "within-tolerance",
        });
        if let Some((operator, utilisation)) = busiest {
            reason = reason.about(&self.topology.operator(operator).name).with("utilisation", utilisation);
        }
        if rescales.is_empty() { Decision::Hold(reason) } else { Decision::Rescale(Plan { rescales, ..Plan::default() }, reason) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::fixture;

    /// What the plan makes of FlatMap and Count, by the utilisations of both at a time.
    fn decide(policy: &mut Threshold, at_s: f64, instances: (u32, u32), utilisations: (f64, f64)) -> (u32, u32, String) {
        let topology = fixture::word_count();
        let configuration = fixture::instances(instances.0, instances.1);
        let mut observation = fixture::idle(&topology, &configuration, at_s, 60.0);
        for (operator, utilisation) in [(1, utilisations.0), (2, utilisations.1)] {
            for instance in &mut observation.operators[operator].instances {
                instance.useful = Duration::from_secs_f64(60.0 * utilisation);
            }
        }
        let (after, reason) = match policy.decide(observation.window.end, &observation) {
            Decision::Hold(reason) => (configuration, reason),
            Decision::Rescale(plan, reason) => (plan.apply(&topology, &configuration).unwrap(), reason),
        };
        (after.parallelism(OperatorId(1)), after.parallelism(OperatorId(2)), reason.rule)
    }

    fn policy() -> Threshold {
        Threshold::new(fixture::word_count(), ThresholdConfig::published())
    }

    #[test]
    fn instances_follow_utilisation_over_target_and_stay_within_the_tolerance() {
        let config = ThresholdConfig { target_utilisation: 0.5, ..ThresholdConfig::published() };
        for (instances, utilisation, expected) in [
            (1, 1.0, 2),
            (4, 1.0, 8),
            (4, 0.9, 8),
            (10, 0.55, 10),
            (10, 0.5501, 12),
            (10, 0.45, 10),
            (10, 0.449, 9),
            (4, 0.25, 2),
            (4, 0.0, 1),
            (1, 0.0, 1),
            (4, f64::NAN, 4),
        ] {
            assert_eq!(desired(instances, utilisation, &config), expected, "{instances} at {utilisation}");
        }
    }

    #[test]
    fn it_grows_at_once_and_each_operator_by_itself() {
        let mut policy = policy();
        assert_eq!(decide(&mut policy, 60.0, (1, 1), (1.0, 1.0)), (2, 2, "utilisation".into()));
        assert_eq!(decide(&mut policy, 120.0, (2, 2), (1.0, 0.8)), (3, 2, "utilisation".into()));
        assert_eq!(decide(&mut policy, 180.0, (64, 2), (1.0, 0.8)), (64, 2, "at-limit".into()));
    }

    #[test]
    fn it_shrinks_to_the_most_of_the_stabilisation_window() {
        let mut policy = policy();
        assert_eq!(decide(&mut policy, 60.0, (8, 8), (0.8, 0.8)), (8, 8, "within-tolerance".into()));
        // 4 would do, but 8 was needed less than five minutes ago.
        for minute in 2..=6 {
            assert_eq!(decide(&mut policy, 60.0 * f64::from(minute), (8, 8), (0.4, 0.8)), (8, 8, "stabilising".into()), "{minute}");
        }
        assert_eq!(decide(&mut policy, 420.0, (8, 8), (0.2, 0.8)), (4, 8, "utilisation".into()), "4 was the most since");
    }

    #[test]
    fn growth_can_be_stabilised_too() {
        let config = ThresholdConfig { scale_up_stabilisation_s: 120.0, ..ThresholdConfig::published() };
        let mut policy = Threshold::new(fixture::word_count(), config);
        assert_eq!(decide(&mut policy, 60.0, (4, 1), (0.8, 0.8)).0, 4);
        assert_eq!(decide(&mut policy, 120.0, (4, 1), (1.0, 0.8)).0, 4);
        assert_eq!(decide(&mut policy, 180.0, (4, 1), (1.0, 0.8)).0, 4);
        assert_eq!(decide(&mut policy, 240.0, (4, 1), (1.0, 0.8)).0, 5);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (target_utilisation, tolerance) in [(0.0, 0.1), (1.5, 0.1), (f64::NAN, 0.1), (0.8, -0.1), (0.8, f64::INFINITY)] {
            assert!(ThresholdConfig { target_utilisation, tolerance, ..ThresholdConfig::published() }.check().is_err());
        }
    }

    proptest! {
        /// Whatever is seen, a plan fits the job, and more load never means fewer instances.
        #[test]
        fn plans_fit_and_are_monotone(seen in prop::collection::vec(((1u32..=64, 1u32..=64), (0.0..=1.0, 0.0..=1.0)), 1..12)) {
            let mut policy = policy();
            for (index, (instances, utilisations)) in seen.into_iter().enumerate() {
                decide(&mut policy, 60.0 * (index + 1) as f64, instances, utilisations);
                let config = ThresholdConfig::published();
                prop_assert!(desired(instances.0, utilisations.0, &config) <= desired(instances.0, (utilisations.0 + 0.2).min(1.0), &config));
            }
        }
    }
}
