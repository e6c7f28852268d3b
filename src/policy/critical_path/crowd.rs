//! Workers that instances share: whether they can do the work of all their instances, and which
//! placement could.
//!
//! An operator whose worker is crowded cannot do its demand, however fast its instances would be
//! alone. The answer is another placement first, more instances second. A worker that does not get
//! its core is told apart: its instances take longer for a record because they wait in the middle of
//! it, which says nothing about their work, so their times are corrected before anything is learned
//! from them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::search::Searched;
use super::{CriticalPath, Load};
use crate::critical_path::{EpochPieceKind, WindowPaths};
use crate::dataflow::{Configuration, Placement};
use crate::id::{OperatorId, WorkerId};
use crate::model::{Fit, Needs, Sharing};
use crate::observation::Observation;
use crate::policy::{Cause, Finding};
use crate::time::Timestamp;

/// A worker with more to do than this part of what it can do, or without a core for more than the
/// rest, explains that instances are slow.
const TIGHT: f64 = 0.9;
/// Workers beyond which more instances of an operator are not tried, as a factor.
const MOST_PER_WORKER: u32 = 2;
/// Rounding error.
const TOLERANCE: f64 = 0.005;
/// A placement is worth a plan of its own if its fullest worker has less to do by this part.
const BETTER: f64 = 0.95;
/// Within a look-back no other plan moves instances alone unless load or cores changed by this part.
const CHANGED: f64 = 0.1;

/// The workers of a window, and what is remembered of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    /// What the window shows; `None` where instances do not share workers.
    sharing: Option<Sharing>,
    /// By worker, what it has to do over what it can do with a whole core, and with the part of one
    /// that it gets.
    loads: Vec<(f64, f64)>,
    /// By worker, the part of a core that it was last seen to get, and when.
    known: Vec<Option<(f64, Timestamp)>>,
    /// By operator, whether its instances were ever seen to take a worker's time: those whose time
    /// is imposed take none.
    takes_time: Vec<bool>,
    /// The last plan that did nothing but move instances, once it was carried out.
    moved: Option<Moved>,
    /// The same while it may still be refused.
    planned: Option<Moved>,
}

/// A plan that moved instances.
#[derive(Clone, Debug)]
struct Moved {
    at: Timestamp,
    offered: f64,
    core_shares: Vec<f64>,
}

/// `observation` with the times that its instances would have taken with whole cores; `None` where
/// all workers had theirs.
pub(super) fn with_whole_cores(observation: &Observation) -> Option<Observation> {
    if observation.workers.iter().all(|worker| worker.core_share() >= 1.0) {
        return None;
    }
    let mut corrected = observation.clone();
    for worker in &observation.workers {
        for (id, _) in &worker.used {
            let operator = corrected.operators.get_mut(id.operator.0 as usize);
            if let Some(instance) = operator.and_then(|operator| operator.instances.get_mut(id.index as usize)) {
                instance.useful = instance.useful.mul_f64(worker.core_share());
            }
        }
    }
    Some(corrected)
}

impl Crowd {
    /// Whether instances share workers.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }

    /// The most instances of an operator that can be of use; `None` where they do not share workers.
    pub(super) fn most(&self, operator: usize) -> Option<u32> {
        self.sharing.as_ref().filter(|_| self.takes_time(operator)).map(|sharing| sharing.workers() * MOST_PER_WORKER)
    }

    /// Whether the instances of an operator take the time of workers.
    fn takes_time(&self, operator: usize) -> bool {
        self.takes_time.get(operator).copied().unwrap_or(false)
    }

    /// A plan was carried out.
    pub(super) fn migrated(&mut self) {
        if let Some(planned) = self.planned.take() {
            self.moved = Some(planned);
        }
    }

    /// Whether workers explain that instances are slower than others or than before.
    pub(super) fn is_tight(&self) -> bool {
        self.loads.iter().any(|(_, load)| *load > TIGHT)
            || self.sharing.as_ref().is_some_and(|sharing| sharing.core_shares.iter().flatten().any(|share| *share < TIGHT))
    }

