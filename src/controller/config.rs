//! Pacing of a policy by the controller.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::migration::Strategy;

/// Pacing of decisions and of migrations.
// papers/ds2-osdi18.md#manager
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerConfig {
    /// Length of a window, the interval of decisions.
    pub policy_interval: Duration,
    /// Number of windows ignored at the start and after every action.
    pub warm_up_windows: u32,
    /// Number of consecutive windows in which the policy must ask for a change before it is carried
    /// out; the last plan counts.
    pub activation_windows: u32,
    /// Migration strategy.
    pub strategy: Strategy,
}
