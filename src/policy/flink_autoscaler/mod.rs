//! The autoscaler of Flink's Kubernetes operator: DS2's descendant in production.
//!
//! Averages observations over its metrics window; returns one plan with every operator whose
//! parallelism is to change, once one of them is outside of its utilisation band. Demand follows
//! the graph as in DS2; in addition there are capacity for catching up after a restart (which a
//! rescale is), a band instead of a point, and delayed scale-downs. Invariants: nothing is decided
//! before the window is full; while a backlog drains, operators are only scaled down together with
//! a scale-up; sources and sinks are never changed. The rules are in `papers/flink-autoscaler.md`,
//! with what is left out and which of the two estimators of the true rate is used.

mod config;
mod delay;
mod samples;
mod scaler;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

pub use config::{Alignment, BusyAggregator, FlinkAutoscalerConfig};
pub use delay::{Band, Change, ScaleDowns};
use samples::Samples;
pub use scaler::{
    Backlog, Bounds, Limit, Load, Recommendation, Restart, Scaling, aligned, capacity, recommend, scalability, scale, thresholds,
};

use super::kind::PolicyKind;
use super::settings::set;
use super::{Decision, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Role, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// A plan that was returned and has not been observed yet.
#[derive(Clone, Debug)]
struct Asked {
    before: Configuration,
    scalings: BTreeMap<OperatorId, Scaling>,
}

/// The Flink autoscaler as a policy.
#[derive(Clone, Debug)]
pub struct FlinkAutoscaler {
    topology: Topology,
    config: FlinkAutoscalerConfig,
    samples: Samples,
    scale_downs: ScaleDowns,
    history: BTreeMap<OperatorId, Vec<(Timestamp, Scaling)>>,
    asked: Option<Asked>,
}

/// The evaluation of one operator.
struct Found<'a> {
    operator: &'a Operator,
    load: Load,
    true_rate: f64,
    recommendation: Recommendation,
    /// The change after the delay of scale-downs; `None` if it stays as it is.
    change: Option<Change>,
}

impl FlinkAutoscaler {
    /// The autoscaler of the job `topology`.
    ///
    /// # Panics
    /// If the configuration is invalid; see [`FlinkAutoscalerConfig::check`].
    pub fn new(topology: Topology, config: FlinkAutoscalerConfig) -> FlinkAutoscaler {
        config.check().expect("a configuration that makes sense");
        let scale_downs = ScaleDowns::waiting_for(Duration::from_secs_f64(config.scale_down_interval_s));
        FlinkAutoscaler { topology, config, samples: Samples::default(), scale_downs, history: BTreeMap::new(), asked: None }
    }

    /// The configuration has changed: the requested plan becomes history if this is its result, and
    /// all delayed scale-downs are cancelled.
    // papers/flink-autoscaler.md#delay
    fn rescaled(&mut self, now: Timestamp, configuration: &Configuration) {
        self.scale_downs.clear();
        let Some(asked) = self.asked.take().filter(|asked| asked.before != *configuration) else { return };
        for (operator, scaling) in asked.scalings {
            if configuration.parallelism(operator) == scaling.after {
                let history = self.history.entry(operator).or_default();
                history.push((now, scaling));
                let excess = history.len().saturating_sub(self.config.history_most);
                history.drain(..excess);
            }
        }
    }

    fn history(&self, now: Timestamp, operator: OperatorId) -> Vec<Scaling> {
        let from = now - Duration::from_secs_f64(self.config.history_age_s);
        let kept = self.history.get(&operator).into_iter().flatten().filter(|(at, _)| *at >= from);
        kept.map(|(_, scaling)| *scaling).collect()
    }

    /// The change of an operator with parallelism `present`, given its recommendation: a decrease
    /// only after the delay.
    ///
    /// A backlog does not cancel the delay. It keeps the operator within its band, so a delayed
    /// scale-down is not a reason to rescale, but is carried out together with one.
    // papers/flink-autoscaler.md#delay
    fn change(&mut self, now: Timestamp, operator: OperatorId, present: u32, recommended: Change) -> Option<Change> {
        match recommended.instances.cmp(&present) {
            Ordering::Less => self.scale_downs.recommend(now, operator, recommended),
            unchanged_or_more => {
                self.scale_downs.forget(operator);
                (unchanged_or_more == Ordering::Greater).then_some(recommended)
            }
        }
    }

