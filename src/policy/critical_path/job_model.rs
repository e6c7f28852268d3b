//! What each operator has to do in a window, what it could do with any number of instances, and which
//! operator bounds the job.
//!
//! All of it is calculated from measurements of the present configuration; a search for a better one
//! asks nothing else about the job.

use super::config::CriticalPathConfig;
use super::operator_view::OperatorView;
use crate::dataflow::{Operator, Topology};
use crate::model::{CapacityModel, Hop, Station, longest};

/// With a lower exponent of its capacity curve than this, more instances of an operator bring little.
pub(super) const FLAT: f64 = 0.5;

/// The job in a window. Slices are by operator.
#[derive(Clone, Copy)]
pub(super) struct JobModel<'a> {
    pub(super) topology: &'a Topology,
    pub(super) config: &'a CriticalPathConfig,
    pub(super) curves: &'a [CapacityModel],
    pub(super) views: &'a [OperatorView],
    /// Most instances.
    pub(super) most: &'a [u32],
    /// Whether no division of its load helps: a single key bounds it, or the host does not divide by speed.
    pub(super) indivisible: &'a [bool],
    /// Records per second that each must process.
    pub(super) demands: &'a [Option<f64>],
    /// The same while lag is drained.
    pub(super) catching_up: &'a [Option<f64>],
}

/// The longest path through a configuration.
pub(super) struct LongestPath {
    /// Seconds of work on it.
    pub(super) service_s: f64,
    /// Seconds in queues on it, by the queueing formula.
    pub(super) queueing_s: f64,
    /// Which operators are on it.
    pub(super) on_it: Vec<bool>,
}

impl JobModel<'_> {
    /// The present instances.
    pub(super) fn present(&self) -> Vec<u32> {
        self.views.iter().map(|view| view.instances).collect()
    }

    /// Instances of all scalable operators.
    pub(super) fn sum(&self, instances: &[u32]) -> u64 {
        self.topology.scalable().map(|operator| u64::from(instances[operator.id.0 as usize])).sum()
    }

    /// Records per second that `instances` of the operator process together, slow ones among them.
    pub(super) fn capacity(&self, operator: usize, instances: u32) -> Option<f64> {
        let (view, total) = (&self.views[operator], self.curves[operator].total(instances)?);
        let p = f64::from(instances);
        let even = total * (1.0 - view.missing() / p).max(0.01) / view.bins.granularity_by_speed(view.speeds.as_ref(), instances);
        // Where load cannot be divided by speed, all go as fast as the slowest; with more instances its part is less.
        Some(if self.indivisible[operator] && view.has_slow() { even / view.imbalance } else { even })
    }

    /// Whether its number of instances is not ours to change: what bounds it lies elsewhere.
    pub(super) fn is_fixed(&self, operator: usize) -> bool {
        let view = &self.views[operator];
        view.waits && view.probe.is_none()
    }

    /// The part of its demand that the operator can do at most; nothing where it is not known.
    pub(super) fn part_of(&self, operator: usize) -> Option<f64> {
        let demand = self.demands[operator].filter(|demand| *demand > 0.0)?;
        let view = &self.views[operator];
        if self.indivisible[operator] && !view.has_slow() {
            return Some(self.capacity(operator, view.instances)? / view.imbalance / demand);
        }
        let most = if self.is_fixed(operator) { view.instances } else { self.most[operator] };
        Some(self.capacity(operator, most)? / demand)
    }

    /// The operator that can do the smallest part of its demand, with that part; the first of several.
    fn tightest(&self) -> Option<(f64, usize)> {
        let parts = self.topology.scalable().filter_map(|operator| Some((self.part_of(operator.id.0 as usize)?, operator.id.0 as usize)));
        parts.reduce(|a, b| if b.0 < a.0 { b } else { a })
    }

    /// The part of the offered load that the job can do at most.
    pub(super) fn bound(&self) -> f64 {
        self.tightest().map_or(1.0, |(part, _)| part.min(1.0))
    }

    /// What bounds the job to a part of the offered load, if an operator does; the name of the rule.
    pub(super) fn bounded_by(&self) -> Option<&'static str> {
        let (_, index) = self.tightest().filter(|(part, _)| *part < 1.0)?;
        let view = &self.views[index];
        Some(match () {
            () if self.indivisible[index] && !view.has_slow() => "hot-key",
            () if view.waits => "external-wait",
            () if view.has_slow() => "straggling",
            () => "bounded",
        })
    }

    /// Busy part of an operator's fullest instance; 0 where it is not known.
    pub(super) fn utilisation(&self, operator: usize, instances: u32) -> f64 {
        self.hop(operator, instances, 1.0).utilisation
    }

    /// What an operator adds to the way of a record, at the part `part` of the load.
    pub(super) fn hop(&self, operator: usize, instances: u32, part: f64) -> Hop {
        let (Some(total), Some(demand)) = (self.capacity(operator, instances), self.demands[operator]) else { return Hop::default() };
        let skew = if instances == self.views[operator].instances { self.views[operator].imbalance } else { 1.0 };
        Hop { service_s: f64::from(instances) / total, utilisation: demand * part * skew / total }
    }

    /// The longest path through `instances`.
    pub(super) fn longest(&self, instances: &[u32], part: f64) -> LongestPath {
        let hops: Vec<Hop> = (0..instances.len()).map(|operator| self.hop(operator, instances[operator], part)).collect();
        let seconds: Vec<f64> = hops.iter().map(|hop| hop.service_s + hop.queueing_s()).collect();
        let (_, on_it) = longest(self.topology, &seconds);
        let sum = |part: fn(&Hop) -> f64| hops.iter().zip(&on_it).filter(|(_, on_it)| **on_it).map(|(hop, _)| part(hop)).sum();
        LongestPath { service_s: sum(|hop| hop.service_s), queueing_s: sum(Hop::queueing_s), on_it }
    }

    /// An operator with `instances`, at the part `part` of the load, as predictions from measured paths need it; nothing where it is not
    /// known.
    pub(super) fn station(&self, operator: &Operator, instances: u32, part: f64) -> Option<Station> {
        let index = operator.id.0 as usize;
        let total = self.curves[index].total(instances).filter(|_| operator.is_scalable())?;
        let skew = if instances == self.views[index].instances { self.views[index].imbalance } else { 1.0 };
        Some(Station {
            instances,
            // Waits grow much faster than service times do: one standard error to be safe.
            service_s: f64::from(instances) / total * self.curves[index].error().exp(),
            demand_per_s: self.demands[index]? * part,
            fullest: self.views[index].bins.granularity(instances) * skew,
        })
    }

    /// The same of all operators.
    pub(super) fn stations(&self, instances: &[u32], part: f64) -> Vec<Option<Station>> {
        let station = |operator: &Operator| self.station(operator, instances[operator.id.0 as usize], part);
        self.topology.operators().iter().map(station).collect()
    }
}
