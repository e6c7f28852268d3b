//! Workers that instances share: what a window shows of them, and what is remembered.
//!
//! A worker that does not get its core is told apart from one with too much to do: its instances
//! take longer for a record because they wait in the middle of it, which says nothing about their
//! work, so their times are corrected before anything is learned from them.

use std::time::Duration;

use crate::dataflow::{Configuration, Placement, Topology};
use crate::id::{OperatorId, WorkerId};
use crate::model::Sharing;
use crate::observation::Observation;
use crate::time::Timestamp;

/// A worker with more to do than this part of what it can do, or without a core for more than the
/// rest, explains that instances are slow.
pub(super) const TIGHT: f64 = 0.9;
/// Workers beyond which more instances of an operator are not tried, as a factor.
const MOST_PER_WORKER: u32 = 2;
/// Within a look-back no other plan moves instances alone unless load or cores changed by this part.
const CHANGED: f64 = 0.1;

/// The workers of a window, and what is remembered of them.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedWorkers {
    /// What the window shows; `None` where instances do not share workers.
    pub(super) sharing: Option<Sharing>,
    /// By worker, what it has to do over what it can do with a whole core, and with the part of one
    /// that it gets.
    pub(super) loads: Vec<(f64, f64)>,
    /// By worker, the part of a core that it was last seen to get, and when.
    known: Vec<Option<(f64, Timestamp)>>,
    /// By operator, whether its instances were ever seen to take a worker's time: those whose time
    /// is imposed take none.
    takes_time: Vec<bool>,
    /// The last plan that did nothing but move instances, once it was carried out.
    moved: Option<Move>,
    /// The same while it may still be refused.
    planned: Option<Move>,
}

/// A plan that moves instances and does nothing else.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) at: Timestamp,
    /// Offered load of all sources, in records per second.
    pub(super) offered: f64,
    /// By worker, the part of a core that it gets.
    pub(super) core_shares: Vec<f64>,
}

impl Move {
    /// Whether load or cores differ much from those of `then`.
    fn differs(&self, then: &Move) -> bool {
        let differs = |(now, then): (&f64, &f64)| (now - then).abs() > CHANGED * then;
        differs((&self.offered, &then.offered)) || self.core_shares.iter().zip(&then.core_shares).any(differs)
    }
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

impl SharedWorkers {
    /// Processes a window; a part of a core that was last seen longer than `look_back` ago is forgotten.
    pub(super) fn observe(&mut self, topology: &Topology, observation: &Observation, look_back: Duration) {
        let now = observation.window.end;
        self.known.iter_mut().for_each(|known| *known = known.filter(|(_, at)| *at + look_back >= now));
        let known: Vec<Option<f64>> = self.known.iter().map(|known| known.map(|(share, _)| share)).collect();
        self.sharing = Sharing::of(topology, observation, &known);
        self.planned = None;
        self.takes_time.resize(topology.operators().len(), false);
        for (instance, time) in observation.workers.iter().flat_map(|worker| &worker.used) {
            if let Some(takes) = self.takes_time.get_mut(instance.operator.0 as usize) {
                *takes |= !time.is_zero();
            }
        }
    }

    /// Takes what each worker has to do over what it can do with a whole core, in a window that ends at `now`.
    pub(super) fn set_loads(&mut self, loads: Vec<f64>, now: Timestamp) {
        let Some(sharing) = &self.sharing else { return };
        let with_share = |(worker, load): (u32, f64)| (load, load / sharing.core_share(WorkerId(worker)));
        self.loads = (0..).zip(loads).map(with_share).collect();
        self.known.resize(sharing.core_shares.len(), None);
        for (known, share) in self.known.iter_mut().zip(&sharing.core_shares) {
            // A part that is only remembered keeps its age.
            *known = share.map(|share| (share, known.filter(|(before, _)| *before == share).map_or(now, |(_, at)| at)));
        }
    }

    /// Whether instances share workers.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }

    /// How they share them, and where the instances of `configuration` are; `None` where they do not share them.
    pub(super) fn of<'a>(&'a self, configuration: &'a Configuration) -> Option<(&'a Sharing, &'a Placement)> {
        self.sharing.as_ref().zip(configuration.placement())
    }

    /// The most instances of an operator that can be of use; `None` where they do not share workers.
    pub(super) fn most(&self, operator: usize) -> Option<u32> {
        self.sharing.as_ref().filter(|_| self.takes_time(operator)).map(|sharing| sharing.workers() * MOST_PER_WORKER)
    }

    /// Whether the instances of an operator take the time of workers.
    pub(super) fn takes_time(&self, operator: usize) -> bool {
        self.takes_time.get(operator).copied().unwrap_or(false)
    }

    /// A plan that moves instances and does nothing else is about to be made.
    pub(super) fn plan(&mut self, planned: Move) {
        self.planned = Some(planned);
    }

    /// Whether another such plan, `next`, would follow the last one within `look_back` although nothing much has changed.
    pub(super) fn moved_lately(&self, next: &Move, look_back: Duration) -> bool {
        self.moved.as_ref().is_some_and(|moved| !next.differs(moved) && next.at < moved.at + look_back)
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
    pub(super) fn over(&self, placement: &Placement, operator: OperatorId) -> f64 {
        placement.of(operator).iter().map(|worker| self.loads[worker.0 as usize].1).fold(0.0, f64::max)
    }
}
