//! Scaling policies: an observation in, a decision out.
//!
//! A policy is deterministic and knows nothing of hosts, of migration or of other policies. Time and all measurements
//! come in through [`Policy::decide`]; what it wants and why goes out as a [`Decision`]. The controller calls it once a
//! window, never during a migration, and validates the plan.

mod aws;
mod critical_path;
pub mod dhalion;
mod ds2;
#[cfg(test)]
mod fixture;
pub mod flink_autoscaler;
pub mod heron;
mod hold;
mod oracle;
mod reason;
pub mod registry;
mod scripted;
mod settings;
mod threshold;

pub use aws::{Aws, AwsConfig};
pub use critical_path::{CriticalPath, CriticalPathConfig, Paths};
pub use dhalion::{Dhalion, DhalionConfig};
pub use ds2::{Demand, Ds2, Ds2Config, Measurement, demands, demands_of, round_up, workers_needed};
pub use flink_autoscaler::{FlinkAutoscaler, FlinkAutoscalerConfig};
pub use heron::{Heron, HeronConfig};
pub use hold::Hold;
pub use oracle::Oracle;
pub use reason::{Cause, Finding, PathShare, Reason};
pub use scripted::{ScriptError, Scripted};
use serde::{Deserialize, Serialize};
pub use settings::{Given, PolicyError, Setting};
pub use threshold::{Threshold, ThresholdConfig, desired};

use crate::dataflow::Plan;
use crate::observation::Observation;
use crate::time::Timestamp;

/// What a policy wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Leave everything as it is.
    Hold(Reason),
    /// Carry out a plan.
    Rescale(Plan, Reason),
}

/// What a policy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Rates, queues, latency: every observation has them.
    Metrics,
    /// Those, and [`Observation::paths`].
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
    /// What its observations have to hold beside metrics. Critical paths cost their analysis, so they are there only if asked for.
    fn needs(&self) -> Needs {
        Needs::Metrics
    }

    /// What it is called on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Decides on the window that just closed; `now` is its end or later.
    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision;

    /// Told that the controller refused the plan just decided, so that a policy does not wait for an effect that will not come.
    fn refused(&mut self, _why: &str) {}

    /// Told that a migration, whoever asked for it, `began` and is complete at `ended`, or was broken off then; `bytes` of state moved
    /// until then, 0 where no host says how large state is. The next window that it is asked about starts at `ended` or later. For policies that
    /// weigh what a change costs.
    fn migrated(&mut self, _began: Timestamp, _ended: Timestamp, _bytes: u64) {}

    /// Told that the host gave up the last plan, which at most in part holds: the next observation's configuration says in which. It is
    /// no evidence of what the plan would have done.
    fn failed(&mut self) {
        self.refused("the host gave it up before it was complete");
    }

    /// Told that the plan just decided is not begun, because the host gave up the last one, and none will be before `until`. It may be
    /// asked for again.
    fn postponed(&mut self, _plan: &Plan, until: Timestamp) {
        self.refused(&format!("the host gave up the plan before it: none is begun before {:.1} s", until.as_secs_f64()));
    }
}
