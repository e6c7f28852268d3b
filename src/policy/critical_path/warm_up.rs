//! Whether a window may be judged: not while new instances have not started, nor while records that
//! waited for migrating bins are drained.
//!
//! Such a window says nothing about the configuration: operators look idle because one of them
//! backpressures the sources, loads look uneven, and the lag is that of the change itself. The
//! start-up time of instances is learned from when they first processed records.

use std::time::Duration;

use crate::dataflow::Topology;
use crate::metrics::InstanceMetrics;
use crate::model::ChangeModel;
use crate::observation::Observation;
use crate::time::Timestamp;

/// A migration or start-up shorter than this share of a window does not disturb the window.
pub(super) const BRIEF: f64 = 0.5;
/// A new instance started late if its queue exceeds this share of the records it processed.
const LEFT_OVER: f64 = 0.05;
/// After this many windows without work, an instance is not starting but broken.
const MOST_WINDOWS: u32 = 60;

/// Why a window is not judged; the name of the rule.
pub(super) const STARTING: &str = "starting";
pub(super) const SETTLING: &str = "settling";

/// Tracks new instances until they process records.
#[derive(Clone, Debug, Default)]
pub(super) struct WarmUp {
    /// By operator and instance, whether it has processed records.
    works: Vec<Vec<bool>>,
    /// Start and end of the last migration.
    migrated: Option<(Timestamp, Timestamp)>,
    /// Consecutive windows in which an instance had not started.
    waited: u32,
    /// Whether the next window is the first one after a migration.
    is_next_first: bool,
}

/// Whether the instance did any work.
fn worked(instance: &InstanceMetrics) -> bool {
    instance.processed > 0 || instance.useful + instance.external_wait > Duration::ZERO
}

/// Whether the instance has records to process.
fn has_work(instance: &InstanceMetrics) -> bool {
    instance.arrivals > 0 || instance.queue_records > 0
}

impl WarmUp {
    /// Records the end of a migration.
    pub(super) fn migrated(&mut self, began: Timestamp, ended: Timestamp) {
        (self.migrated, self.is_next_first) = (Some((began, ended)), true);
    }

