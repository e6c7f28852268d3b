//! How the controller paces a policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::migration::Strategy;

/// Pacing of decisions and of migrations.
// papers/ds2-osdi18.md#manager
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerConfig {
    /// Length of the windows on which the policy decides.
    pub policy_interval: Duration,
    /// Windows that are ignored at the start and after every action.
    pub warm_up_windows: u32,
    /// Consecutive windows in which the policy must ask for a rescale before it is carried out; the last plan counts.
    pub activation_windows: u32,
    /// How plans are carried out.
    pub strategy: Strategy,
}
