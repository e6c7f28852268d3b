//! Detectors and diagnosers: which operator is the bottleneck and why, or which has too much.
//!
//! Takes the components of the evaluation period; gives a diagnosis, or nothing. The rules and their order are those of
//! the prototype; the choice among several components, which the prototype leaves to a set's order, is ours.

use super::{ComponentStatus, DhalionConfig};

/// Why an operator has backpressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// All instances suffer alike.
    UnderProvisioned,
    /// Those that suffer do much more work than the others: keys are spread unevenly.
    DataSkew,
    /// Those that suffer do much less work than the others.
    SlowInstance,
}

/// The operator to blame for backpressure; nothing when no operator shows any over the period.
///
/// The prototype takes "the first". Here it is the one with the largest sum in the latest window, because older windows
/// may show what has passed; when the latest shows none, the one with the largest sum over the period, so that
/// backpressure that comes and goes is not overlooked. Ties go to the most upstream.
// papers/dhalion-vldb17.md#bottleneck
pub fn bottleneck(components: &[ComponentStatus]) -> Option<&ComponentStatus> {
    let suffering = components.iter().filter(|component| component.backpressure() > 0.0);
    let by_both = |component: &ComponentStatus| (component.latest_backpressure, component.backpressure());
    suffering.reduce(|best, other| if by_both(other) > by_both(best) { other } else { best })
}

/// Why `component`, which has backpressure, has it: the work of instances with backpressure against that of those without.
///
/// With backpressure at all instances there is nothing to compare, and the operator has too few of them.
// papers/dhalion-vldb17.md#slow-or-skew
pub fn cause(component: &ComponentStatus, config: &DhalionConfig) -> Cause {
    let (suffering, others): (Vec<_>, Vec<_>) = component.instances.iter().partition(|instance| instance.backpressure > 0.0);
    if suffering.is_empty() || others.is_empty() {
        return Cause::UnderProvisioned;
    }
    let mean =
        |instances: &[&super::InstanceStatus]| instances.iter().map(|instance| instance.executed).sum::<f64>() / instances.len() as f64;
    let (suffering, others) = (mean(&suffering), mean(&others));
    if suffering > config.skew_ratio * others {
        Cause::DataSkew
    } else if suffering < config.slow_ratio * others {
        Cause::SlowInstance
    } else {
        Cause::UnderProvisioned
    }
}

/// Operators with too many instances, in topological order: there is no backpressure anywhere, and every instance has
/// fewer records pending than the threshold.
// papers/dhalion-vldb17.md#over-provisioned
pub fn over_provisioned<'a>(components: &'a [ComponentStatus], config: &DhalionConfig) -> impl Iterator<Item = &'a ComponentStatus> {
    let calm = components.iter().all(|component| component.backpressure() == 0.0);
    let below = config.pending_records_below;
    let relaxed = move |component: &&ComponentStatus| component.instances.iter().all(|instance| instance.pending < below);
    components.iter().filter(move |_| calm).filter(relaxed)
}
