//! Heron's health manager: the open-source variant of Dhalion that is part of the engine.
//!
//! Receives an observation every checkpoint; every policy interval it runs sensors, detectors,
//! diagnosers and one resolver, in that order, and returns at most one scale-up of one operator.
//! Each stage has its own file and can be used separately. Invariants: only under-provisioning
//! leads to an action; there is no scale-down, no blacklist and no evaluation of outcomes; sources
//! and sinks are never candidates.
//!
//! It follows the code of Heron's main branch (section "Heron's open variant" of
//! `papers/dhalion-vldb17.md`), with three differences, each marked in the code: the window of the
//! sensors restarts after a migration, backpressure is determined from the latest checkpoint, and
//! several operators with backpressure abort only a limited number of consecutive runs
//! ([`HeronConfig::given_up_runs`]).

mod config;
mod detector;
mod diagnoser;
mod resolver;
mod sensor;

pub use config::HeronConfig;
pub use detector::{Sign, Symptom, SymptomKind, back_pressure, large_wait_queue, processing_rate_skew, wait_queue_skew};
pub use diagnoser::{Diagnosis, SeveralComponents, component_with_backpressure, data_skew, slow_instance, under_provisioning};
pub use resolver::scaled_up;
pub use sensor::{ComponentReading, InstanceReading, Sensors};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Heron's health manager as a policy.
#[derive(Clone, Debug)]
pub struct Heron {
    topology: Topology,
    config: HeronConfig,
    sensors: Sensors,
    next_run: Option<Timestamp>,
    /// Number of consecutive runs aborted because several operators had backpressure.
    given_up: u32,
    /// A plan that was returned, and the configuration it changes.
    asked: Option<(Plan, Reason, Configuration)>,
}

impl Heron {
    /// The health manager of the job `topology`.
    pub fn new(topology: Topology, config: HeronConfig) -> Heron {
        let sensors = Sensors::new(config.sensor_window);
        Heron { topology, config, sensors, next_run: None, given_up: 0, asked: None }
    }

    fn run(&mut self, observation: &Observation) -> Decision {
        let readings = self.sensors.read();
        let symptoms: Vec<Symptom> = [
            back_pressure(&readings, self.config.noise_ms_per_s),
            processing_rate_skew(&readings, self.config.rate_skew_ratio),
            wait_queue_skew(&readings, self.config.queue_skew_ratio),
            large_wait_queue(&readings, self.config.large_queue_records),
        ]
        .concat();
        let operator = match component_with_backpressure(&symptoms) {
            Ok(None) => {
                self.given_up = 0;
                return Decision::Hold(Reason::new("healthy"));
            }
            Ok(Some(operator)) => operator,
            Err(SeveralComponents(count)) if self.given_up < self.config.given_up_runs => {
                self.given_up += 1;
                return Decision::Hold(Reason::new("several-components").with("components with backpressure", f64::from(count)));
            }
            Err(SeveralComponents(_)) => with_most_backpressure(&readings),
        };
        self.given_up = 0;
        let reading = readings.iter().find(|reading| reading.operator == operator).expect("a symptom is of an operator that was read");
        // In the resolvers' order; the first diagnosis that holds counts, and the first two have no
        // resolver.
        let about = |rule: &str| Reason::new(rule).about(&self.topology.operator(operator).name);
        let told = |rule: &str, instances: usize| Decision::Hold(about(rule).with("instances", instances as f64));
        if let Some(Diagnosis::DataSkew(instances)) = data_skew(&symptoms, reading) {
            return told("data-skew", instances.len());
        }
        if let Some(Diagnosis::SlowInstance(instances)) = slow_instance(&symptoms, reading) {
            return told("slow-instance", instances.len());
        }
        if under_provisioning(&symptoms, reading).is_none() {
            return Decision::Hold(about("no-diagnosis"));
        }
        let present = reading.instances.len() as u32;
        let backpressure = reading.latest_backpressure_ms_per_s();
        let reason = about("under-provisioned").with("backpressure ms/s", backpressure).with("instances", f64::from(present));
        let wanted = scaled_up(present, backpressure, self.config.most_scale_up).min(self.topology.operator(operator).max_parallelism);
        if wanted <= present {
            return Decision::Hold(Reason { rule: "at-limit".to_owned(), ..reason });
        }
        self.act(operator, wanted, reason, observation)
    }

    fn act(&mut self, operator: OperatorId, instances: u32, reason: Reason, observation: &Observation) -> Decision {
        let plan = Plan::rescale(operator, instances);
        self.asked = Some((plan.clone(), reason.clone(), observation.configuration.clone()));
        Decision::Rescale(plan, reason)
    }
}

/// The operator with the most backpressure in the latest checkpoint; ties go to the most upstream.
fn with_most_backpressure(readings: &[ComponentReading]) -> OperatorId {
    let more =
        |best: &&ComponentReading, other: &&ComponentReading| other.latest_backpressure_ms_per_s() > best.latest_backpressure_ms_per_s();
    let most = readings.iter().reduce(|best, other| if more(&best, &other) { other } else { best });
    most.expect("there are readings of several operators").operator
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "heron",
    summary: "one operator at a time, by backpressure, as Heron's health manager does",
    rules: &[
        ("healthy", "no change needed"),
        ("slow-instance", "one instance is slower than the others; more instances do not help"),
        ("data-skew", "one instance has more than its share of the load (skew); more instances do not help"),
        ("no-diagnosis", "unhealthy, but no known cause fits"),
        ("at-limit", "it needs more than its maximum parallelism"),
        ("under-provisioned", "too few instances to keep up"),
        ("several-components", "several operators backpressure the sources at once; waiting until only one does"),
        ("between-runs", "between two scheduled runs of the policy"),
    ],
    make: |topology, factor, given| {
        let config = set(HeronConfig::published(), &given.settings, |_| Ok(()))?;
        Ok(Box::new(Heron::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for Heron {
    fn name(&self) -> &'static str {
        "heron"
    }

    // papers/dhalion-vldb17.md#heron-pacing
    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let begun = observation.window.start;
        let mut next_run = *self.next_run.get_or_insert(begun + self.config.policy_interval);
        if let Some((plan, reason, before)) = &self.asked {
            if observation.configuration == *before {
                // Not carried out yet: the controller may need the plan more than once.
                return Decision::Rescale(plan.clone(), reason.clone());
            }
            self.asked = None;
            next_run = begun + self.config.post_action_wait;
            self.next_run = Some(next_run);
        }
        self.sensors.push(observation, &self.topology);
        // Windows and intervals are multiples of each other only up to rounding: a hundredth of a
        // window counts as "now".
        if now + observation.window.length() / 100 < next_run {
            return Decision::Hold(Reason::new("between-runs").with("seconds left", next_run.since(now).as_secs_f64()));
        }
        self.next_run = Some(now + self.config.policy_interval);
        self.run(observation)
    }

    fn refused(&mut self, _why: &str) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests;
