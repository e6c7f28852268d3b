//! What measured paths contribute to a decision: for whom sources pause, what latency is predicted from, and the goal by both.

use std::rc::Rc;

use super::goal::{Goal, paused_for, waited_at};
use super::search::{Asked, Search, Searched};
use super::sight::Sight;
use super::{AGREEING, CriticalPath, HELD_UP, Load, MOSTLY_HELD_UP, OFTEN_MISSED, OVER_MARK, Paths};
use crate::model::WorkedOut;
use crate::observation::Observation;

impl CriticalPath {
    /// By operator, how many records at an instance pause sources, as far as it was seen; only where they are what holds the job up.
    pub(super) fn pressing(&self) -> Vec<Option<f64>> {
        let has_goal = self.config.goal_ms > 0.0;
        self.marks.iter().zip(&self.held_up).map(|(mark, held_up)| mark.filter(|_| has_goal || *held_up >= AGREEING)).collect()
    }

    /// The same of operators that were given instances for it, which are not to be taken away as long as they are needed for that.
    fn remembered(&self) -> Vec<Option<f64>> {
        let has_goal = self.config.goal_ms > 0.0;
        let kept = self.marks.iter().zip(&self.memory);
        kept.map(|(mark, memory)| mark.filter(|_| has_goal || memory.raised_for_pauses)).collect()
    }

    /// Counts for which operator sources are paused; learns what latency is predicted from.
    pub(super) fn follow(&mut self, observation: &Observation, load: &Load) {
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
            let is_crowded = placement.is_some_and(|placement| self.crowd.explains(placement, operator.id));
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

    /// Whether instances that meet the goal are looked for at once: only where it has been missed for so long that it is acted upon.
    pub(super) fn asked(&self, load: &Load) -> Asked {
        let missed = self.missed_by_paths(self.beyond_goal(load, load.p99_s));
        if missed >= OFTEN_MISSED { Asked::Goal } else { Asked::KeepUp }
    }

    /// Searches for what `load` asks, by predictions from what was `worked_out` already.
    pub(super) fn search(
        &self,
        observation: &Observation,
        load: &Load,
        sights: &[Sight],
        (asked, worked_out): (Asked, Rc<WorkedOut>),
    ) -> Searched {
        let mut searched =
            self.searching(observation, load, sights, &worked_out, |search| Search { asked, ..search }.run(worked_out.clone()));
        self.share_workers(&mut searched, &observation.configuration, load);
        searched
    }

    /// What would certainly be enough for the most that was offered recently.
    pub(super) fn enough_recently(&self, observation: &Observation, load: &Load, sights: &[Sight], searched: &Searched) -> Vec<u32> {
        let demands = &load.most_recent;
        let mut enough = self.searching(observation, load, sights, &searched.worked_out, |search| Search { demands, ..search }.enough());
        self.at_least(&mut enough, &observation.configuration, demands);
        enough
    }

    fn searching<T>(
        &self,
        observation: &Observation,
        load: &Load,
        sights: &[Sight],
        worked_out: &Rc<WorkedOut>,
        search: impl FnOnce(Search<'_>) -> T,
    ) -> T {
        let most = self.topology.operators().iter().map(|operator| self.most(operator, &sights[operator.id.0 as usize], load));
        let most: Vec<u32> = most.collect();
        let in_vain: Vec<bool> = self.memory.iter().zip(sights).map(|(memory, sight)| memory.is_in_vain(sight)).collect();
        let predictor = self.what_if.predictor_with(&self.topology, worked_out.clone());
        let window_s = observation.window.length().as_secs_f64();
        let paths =
            observation.paths.as_ref().filter(|paths| self.config.paths == Paths::On && paths.all.epochs + paths.migrating.epochs > 0);
        let waited_at = paths.map(|paths| waited_at(&self.topology, paths)).unwrap_or_default();
        let goal = Goal::new(&predictor, self.config.goal_ms / 1e3, observation.latency.records as f64 / window_s, &waited_at);
        let (pressing, remembered) = (self.pressing(), self.remembered());
        search(Search {
            goal: paths.filter(|_| self.config.goal_ms > 0.0).map(|_| &goal),
            asked: Asked::Goal,
            pressed: paths.map(|_| (&predictor, pressing.as_slice())),
            marks: &remembered,
            in_vain: &in_vain,
            topology: &self.topology,
            config: &self.config,
            curves: &self.curves,
            sights,
            most: &most,
            demands: &load.demands,
            catching_up: &load.catching_up,
            latency: &self.latency,
        })
    }
}
