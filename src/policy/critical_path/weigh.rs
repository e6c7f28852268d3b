//! Where a decision weighs the cost of a change: adding instances, and removing them.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Judgement;
use super::learn::Acted;
use super::search::{Asked, Found, Searched};
use super::sight::Sight;
use super::worth::Saving;
use super::{AGREEING, CriticalPath, Load};
use crate::dataflow::{Configuration, Plan};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::policy::Decision;

/// Ratio of demand to capacity at which the load outruns a change that has not settled.
const OUTRUN: f64 = 1.2;
/// Assumed start-up time, in windows, of instances that have not started yet.
const UNSEEN_WINDOWS: f64 = 3.0;
/// Utilisation from which an operator limits catching up.
const BUSY: f64 = 0.97;

impl CriticalPath {
    fn after(present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> Configuration {
        rescales.iter().fold(present.clone(), |after, (&id, &instances)| after.with(id, instances))
    }

    /// Seconds for which `rescales` stall the job; `unseen_s` is assumed where start-up times are unknown.
    fn stall_s(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>, unseen_s: f64) -> f64 {
        self.change.cost(present, &CriticalPath::after(present, rescales), unseen_s).stall_s
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
        judgement: &Judgement,
        searched: &Searched,
        sights: &[Sight],
        present: &Configuration,
        rescales: &BTreeMap<OperatorId, u32>,
    ) -> bool {
        if !judgement.rebalance.is_empty() {
            return false;
        }
        let known_s = self.stall_s(present, rescales, 0.0);
        if !judgement.under {
            return self.worth.is_better_missed(known_s, self.config.goal_ms / 1e3);
        }
        let part = self.part(load, present);
        if load.on_time || part < 1.0 {
            if load.outlasts {
                // The change will be needed anyway, and its stall costs more at a higher load.
                return false;
            }
            let unseen_s = self.stall_s(present, rescales, self.window_s);
            let ratio = rescales.keys().map(|id| searched.ratio(&load.demands, id.0 as usize)).fold(0.0, f64::max);
            return self.worth.is_marginal(ratio, self.lag, known_s, unseen_s);
        }
        // Only lag is left. Where no operator is busy, the sources set the pace.
        let held_up = |id: &OperatorId| sights[id.0 as usize].pressed || sights[id.0 as usize].busy > BUSY;
        let is_held_up = rescales.keys().any(held_up);
        part >= 1.0
            && self.worth.matters(known_s)
            && (!is_held_up || !self.worth.is_sooner(self.lag, part, known_s, self.catch_up_s(false)))
    }

    /// The configuration that also drains the lag caused by the change itself, and lasts; nothing where the cost is not weighed.
    pub(super) fn lasting(
        &self,
        observation: &Observation,
        load: &Load,
        sights: &[Sight],
        searched: &Searched,
        rescales: &BTreeMap<OperatorId, u32>,
    ) -> Option<Found> {
        let present = &observation.configuration;
        let known_s = self.change.cost(present, &CriticalPath::after(present, rescales), 0.0).measured_s;
        let unseen_s = if self.change.start_s().is_none() { self.worth.unseen_stall_s() } else { 0.0 };
        let stall_s = known_s.max(unseen_s);
        if !self.worth.matters(stall_s) || load.offered <= 0.0 {
            return None;
        }
        let (all, changed) =
            (self.together(present, rescales), self.together(present, rescales).abs_diff(self.together(present, &BTreeMap::new())));
        let peak = self.worth.peak(known_s, all as f64, changed as f64).map_or(1.0, |peak| (peak / load.offered).max(1.0));
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
        Some(self.search(observation, &lasting, sights, (Asked::Goal, searched.worked_out.clone())).found)
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
            down_s: self.change.cost(present, &after, 0.0).stall_s,
            up_s: self.change.cost(&after, present, self.window_s).stall_s,
            goal_s: self.config.goal_ms / 1e3,
        };
        self.worth.is_saving(&saving).then_some(saving)
    }

    /// The decision in a window that may not be judged (rule `rule`): hold, unless the load has outrun the last change.
    pub(super) fn meanwhile(&mut self, rule: &'static str, observation: &Observation, load: &Load) -> Decision {
        let present = &observation.configuration;
        // The lag that accumulates until they start must be drained too.
        let start_s = self.change.start_s().unwrap_or(0.0).max(UNSEEN_WINDOWS * self.window_s);
        let spare = 1.0 + start_s / self.catch_up_s(false);
        let outrun = |id: OperatorId| {
            let (curve, memory) = (&self.curves[id.0 as usize], &self.memory[id.0 as usize]);
            if self.crowd.is_shared() {
                return None;
            }
            let added = self.acted.as_ref().is_some_and(|acted| acted.before().parallelism(id) < present.parallelism(id));
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
        self.acted = Some(Acted::new(present.clone(), BTreeMap::new()));
        let plan = Plan { rescales: more, rebalances: BTreeSet::new(), ..Plan::default() };
        Decision::Rescale(plan, self.reason("under-provisioned", observation, load, Vec::new(), None))
    }
}
