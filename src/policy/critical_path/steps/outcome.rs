//! Step: what the last action achieved.
//!
//! Instances that did not raise an operator's rate are removed once two windows have shown it,
//! because they share what bounds them. There is another explanation as long as each keeps a good
//! part of its rate: all machines are slower than before; and where all together do much less than
//! fewer did, a limit is none. Then a further step decides, and only if that does not help either,
//! all are removed. External waits need no such step: they are measured.

use std::collections::BTreeMap;

use super::super::limits::{FailedTry, Limit, MeasuredRate};
use super::super::memory::{FailedRebalance, LastAction};
use super::super::operator_view::OperatorView;
use super::super::state::{AGREEING, CriticalPath};
use super::load::Load;
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Added instances are useless if they gain less than this share of a proportional increase.
const USELESS: f64 = 0.1;

/// What the last action showed.
pub(super) enum Outcome {
    Nothing,
    /// Another window has to show whether it helped.
    Unsure,
    /// Operators that more instances did not help, with their former parallelism.
    Useless(BTreeMap<OperatorId, u32>),
}

impl CriticalPath {
    /// Learns from the outcome of the last action.
    pub(super) fn learn_from_last_action(&mut self, observation: &Observation, load: &Load, views: &[OperatorView]) -> Outcome {
        let Some(mut action) = self.last_action.take() else { return Outcome::Nothing };
        action.windows += 1;
        let now = observation.window.end;
        if action.windows == 1 {
            self.learn_of_rebalances(now, &action, load, views);
        }
        let (mut useless, mut unsure) = (BTreeMap::new(), false);
        for (id, instances) in observation.configuration.iter().filter(|(id, instances)| *instances > action.before.parallelism(*id)) {
            let (index, before) = (id.0 as usize, action.before.parallelism(id));
            let waits = views[index].waits && !self.memory[index].waits.apart;
            let helped = self.helped(index, before, instances);
            if action.windows < AGREEING {
                unsure |= helped == Some(false) || waits;
                continue;
            }
            match helped {
                Some(false) => {
                    if let Some(most) = self.did_not_help(now, index, (before, instances), load, waits || self.memory[index].waits.apart) {
                        useless.insert(id, most);
                    }
                }
                Some(true) => {
                    let memory = &mut self.memory[index];
                    memory.waits.apart |= waits;
                    (memory.doubt, memory.limit) = (None, None);
                }
                None => {}
            }
        }
        if !useless.is_empty() {
            return Outcome::Useless(useless);
        }
        if action.windows < AGREEING {
            self.last_action = Some(action);
        }
        if unsure { Outcome::Unsure } else { Outcome::Nothing }
    }

    fn learn_of_rebalances(&mut self, now: Timestamp, action: &LastAction, load: &Load, views: &[OperatorView]) {
        for (&id, &imbalance) in &action.rebalanced {
            let (memory, view) = (&mut self.memory[id.0 as usize], &views[id.0 as usize]);
            let demand = load.demands[id.0 as usize].unwrap_or(0.0);
            memory.failed_rebalance = FailedRebalance::of(imbalance, view, memory.failed_rebalance, now, demand);
        }
    }

    /// Whether `instances` of an operator have a higher rate than `before` had; nothing if either was not measured.
    fn helped(&self, operator: usize, before: u32, instances: u32) -> Option<bool> {
        // Where workers are short of time, a lower rate is theirs.
        if self.workers.is_tight() {
            return None;
        }
        let curve = &self.curves[operator];
        let (fewer, more) = curve.measured(before).zip(curve.measured(instances))?;
        let least = fewer * (1.0 + USELESS * (f64::from(instances) / f64::from(before) - 1.0));
        Some(more * (self.config.confidence * curve.error()).exp() >= least)
    }

    /// Handles `instances` of an operator with no higher rate than `before` had: the parallelism to return to, if that is certain.
    fn did_not_help(&mut self, now: Timestamp, operator: usize, (before, instances): (u32, u32), load: &Load, waits: bool) -> Option<u32> {
        let (curve, memory) = (&mut self.curves[operator], &mut self.memory[operator]);
        let did = |instances: u32, total: Option<f64>| MeasuredRate { instances, total: total.unwrap_or(0.0) };
        let (fewer, more) = (did(before, curve.measured(before)), did(instances, curve.measured(instances)));
        if !waits && memory.doubt.is_none() && memory.limit.is_none() && fewer.may_be_by_chance(more) {
            memory.doubt = Some(fewer);
            curve.forget_others();
            return None;
        }
        let fewest = memory.doubt.take().unwrap_or(fewer);
        let tried = FailedTry::after(memory.limit.map(|limit| limit.tried), now, load.demands[operator].unwrap_or(0.0));
        memory.limit = Some(Limit { most: fewest.instances, rate: fewest.total / f64::from(fewest.instances), tried });
        memory.waits.apart = false;
        Some(fewest.instances)
    }
}
