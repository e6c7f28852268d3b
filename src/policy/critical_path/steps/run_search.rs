//! Step: searches for the smallest configuration that does what the load asks.

use std::rc::Rc;

use super::super::config::Paths;
use super::super::goal::Goal;
use super::super::job_model::JobModel;
use super::super::operator_view::OperatorView;
use super::super::paths::waited_at;
use super::super::search::{Objective, Search, SearchResult};
use super::super::state::CriticalPath;
use super::load::Load;
use crate::model::WorkedOut;
use crate::observation::Observation;

impl CriticalPath {
    /// Whether instances that meet the goal are looked for at once: only where it has been missed for so long that it is acted upon.
    pub(super) fn objective(&self, load: &Load) -> Objective {
        let missed = load.beyond_goal(self.config.goal_ms, load.p99_s);
        if self.goal_misses.after(missed).are_often() { Objective::Goal } else { Objective::KeepUp }
    }

    /// Searches for what `load` asks, by predictions from what was `worked_out` already.
    pub(super) fn search(
        &self,
        observation: &Observation,
        load: &Load,
        views: &[OperatorView],
        (objective, worked_out): (Objective, Rc<WorkedOut>),
    ) -> SearchResult {
        let mut result =
            self.searching(observation, load, views, &worked_out, |search| Search { objective, ..search }.run(worked_out.clone()));
        self.share_workers(&mut result, &observation.configuration, load);
        result
    }

    /// Looks for instances that meet the goal, where they were not asked for but something is to change anyway.
    pub(super) fn search_for_goal(&self, observation: &Observation, load: &Load, views: &[OperatorView], result: &mut SearchResult) {
        if result.has_paths && result.objective == Objective::KeepUp {
            *result = self.search(observation, load, views, (Objective::Goal, result.worked_out.clone()));
        }
    }

    /// What would certainly be enough for the most that was offered recently.
    pub(super) fn enough_recently(
        &self,
        observation: &Observation,
        load: &Load,
        views: &[OperatorView],
        result: &SearchResult,
    ) -> Vec<u32> {
        let demands = &load.most_recent;
        let mut enough = self.searching(observation, load, views, &result.worked_out, |search| {
            let job = JobModel { demands, ..search.job };
            Search { job, ..search }.enough()
        });
        self.at_least(&mut enough, &observation.configuration, demands);
        enough
    }

    /// Calls `with` with a search for what `load` asks.
    fn searching<T>(
        &self,
        observation: &Observation,
        load: &Load,
        views: &[OperatorView],
        worked_out: &Rc<WorkedOut>,
        with: impl FnOnce(Search<'_>) -> T,
    ) -> T {
        let most = self.topology.operators().iter().map(|operator| self.most(operator, &views[operator.id.0 as usize], load));
        let most: Vec<u32> = most.collect();
        let indivisible: Vec<bool> = self.memory.iter().zip(views).map(|(memory, view)| memory.is_rebalance_useless(view)).collect();
        let predictor = self.what_if.predictor_with(&self.topology, worked_out.clone());
        let window_s = observation.window.length().as_secs_f64();
        let paths =
            observation.paths.as_ref().filter(|paths| self.config.paths == Paths::On && paths.all.epochs + paths.migrating.epochs > 0);
        let waited_at = paths.map(|paths| waited_at(&self.topology, paths)).unwrap_or_default();
        let goal = Goal::new(&predictor, self.config.goal_ms / 1e3, observation.latency.records as f64 / window_s, &waited_at);
        let (pressing, remembered) = (self.pressing(), self.remembered());
        let job = JobModel {
            topology: &self.topology,
            config: &self.config,
            curves: &self.curves,
            views,
            most: &most,
            indivisible: &indivisible,
            demands: &load.demands,
            catching_up: &load.catching_up,
        };
        with(Search {
            job,
            goal: paths.filter(|_| self.config.goal_ms > 0.0).map(|_| &goal),
            objective: Objective::Goal,
            pressed: paths.map(|_| (&predictor, pressing.as_slice())),
            marks: &remembered,
            latency: &self.latency,
        })
    }

    /// Compares the measured latency of a job that keeps up with what is predicted for its present configuration.
    pub(super) fn calibrate(&mut self, observation: &Observation, load: &Load, result: &SearchResult) {
        if load.on_time
            && let Some(p99) = observation.latency.ns_p99
        {
            self.latency.observe(p99 as f64 / 1e9, result.longest.service_s, result.longest.queueing_s);
            if result.has_paths && load.calm {
                self.what_if.calibrate_with(&self.topology, result.worked_out.clone(), &result.stations, &observation.latency);
            }
        }
    }
}
