//! What is to change, by what was judged and found.

use std::collections::BTreeMap;

use super::judge::{Judgement, SLOWLY};
use super::search::{Asked, Found, Searched};
use super::sight::Sight;
use super::worth::Saving;
use super::{CriticalPath, Load, OFTEN_MISSED};
use crate::dataflow::{Configuration, Operator};
use crate::id::OperatorId;
use crate::observation::Observation;

/// What is to change.
pub(super) struct Change {
    /// Why.
    pub(super) rule: &'static str,
    pub(super) rescales: BTreeMap<OperatorId, u32>,
    /// Those of them that take away what no recent window needed.
    pub(super) trims: BTreeMap<OperatorId, u32>,
    /// What these save.
    pub(super) saving: Option<Saving>,
}

impl CriticalPath {
    /// Of the scalable operators those to which `found` gives fewer instances than they have.
    fn fewer(&self, found: &Found, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        let ids = self.topology.scalable().map(|operator| operator.id);
        ids.map(|id| (id, found.instances[id.0 as usize])).filter(|(id, wanted)| *wanted < present.parallelism(*id)).collect()
    }

    /// Instances of all scalable operators, if those of `rescales` change.
    pub(super) fn together(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> u64 {
        let after = |id| u64::from(rescales.get(&id).copied().unwrap_or(present.parallelism(id)));
        self.topology.scalable().map(|operator| after(operator.id)).sum()
    }

    /// Operators that are to have more instances than they have at `present`, by what was `found`.
    fn more(
        &self,
        load: &Load,
        judgement: &Judgement,
        searched: &Searched,
        found: &Found,
        present: &Configuration,
    ) -> BTreeMap<OperatorId, u32> {
        if !judgement.under && !judgement.slow && judgement.rebalance.is_empty() {
            return BTreeMap::new();
        }
        let more = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let wanted = found.instances[index];
            // One that just keeps up is left alone, unless the goal asks for more.
            let asked = judgement.slow
                || self.memory[index].under > 0
                || judgement.rebalance.contains_key(&operator.id)
                || searched.ratio(&load.catching_up, index) > SLOWLY;
            (asked && wanted > present.parallelism(operator.id)).then_some((operator.id, wanted))
        };
        self.topology.scalable().filter_map(more).collect()
    }

    /// Looks for instances that meet the goal, where they were not asked for but something is to change anyway.
    pub(super) fn ask_for_goal(&self, observation: &Observation, load: &Load, sights: &[Sight], searched: &mut Searched) {
        if searched.has_paths && searched.asked == Asked::KeepUp {
            *searched = self.search(observation, load, sights, (Asked::Goal, searched.worked_out.clone()));
        }
    }

    /// What is to change, and by which rule.
    pub(super) fn change(
        &mut self,
        observation: &Observation,
        load: &Load,
        judgement: &Judgement,
        searched: &Searched,
        sights: &[Sight],
    ) -> Change {
        let present = &observation.configuration;
        let mut rescales = self.more(load, judgement, searched, &searched.found, present);
        let mut held_back = false;
        if !rescales.is_empty() {
            if self.is_better_without(load, judgement, searched, sights, present, &rescales) {
                (held_back, rescales) = (true, BTreeMap::new());
            } else if let Some(lasting) = self.lasting(observation, load, sights, searched, &rescales) {
                rescales = self.more(load, judgement, searched, &lasting, present);
            }
        }
        let acts = !rescales.is_empty() || !judgement.rebalance.is_empty();
        let enough_recently = |policy: &CriticalPath| policy.enough_recently(observation, load, sights, searched);
        let mut trims = self.trims(observation.window.end, load, (judgement, acts), searched, present, enough_recently);
        if !trims.is_empty() {
            let after = trims.iter().chain(&rescales).map(|(&id, &instances)| (id, instances)).collect();
            if !self.has_room_for(&after, present, load) {
                trims.clear();
            }
        }
        let saving = self.saving(load, present, &trims).filter(|_| !trims.is_empty() && !held_back);
        if saving.is_none() && !trims.is_empty() {
            (held_back, trims) = (true, BTreeMap::new());
        }
        let rule = match (rescales.is_empty(), judgement.rebalance.is_empty(), trims.is_empty()) {
            (false, ..) if judgement.under => "under-provisioned",
            (false, ..) if judgement.slow => "goal-missed",
            (_, false, _) => "uneven",
            (.., false) => "over-provisioned",
            _ if self.missed >= OFTEN_MISSED && searched.found.out_of_reach => "goal-unreachable",
            _ if held_back => "not-worth-it",
            _ => searched.bound.unwrap_or("hold"),
        };
        for (&id, &instances) in &trims {
            rescales.entry(id).or_insert(instances);
        }
        let beyond_budget = self.config.budget > 0 && self.together(present, &rescales) > u64::from(self.config.budget);
        if beyond_budget && !rescales.is_empty() {
            // What one is to have more, others have to give.
            rescales.extend(self.fewer(&searched.found, present));
        }
        Change { rule, rescales, trims, saving }
    }
}
