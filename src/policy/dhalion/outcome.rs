//! Whether an action did any good, judged once the job has settled.
//!
//! Takes the action with what was seen before it, and the components of now. The paper asks for the check; the criteria are
//! the prototype's, with one repair that is named at its line.

use super::{Action, ActionKind, Cause, ComponentStatus, DhalionConfig, bottleneck, cause};

/// Whether `action` succeeded.
///
/// The same diagnosis is made again; when it no longer holds, the action succeeded. A scale-up whose diagnosis still
/// holds succeeded if it is now about another operator, if an instance that had backpressure has none, or if the
/// operator processes nearly as much more as it was given instances. A scale-down succeeded if no backpressure
/// appeared anywhere.
// papers/dhalion-vldb17.md#outcome
pub fn succeeded(action: &Action, components: &[ComponentStatus], config: &DhalionConfig) -> bool {
    let Some(now) = bottleneck(components) else { return true };
    match action.kind {
        ActionKind::ScaleDown => false,
        ActionKind::ScaleUp => {
            let diagnosed_again = now.operator == action.operator && cause(now, config) == Cause::UnderProvisioned;
            let relieved = || {
                let mut pairs = action.seen.instances.iter().zip(&now.instances);
                pairs.any(|(before, after)| before.backpressure > 0.0 && after.backpressure == 0.0)
            };
            // The prototype hands in the new parallelism where the ratio of new to old belongs, so that the test can hold
            // only from one instance. The ratio is what its name ("improvement") says.
            let promised = f64::from(action.to) / f64::from(action.from);
            let grown = || {
                let (before, after) = (action.seen.executed(), now.executed());
                after > before && after >= config.success_share * promised * before
            };
            !diagnosed_again || relieved() || grown()
        }
    }
}
