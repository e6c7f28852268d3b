//! A given list of plans at given times: for experiments on migration and for tests.

use std::collections::VecDeque;

use super::{Decision, Policy, Reason};
use crate::dataflow::Plan;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Carries out each plan at the first decision at or after its time, one a decision.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    plans: VecDeque<(Timestamp, Plan)>,
}

impl Scripted {
    /// Plans with the time from which each is due; they are taken in order of time.
    pub fn new(plans: impl IntoIterator<Item = (Timestamp, Plan)>) -> Scripted {
        let mut plans: Vec<_> = plans.into_iter().collect();
        plans.sort_by_key(|(at, _)| *at);
        Scripted { plans: plans.into() }
    }
}

impl Policy for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn decide(&mut self, now: Timestamp, _observation: &Observation) -> Decision {
        match self.plans.front() {
            Some((at, _)) if *at <= now => {
                let (_, plan) = self.plans.pop_front().expect("just seen");
                Decision::Rescale(plan, Reason::new("scripted"))
            }
            _ => Decision::Hold(Reason::new("scripted")),
        }
    }
}
