//! Step: whether workers can do the work of all their instances, and which placement could.
//!
//! An operator whose worker is crowded cannot do its demand, however fast its instances would be
//! alone. The answer is another placement first, more instances second.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::search::SearchResult;
use super::super::state::CriticalPath;
use super::super::workers::{Move, TIGHT};
use super::load::Load;
use crate::critical_path::{EpochPieceKind, WindowPaths};
use crate::dataflow::{Configuration, Placement};
use crate::id::{OperatorId, WorkerId};
use crate::model::{Fit, Needs, Sharing};
use crate::observation::Observation;
use crate::policy::{Cause, Finding};

/// Rounding error.
const TOLERANCE: f64 = 0.005;
/// A placement is worth a plan of its own if its fullest worker has less to do by this part.
const BETTER: f64 = 0.95;

impl CriticalPath {
    /// Looks at the workers of a window.
    pub(super) fn look_at_workers(&mut self, observation: &Observation, load: &Load) {
        self.workers.observe(&self.topology, observation, Duration::from_secs_f64(self.config.look_back_s));
        let Some((sharing, placement)) = self.workers.of(&observation.configuration) else {
            self.workers.loads.clear();
            return;
        };
        let loads = self.with_needs(&load.demands, |needs| sharing.loads(placement, needs));
        self.workers.set_loads(loads, observation.window.end);
    }

