//! Scaling policies: an observation in, a decision out.
//!
//! A policy is deterministic and independent of hosts, of migration and of other policies. Time and
//! all measurements come in through [`Policy::decide`]; a plan or the reason for having none goes
//! out as a [`Decision`]. The controller calls it once per window, never during a migration, and
//! validates the plan.

mod aws;
mod changes;
mod critical_path;
pub mod dhalion;
mod ds2;
#[cfg(test)]
mod fixture;
pub mod flink_autoscaler;
pub mod heron;
mod hold;
mod kind;
mod oracle;
mod reason;
pub mod registry;
mod schedule;
mod scripted;
mod settings;
mod threshold;

pub use aws::{Aws, AwsConfig};
pub use changes::{ChangeError, read_changes};
pub use critical_path::{CriticalPath, CriticalPathConfig, PRESETS, Paths, Preset};
pub use dhalion::{Dhalion, DhalionConfig};
pub use ds2::{Demand, Ds2, Ds2Config, Measurement, demands, demands_of, round_up, workers_needed};
pub use flink_autoscaler::{FlinkAutoscaler, FlinkAutoscalerConfig};
pub use heron::{Heron, HeronConfig};
pub use hold::Hold;
pub use oracle::Oracle;
pub use reason::{Cause, Finding, PathShare, Reason};
pub use schedule::{ScheduleError, Scheduled, minutes_of_day};
pub use scripted::{ScriptError, Scripted};
use serde::{Deserialize, Serialize};
pub use settings::{Given, PolicyError, Setting};
pub use threshold::{Threshold, ThresholdConfig, desired};

use crate::dataflow::Plan;
use crate::observation::Observation;
use crate::time::Timestamp;

/// The decision of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Change nothing.
    Hold(Reason),
    /// Carry out a plan.
    Rescale(Plan, Reason),
}

/// The metrics that a policy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Rates, queues, latency: part of every observation.
    Metrics,
    /// These, and [`Observation::paths`].
    Paths,
}

/// A scaling policy.
///
/// ```
/// use thalweg::dataflow::Plan;
/// use thalweg::id::OperatorId;
/// use thalweg::observation::Observation;
/// use thalweg::policy::{Decision, Policy, Reason};
/// use thalweg::time::Timestamp;
///
/// /// Adds an instance to whatever is busier than nine tenths.
/// struct Threshold;
///
/// impl Policy for Threshold {
///     fn name(&self) -> &'static str {
///         "threshold"
///     }
///
///     fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
///         for metrics in &observation.operators {
///             if metrics.utilisation() > 0.9 {
///                 let instances = observation.configuration.parallelism(metrics.operator) + 1;
///                 let reason = Reason::new("busy").with("utilisation", metrics.utilisation());
///                 return Decision::Rescale(Plan::rescale(metrics.operator, instances), reason);
///             }
///         }
///         Decision::Hold(Reason::new("nothing-busy"))
///     }
/// }
/// # assert_eq!(Threshold.name(), "threshold");
/// ```
pub trait Policy: Send {
    /// What its observations have to contain in addition to metrics. Critical paths are only
    /// computed if requested, because of their cost.
    fn needs(&self) -> Needs {
        Needs::Metrics
    }

    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Decides on the window that just closed; `now` is its end or later.
    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision;

    /// Called if the controller rejected the plan just returned, so that the policy does not wait
    /// for an effect.
    fn refused(&mut self, _why: &str) {}

    /// Called after a migration, whoever requested it, that started at `began` and completed, or
    /// was interrupted, at `ended`; `bytes` of state were migrated until then, 0 if the host does
    /// not report sizes. The next observed window starts at `ended` or later. For policies that
    /// consider the cost of a change.
    fn migrated(&mut self, _began: Timestamp, _ended: Timestamp, _bytes: u64) {}

    /// Called if the host abandoned the last plan, of which at most a part is in effect: the next
    /// observation has the resulting configuration. It is no evidence of what the plan would have
    /// achieved.
    fn failed(&mut self) {
        self.refused("the host abandoned it before it was complete");
    }

    /// Changes the latency goal of its decisions to `goal_ms` milliseconds, 0 for none, because a person asked for it.
    ///
    /// # Errors
    /// If it has no such goal, or this one is out of range; then nothing has changed.
    fn set_goal(&mut self, _goal_ms: f64) -> Result<(), String> {
        Err(format!("policy '{}' has no latency goal", self.name()))
    }

    /// Called if a plan starts that a person asked for: what follows is no evidence of what the policy's last plan achieved.
    fn overridden(&mut self) {}

    /// Called if the plan just returned is not started because the host abandoned the last one;
    /// none will be started before `until`. The policy may return it again.
    fn postponed(&mut self, _plan: &Plan, until: Timestamp) {
        self.refused(&format!("the host abandoned the previous plan: no plan is started before {:.1} s", until.as_secs_f64()));
    }
}
