//! Detectors and diagnosers: which operator is the bottleneck and why, or which has too many
//! instances.
//!
//! From the components of the evaluation period to a diagnosis, or none. The rules and their order
//! are those of the prototype; the choice among several components, which the prototype leaves to
//! the order of a set, is ours.

use super::{ComponentStatus, DhalionConfig};

/// The cause of an operator's backpressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// All instances are affected alike.
    UnderProvisioned,
    /// The affected instances process much more than the others: data skew.
    DataSkew,
    /// The affected instances process much less than the others: stragglers.
    SlowInstance,
}

/// The operator that is diagnosed; `None` if no operator has backpressure over the period.
///
/// The prototype takes "the first". Here it is the one with the largest sum in the latest window,
/// because older windows may be outdated; if the latest has none, the one with the largest sum over
/// the period, so that intermittent backpressure is not overlooked. Ties go to the most upstream.
// papers/dhalion-vldb17.md#bottleneck
pub fn bottleneck(components: &[ComponentStatus]) -> Option<&ComponentStatus> {
    let suffering = components.iter().filter(|component| component.backpressure() > 0.0);
    let by_both = |component: &ComponentStatus| (component.latest_backpressure, component.backpressure());
    suffering.reduce(|best, other| if by_both(other) > by_both(best) { other } else { best })
}

/// The cause of the backpressure of `component`: compares the work of instances with backpressure
/// to that of those without.
///
/// If all instances have backpressure there is nothing to compare, and the operator has too few of
/// them.
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

/// Operators with too many instances, in topological order: there is no backpressure anywhere, and
/// every instance has fewer pending records than the threshold.
// papers/dhalion-vldb17.md#over-provisioned
pub fn over_provisioned<'a>(components: &'a [ComponentStatus], config: &DhalionConfig) -> impl Iterator<Item = &'a ComponentStatus> {
    let calm = components.iter().all(|component| component.backpressure() == 0.0);
    let below = config.pending_records_below;
    let relaxed = move |component: &&ComponentStatus| component.instances.iter().all(|instance| instance.pending < below);
    components.iter().filter(move |_| calm).filter(relaxed)
}
