//! The one resolver: how many instances an under-provisioned operator gets.
//!
//! Takes the parallelism and the newest checkpoint's backpressure; gives the new parallelism. The rule is that of Heron's
//! scale-up resolver.

/// Parallelism after a scale-up of `instances` instances whose backpressure adds up to `backpressure_ms_per_s`.
///
/// Time held back over time not held back, from the sum over instances kept below a second by a millisecond, at most
/// `most_scale_up`; the next whole number from instances × (1 + factor). Because it is a sum, several instances held back
/// at once count as one held back all the time and parallelism grows fivefold.
// papers/dhalion-vldb17.md#heron-resolver
pub fn scaled_up(instances: u32, backpressure_ms_per_s: f64, most_scale_up: f64) -> u32 {
    let held_back = if backpressure_ms_per_s >= 1000.0 { 999.0 } else { backpressure_ms_per_s };
    let factor = (held_back / (1000.0 - held_back)).min(most_scale_up);
    // A part in a billion of grace for what summing leaves behind.
    (f64::from(instances) * (1.0 + factor) * (1.0 - 1e-9)).ceil() as u32
}
