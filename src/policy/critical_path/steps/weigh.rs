//! Part of the step `change`: weighs the cost of adding instances, and of removing them.

use std::collections::BTreeMap;

use super::super::cost_benefit::Saving;
use super::super::operator_view::OperatorView;
use super::super::search::{Objective, Proposal, SearchResult};
use super::super::state::CriticalPath;
use super::diagnose::Diagnosis;
use super::load::Load;
use crate::dataflow::Configuration;
use crate::id::OperatorId;
use crate::observation::Observation;

/// Utilisation from which an operator limits catching up.
const BUSY: f64 = 0.97;

impl CriticalPath {
    fn after(present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> Configuration {
        rescales.iter().fold(present.clone(), |after, (&id, &instances)| after.with(id, instances))
    }

    /// Seconds for which `rescales` stall the job; `unseen_s` is assumed where start-up times are unknown.
    fn stall_s(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>, unseen_s: f64) -> f64 {
        self.change_model.cost(present, &CriticalPath::after(present, rescales), unseen_s).stall_s
    }

    /// Capacity of `configuration` over the offered load, from learned curves; may exceed 1.
    fn part(&self, load: &Load, configuration: &Configuration) -> f64 {
        let part = |id: OperatorId| {
            let demand = load.demands[id.0 as usize].filter(|demand| *demand > 0.0)?;
            Some(self.curves[id.0 as usize].total(configuration.parallelism(id))? / demand)
        };
        self.topology.scalable().filter_map(|operator| part(operator.id)).fold(f64::INFINITY, f64::min)
    }

    /// Whether `rescales` would cost more than the added instances gain.
    pub(super) fn is_better_without(
        &self,
        load: &Load,
        diagnosis: &Diagnosis,
        result: &SearchResult,
        views: &[OperatorView],
        present: &Configuration,
        rescales: &BTreeMap<OperatorId, u32>,
    ) -> bool {
        if !diagnosis.rebalance.is_empty() {
            return false;
        }
        let known_s = self.stall_s(present, rescales, 0.0);
        if !diagnosis.under {
            return self.cost_benefit.is_better_missed(known_s, self.config.goal_ms / 1e3);
        }
        let part = self.part(load, present);
        if load.on_time || part < 1.0 {
            if load.outlasts {
                // The change will be needed anyway, and its stall costs more at a higher load.
                return false;
            }
            let unseen_s = self.stall_s(present, rescales, self.window_s);
            let ratio = rescales.keys().map(|id| result.ratio(&load.demands, id.0 as usize)).fold(0.0, f64::max);
            return self.cost_benefit.is_marginal(ratio, self.lag, known_s, unseen_s);
        }
        // Only lag is left. Where no operator is busy, the sources set the pace.
        let held_up = |id: &OperatorId| views[id.0 as usize].pressed || views[id.0 as usize].busy > BUSY;
        let is_held_up = rescales.keys().any(held_up);
        part >= 1.0
            && self.cost_benefit.matters(known_s)
            && (!is_held_up || !self.cost_benefit.is_sooner(self.lag, part, known_s, self.catch_up_s(false)))
    }

    /// The configuration that also drains the lag caused by the change itself, and lasts; nothing where the cost is not weighed.
    pub(super) fn lasting(
        &self,
        observation: &Observation,
        load: &Load,
        views: &[OperatorView],
        result: &SearchResult,
        rescales: &BTreeMap<OperatorId, u32>,
    ) -> Option<Proposal> {
        let present = &observation.configuration;
        let known_s = self.change_model.cost(present, &CriticalPath::after(present, rescales), 0.0).measured_s;
        let unseen_s = if self.change_model.start_s().is_none() { self.cost_benefit.unseen_stall_s() } else { 0.0 };
        let stall_s = known_s.max(unseen_s);
        if !self.cost_benefit.matters(stall_s) || load.offered <= 0.0 {
            return None;
        }
        let (all, changed) =
            (self.together(present, rescales), self.together(present, rescales).abs_diff(self.together(present, &BTreeMap::new())));
        let peak = self.cost_benefit.peak(known_s, all as f64, changed as f64).map_or(1.0, |peak| (peak / load.offered).max(1.0));
        let behind = peak + stall_s / self.catch_up_s(false);
        let scale = |demands: &[Option<f64>], factor: f64| demands.iter().map(|demand| demand.map(|demand| demand * factor)).collect();
        let more = |(catching_up, demand): (&Option<f64>, &Option<f64>)| Some((*catching_up)? + (*demand)? * (behind - 1.0));
        let lasting = Load {
            demands: scale(&load.demands, peak),
            catching_up: load.catching_up.iter().zip(&load.demands).map(more).collect(),
            most_recent: load.most_recent.clone(),
            soon: scale(&load.soon, peak),
            ..*load
        };
        Some(self.search(observation, &lasting, views, (Objective::Goal, result.worked_out.clone())).proposal)
    }

    /// What scaling down to `fewer` saves; nothing if it costs more.
    pub(super) fn saving(&self, load: &Load, present: &Configuration, fewer: &BTreeMap<OperatorId, u32>) -> Option<Saving> {
        let after = CriticalPath::after(present, fewer);
        let (all, left) = (self.together(present, &BTreeMap::new()), self.together(present, fewer));
        let part = self.part(load, &after);
        let saving = Saving {
            instances: all as f64,
            saved: (all - left) as f64,
            level: if part.is_finite() { load.offered * part } else { load.offered },
            down_s: self.change_model.cost(present, &after, 0.0).stall_s,
            up_s: self.change_model.cost(&after, present, self.window_s).stall_s,
            goal_s: self.config.goal_ms / 1e3,
        };
        self.cost_benefit.is_saving(&saving).then_some(saving)
    }
}