    /// Calls `with` with what operators need at `demands`.
    fn with_needs<T>(&self, demands: &[Option<f64>], with: impl FnOnce(&Needs<'_>) -> T) -> T {
        let cores = |operator: usize, instances: u32| {
            let demand = demands[operator].filter(|_| self.workers.takes_time(operator))?;
            Some(demand * f64::from(instances) / self.curves[operator].total(instances)?)
        };
        let operators = self.topology.operators().iter();
        let most = operators.map(|operator| operator.max_parallelism.min(self.workers.most(operator.id.0 as usize).unwrap_or(u32::MAX)));
        let most: Vec<u32> = most.collect();
        let budget = if self.config.budget == 0 { u32::MAX } else { self.config.budget };
        with(&Needs { topology: &self.topology, cores: &cores, most: &most, budget })
    }

    /// What operators are to be able to do: their demands at the utilisation that is aimed at, and
    /// while lag is drained.
    fn targets(&self, load: &Load) -> Vec<Option<f64>> {
        let target = |(demand, catching_up): (&Option<f64>, &Option<f64>)| {
            let steady = (*demand)? / self.config.utilisation;
            Some(steady.max(catching_up.unwrap_or(0.0)))
        };
        load.demands.iter().zip(&load.catching_up).map(target).collect()
    }

    /// `instances` and more of them, if necessary, placed so that they do `load`: with its lag
    /// drained if that is possible, else what is offered.
    fn fitted(&self, sharing: &Sharing, present: &Placement, instances: &[u32], load: &Load) -> Fit {
        let fast = self.with_needs(&self.targets(load), |needs| sharing.fit(present, instances, needs));
        if fast.load <= 1.0 { fast } else { self.with_needs(&load.demands, |needs| sharing.fit(present, instances, needs)) }
    }

    /// Makes what was searched for instances with processors of their own hold for instances that
    /// share workers.
    pub(super) fn share_workers(&self, result: &mut SearchResult, present: &Configuration, load: &Load) {
        let Some((sharing, placement)) = self.workers.of(present) else { return };
        for operator in self.topology.scalable() {
            let index = operator.id.0 as usize;
            let over = self.workers.over(placement, operator.id);
            if let (Some(demand), Some(capacity)) = (load.demands[index], &mut result.capacities[index])
                && over > 0.0
                && self.workers.takes_time(index)
            {
                *capacity = capacity.min(demand / over);
            }
        }
        let now: Vec<u32> = result.proposal.instances.iter().zip(&result.present).map(|(found, present)| *found.max(present)).collect();
        let fit = self.fitted(sharing, placement, &now, load);
        for (index, (found, now)) in result.proposal.instances.iter_mut().zip(&now).enumerate() {
            // What was learned to be of no use is of none here either.
            let fit = fit.instances[index].min(result.most[index]);
            if fit > *now {
                *found = fit;
            }
        }
        let steady = self.with_needs(&load.demands, |needs| sharing.place(placement, &fit.instances, needs)).load;
        if steady > 1.0 {
            result.proposal.part = result.proposal.part.min(1.0 / steady);
            // With all cores there would be room: the host is what bounds the job.
            let whole = sharing.with_whole_cores();
            let with_cores = self.with_needs(&load.demands, |needs| whole.fit(placement, &fit.instances, needs)).load;
            result.bound = Some(if with_cores <= 1.0 { "host" } else { "no-room" });
        }
        self.at_least(&mut result.enough, present, &load.demands);
    }

    /// Raises `instances` to what fits on the workers at `demands` with the utilisation aimed at.
    pub(super) fn at_least(&self, instances: &mut [u32], present: &Configuration, demands: &[Option<f64>]) {
        let Some((sharing, placement)) = self.workers.of(present) else { return };
        let targets: Vec<Option<f64>> = demands.iter().map(|demand| Some((*demand)? / self.config.utilisation)).collect();
        let fit = self.with_needs(&targets, |needs| sharing.fit(placement, instances, needs));
        instances.copy_from_slice(&fit.instances);
    }

    /// Whether the instances of `after` fit on the workers at the highest load of recent windows.
    pub(super) fn has_room_for(&self, after: &BTreeMap<OperatorId, u32>, present: &Configuration, load: &Load) -> bool {
        let Some((sharing, placement)) = self.workers.of(present) else { return true };
        let instances: Vec<u32> = present.iter().map(|(id, instances)| after.get(&id).copied().unwrap_or(instances)).collect();
        let targets: Vec<Option<f64>> = load.most_recent.iter().map(|demand| Some((*demand)? / self.config.utilisation)).collect();
        self.with_needs(&targets, |needs| sharing.place(placement, &instances, needs)).load <= 1.0
    }

    /// The workers of the instances of those operators whose places differ from the default after
    /// `rescales`: what a plan has to say of them. Where nothing is rescaled, `crowded` says whether
    /// instances may be moved.
    pub(super) fn placed(
        &mut self,
        observation: &Observation,
        load: &Load,
        rescales: &BTreeMap<OperatorId, u32>,
        crowded: bool,
    ) -> BTreeMap<OperatorId, Vec<WorkerId>> {
        let present = &observation.configuration;
        let nothing = BTreeMap::new();
        let Some((sharing, placement)) = self.workers.of(present) else { return nothing };
        if rescales.is_empty() && !crowded {
            return nothing;
        }
        let after = rescales.iter().fold(present.clone(), |after, (&id, &instances)| after.with(id, instances));
        let instances: Vec<u32> = after.iter().map(|(_, instances)| instances).collect();
        let place = |demands: &[Option<f64>]| self.with_needs(demands, |needs| sharing.place(placement, &instances, needs));
        let fast = place(&self.targets(load));
        let fit = if fast.load <= 1.0 { fast } else { place(&load.demands) };
        let most = self.workers.loads.iter().map(|(_, load)| *load).fold(0.0, f64::max);
        if rescales.is_empty() {
            let core_shares: Vec<f64> = (0..sharing.workers()).map(|worker| sharing.core_share(WorkerId(worker))).collect();
            let planned = Move { at: observation.window.end, offered: load.offered, core_shares };
            let lately = self.workers.moved_lately(&planned, Duration::from_secs_f64(self.config.look_back_s));
            let after = self.with_needs(&load.demands, |needs| sharing.loads(&fit.placement, needs));
            let after = (0..).zip(after).map(|(worker, load)| load / sharing.core_share(WorkerId(worker))).fold(0.0, f64::max);
            if lately || most <= 1.0 + TOLERANCE || after >= most * BETTER {
                return nothing;
            }
            self.workers.plan(planned);
        }
        let default = after.placement().cloned();
        let differs = |id: &OperatorId| {
            self.workers.takes_time(id.0 as usize) && default.as_ref().is_some_and(|default| default.of(*id) != fit.placement.of(*id))
        };
        let ids = self.topology.scalable().map(|operator| operator.id).filter(differs);
        ids.map(|id| (id, fit.placement.of(id).to_vec())).collect()
    }

    /// Which workers cannot do the work of their instances, or do not get their cores.
    pub(super) fn findings_of_workers(&self, observation: &Observation) -> Vec<(f64, Finding)> {
        let Some(sharing) = &self.workers.sharing else { return Vec::new() };
        let behind = observation.paths.as_ref().map_or(0.0, behind_others);
        let mut findings = Vec::new();
        for ((worker, &(whole, load)), share) in (0..).zip(&self.workers.loads).zip(&sharing.core_shares) {
            let about = |cause| {
                let finding = Finding::new(format!("worker {worker}"), cause).with("load over capacity", load);
                share.map_or(finding.clone(), |share| finding.with("core share", share))
            };
            if whole > 1.0 + TOLERANCE {
                let finding = about(Cause::Crowded);
                findings.push((load, if behind > 0.0 { finding.with("waiting behind others share", behind) } else { finding }));
            } else if load > 1.0 + TOLERANCE || share.is_some_and(|share| share < TIGHT) {
                findings.push((load, about(Cause::Host)));
            }
        }
        findings
    }
}

/// The part of the slowest epochs' latency in which records waited for a worker that worked for
/// another operator.
fn behind_others(paths: &WindowPaths) -> f64 {
    let pieces = paths.slowest.pieces.iter();
    let waited = pieces.filter(|piece| piece.part.kind == EpochPieceKind::Queueing && piece.part.behind != piece.part.operator);
    waited.filter(|piece| piece.part.behind.is_some()).map(|piece| piece.share).sum()
}
