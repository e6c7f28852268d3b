//! The only resolver: the new parallelism of an under-provisioned operator.
//!
//! Follows Heron's scale-up resolver: it uses the parallelism and the latest checkpoint's
//! backpressure.

/// Parallelism after a scale-up of `instances` instances whose backpressure adds up to
/// `backpressure_ms_per_s`.
///
/// The time of backpressure over the remaining time, from the sum over instances, clipped to a
/// millisecond below one second; at most `most_scale_up`; the result is instances × (1 + factor),
/// rounded up. Because it is a sum, several instances with backpressure count as one with
/// backpressure all the time, and parallelism grows fivefold.
// papers/dhalion-vldb17.md#heron-resolver
pub fn scaled_up(instances: u32, backpressure_ms_per_s: f64, most_scale_up: f64) -> u32 {
    let held_back = if backpressure_ms_per_s >= 1000.0 { 999.0 } else { backpressure_ms_per_s };
    let factor = (held_back / (1000.0 - held_back)).min(most_scale_up);
    // A tolerance of one in a billion for rounding errors of the sum.
    (f64::from(instances) * (1.0 + factor) * (1.0 - 1e-9)).ceil() as u32
}
