//! The null policy: never acts.

use super::{Decision, Policy, Reason};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Leaves the job as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold;

impl Policy for Hold {
    fn name(&self) -> &'static str {
        "hold"
    }

    fn decide(&mut self, _now: Timestamp, _observation: &Observation) -> Decision {
        Decision::Hold(Reason::new("hold"))
    }
}
