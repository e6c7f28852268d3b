//! One decision, step by step: [`CriticalPath::decision`] names them in their order.
//!
//! Each step is a method of the policy, in a file of its own together with what it returns. A step
//! names only earlier ones.

mod backpressure;
mod change;
mod diagnose;
mod load;
mod outcome;
mod placement;
mod reason;
mod run_search;
mod trim;
mod unsettled;
mod views;
mod weigh;

use std::collections::BTreeSet;
use std::rc::Rc;

use self::outcome::Outcome;
use super::state::CriticalPath;
use crate::dataflow::Plan;
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::policy::Decision;

impl CriticalPath {
    /// Decides after the window of `observation`, in which instances take the time that they would take with whole cores.
    pub(super) fn decision(&mut self, observation: &Observation) -> Decision {
        self.change_model.observe(observation);
        let unsettled = self.warm_up.observe(&self.topology, observation, &mut self.change_model);
        if unsettled.is_none() {
            self.flow.observe(&self.topology, observation);
        }
        let load = self.load(observation);
        if let Some(rule) = unsettled {
            return self.meanwhile(rule, observation, &load);
        }
        self.outrun = 0;

        // What the window shows, and what it says of the last action.
        let mut views = self.views(observation, &load);
        self.look_at_workers(observation, &load);
        let outcome = self.learn_from_last_action(observation, &load, &views);
        self.recall(observation.window.end, &load, &mut views);
        self.follow_paths(observation, &load);

        // What would do, and what is wrong.
        let mut result = self.search(observation, &load, &views, (self.objective(&load), Rc::default()));
        self.calibrate(observation, &load, &result);
        let mut diagnosis = self.diagnose(&load, &views, &result);
        diagnosis.findings.extend(self.findings_of_workers(observation));
        match outcome {
            Outcome::Useless(useless) => {
                let reason = self.reason("roll-back", observation, &load, diagnosis.findings, None);
                return Decision::Rescale(self.plan(useless, BTreeSet::new(), &views), reason);
            }
            // What was done last is to be seen twice before anything follows from it.
            Outcome::Unsure => {
                return Decision::Hold(self.reason(result.bound.unwrap_or("hold"), observation, &load, diagnosis.findings, None));
            }
            Outcome::Nothing => {}
        }

        // What to change, where instances go, and why.
        if diagnosis.under || !diagnosis.rebalance.is_empty() {
            self.search_for_goal(observation, &load, &views, &mut result);
        }
        let mut change = self.change(observation, &load, &diagnosis, &result, &views);
        diagnosis.findings.extend(self.findings_of_trims(&observation.configuration, &change.trims));
        let rebalances: BTreeSet<OperatorId> = diagnosis.rebalance.keys().copied().collect();
        let placement = self.placed(observation, &load, &change.rescales, diagnosis.under && rebalances.is_empty());
        if change.rescales.is_empty() && !placement.is_empty() {
            change.rule = "crowded";
        }
        let findings = std::mem::take(&mut diagnosis.findings);
        if change.rescales.is_empty() && rebalances.is_empty() && placement.is_empty() {
            return Decision::Hold(self.reason(change.rule, observation, &load, findings, None));
        }
        self.search_for_goal(observation, &load, &views, &mut result);
        let reason = self.reason(change.rule, observation, &load, findings, Some(&result.proposal));
        self.remember(observation.configuration.clone(), &load, &change, diagnosis, &result);
        Decision::Rescale(Plan { placement, ..self.plan(change.rescales, rebalances, &views) }, reason)
    }
}
