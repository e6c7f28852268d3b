//! The rule by which AWS's managed service for Flink scales an application: double when busy, halve
//! when idle.
//!
//! Uses the utilisation of the busiest instance: doubles the parallelism when it was high for a
//! quarter of an hour, halves it when it was low for six hours. The service scales a whole
//! application, whose operators share one parallelism; here, too, all operators are doubled or
//! halved together, whichever of them is busy, each within its own bounds. Invariants: sources and
//! sinks are never changed, no operator falls below its initial parallelism or exceeds its maximum,
//! and no decision is based on windows of two configurations. The rule is described in
//! `papers/aws-managed-flink.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Parameters of the rule; the service itself has them fixed. Times are in seconds, utilisations 0
/// to 1.
// papers/aws-managed-flink.md#rule
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// Utilisation from which the busiest instance counts as busy.
    pub busy_utilisation: f64,
    /// Time for which it must have been busy before parallelism is doubled.
    pub busy_s: f64,
    /// Utilisation below which the busiest instance counts as idle.
    pub idle_utilisation: f64,
    /// Time for which it must have been idle before parallelism is halved.
    pub idle_s: f64,
}

impl AwsConfig {
    /// The published values.
    pub fn published() -> AwsConfig {
        AwsConfig { busy_utilisation: 0.75, busy_s: 900.0, idle_utilisation: 0.1, idle_s: 21_600.0 }
    }

    /// The same with all times divided by `factor`.
    ///
    /// # Panics
    /// If the factor is not positive.
    pub fn compressed(self, factor: f64) -> AwsConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        AwsConfig { busy_s: self.busy_s / factor, idle_s: self.idle_s / factor, ..self }
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
        in_range("busy_utilisation", self.busy_utilisation, 0.01, 1.0)?;
        in_range("idle_utilisation", self.idle_utilisation, 0.0, self.busy_utilisation)?;
        in_range("busy_s", self.busy_s, 0.0, 1e9)?;
        in_range("idle_s", self.idle_s, 0.0, 1e9)
    }
}

impl Default for AwsConfig {
    fn default() -> Self {
        AwsConfig::published()
    }
}

/// The service's rule as a policy.
#[derive(Clone, Debug)]
pub struct Aws {
    topology: Topology,
    config: AwsConfig,
    /// The initial parallelism, below which it never scales.
    start: Option<Configuration>,
    /// The configuration of the last observation.
    seen: Configuration,
    /// Start of the current sequence of windows in which the busiest instance was busy.
    busy_since: Option<Timestamp>,
    /// Start of the current sequence of windows in which it was idle.
    idle_since: Option<Timestamp>,
}

impl Aws {
    /// The rule for the job `topology`.
    ///
    /// # Panics
    /// If the configuration is invalid; see [`AwsConfig::check`].
    pub fn new(topology: Topology, config: AwsConfig) -> Aws {
        config.check().expect("a configuration that makes sense");
        Aws { topology, config, start: None, seen: Configuration::default(), busy_since: None, idle_since: None }
    }

    /// The operator with the busiest instance, and its utilisation; ties go to the most upstream.
    ///
    /// The service measures CPU utilisation. A blocking call uses no CPU, so external waits do not
    /// count as utilisation here.
    // papers/aws-managed-flink.md#measure
    fn busiest(&self, observation: &Observation) -> Option<(OperatorId, f64)> {
        let instances = |operator: &Operator| {
            let metrics = observation.operator(operator.id).instances.iter();
            metrics.map(move |instance| (instance.instance.operator, instance.utilisation()))
        };
        let more = |best: (OperatorId, f64), other: (OperatorId, f64)| if other.1 > best.1 { other } else { best };
        self.topology.scalable().flat_map(instances).reduce(more)
    }

    /// Adds a window; returns for how long the busiest instance has been busy and idle.
    fn lasted(&mut self, observation: &Observation, utilisation: f64) -> (Option<Duration>, Option<Duration>) {
        if self.seen != observation.configuration {
            self.seen = observation.configuration.clone();
            (self.busy_since, self.idle_since) = (None, None);
        }
        let window = observation.window;
        let since = |since: Option<Timestamp>, holds: bool| holds.then(|| since.unwrap_or(window.start));
        self.busy_since = since(self.busy_since, utilisation >= self.config.busy_utilisation);
        self.idle_since = since(self.idle_since, utilisation < self.config.idle_utilisation);
        let until_now = |since: Option<Timestamp>| since.map(|since| window.end.since(since));
        (until_now(self.busy_since), until_now(self.idle_since))
    }

