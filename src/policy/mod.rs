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
mod scripted;
mod threshold;

pub use aws::{Aws, AwsConfig};
pub use critical_path::{CriticalPath, CriticalPathConfig};
pub use dhalion::{Dhalion, DhalionConfig};
pub use ds2::{Demand, Ds2, Ds2Config, Measurement, demands, demands_of, round_up, workers_needed};
pub use flink_autoscaler::{FlinkAutoscaler, FlinkAutoscalerConfig};
pub use heron::{Heron, HeronConfig};
pub use hold::Hold;
pub use oracle::Oracle;
pub use reason::{Cause, Finding, Reason};
pub use scripted::{ScriptError, Scripted};
use serde::{Deserialize, Serialize};
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
    /// What it is called on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Decides on the window that just closed; `now` is its end or later.
    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision;

    /// Told that the controller refused the plan just decided, so that a policy does not wait for an effect that will not come.
    fn refused(&mut self, _why: &str) {}
}