    /// Processes a window; returns why it may not be judged, if so. `change` learns start-up times.
    pub(super) fn observe(&mut self, topology: &Topology, observation: &Observation, change: &mut ChangeModel) -> Option<&'static str> {
        let is_first = std::mem::take(&mut self.is_next_first);
        if self.works.is_empty() {
            // Instances that exist when the policy starts count as started.
            let parallelism = |operator: &crate::dataflow::Operator| observation.configuration.parallelism(operator.id);
            self.works = topology.operators().iter().map(|operator| vec![true; parallelism(operator) as usize]).collect();
        }
        let (mut waits, mut began_now, mut late_s): (bool, bool, Option<f64>) = (false, false, None);
        let mut paused_s: f64 = 0.0;
        for operator in topology.scalable() {
            let (metrics, works) = (observation.operator(operator.id), &mut self.works[operator.id.0 as usize]);
            works.resize(observation.configuration.parallelism(operator.id) as usize, false);
            for (works, instance) in works.iter_mut().zip(&metrics.instances).filter(|(works, _)| !**works) {
                *works = worked(instance);
                waits |= !*works && has_work(instance);
                began_now |= *works;
                let idle_s = instance.window.saturating_sub(instance.useful + instance.external_wait).as_secs_f64();
                // An instance that backpressures the sources while it is idle has not started yet, even if its queue is drained since.
                paused_s = paused_s.max(instance.backpressure.as_secs_f64().min(idle_s));
                if *works && instance.queue_records as f64 > LEFT_OVER * instance.processed as f64 {
                    // Its queue is not empty, so it has been busy since it started.
                    late_s = Some(late_s.map_or(idle_s, |late: f64| late.min(idle_s)));
                }
            }
        }
        let window_s = observation.window.length().as_secs_f64();
        let began = self.migrated.map_or(observation.window.start, |(began, _)| began);
        let since_s = |at: Timestamp| at.since(began.min(at)).as_secs_f64();
        if waits && self.waited < MOST_WINDOWS {
            self.waited += 1;
            change.not_started(since_s(observation.window.end));
            return Some(STARTING);
        }
        let was_waiting = self.waited > 0;
        if !waits {
            self.waited = 0;
        }
        let late_s = late_s.unwrap_or(0.0);
        if was_waiting && !waits || is_first && late_s > BRIEF * window_s {
            // They started within this window.
            change.started(since_s(observation.window.start) + late_s);
            return Some(STARTING);
        }
        let (_, ended) = self.migrated?;
        let took_s = since_s(ended);
        if is_first && began_now && took_s <= BRIEF * window_s {
            change.started(late_s.max(paused_s));
        }
        let is_settling = took_s > BRIEF * window_s && observation.window.start < ended + Duration::from_secs_f64(took_s);
        is_settling.then_some(SETTLING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;
    use crate::policy::fixture;

    const FLATMAP: OperatorId = OperatorId(1);

    /// Two seconds of a word count in which instance `i` of FlatMap worked for `busy_ms[i]` and left ten records in its queue.
    fn window(start_s: f64, busy_ms: &[u64]) -> Observation {
        let topology = fixture::word_count();
        let mut seen = fixture::idle(&topology, &fixture::instances(busy_ms.len() as u32, 1), start_s + 2.0, 2.0);
        for (instance, &busy_ms) in seen.operators[FLATMAP.0 as usize].instances.iter_mut().zip(busy_ms) {
            (instance.useful, instance.processed) = (Duration::from_millis(busy_ms), busy_ms / 10);
            (instance.arrivals, instance.queue_records) = (100, 10);
        }
        seen
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    #[test]
    fn who_has_work_and_does_none_has_not_started() {
        let (topology, mut started, mut change) = (fixture::word_count(), WarmUp::default(), ChangeModel::new(4));
        let mut observe = |seen: &Observation, started: &mut WarmUp| (started.observe(&topology, seen, &mut change), change.start_s());
        // What is there at the beginning works, whatever it does.
        assert_eq!(observe(&window(0.0, &[1000, 0]), &mut started), (None, None));
        started.migrated(at(2.0), at(2.1));
        assert_eq!(observe(&window(2.1, &[0, 0, 0, 0]), &mut started), (Some(STARTING), Some(2.1)));
        assert_eq!(observe(&window(4.1, &[0, 0, 0, 0]), &mut started), (Some(STARTING), Some(4.1)));
        // They began half a second into this window: it is not the work of a whole one.
        let (why, start_s) = observe(&window(6.1, &[2000, 2000, 1500, 1500]), &mut started);
        assert_eq!(why, Some(STARTING));
        assert!((4.1..=4.6).contains(&start_s.unwrap()), "{start_s:?}");
        assert_eq!(observe(&window(8.1, &[2000, 2000, 1900, 1900]), &mut started).0, None);
    }

    #[test]
    fn instances_that_work_at_once_are_judged_at_once() {
        let (topology, mut started, mut change) = (fixture::word_count(), WarmUp::default(), ChangeModel::new(4));
        started.observe(&topology, &window(0.0, &[2000]), &mut change);
        started.migrated(at(2.0), at(2.1));
        assert_eq!(started.observe(&topology, &window(2.1, &[2000, 1900]), &mut change), None);
        assert!(change.start_s().is_some_and(|start_s| start_s < 0.2), "{change:?}");
    }

    #[test]
    fn an_idle_instance_that_backpressures_the_sources_has_not_started() {
        let (topology, mut started, mut change) = (fixture::word_count(), WarmUp::default(), ChangeModel::new(4));
        started.observe(&topology, &window(0.0, &[2000]), &mut change);
        started.migrated(at(2.0), at(2.1));
        // It has drained its queue by the end of the window, but the sources were paused for it for half a second.
        let mut seen = window(2.1, &[2000, 1400]);
        let late = &mut seen.operators[FLATMAP.0 as usize].instances[1];
        (late.queue_records, late.backpressure) = (0, Duration::from_millis(500));
        assert_eq!(started.observe(&topology, &seen, &mut change), None);
        assert!((change.start_s().unwrap() - 0.5).abs() < 1e-9, "{change:?}");
    }

    #[test]
    fn one_that_never_works_does_not_hold_everything_up_for_ever() {
        let (topology, mut started, mut change) = (fixture::word_count(), WarmUp::default(), ChangeModel::new(4));
        started.observe(&topology, &window(0.0, &[2000]), &mut change);
        let judged = (1..100).find(|n| started.observe(&topology, &window(2.0 * f64::from(*n), &[2000, 0]), &mut change).is_none());
        assert_eq!(judged, Some(MOST_WINDOWS as i32 + 1));
        assert_eq!(started.observe(&topology, &window(200.0, &[2000, 0]), &mut change), None);
    }

    #[test]
    fn what_waited_for_bins_is_worked_off_first() {
        let (topology, mut started, mut change) = (fixture::word_count(), WarmUp::default(), ChangeModel::new(4));
        started.observe(&topology, &window(0.0, &[2000]), &mut change);
        // Ten seconds of records wait, and take about as long.
        started.migrated(at(2.0), at(12.0));
        let mut judged = |start_s| started.observe(&topology, &window(start_s, &[2000]), &mut change);
        assert_eq!((judged(12.0), judged(20.0), judged(22.0)), (Some(SETTLING), Some(SETTLING), None));
    }
}