    /// The operators whose parallelism changes when `scaled` is applied to their current and
    /// initial parallelism.
    fn rescales(&self, observation: &Observation, scaled: impl Fn(u32, u32) -> u32) -> BTreeMap<OperatorId, u32> {
        let start = self.start.as_ref().unwrap_or(&observation.configuration);
        let change = |operator: &Operator| {
            let present = observation.configuration.parallelism(operator.id);
            let instances = scaled(present, start.parallelism(operator.id)).min(operator.max_parallelism);
            (instances != present).then_some((operator.id, instances))
        };
        self.topology.scalable().filter_map(change).collect()
    }
}

/// Whether a time has reached this many seconds. Windows and waits are multiples of each other only
/// up to rounding.
fn reached(lasted: Option<Duration>, seconds: f64) -> bool {
    lasted.is_some_and(|lasted| lasted.as_secs_f64() >= seconds * (1.0 - 1e-6))
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "aws",
    summary: "doubles everything after 15 busy minutes, halves it after six idle hours, like AWS's managed Flink",
    rules: &[
        ("busy-for-long", "an instance has been busy for long enough"),
        ("idle-for-long", "no instance has been busy for long enough"),
        ("at-limit", "it needs more than its maximum parallelism"),
        ("stabilising", "the change has not been indicated for long enough"),
        ("within-band", "no change needed"),
    ],
    make: |topology, factor, given| {
        let config = set(AwsConfig::published(), &given.settings, AwsConfig::check)?;
        Ok(Box::new(Aws::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    // papers/aws-managed-flink.md#rule
    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        self.start.get_or_insert_with(|| observation.configuration.clone());
        let Some((operator, utilisation)) = self.busiest(observation) else { return Decision::Hold(Reason::new("within-band")) };
        let (busy, idle) = self.lasted(observation, utilisation);
        let name = &self.topology.operator(operator).name;
        let reason = |rule: &str| Reason::new(rule).about(name).with("utilisation", utilisation);
        let (rescales, rule, otherwise) = if reached(busy, self.config.busy_s) {
            (self.rescales(observation, |present, _| present.saturating_mul(2)), "busy-for-long", "at-limit")
        } else if reached(idle, self.config.idle_s) {
            (self.rescales(observation, |present, start| present.div_ceil(2).max(start).min(present)), "idle-for-long", "within-band")
        } else {
            let waits = busy.is_some() || (idle.is_some() && self.start.as_ref() != Some(&observation.configuration));
            (BTreeMap::new(), "", if waits { "stabilising" } else { "within-band" })
        };
        if rescales.is_empty() {
            return Decision::Hold(reason(otherwise));
        }
        Decision::Rescale(Plan { rescales, ..Plan::default() }, reason(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    /// Minute by minute: the rule, and what FlatMap and Count have after it. Each minute tells the
    /// utilisation of their busiest instances.
    struct Minutes {
        aws: Aws,
        minute: u32,
        has: (u32, u32),
    }

    impl Minutes {
        fn from(flatmap: u32, count: u32) -> Minutes {
            Minutes { aws: Aws::new(fixture::word_count(), AwsConfig::published()), minute: 0, has: (flatmap, count) }
        }

        fn next(&mut self, flatmap: f64, count: f64, waiting: f64) -> (String, (u32, u32)) {
            self.minute += 1;
            let configuration = fixture::instances(self.has.0, self.has.1);
            let mut observation = fixture::idle(&fixture::word_count(), &configuration, f64::from(self.minute) * 60.0, 60.0);
            for (operator, utilisation) in [(1, flatmap), (2, count)] {
                let instance = observation.operators[operator].instances.last_mut().unwrap();
                instance.useful = Duration::from_secs_f64(60.0 * utilisation);
                instance.external_wait = Duration::from_secs_f64(60.0 * waiting);
            }
            let rule = match self.aws.decide(observation.window.end, &observation) {
                Decision::Hold(reason) => reason.rule,
                Decision::Rescale(plan, reason) => {
                    let after = plan.apply(&fixture::word_count(), &configuration).unwrap();
                    self.has = (after.parallelism(OperatorId(1)), after.parallelism(OperatorId(2)));
                    reason.rule
                }
            };
            (rule, self.has)
        }

        fn many(&mut self, minutes: u32, flatmap: f64, count: f64) -> (String, (u32, u32)) {
            (0..minutes).map(|_| self.next(flatmap, count, 0.0)).last().unwrap()
        }
    }

    #[test]
    fn all_operators_are_doubled_when_one_instance_was_busy_for_a_quarter_of_an_hour() {
        let mut minutes = Minutes::from(2, 3);
        assert_eq!(minutes.many(14, 0.3, 0.75), ("stabilising".into(), (2, 3)));
        assert_eq!(minutes.next(0.3, 0.75, 0.0), ("busy-for-long".into(), (4, 6)));
        assert_eq!(minutes.many(14, 0.3, 0.9), ("stabilising".into(), (4, 6)), "another configuration, another quarter of an hour");
        assert_eq!(minutes.next(0.3, 0.9, 0.0), ("busy-for-long".into(), (8, 12)));
    }

    #[test]
    fn a_minute_that_is_less_busy_begins_the_time_again() {
        let mut minutes = Minutes::from(2, 3);
        minutes.many(14, 0.8, 0.3);
        assert_eq!(minutes.next(0.74, 0.3, 0.0), ("within-band".into(), (2, 3)));
        assert_eq!(minutes.many(14, 0.8, 0.3).1, (2, 3));
        assert_eq!(minutes.next(0.8, 0.3, 0.0).1, (4, 6));
    }

    #[test]
    fn six_idle_hours_halve_what_there_is_to_no_less_than_at_the_start() {
        let mut minutes = Minutes::from(1, 3);
        minutes.many(45, 1.0, 1.0);
        assert_eq!(minutes.has, (8, 24));
        assert_eq!(minutes.many(359, 0.05, 0.09), ("stabilising".into(), (8, 24)));
        assert_eq!(minutes.next(0.05, 0.1, 0.0), ("within-band".into(), (8, 24)), "a tenth is not below a tenth");
        assert_eq!(minutes.many(360, 0.05, 0.09), ("idle-for-long".into(), (4, 12)));
        assert_eq!(minutes.many(720, 0.05, 0.09), ("idle-for-long".into(), (1, 3)));
        assert_eq!(minutes.many(1000, 0.0, 0.0), ("within-band".into(), (1, 3)));
    }

    #[test]
    fn a_half_is_rounded_up() {
        let mut minutes = Minutes::from(1, 1);
        minutes.next(0.0, 0.0, 0.0);
        // The job was scaled by someone else.
        minutes.has = (5, 7);
        assert_eq!(minutes.many(360, 0.0, 0.0).1, (3, 4));
    }

    #[test]
    fn an_operator_at_its_maximum_stays_there() {
        let mut minutes = Minutes::from(1, 40);
        assert_eq!(minutes.many(15, 1.0, 1.0).1, (2, 64));
        minutes.many(15 * 5, 1.0, 1.0);
        assert_eq!(minutes.many(15, 1.0, 1.0), ("at-limit".into(), (64, 64)));
    }

    #[test]
    fn waiting_for_something_outside_costs_no_processor() {
        let mut minutes = Minutes::from(2, 2);
        for _ in 0..30 {
            assert_eq!(minutes.next(0.05, 0.05, 0.9).1, (2, 2));
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |config: AwsConfig| config.check().unwrap_err();
        assert!(refused(AwsConfig { busy_utilisation: 1.5, ..AwsConfig::published() }).starts_with("busy_utilisation: expected 0.01 to 1"));
        assert!(refused(AwsConfig { idle_utilisation: 0.8, ..AwsConfig::published() }).starts_with("idle_utilisation"));
        assert!(refused(AwsConfig { idle_s: f64::NAN, ..AwsConfig::published() }).starts_with("idle_s"));
    }
}
