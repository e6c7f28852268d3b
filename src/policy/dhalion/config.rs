//! Parameters of Dhalion, with the published values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Pacing and thresholds of Dhalion. Shares are of time, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DhalionConfig {
    /// Time between two runs of the policy, and from the start to the first.
    pub policy_interval: Duration,
    /// Time over which metrics are evaluated; windows older than this are forgotten.
    pub evaluation_period: Duration,
    /// Metric interval of the engine: the length of the controller's windows, and the unit of the
    /// scale-up rule.
    pub metric_interval: Duration,
    /// Time from the first window of a new configuration until the job counts as settled.
    pub settle_wait: Duration,
    /// A share of backpressure up to this counts as none: 0.02 is 20 ms per second.
    pub noise_share: f64,
    /// An operator can lose instances only if every instance has fewer pending records than this.
    /// The prototype's scale-down policy is run with 200 in its own test. Its combined policy
    /// leaves the value at 0, which no queue is below: it would never scale down, whereas the
    /// paper's policy does.
    // papers/dhalion-vldb17.md#over-provisioned
    pub pending_records_below: f64,
    /// Share of an operator's instances that a scale-down removes.
    pub scale_down_share: f64,
    /// Instances with backpressure that process more than this many times what the others do have
    /// data skew.
    pub skew_ratio: f64,
    /// Instances with backpressure that process less than this many times what the others do are
    /// slow.
    pub slow_ratio: f64,
    /// Maximum scale-up factor u: parallelism grows at most (1 + u) times in one action.
    pub most_scale_up: f64,
    /// Share of the promised growth in records processed with which a scale-up counts as a success
    /// even if backpressure remains.
    pub success_share: f64,
}

impl DhalionConfig {
    /// The published values, in real time. Where nothing is published (`settle_wait`,
    /// `noise_share`), the values of Heron's open-source health manager.
    // papers/dhalion-vldb17.md#parameters
    pub fn published() -> DhalionConfig {
        DhalionConfig {
            policy_interval: Duration::from_secs(300),
            evaluation_period: Duration::from_secs(300),
            metric_interval: Duration::from_secs(60),
            settle_wait: Duration::from_secs(180),
            noise_share: 0.02,
            pending_records_below: 200.0,
            scale_down_share: 0.1,
            skew_ratio: 2.0,
            slow_ratio: 0.5,
            most_scale_up: 4.0,
            success_share: 0.9,
        }
    }

    /// The same policy for a run that is `factor` times faster: all durations are divided by it,
    /// nothing else changes.
    ///
    /// # Panics
    /// If the factor is not positive and finite.
    pub fn compressed(self, factor: f64) -> DhalionConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        DhalionConfig {
            policy_interval: self.policy_interval.div_f64(factor),
            evaluation_period: self.evaluation_period.div_f64(factor),
            metric_interval: self.metric_interval.div_f64(factor),
            settle_wait: self.settle_wait.div_f64(factor),
            ..self
        }
    }
}

impl Default for DhalionConfig {
    fn default() -> Self {
        DhalionConfig::published()
    }
}