    /// Whether the fullest worker of an operator explains that its instances do not do their work.
    pub(super) fn explains(&self, placement: &Placement, operator: OperatorId) -> bool {
        self.takes_time(operator.0 as usize) && !self.loads.is_empty() && self.over(placement, operator) > TIGHT
    }

    /// What the fullest worker of an operator has to do over what it can do.
    fn over(&self, placement: &Placement, operator: OperatorId) -> f64 {
        placement.of(operator).iter().map(|worker| self.loads[worker.0 as usize].1).fold(0.0, f64::max)
    }
}

impl CriticalPath {
    /// Looks at the workers of a window.
    pub(super) fn look_at_workers(&mut self, observation: &Observation, load: &Load) {
        let (now, look_back) = (observation.window.end, Duration::from_secs_f64(self.config.look_back_s));
        self.crowd.known.iter_mut().for_each(|known| *known = known.filter(|(_, at)| *at + look_back >= now));
        let known: Vec<Option<f64>> = self.crowd.known.iter().map(|known| known.map(|(share, _)| share)).collect();
        self.crowd.sharing = Sharing::of(&self.topology, observation, &known);
        self.crowd.planned = None;
        self.crowd.takes_time.resize(self.topology.operators().len(), false);
        for (instance, time) in observation.workers.iter().flat_map(|worker| &worker.used) {
            if let Some(takes) = self.crowd.takes_time.get_mut(instance.operator.0 as usize) {
                *takes |= !time.is_zero();
            }
        }
        let Some((sharing, placement)) = self.crowd.sharing.as_ref().zip(observation.configuration.placement()) else {
            self.crowd.loads.clear();
            return;
        };
        let loads = self.with_needs(&load.demands, |needs| sharing.loads(placement, needs));
        let over = |(worker, load): (u32, f64)| (load, load / sharing.core_share(WorkerId(worker)));
        self.crowd.loads = (0..).zip(loads).map(over).collect();
        self.crowd.known.resize(sharing.core_shares.len(), None);
        for (known, share) in self.crowd.known.iter_mut().zip(&sharing.core_shares) {
            // A part that is only remembered keeps its age.
            *known = share.map(|share| (share, known.filter(|(before, _)| *before == share).map_or(now, |(_, at)| at)));
        }
    }

