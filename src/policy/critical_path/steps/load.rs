//! Step: demand and lag of a window, and whether the job keeps up.

use std::time::Duration;

use super::super::forecast::{OfferedLoad, forecast, is_steady, representative};
use super::super::memory::LastAction;
use super::super::paths::charged;
use super::super::state::CriticalPath;
use crate::id::OperatorId;
use crate::observation::Observation;

/// With a latency goal, lag is drained faster by this factor, since lag is latency.
const HURRY: f64 = 6.0;
/// A job whose throughput is below this share of the offered load falls behind.
const KEEPS_UP: f64 = 0.98;
/// Lag, as a share of a window's records, up to which the job is on time.
const ON_TIME: f64 = 0.25;
/// Lag, as a share of a window's records, that counts as none.
const CALM: f64 = 0.02;
/// A job whose throughput exceeds this share of the offered load catches up.
const CATCHES_UP: f64 = 1.01;
/// While the load rises, lag is drained within this share of a look-back: the instances for it will be needed anyway.
const RISING_CATCH_UP: f64 = 0.5;
/// Weight of a new measurement of the disruption that a plan causes.
const NEW_DISRUPTION: f64 = 0.5;

/// Demand and lag of a window.
pub(super) struct Load {
    /// By operator, records per second that reach it at the offered load.
    pub(super) demands: Vec<Option<f64>>,
    /// The same while lag and queues are drained within the time allowed for that.
    pub(super) catching_up: Vec<Option<f64>>,
    /// As `demands`, at the highest load of the recent windows.
    pub(super) most_recent: Vec<Option<f64>>,
    /// As `demands`, at the load expected when the next decision has been executed.
    pub(super) soon: Vec<Option<f64>>,
    /// Whether that is higher, because the load rises from window to window.
    pub(super) rises: bool,
    /// Whether it can be expected to rise beyond the stall of a change.
    pub(super) outlasts: bool,
    /// The recent windows whose load can be expected to return soon.
    pub(super) representative: usize,
    /// Whether the load was the same in all recent windows.
    pub(super) steady: bool,
    /// Records per second, of all sources.
    pub(super) offered: f64,
    /// Measured 99th percentile of latency, in seconds.
    pub(super) p99_s: Option<f64>,
    /// The operator charged with the largest share of the slowest epochs' latency, where paths were measured.
    pub(super) slowest: Option<OperatorId>,
    /// Whether throughput meets the offered load and there is no lag.
    pub(super) on_time: bool,
    /// Whether all epochs that completed began under the present configuration.
    pub(super) settled: bool,
    /// Whether there is hardly any lag and no backpressure, so that the measurements describe the present configuration.
    pub(super) calm: bool,
    /// Whether throughput exceeds the offered load.
    pub(super) catches_up: bool,
    /// Whether the lag grows.
    pub(super) falls_behind: bool,
    /// Whether a whole look-back of windows has been seen.
    pub(super) looked_back: bool,
}

impl Load {
    /// The latency `p99_s` if it is beyond the goal and not due to a change that is under way.
    pub(super) fn beyond_goal(&self, goal_ms: f64, p99_s: Option<f64>) -> Option<f64> {
        let goal_s = goal_ms / 1e3;
        p99_s.filter(|p99_s| goal_s > 0.0 && self.settled && *p99_s > goal_s)
    }
}

impl CriticalPath {
    /// Demand of the window, and whether the job keeps up.
    pub(super) fn load(&mut self, observation: &Observation) -> Load {
        let window = observation.window.length().as_secs_f64();
        let mut offered = vec![0.0; self.topology.operators().len()];
        let (mut lag, mut achieved) = (0.0, 0.0);
        for source in &observation.sources {
            offered[source.operator.0 as usize] = source.offered.as_per_second();
            lag += source.lag_records;
            achieved += source.achieved.as_per_second();
        }
        let sum: f64 = offered.iter().sum();
        self.window_s = window;
        self.cost_benefit.observe(observation.window.start, observation.window.end, sum);
        let before = std::mem::replace(&mut self.lag, lag);
        let (end, look_back) = (observation.window.end, Duration::from_secs_f64(self.config.look_back_s));
        let since = *self.since.get_or_insert(observation.window.start);
        if let Some(last) = self
            .offered
            .back()
            .filter(|_| self.last_action.as_ref().is_some_and(LastAction::is_new))
            .filter(|last| last.window.end < observation.window.start)
        {
            self.delay = observation.window.start.since(last.window.end);
            let more_s = if sum > 0.0 { (lag - before) / sum } else { 0.0 };
            self.disruption_s += (more_s.max(0.0) - self.disruption_s) * NEW_DISRUPTION;
        }
        self.offered.push_back(OfferedLoad { window: observation.window, rates: offered.clone() });
        while self.offered.len() > 1 && self.offered[0].window.end + look_back < end {
            self.offered.pop_front();
        }
        let mut most = offered.clone();
        let representative = representative(&self.offered);
        for recent in self.offered.iter().rev().take(representative) {
            most.iter_mut().zip(&recent.rates).for_each(|(most, recent)| *most = most.max(*recent));
        }
        // State that migrates stalls the job as instances that start do.
        let stall_s = self.change_model.start_s().unwrap_or(window).max(self.delay.as_secs_f64());
        let forecast = forecast(&self.offered, self.delay, stall_s);
        let catch_up_s = self.catch_up_s(forecast.rises);
        let mut catching_up = forecast.later;
        // While the load rises, a plan must also drain the lag that it causes itself.
        let disruption_s = if forecast.rises { self.disruption_s } else { 0.0 };
        for source in &observation.sources {
            catching_up[source.operator.0 as usize] += (source.lag_records + source.offered.as_per_second() * disruption_s) / catch_up_s;
        }
        let settled = observation.paths.as_ref().is_none_or(|paths| paths.migrating.epochs == 0);
        let demands = |offered: &[f64]| self.flow.demands(&self.topology, offered);
        let mut catching_up = demands(&catching_up);
        for (demand, metrics) in catching_up.iter_mut().zip(&observation.operators) {
            // Queued records are lag as well.
            *demand = demand.map(|demand| demand + metrics.queue_records() as f64 / catch_up_s);
        }
        Load {
            demands: demands(&offered),
            catching_up,
            most_recent: demands(&most),
            soon: demands(&forecast.soon),
            rises: forecast.rises,
            outlasts: forecast.outlasts,
            representative,
            steady: is_steady(&self.offered),
            offered: sum,
            p99_s: observation.latency.ns_p99.map(|p99| p99 as f64 / 1e9),
            slowest: observation.paths.as_ref().and_then(|paths| charged(&paths.slowest)),
            on_time: achieved >= sum * KEEPS_UP && lag <= sum * window * ON_TIME,
            settled,
            calm: settled && lag <= sum * window * CALM && observation.operators.iter().all(|metrics| metrics.backpressure_sum() == 0.0),
            catches_up: achieved > sum * CATCHES_UP,
            falls_behind: lag > before + sum * window * (1.0 - KEEPS_UP),
            looked_back: end >= since + look_back,
        }
    }

    /// The time within which lag is to be drained.
    pub(super) fn catch_up_s(&self, rises: bool) -> f64 {
        let asked = self.config.catch_up_s / if self.config.goal_ms > 0.0 { HURRY } else { 1.0 };
        if rises { asked.min((self.config.look_back_s * RISING_CATCH_UP).max(f64::MIN_POSITIVE)) } else { asked }
    }
}
