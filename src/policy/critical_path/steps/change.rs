//! Step: what is to change, by what was diagnosed and found, and the plan for it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cost_benefit::Saving;
use super::super::load_weights::{Adjustment, LoadWeights};
use super::super::memory::{GoalMisses, LastAction};
use super::super::operator_view::OperatorView;
use super::super::search::{Proposal, SearchResult};
use super::super::state::{AGREEING, CriticalPath};
use super::diagnose::{Diagnosis, SLOWLY};
use super::load::Load;
use crate::dataflow::{Configuration, Operator, Plan};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::policy::{Cause, Finding};

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
    /// What is to change, and by which rule.
    pub(super) fn change(
        &mut self,
        observation: &Observation,
        load: &Load,
        diagnosis: &Diagnosis,
        result: &SearchResult,
        views: &[OperatorView],
    ) -> Change {
        let present = &observation.configuration;
        let mut rescales = self.more(load, diagnosis, result, &result.proposal, present);
        let mut held_back = false;
        if !rescales.is_empty() {
            if self.is_better_without(load, diagnosis, result, views, present, &rescales) {
                (held_back, rescales) = (true, BTreeMap::new());
            } else if let Some(lasting) = self.lasting(observation, load, views, result, &rescales) {
                rescales = self.more(load, diagnosis, result, &lasting, present);
            }
        }
        let acts = !rescales.is_empty() || !diagnosis.rebalance.is_empty();
        let enough_recently = |policy: &CriticalPath| policy.enough_recently(observation, load, views, result);
        let mut trims = self.trims(observation.window.end, load, (diagnosis, acts), result, present, enough_recently);
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
        let rule = match (rescales.is_empty(), diagnosis.rebalance.is_empty(), trims.is_empty()) {
            (false, ..) if diagnosis.under => "under-provisioned",
            (false, ..) if diagnosis.slow => "goal-missed",
            (_, false, _) => "uneven",
            (.., false) => "over-provisioned",
            _ if self.goal_misses.are_often() && result.proposal.out_of_reach => "goal-unreachable",
            _ if held_back => "not-worth-it",
            _ => result.bound.unwrap_or("hold"),
        };
        for (&id, &instances) in &trims {
            rescales.entry(id).or_insert(instances);
        }
        let beyond_budget = self.config.budget > 0 && self.together(present, &rescales) > u64::from(self.config.budget);
        if beyond_budget && !rescales.is_empty() {
            // What one is to have more, others have to give.
            rescales.extend(self.fewer(&result.proposal, present));
        }
        Change { rule, rescales, trims, saving }
    }

    /// Of the scalable operators those to which `proposal` gives fewer instances than they have.
    fn fewer(&self, proposal: &Proposal, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        let ids = self.topology.scalable().map(|operator| operator.id);
        ids.map(|id| (id, proposal.instances[id.0 as usize])).filter(|(id, wanted)| *wanted < present.parallelism(*id)).collect()
    }

    /// Instances of all scalable operators, if those of `rescales` change.
    pub(super) fn together(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> u64 {
        let after = |id| u64::from(rescales.get(&id).copied().unwrap_or(present.parallelism(id)));
        self.topology.scalable().map(|operator| after(operator.id)).sum()
    }

    /// Operators that are to have more instances than they have at `present`, by `proposal`.
    fn more(
        &self,
        load: &Load,
        diagnosis: &Diagnosis,
        result: &SearchResult,
        proposal: &Proposal,
        present: &Configuration,
    ) -> BTreeMap<OperatorId, u32> {
        if !diagnosis.under && !diagnosis.slow && diagnosis.rebalance.is_empty() {
            return BTreeMap::new();
        }
        let more = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let wanted = proposal.instances[index];
            // One that just keeps up is left alone, unless the goal asks for more.
            let asked = diagnosis.slow
                || self.memory[index].under > 0
                || diagnosis.rebalance.contains_key(&operator.id)
                || result.ratio(&load.catching_up, index) > SLOWLY;
            (asked && wanted > present.parallelism(operator.id)).then_some((operator.id, wanted))
        };
        self.topology.scalable().filter_map(more).collect()
    }

    /// What to say of operators that have instances taken away.
    pub(super) fn findings_of_trims(&self, present: &Configuration, trims: &BTreeMap<OperatorId, u32>) -> Vec<(f64, Finding)> {
        let about = |(&id, &enough): (&OperatorId, &u32)| {
            let finding = Finding::new(&self.topology.operator(id).name, Cause::OverProvisioned);
            (0.0, finding.with("instances", f64::from(present.parallelism(id))).with("enough", f64::from(enough)))
        };
        trims.iter().map(about).collect()
    }

    /// A plan of `rescales` and `rebalances`, with the known speeds of stragglers.
    pub(super) fn plan(&mut self, rescales: BTreeMap<OperatorId, u32>, rebalances: BTreeSet<OperatorId>, views: &[OperatorView]) -> Plan {
        self.weights.iter_mut().for_each(LoadWeights::keep);
        let touched: BTreeSet<OperatorId> = rescales.keys().chain(&rebalances).copied().collect();
        let mut speeds = BTreeMap::new();
        for id in touched {
            let adjustment = if rebalances.contains(&id) { Adjustment::Rebalanced } else { Adjustment::Rescaled };
            let index = id.0 as usize;
            if let Some(planned) = self.weights[index].planned(self.topology.operator(id), &views[index], adjustment) {
                speeds.insert(id, planned);
            }
        }
        Plan { speeds, rescales, rebalances, ..Plan::default() }
    }

    /// Remembers the change that is made to the configuration `present`, so that later windows show what came of it.
    pub(super) fn remember(&mut self, present: Configuration, load: &Load, change: &Change, diagnosis: Diagnosis, result: &SearchResult) {
        for (&id, _) in change.rescales.iter().filter(|(id, instances)| **instances > present.parallelism(**id)) {
            let (index, memory) = (id.0 as usize, &mut self.memory[id.0 as usize]);
            memory.raised_for = load.demands[index];
            memory.raised_for_pauses |= self.held_up[index] >= AGREEING && result.ratio(&load.demands, index) < 1.0;
        }
        self.last_action = Some(LastAction::new(present, diagnosis.rebalance));
        self.memory.iter_mut().for_each(|memory| (memory.under, memory.hot) = (0, 0));
        self.goal_misses = GoalMisses::default();
        match &change.saving {
            Some(saving) => self.cost_benefit.saved(saving),
            None if change.rule == "goal-missed" => self.cost_benefit.added_for_goal(),
            None => self.cost_benefit.added(),
        }
    }
}