    /// Calls `with` with what operators need at `demands`.
    fn with_needs<T>(&self, demands: &[Option<f64>], with: impl FnOnce(&Needs<'_>) -> T) -> T {
        let cores = |operator: usize, instances: u32| {
            let demand = demands[operator].filter(|_| self.crowd.takes_time(operator))?;
            Some(demand * f64::from(instances) / self.curves[operator].total(instances)?)
        };
        let operators = self.topology.operators().iter();
        let most = operators.map(|operator| operator.max_parallelism.min(self.crowd.most(operator.id.0 as usize).unwrap_or(u32::MAX)));
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
    pub(super) fn share_workers(&self, searched: &mut Searched, present: &Configuration, load: &Load) {
        let Some((sharing, placement)) = self.crowd.sharing.as_ref().zip(present.placement()) else { return };
        for operator in self.topology.scalable() {
            let index = operator.id.0 as usize;
            let over = self.crowd.over(placement, operator.id);
            if let (Some(demand), Some(capacity)) = (load.demands[index], &mut searched.capacities[index])
                && over > 0.0
                && self.crowd.takes_time(index)
            {
                *capacity = capacity.min(demand / over);
            }
        }
        let now: Vec<u32> = searched.found.instances.iter().zip(&searched.present).map(|(found, present)| *found.max(present)).collect();
        let fit = self.fitted(sharing, placement, &now, load);
        for (index, (found, now)) in searched.found.instances.iter_mut().zip(&now).enumerate() {
            // What was learned to be of no use is of none here either.
            let fit = fit.instances[index].min(searched.most[index]);
            if fit > *now {
                *found = fit;
            }
        }
        let steady = self.with_needs(&load.demands, |needs| sharing.place(placement, &fit.instances, needs)).load;
        if steady > 1.0 {
            searched.found.part = searched.found.part.min(1.0 / steady);
            // With all cores there would be room: the host is what bounds the job.
            let whole = sharing.with_whole_cores();
            let with_cores = self.with_needs(&load.demands, |needs| whole.fit(placement, &fit.instances, needs)).load;
            searched.bound = Some(if with_cores <= 1.0 { "host" } else { "no-room" });
        }
        self.at_least(&mut searched.enough, present, &load.demands);
    }

    /// Raises `instances` to what fits on the workers at `demands` with the utilisation aimed at.
    pub(super) fn at_least(&self, instances: &mut [u32], present: &Configuration, demands: &[Option<f64>]) {
        let Some((sharing, placement)) = self.crowd.sharing.as_ref().zip(present.placement()) else { return };
        let targets: Vec<Option<f64>> = demands.iter().map(|demand| Some((*demand)? / self.config.utilisation)).collect();
        let fit = self.with_needs(&targets, |needs| sharing.fit(placement, instances, needs));
        instances.copy_from_slice(&fit.instances);
    }

    /// Whether the instances of `after` fit on the workers at the highest load of recent windows.
    pub(super) fn has_room_for(&self, after: &BTreeMap<OperatorId, u32>, present: &Configuration, load: &Load) -> bool {
        let Some((sharing, placement)) = self.crowd.sharing.as_ref().zip(present.placement()) else { return true };
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
        let Some((sharing, placement)) = self.crowd.sharing.as_ref().zip(present.placement()) else { return nothing };
        if rescales.is_empty() && !crowded {
            return nothing;
        }
        let after = rescales.iter().fold(present.clone(), |after, (&id, &instances)| after.with(id, instances));
        let instances: Vec<u32> = after.iter().map(|(_, instances)| instances).collect();
        let place = |demands: &[Option<f64>]| self.with_needs(demands, |needs| sharing.place(placement, &instances, needs));
        let fast = place(&self.targets(load));
        let fit = if fast.load <= 1.0 { fast } else { place(&load.demands) };
        let (end, most) = (observation.window.end, self.crowd.loads.iter().map(|(_, load)| *load).fold(0.0, f64::max));
        if rescales.is_empty() {
            let cores: Vec<f64> = (0..sharing.workers()).map(|worker| sharing.core_share(WorkerId(worker))).collect();
            let look_back = Duration::from_secs_f64(self.config.look_back_s);
            let is_as_then = self.crowd.moved.as_ref().is_some_and(|moved| {
                let differs = |(now, then): (&f64, &f64)| (now - then).abs() > CHANGED * then;
                let changed = differs((&load.offered, &moved.offered)) || cores.iter().zip(&moved.core_shares).any(differs);
                !changed && end < moved.at + look_back
            });
            let after = self.with_needs(&load.demands, |needs| sharing.loads(&fit.placement, needs));
            let after = (0..).zip(after).map(|(worker, load)| load / sharing.core_share(WorkerId(worker))).fold(0.0, f64::max);
            if is_as_then || most <= 1.0 + TOLERANCE || after >= most * BETTER {
                return nothing;
            }
            self.crowd.planned = Some(Moved { at: end, offered: load.offered, core_shares: cores });
        }
        let default = after.placement().cloned();
        let differs = |id: &OperatorId| {
            self.crowd.takes_time(id.0 as usize) && default.as_ref().is_some_and(|default| default.of(*id) != fit.placement.of(*id))
        };
        let ids = self.topology.scalable().map(|operator| operator.id).filter(differs);
        ids.map(|id| (id, fit.placement.of(id).to_vec())).collect()
    }

    /// Which workers cannot do the work of their instances, or do not get their cores.
    pub(super) fn findings_of_workers(&self, observation: &Observation) -> Vec<(f64, Finding)> {
        let Some(sharing) = &self.crowd.sharing else { return Vec::new() };
        let behind = observation.paths.as_ref().map_or(0.0, behind_others);
        let mut findings = Vec::new();
        for ((worker, &(whole, load)), share) in (0..).zip(&self.crowd.loads).zip(&sharing.core_shares) {
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
