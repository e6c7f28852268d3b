//! What came of a run, on whatever host.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instance_rows::InstanceRow;
use super::rows::{LatencyRow, TimelineRow, WorkerRow};
use crate::controller::{Event, EventKind};
use crate::dataflow::{Configuration, Topology};
use crate::engine::Verdict;
use crate::id::OperatorId;
use crate::observation::LatencySummary;
use crate::time::Timestamp;

/// Instances each operator needs by the scenario's true parameters, with the time from which on it does; empty where that is unknown.
pub type Needs = Vec<(Timestamp, BTreeMap<OperatorId, u32>)>;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It lasted as long as it was to.
    #[default]
    Complete,
    /// Somebody interrupted it: what there is was measured until then.
    Interrupted,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The job's topology.
    pub topology: Topology,
    /// A row a window and operator.
    pub timeline: Vec<TimelineRow>,
    /// A row a window.
    pub latency: Vec<LatencyRow>,
    /// A row a window and worker, where instances share workers.
    pub workers: Vec<WorkerRow>,
    /// Rows of instances: of every window of a short run, evenly spaced ones of a longer one.
    pub instances: Vec<InstanceRow>,
    /// The decision log.
    pub events: Vec<Event>,
    /// Configurations with the time from which each held.
    pub configurations: Vec<(Timestamp, Configuration)>,
    /// How long the source emitted; of a run that was interrupted, how much of that was measured.
    pub duration: Duration,
    /// Whether that is all.
    pub ending: Ending,
    /// Latency of all records.
    pub overall: LatencySummary,
    /// What reached the sink against a sequential count; all 0 where a run on the engine was interrupted before that.
    pub verdict: Verdict,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
    /// Instances each operator needs, where known, with the time from which on it does.
    pub needed: Needs,
    /// Bytes of state that changed their instance; nothing where the host does not count them.
    pub moved_bytes: Option<u64>,
}

impl RunResult {
    /// Plans carried out.
    pub fn actions(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.kind, EventKind::Migrated { .. })).count()
    }

    /// Plans that the host gave up.
    pub fn failed_actions(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.kind, EventKind::BackingOff { .. })).count()
    }

    /// When the last plan was carried out; nothing if none was.
    pub fn settled_at(&self) -> Option<Timestamp> {
        self.events.iter().rev().find(|event| matches!(event.kind, EventKind::Migrated { .. })).map(|event| event.at)
    }

    /// The configuration at the end.
    pub fn last_configuration(&self) -> &Configuration {
        &self.configurations.last().expect("a run starts with a configuration").1
    }

    /// The most instances of each operator at any time.
    pub fn peak_configuration(&self) -> Configuration {
        let peak = |configuration: Configuration, (_, next): &(Timestamp, Configuration)| {
            next.iter().fold(configuration, |peak, (id, instances)| {
                let most = peak.parallelism(id).max(instances);
                peak.with(id, most)
            })
        };
        self.configurations.iter().fold(self.configurations[0].1.clone(), peak)
    }

    /// Emitted over due records of all sources in the windows after the last plan was carried out, or in all windows if none
    /// was; nothing without a window.
    pub fn achieved_over_offered(&self) -> Option<f64> {
        let from = self.settled_at().unwrap_or_default().as_secs_f64();
        let after = self.timeline.iter().filter(|row| row.window_start_s >= from);
        let (mut achieved, mut offered) = (0.0, 0.0);
        for row in after {
            achieved += row.achieved_per_s.unwrap_or(0.0);
            offered += row.offered_per_s.unwrap_or(0.0);
        }
        (offered > 0.0).then(|| achieved / offered)
    }

    /// Time in which some operator had fewer instances than it needs; nothing when the need is unknown.
    pub fn under_provisioned(&self) -> Option<Duration> {
        self.integrate(|has, needs| if has < needs { 1.0 } else { 0.0 }, f64::max).map(Duration::from_secs_f64)
    }

    /// Instances more than needed, times the seconds they were there; nothing when the need is unknown.
    pub fn over_provisioned_instance_s(&self) -> Option<f64> {
        self.integrate(|has, needs| f64::from(has.saturating_sub(needs)), |a, b| a + b)
    }

    /// Integral over the run of what `each` makes of (instances, need), combined over operators.
    fn integrate(&self, each: impl Fn(u32, u32) -> f64, combine: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let (first, _) = self.needed.first()?;
        let end = Timestamp::ZERO + self.duration;
        let changes = self.configurations.iter().map(|(at, _)| *at).chain(self.needed.iter().map(|(at, _)| *at));
        let mut starts: Vec<Timestamp> = changes.filter(|at| *at >= *first && *at < end).collect();
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([end]);
        let sum = starts.iter().zip(ends).map(|(&start, until)| {
            let configuration = held_at(&self.configurations, start).unwrap_or(&self.configurations[0].1);
            let needed = held_at(&self.needed, start).expect("needs are known from the first on");
            let value = needed.iter().map(|(&id, &needs)| each(configuration.parallelism(id), needs)).reduce(&combine);
            value.unwrap_or(0.0) * until.since(start).as_secs_f64()
        });
        Some(sum.sum())
    }
}

/// What holds at `at` of what holds from a time on each.
fn held_at<T>(all: &[(Timestamp, T)], at: Timestamp) -> Option<&T> {
    all[..all.partition_point(|(from, _)| *from <= at)].last().map(|(_, held)| held)
}
