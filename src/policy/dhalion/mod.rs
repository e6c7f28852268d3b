//! Dhalion (Floratou et al., VLDB'17): symptoms, a diagnosis, one action on one operator, and an
//! evaluation of its outcome.
//!
//! Receives an observation every metric interval, keeps those of the evaluation period, and returns
//! at most one rescale of one operator every policy interval. After an action it waits until the
//! job has settled, evaluates the outcome, undoes a harmful scale-down, and blacklists actions that
//! did not help. Invariants: one operator per action, sources and sinks are never candidates, no
//! decision is based on windows of two configurations.
//!
//! The paper describes the loop and the meaning of the rules; the numbers and the exact rules are
//! those of the first author's prototype (`DynamicResourceAllocationPolicy`, branch `healthmgr`,
//! March 2017). Each file says which one it follows; `papers/dhalion-vldb17.md` has all of it
//! together.

mod blacklist;
mod config;
mod diagnosis;
mod outcome;
mod period;
mod resolver;

pub use blacklist::{Action, ActionKind, Blacklist};
pub use config::DhalionConfig;
pub use diagnosis::{Cause, bottleneck, cause, over_provisioned};
pub use outcome::succeeded;
pub use period::{ComponentStatus, InstanceStatus, Period};
pub use resolver::{scaled_down, scaled_up};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// The Dhalion policy.
#[derive(Clone, Debug)]
pub struct Dhalion {
    topology: Topology,
    config: DhalionConfig,
    period: Period,
    phase: Phase,
    /// The action whose outcome has not been evaluated yet.
    unproven: Option<Action>,
    blacklist: Blacklist,
    next_run: Option<Timestamp>,
}

/// The state between two actions.
#[derive(Clone, Debug)]
enum Phase {
    /// No action in progress.
    Watching,
    /// A plan was returned and the job still runs as before: the controller may need it more than
    /// once.
    Asked(Box<Asked>),
    /// The plan has been carried out; windows that start before `until` are part of the transition
    /// and not kept.
    Settling { until: Timestamp },
}

/// A plan that was returned, and the configuration before it.
#[derive(Clone, Debug)]
struct Asked {
    plan: Plan,
    reason: Reason,
    before: Configuration,
}

impl Dhalion {
    /// Dhalion for the job `topology`.
    pub fn new(topology: Topology, config: DhalionConfig) -> Dhalion {
        let period = Period::new(config.evaluation_period, config.noise_share);
        Dhalion { topology, config, period, phase: Phase::Watching, unproven: None, blacklist: Blacklist::default(), next_run: None }
    }

    /// One run of the policy: first the outcome of the last action, then the rules in the
    /// prototype's order.
    fn run(&mut self, observation: &Observation) -> Decision {
        let components = self.period.components();
        let mut without_effect = None;
        if let Some(action) = self.unproven.take()
            && !succeeded(&action, &components, &self.config)
        {
            self.blacklist.add(action.clone());
            if action.kind == ActionKind::ScaleDown {
                let reason = Reason::new("undo-scale-down").with("back to instances", f64::from(action.from));
                return self.act(observation, action.operator, action.from, reason);
            }
            // papers/dhalion-vldb17.md#undo
            // Nothing in the text undoes a scale-up that did not help: only the blacklist keeps the
            // policy from repeating it.
            without_effect = Some(action.operator);
        }
        let decision = match bottleneck(&components) {
            None => self.scale_down(observation, &components),
            Some(component) => match cause(component, &self.config) {
                // The prototype has no resolver for either: diagnosed and reported, but nothing is
                // done.
                Cause::SlowInstance => Decision::Hold(Reason::new("slow-instance").about(self.name_of(component.operator))),
                Cause::DataSkew => Decision::Hold(Reason::new("data-skew").about(self.name_of(component.operator))),
                Cause::UnderProvisioned => self.scale_up(observation, component),
            },
        };
        match (decision, without_effect) {
            (Decision::Hold(reason), Some(operator)) => {
                Decision::Hold(reason.with(&format!("{} scale-ups without effect", self.name_of(operator)), 1.0))
            }
            (decision, _) => decision,
        }
    }

    fn name_of(&self, operator: OperatorId) -> &str {
        &self.topology.operator(operator).name
    }

