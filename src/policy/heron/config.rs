//! Parameters of Heron's health manager, with its default values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Pacing and thresholds of Heron's health manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeronConfig {
    /// Time between two runs of the policy, and from the start to the first.
    pub policy_interval: Duration,
    /// Time from the first window of a new configuration to the next run.
    pub post_action_wait: Duration,
    /// Time over which sensors average.
    pub sensor_window: Duration,
    /// Time between two metric exports of the engine: the length of the controller's windows.
    pub checkpoint_interval: Duration,
    /// Backpressure of at most this many milliseconds per second is noise, for an operator's sum
    /// and for one instance.
    pub noise_ms_per_s: f64,
    /// Processing rates are skewed if the largest is more than this many times the smallest.
    pub rate_skew_ratio: f64,
    /// Queues are skewed if the longest is more than this many times the shortest.
    pub queue_skew_ratio: f64,
    /// An instance's queue is large if its mean length is above this.
    pub large_queue_records: f64,
    /// Number of consecutive runs that are aborted because several operators have backpressure; the
    /// run after them diagnoses the one with the most. Heron aborts every time. Its queues hold 100
    /// MiB, so that the backpressure of one operator lasts longer than a checkpoint; where queues
    /// fill and drain within a checkpoint, aborting every time would mean never acting.
    // papers/dhalion-vldb17.md#heron-several
    pub given_up_runs: u32,
    /// Maximum scale-up factor u: parallelism grows at most (1 + u) times in one action.
    pub most_scale_up: f64,
}

impl HeronConfig {
    /// Heron's default values, in real time.
    // papers/dhalion-vldb17.md#heron-parameters
    pub fn published() -> HeronConfig {
        HeronConfig {
            policy_interval: Duration::from_secs(120),
            post_action_wait: Duration::from_secs(180),
            sensor_window: Duration::from_secs(300),
            checkpoint_interval: Duration::from_secs(60),
            noise_ms_per_s: 20.0,
            rate_skew_ratio: 1.5,
            queue_skew_ratio: 20.0,
            large_queue_records: 1000.0,
            given_up_runs: 1,
            most_scale_up: 4.0,
        }
    }

    /// The same policy for a run that is `factor` times faster: all durations are divided by it,
    /// nothing else changes.
    ///
    /// # Panics
    /// If the factor is not positive and finite.
    pub fn compressed(self, factor: f64) -> HeronConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        HeronConfig {
            policy_interval: self.policy_interval.div_f64(factor),
            post_action_wait: self.post_action_wait.div_f64(factor),
            sensor_window: self.sensor_window.div_f64(factor),
            checkpoint_interval: self.checkpoint_interval.div_f64(factor),
            ..self
        }
    }
}

impl Default for HeronConfig {
    fn default() -> Self {
        HeronConfig::published()
    }
}