    fn evaluate(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let topology = self.topology.clone();
        let loads = self.samples.loads(&topology, &self.config);
        let lag_s = self.samples.lag_s(&topology);
        let backlog = if lag_s > self.config.backlog_lag_s { Backlog::Yes } else { Backlog::No };
        let mut found = Vec::new();
        for operator in topology.scalable() {
            let present = observation.configuration.parallelism(operator.id);
            let load = loads[operator.id.0 as usize];
            let true_rate = self.samples.true_rate(operator.id, &self.config);
            let bins = match operator.role {
                Role::Keyed { bins } => Some(bins),
                _ => None,
            };
            let bounds = Bounds { most: operator.max_parallelism, bins };
            let history = self.history(now, operator.id);
            let recommendation = recommend(present, load, true_rate, bounds, &history, &self.config);
            let recommended = Change { instances: recommendation.instances, band: band(true_rate, load, backlog, &self.config) };
            let change = self.change(now, operator.id, present, recommended);
            found.push(Found { operator, load, true_rate, recommendation, change });
        }
        // Within its band an operator changes only together with another one that is outside.
        let acts = found.iter().any(|found| found.change.is_some_and(|change| change.band == Band::Outside));
        let reason = self.reason(&found, acts, backlog, lag_s);
        if !acts {
            return Decision::Hold(reason);
        }
        let present = |operator: OperatorId| observation.configuration.parallelism(operator);
        let scaling = |found: &Found| {
            let (before, after) = (present(found.operator.id), found.change?.instances);
            let scaling = Scaling { before, after, true_rate: found.true_rate, expected: found.recommendation.expected };
            Some((found.operator.id, scaling))
        };
        let scalings: BTreeMap<OperatorId, Scaling> = found.iter().filter_map(scaling).collect();
        let rescales = scalings.iter().map(|(&operator, scaling)| (operator, scaling.after)).collect();
        self.asked = Some(Asked { before: observation.configuration.clone(), scalings });
        Decision::Rescale(Plan { rescales, ..Plan::default() }, reason)
    }

    /// The rule, the lag, and each operator's target and true rate.
    fn reason(&self, found: &[Found<'_>], acts: bool, backlog: Backlog, lag_s: f64) -> Reason {
        let mut reason = Reason::new(match (acts, backlog) {
            (true, _) => "outside-band",
            (false, _) if found.iter().any(|found| found.recommendation.limit == Limit::Ineffective) => "ineffective",
            (false, Backlog::Yes) => "backlog",
            (false, Backlog::No) if self.scale_downs.any() => "scale-down-delayed",
            (false, Backlog::No) => "within-band",
        });
        // Decision logs are JSON, which has no infinity.
        reason = reason.with("lag s", lag_s.min(f64::MAX));
        for found in found {
            reason = reason.with(&format!("{} target", found.operator.name), found.load.target);
            if found.true_rate.is_finite() {
                reason = reason.with(&format!("{} true rate", found.operator.name), found.true_rate);
            }
        }
        reason
    }
}

/// Position of a true rate relative to the band.
// papers/flink-autoscaler.md#thresholds
fn band(true_rate: f64, load: Load, backlog: Backlog, config: &FlinkAutoscalerConfig) -> Band {
    let (up_below, down_above) = thresholds(load, backlog, config);
    if true_rate < up_below || true_rate > down_above { Band::Outside } else { Band::Inside }
}

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "flink-autoscaler",
    summary: "DS2's production descendant: a utilisation band, room to catch up, delayed scale-down",
    rules: &[
        ("outside-band", "utilisation at the offered load is outside its band"),
        ("ineffective", "the last scale-up was ineffective"),
        ("backlog", "draining a backlog first"),
        ("scale-down-delayed", "fewer instances would be enough, but not for long enough yet"),
        ("within-band", "no change needed"),
        ("collecting-metrics", "still collecting metrics"),
    ],
    make: |topology, factor, given| {
        let config = set(FlinkAutoscalerConfig::published(), &given.settings, FlinkAutoscalerConfig::check)?;
        Ok(Box::new(FlinkAutoscaler::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for FlinkAutoscaler {
    fn name(&self) -> &'static str {
        "flink-autoscaler"
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        if self.samples.push(observation, &self.config) {
            self.rescaled(now, &observation.configuration);
        }
        if !self.samples.is_full(&self.config) {
            return Decision::Hold(Reason::new("collecting-metrics"));
        }
        self.evaluate(now, observation)
    }

    fn refused(&mut self, _why: &str) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests;