    fn scale_up(&mut self, observation: &Observation, component: &ComponentStatus) -> Decision {
        let operator = self.topology.operator(component.operator);
        let present = component.parallelism();
        let suspended = component.backpressure() * self.config.metric_interval.as_secs_f64();
        let reason = |rule: &str| {
            let reason = Reason::new(rule).about(&operator.name).with("suspended ms", suspended * 1e3);
            reason.with("instances", f64::from(present))
        };
        if self.blacklist.forbids(ActionKind::ScaleUp, component) {
            return Decision::Hold(reason("blacklisted"));
        }
        let wanted = scaled_up(present, component.backpressure(), &self.config).min(operator.max_parallelism);
        if wanted <= present {
            return Decision::Hold(reason("at-limit"));
        }
        let reason = reason("under-provisioned");
        self.unproven =
            Some(Action { kind: ActionKind::ScaleUp, operator: operator.id, from: present, to: wanted, seen: component.clone() });
        self.act(observation, component.operator, wanted, reason)
    }

    fn scale_down(&mut self, observation: &Observation, components: &[ComponentStatus]) -> Decision {
        // The prototype takes the first of a set. Here: the most upstream operator that can lose an
        // instance and is not blacklisted, so that the same observations lead to the same decision.
        let candidate = over_provisioned(components, &self.config)
            .filter_map(|component| Some((component, scaled_down(component.parallelism(), &self.config)?)))
            .find(|(component, _)| !self.blacklist.forbids(ActionKind::ScaleDown, component));
        let Some((component, wanted)) = candidate else { return Decision::Hold(Reason::new("healthy")) };
        let present = component.parallelism();
        let reason = Reason::new("over-provisioned")
            .with("instances", f64::from(present))
            .with("most pending records", component.instances.iter().map(|instance| instance.pending).fold(0.0, f64::max));
        self.unproven =
            Some(Action { kind: ActionKind::ScaleDown, operator: component.operator, from: present, to: wanted, seen: component.clone() });
        self.act(observation, component.operator, wanted, reason)
    }

    /// Asks for one operator's new parallelism; the windows kept so far belong to the configuration
    /// before it.
    fn act(&mut self, observation: &Observation, operator: OperatorId, instances: u32, reason: Reason) -> Decision {
        self.period.clear();
        let (plan, reason) = (Plan::rescale(operator, instances), reason.about(&self.topology.operator(operator).name));
        let before = observation.configuration.clone();
        self.phase = Phase::Asked(Box::new(Asked { plan: plan.clone(), reason: reason.clone(), before }));
        Decision::Rescale(plan, reason)
    }
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "dhalion",
    summary: "one operator at a time, by backpressure (Dhalion, VLDB 2017)",
    rules: &[
        ("healthy", "no change needed"),
        ("slow-instance", "one instance is slower than the others; more instances do not help"),
        ("data-skew", "one instance has more than its share of the load (skew); more instances do not help"),
        ("blacklisted", "scaling it up did not help before"),
        ("at-limit", "it needs more than its maximum parallelism"),
        ("under-provisioned", "too few instances to keep up"),
        ("over-provisioned", "more instances than needed"),
        ("undo-scale-down", "the last scale-down went too far"),
        ("several-components", "several operators backpressure the sources at once; waiting until only one does"),
        ("settling", "waiting for the last action to take effect"),
        ("between-runs", "between two scheduled runs of the policy"),
    ],
    make: |topology, factor, given| {
        let config = set(DhalionConfig::published(), &given.settings, |_| Ok(()))?;
        Ok(Box::new(Dhalion::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for Dhalion {
    fn name(&self) -> &'static str {
        "dhalion"
    }

    // papers/dhalion-vldb17.md#loop
    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        // Windows and intervals are multiples of each other only up to rounding: a hundredth of a
        // window counts as "now".
        let soon = now + observation.window.length() / 100;
        let next_run = *self.next_run.get_or_insert(observation.window.start + self.config.policy_interval);
        if let Phase::Asked(asked) = &self.phase {
            if observation.configuration == asked.before {
                return Decision::Rescale(asked.plan.clone(), asked.reason.clone());
            }
            // papers/dhalion-vldb17.md#settling: counted from the first window of the new configuration.
            self.phase = Phase::Settling { until: observation.window.start + self.config.settle_wait };
        }
        if let Phase::Settling { until } = self.phase {
            if observation.window.start + observation.window.length() / 100 < until {
                return Decision::Hold(Reason::new("settling").with("seconds left", until.since(now).as_secs_f64()));
            }
            self.phase = Phase::Watching;
        }
        if self.period.push(observation, &self.topology) == period::Continuity::Broken {
            // The job was changed by someone else: the outcome of the last action cannot be
            // determined any more.
            self.unproven = None;
        }
        if soon < next_run {
            return Decision::Hold(Reason::new("between-runs").with("seconds left", next_run.since(now).as_secs_f64()));
        }
        self.next_run = Some(now + self.config.policy_interval);
        self.run(observation)
    }

    fn refused(&mut self, _why: &str) {
        self.phase = Phase::Watching;
        self.unproven = None;
    }
}

#[cfg(test)]
mod tests;
