//! Step: views of all operators in the window, with what is remembered of them.
//!
//! The view of an operator is made twice: first as measured, since that is what the outcome of the
//! last action is judged by; then with what follows from this outcome, limits and probes.

use super::super::operator_view::OperatorView;
use super::super::state::CriticalPath;
use super::load::Load;
use crate::dataflow::Operator;
use crate::model::Speeds;
use crate::observation::Observation;
use crate::time::Timestamp;

/// A limit is tried again with this many times its instances.
const AGAIN: f64 = 1.5;

impl CriticalPath {
    /// Views of all operators in the window; updates the learned speeds of instances.
    pub(super) fn views(&mut self, observation: &Observation, load: &Load) -> Vec<OperatorView> {
        let mut views = Vec::with_capacity(self.topology.operators().len());
        for operator in self.topology.operators() {
            let (index, metrics) = (operator.id.0 as usize, observation.operator(operator.id));
            let instances = observation.configuration.parallelism(operator.id);
            let speeds = Speeds::of(metrics).map(|speeds| self.relative[index].observe(metrics, instances, speeds));
            if let Some(speeds) = speeds.as_ref().filter(|_| operator.is_scalable()) {
                self.curves[index].observe(instances, speeds.rate, speeds.error);
            }
            let view = OperatorView::of(operator, metrics, instances, load.demands[index], speeds);
            self.memory[index].waits.observe(observation.window.end, &view);
            views.push(view);
        }
        views
    }

    /// Drops what no longer holds, and finds out which external waits may be probed.
    pub(super) fn recall(&mut self, now: Timestamp, load: &Load, views: &mut [OperatorView]) {
        let look_back_s = self.config.look_back_s;
        for ((memory, view), (curve, demand)) in self.memory.iter_mut().zip(views).zip(self.curves.iter().zip(&load.demands)) {
            let rate = curve.measured(view.instances).map(|total| total / f64::from(view.instances));
            // Limits hold as long as instances keep the rate at which they were learned.
            memory.limit = memory.limit.filter(|limit| rate.is_none_or(|rate| limit.is_sound(view.instances, rate)));
            memory.failed_rebalance = memory.failed_rebalance.filter(|failed| failed.instances == view.instances);
            if let Some(failed) = &mut memory.failed_rebalance {
                failed.backs_off = failed.tried.backs_off(now, look_back_s, *demand);
            }
            let backs_off = memory.limit.is_some_and(|limit| limit.tried.backs_off(now, look_back_s, *demand));
            view.waits &= !memory.waits.apart;
            view.probe = memory.waits.probe(now, view, self.config.catch_up_s).filter(|_| !backs_off);
        }
    }

    /// The highest parallelism that `operator` may get.
    pub(super) fn most(&self, operator: &Operator, view: &OperatorView, load: &Load) -> u32 {
        let index = operator.id.0 as usize;
        let limit = self.memory[index].limit.map(|limit| {
            let now = self.offered.back().map_or(Timestamp::ZERO, |offered| offered.window.end);
            let backs_off = limit.tried.backs_off(now, self.config.look_back_s, load.demands[index]);
            if backs_off { limit.most } else { (f64::from(limit.most) * AGAIN).ceil() as u32 }
        });
        [limit, view.probe, self.workers.most(index).map(|most| most.max(view.instances))]
            .into_iter()
            .flatten()
            .fold(operator.max_parallelism, u32::min)
            .max(1)
    }
}
