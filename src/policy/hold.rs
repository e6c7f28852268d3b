//! The null policy: never acts.

use super::kind::PolicyKind;
use super::settings::no_parameters;
use super::{Decision, Policy, Reason};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Leaves the job as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold;

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "hold",
    summary: "never rescales",
    rules: &[("never-acts", "this policy never changes anything, whatever it observes")],
    make: |_, _, given| no_parameters(&given.settings, || Ok(Box::new(Hold))),
};

impl Policy for Hold {
    fn name(&self) -> &'static str {
        "hold"
    }

    fn decide(&mut self, _now: Timestamp, _observation: &Observation) -> Decision {
        Decision::Hold(Reason::new("never-acts"))
    }
}
