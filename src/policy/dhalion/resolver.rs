//! Resolvers: the new parallelism of an operator.
//!
//! The scale-up factor is the paper's (time for which the instances held input back over the
//! remaining time), its limits are the prototype's.

use super::DhalionConfig;

/// Parallelism after a scale-up of `instances` instances whose backpressure shares add up to
/// `backpressure`.
///
/// T is the time of backpressure in one metric interval, summed over instances and clipped to just
/// below the interval (by a millisecond per minute); u = T / (interval - T), at most
/// [`DhalionConfig::most_scale_up`]; the result is instances × (1 + u), rounded up. Because T is a
/// sum, several instances with backpressure count as one with backpressure all the time:
/// parallelism then grows fivefold, whatever is needed.
// papers/dhalion-vldb17.md#scale-up
pub fn scaled_up(instances: u32, backpressure: f64, config: &DhalionConfig) -> u32 {
    let interval = config.metric_interval.as_secs_f64();
    let suspended = (backpressure * interval).min(interval * (59_999.0 / 60_000.0));
    let factor = (suspended / (interval - suspended)).min(config.most_scale_up);
    // A tolerance of one in a billion: shares are averages with rounding errors.
    (f64::from(instances) * (1.0 + factor) * (1.0 - 1e-9)).ceil() as u32
}

/// Parallelism after a scale-down, rounded down; `None` if no instance would be left or none would
/// be removed.
// papers/dhalion-vldb17.md#scale-down
pub fn scaled_down(instances: u32, config: &DhalionConfig) -> Option<u32> {
    let left = (f64::from(instances) * (1.0 - config.scale_down_share) * (1.0 + 1e-9)).floor() as u32;
    (1..instances).contains(&left).then_some(left)
}
