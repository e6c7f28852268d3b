//! Evaluates whether an action helped, once the job has settled.
//!
//! Compares the metrics before the action with the current ones. The paper requires the check; the
//! criteria are the prototype's, with one correction that is marked.

use super::{Action, ActionKind, Cause, ComponentStatus, DhalionConfig, bottleneck, cause};

/// Whether `action` succeeded.
///
/// The diagnosis is repeated; if it no longer holds, the action succeeded. A scale-up whose
/// diagnosis still holds succeeded if it now concerns another operator, if an instance that had
/// backpressure has none, or if the operator's throughput grew nearly as much as its parallelism. A
/// scale-down succeeded if no backpressure appeared anywhere.
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
            // The prototype passes the new parallelism instead of the ratio of new to old, so that
            // the test can only hold starting from one instance. The ratio is what the parameter's
            // name ("improvement") says.
            let promised = f64::from(action.to) / f64::from(action.from);
            let grown = || {
                let (before, after) = (action.seen.executed(), now.executed());
                after > before && after >= config.success_share * promised * before
            };
            !diagnosed_again || relieved() || grown()
        }
    }
}
