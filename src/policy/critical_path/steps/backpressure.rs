//! Step: for which operators the sources are paused, by the measured paths.

use super::super::config::Paths;
use super::super::paths::paused_for;
use super::super::state::{AGREEING, CriticalPath};
use super::load::Load;
use crate::observation::Observation;

/// An operator holds the job up if backpressure from it makes up this share of the latency...
const HELD_UP: f64 = 0.2;
/// ... and from this share on, one window is evidence enough.
const MOSTLY_HELD_UP: f64 = 0.5;
/// The longest queue of an instance that backpressured the sources exceeds its high-water mark somewhat: this share of it estimates the
/// mark.
const OVER_MARK: f64 = 0.7;

impl CriticalPath {
    /// Counts for which operator sources are paused; learns what latency is predicted from.
    pub(super) fn follow_paths(&mut self, observation: &Observation, load: &Load) {
        let Some(paths) = observation.paths.as_ref().filter(|_| self.config.paths == Paths::On) else { return };
        for (mark, metrics) in self.marks.iter_mut().zip(&observation.operators) {
            let pressed = metrics.instances.iter().filter(|instance| !instance.backpressure.is_zero());
            let longest = pressed.map(|instance| (instance.queue_max_records as f64 * OVER_MARK).max(1.0));
            *mark = longest.chain(*mark).reduce(f64::min);
        }
        let paused = paused_for(&self.topology, &paths.all);
        let placement = observation.configuration.placement();
        for ((operator, held_up), paused) in self.topology.operators().iter().zip(&mut self.held_up).zip(paused) {
            // More instances do not end pauses that a worker without time for its instances causes.
            let is_crowded = placement.is_some_and(|placement| self.workers.explains(placement, operator.id));
            *held_up = match paused {
                _ if is_crowded => 0,
                // Sources that catch up fill queues whatever the operator can do.
                paused if paused <= HELD_UP || load.catches_up => 0,
                // What is obvious need not be seen twice.
                paused if paused > MOSTLY_HELD_UP && !load.on_time => (*held_up + 1).max(AGREEING),
                _ => *held_up + 1,
            };
        }
        if load.calm || !self.what_if.is_known() {
            self.what_if.observe(paths);
        }
    }

    /// By operator, how many records at an instance pause sources, as far as it was seen; only where they are what holds the job up.
    pub(super) fn pressing(&self) -> Vec<Option<f64>> {
        let has_goal = self.config.goal_ms > 0.0;
        self.marks.iter().zip(&self.held_up).map(|(mark, held_up)| mark.filter(|_| has_goal || *held_up >= AGREEING)).collect()
    }

    /// The same of operators that were given instances for it, which are not to be taken away as long as they are needed for that.
    pub(super) fn remembered(&self) -> Vec<Option<f64>> {
        let has_goal = self.config.goal_ms > 0.0;
        let kept = self.marks.iter().zip(&self.memory);
        kept.map(|(mark, memory)| mark.filter(|_| has_goal || memory.raised_for_pauses)).collect()
    }
}
