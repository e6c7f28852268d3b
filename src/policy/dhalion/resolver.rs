//! Resolvers: how many instances an operator gets.
//!
//! Takes a parallelism and what the diagnosis rests on; gives the new parallelism. The scale-up factor is the paper's
//! (time the instances held input back over time they did not), its limits are the prototype's.

use super::DhalionConfig;

/// Parallelism after a scale-up of `instances` instances whose backpressure shares add up to `backpressure`.
///
/// T is the time held back in one metric interval, summed over instances and kept below the interval by one part in
/// 60,000 (a millisecond of a minute); u = T / (interval - T), at most [`DhalionConfig::most_scale_up`]; the result is
/// the next whole number from instances × (1 + u). Because T is a sum, several instances held back at once count as one held
/// back all the time: parallelism then grows fivefold, whatever is needed.
// papers/dhalion-vldb17.md#scale-up
pub fn scaled_up(instances: u32, backpressure: f64, config: &DhalionConfig) -> u32 {
    let interval = config.metric_interval.as_secs_f64();
    let suspended = (backpressure * interval).min(interval * (59_999.0 / 60_000.0));
    let factor = (suspended / (interval - suspended)).min(config.most_scale_up);
    // A part in a billion of grace: shares are averages and carry rounding errors.
    (f64::from(instances) * (1.0 + factor) * (1.0 - 1e-9)).ceil() as u32
}

/// Parallelism after a scale-down, rounded down; nothing when no instance would be left or none would go.
// papers/dhalion-vldb17.md#scale-down
pub fn scaled_down(instances: u32, config: &DhalionConfig) -> Option<u32> {
    let left = (f64::from(instances) * (1.0 - config.scale_down_share) * (1.0 + 1e-9)).floor() as u32;
    (1..instances).contains(&left).then_some(left)
}
