//! Policies by name, with published parameters in compressed time.

use std::time::Duration;

use crate::controller::ControllerConfig;
use crate::dataflow::Topology;
use crate::migration::Strategy;
use crate::policy::{Dhalion, DhalionConfig, Ds2, Ds2Config, Heron, HeronConfig, Hold, Policy};

/// Names of the policies that can be asked for.
pub const POLICIES: [&str; 4] = ["hold", "dhalion", "heron", "ds2"];

/// Metrics are taken, and DS2 decides, over 60 s of the paper's time on Heron.
// papers/ds2-osdi18.md#fig1-fig6
const METRIC_INTERVAL: Duration = Duration::from_secs(60);

/// No policy has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}, found '{found}'", POLICIES.map(|name| format!("'{name}'")).join(", "))]
pub struct UnknownPolicy {
    /// The name that was given.
    pub found: String,
}

/// The policy called `name` with its published parameters, control time running `time_factor` times faster.
///
/// # Errors
/// When no policy has that name.
pub fn policy(name: &str, topology: &Topology, time_factor: f64) -> Result<Box<dyn Policy>, UnknownPolicy> {
    let topology = topology.clone();
    Ok(match name {
        "hold" => Box::new(Hold),
        "dhalion" => Box::new(Dhalion::new(topology, DhalionConfig::published().compressed(time_factor))),
        "heron" => Box::new(Heron::new(topology, HeronConfig::published().compressed(time_factor))),
        "ds2" => Box::new(Ds2::new(topology, Ds2Config::default())),
        other => return Err(UnknownPolicy { found: other.to_owned() }),
    })
}

/// The pacing that every policy gets: a window of 60 s (compressed), no warm-up, one window of agreement.
///
/// Dhalion and Heron wait longer between decisions; those waits are part of the policies.
pub fn pacing(time_factor: f64, strategy: Strategy) -> ControllerConfig {
    let policy_interval = METRIC_INTERVAL.div_f64(time_factor);
    ControllerConfig { policy_interval, warm_up_windows: 0, activation_windows: 1, strategy }
}
