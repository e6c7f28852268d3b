//! Step in a window that may not be judged, while new instances start or a migration settles: hold,
//! unless the load has outrun the last change.

use std::collections::{BTreeMap, BTreeSet};

use super::super::memory::LastAction;
use super::super::state::{AGREEING, CriticalPath};
use super::load::Load;
use crate::dataflow::Plan;
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::policy::Decision;

/// Ratio of demand to capacity at which the load outruns a change that has not settled.
const OUTRUN: f64 = 1.2;
/// Assumed start-up time, in windows, of instances that have not started yet.
const UNSEEN_WINDOWS: f64 = 3.0;

impl CriticalPath {
    /// The decision in a window that may not be judged (rule `rule`): hold, unless the load has outrun the last change.
    pub(super) fn meanwhile(&mut self, rule: &'static str, observation: &Observation, load: &Load) -> Decision {
        let present = &observation.configuration;
        // The lag that accumulates until they start must be drained too.
        let start_s = self.change_model.start_s().unwrap_or(0.0).max(UNSEEN_WINDOWS * self.window_s);
        let spare = 1.0 + start_s / self.catch_up_s(false);
        let outrun = |id: OperatorId| {
            let (curve, memory) = (&self.curves[id.0 as usize], &self.memory[id.0 as usize]);
            if self.workers.is_shared() {
                return None;
            }
            let added = self.last_action.as_ref().is_some_and(|last_action| last_action.before.parallelism(id) < present.parallelism(id));
            let demand = load.demands[id.0 as usize].filter(|_| added)?;
            let most = memory.limit.map_or(u32::MAX, |limit| limit.most).min(self.topology.operator(id).max_parallelism);
            let wanted = curve.instances_for(demand * spare, self.config.utilisation, most)?;
            (demand > curve.total(present.parallelism(id))? * OUTRUN && wanted > present.parallelism(id)).then_some((id, wanted))
        };
        let more: BTreeMap<OperatorId, u32> = self.topology.scalable().filter_map(|operator| outrun(operator.id)).collect();
        let is_within_budget = self.config.budget == 0 || self.together(present, &more) <= u64::from(self.config.budget);
        self.outrun = if more.is_empty() || !is_within_budget { 0 } else { self.outrun + 1 };
        if self.outrun < AGREEING {
            return Decision::Hold(self.reason(rule, observation, load, Vec::new(), None));
        }
        self.outrun = 0;
        self.last_action = Some(LastAction::new(present.clone(), BTreeMap::new()));
        let plan = Plan { rescales: more, rebalances: BTreeSet::new(), ..Plan::default() };
        Decision::Rescale(plan, self.reason("under-provisioned", observation, load, Vec::new(), None))
    }
}
