//! One run: a job on the engine, observed and controlled until it ends.
//!
//! The loop of the whole system on one screen: records come from the host, observers turn them into observations, the
//! controller turns those into schedules, steps go back to the host. Nothing else connects them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::activity::LogWriter;
use crate::controller::{Controller, ControllerConfig, Event, EventKind};
use crate::dataflow::{Configuration, Topology};
use crate::engine::word_count::{Tally, Verdict, WordCount};
use crate::engine::{Recorder, RunError};
use crate::id::OperatorId;
use crate::migration::{Latest, Strategy};
use crate::observation::{LatencySummary, Observation, Observer};
use crate::policy::Policy;
use crate::stats::LatencyHistogram;
use crate::time::Timestamp;

use super::carrying_out::CarryingOut;
use super::rows::{LatencyRow, TimelineRow};

/// What is to be run.
pub struct RunSpec {
    /// The job.
    pub job: WordCount,
    /// Pacing of the policy.
    pub controller: ControllerConfig,
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Length of a row of the timeline.
    pub row_window: Duration,
    /// Instances each operator needs by the scenario's true parameters, where they are known.
    pub needed: BTreeMap<OperatorId, u32>,
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
    /// The decision log.
    pub events: Vec<Event>,
    /// Configurations with the time from which each held.
    pub configurations: Vec<(Timestamp, Configuration)>,
    /// How long the source emitted.
    pub duration: Duration,
    /// Latency of all records.
    pub overall: LatencySummary,
    /// What reached the sink against a sequential count.
    pub verdict: Verdict,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
    /// Instances each operator needs, where known.
    pub needed: BTreeMap<OperatorId, u32>,
}

/// How a run stands, for a live line.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// Time of the run.
    pub now: Timestamp,
    /// The window that just closed.
    pub observation: &'a Observation,
    /// What the controller has done so far.
    pub events: &'a [Event],
}

/// Runs `spec`; `show` is called for each row of the timeline. `activity_log` names a file for the records themselves.
///
/// # Errors
/// When the engine fails or the activity log cannot be written.
pub fn run(spec: RunSpec, activity_log: Option<&Path>, mut show: impl FnMut(Status<'_>)) -> Result<RunResult, RunFailure> {
    let RunSpec { job, controller: config, policy, row_window, needed } = spec;
    let topology = job.topology();
    let (interval, strategy) = (config.policy_interval, config.strategy);
    // Under another name until it is whole; a run that fails leaves what it had under that name.
    let partial = activity_log.map(|path| path.with_extension("log.partial"));
    let mut log = match &partial {
        Some(path) => Some(LogWriter::new(io::BufWriter::new(std::fs::File::create(path)?))?),
        None => None,
    };
    let mut controller = Controller::new(topology.clone(), job.configuration(), config, policy);
    let mut rows = Rows::new(&topology, row_window);
    let mut observer = Observer::new(topology.clone(), Timestamp::ZERO, interval);
    let mut configurations = vec![(Timestamp::ZERO, controller.configuration().clone())];
    let mut migration: Option<CarryingOut> = None;
    let end = Timestamp::ZERO + job.duration;

    let running = job.start()?;
    let mut up_to = vec![Timestamp::ZERO; running.peers() as usize];
    loop {
        let mut latest: Option<Latest> = None;
        match running.log.recv_timeout(Duration::from_millis(10)) {
            Ok(batch) => {
                for record in &batch.records {
                    rows.observer.push(record);
                    observer.push(record);
                    if let Some(latency) = rows.observer.latency(record)
                        && latest.is_none_or(|latest| latency > latest.latency)
                    {
                        latest = Some(Latest { at: record.at(), latency });
                    }
                }
                if let Some(log) = &mut log {
                    log.append(&batch.records)?;
                }
                up_to[batch.worker.0 as usize] = batch.up_to;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(done) = migration.take_if(|migration| migration.advance(&running, latest)) {
            let at = running.clock().now();
            conclude(&mut controller, at, &done, strategy);
            configurations.push((at, controller.configuration().clone()));
            observer.restart(at, interval);
        }
        // No record of before `known` is still to come.
        let known = up_to.iter().copied().min().unwrap_or_default() - Recorder::SLACK;
        while rows.observer.window().end <= known.min(end) {
            let observation = rows.close(&topology, &configurations);
            show(Status { now: known, observation: &observation, events: controller.events() });
        }
        if observer.window().end <= known.min(end) {
            let (observation, _) = observer.close(controller.configuration(), interval);
            // The controller does not look at windows that close during a migration: they mix two configurations.
            if let Some(schedule) = controller.window_closed(&observation) {
                let baseline = observation.latency.ns_max.map(Duration::from_nanos);
                migration = Some(CarryingOut::begin(schedule, strategy, baseline, &running));
            }
        }
    }
    // The input ended while bins were moving: what the engine took up is complete, and all of that has been reported.
    if let Some(mut interrupted) = migration {
        let at = running.clock().now();
        if interrupted.advance(&running, None) {
            conclude(&mut controller, at, &interrupted, strategy);
        } else {
            controller.interrupted(at, interrupted.complete());
        }
        configurations.push((at, controller.configuration().clone()));
    }
    let dropped_records = running.dropped();
    let tallies: Vec<Tally> = running.join()?;
    while rows.observer.window().end <= end {
        rows.close(&topology, &configurations);
    }
    if let (Some(log), Some(partial), Some(path)) = (log, partial, activity_log) {
        log.finish()?;
        std::fs::rename(partial, path)?;
    }
    Ok(RunResult {
        topology,
        timeline: rows.timeline,
        latency: rows.latency,
        events: controller.events().to_vec(),
        configurations,
        duration: job.duration,
        overall: LatencySummary::of(&rows.overall),
        verdict: job.verify(&tallies),
        dropped_records,
        needed,
    })
}

/// Tells the controller that a plan is carried out, and how often the latency was expected to exceed the goal.
fn conclude(controller: &mut Controller, at: Timestamp, done: &CarryingOut, strategy: Strategy) {
    controller.migrated(at);
    if let Strategy::Adaptive(goal) = strategy {
        controller.paced(at, goal, done.choices());
    }
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] RunError),
    /// The activity log could not be written.
    #[error("the activity log cannot be written: {0}")]
    Log(#[from] io::Error),
}

/// The rows of a run, as its windows close.
struct Rows {
    observer: Observer,
    row_window: Duration,
    timeline: Vec<TimelineRow>,
    latency: Vec<LatencyRow>,
    overall: LatencyHistogram,
}

impl Rows {
    fn new(topology: &Topology, row_window: Duration) -> Rows {
        let observer = Observer::new(topology.clone(), Timestamp::ZERO, row_window);
        Rows { observer, row_window, timeline: Vec::new(), latency: Vec::new(), overall: LatencyHistogram::default() }
    }

    /// Closes a window, with the last of `configurations` that began in it or before it: a window closes later than it ends,
    /// and the configuration may have changed since.
    fn close(&mut self, topology: &Topology, configurations: &[(Timestamp, Configuration)]) -> Observation {
        let end = self.observer.window().end;
        let held = configurations.iter().rev().find(|(from, _)| *from < end);
        let (_, configuration) = held.expect("a configuration holds from the start");
        let (observation, latency) = self.observer.close(configuration, self.row_window);
        self.timeline.extend(TimelineRow::of(topology, &observation));
        self.latency.push(LatencyRow::of(&observation));
        self.overall.merge(&latency);
        observation
    }
}

impl RunResult {
    /// Plans carried out.
    pub fn actions(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.kind, EventKind::Migrated { .. })).count()
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
        if self.needed.is_empty() {
            return None;
        }
        let end = Timestamp::ZERO + self.duration;
        let ends = self.configurations.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let sum = self.configurations.iter().zip(ends).map(|((start, configuration), until)| {
            let value = self.needed.iter().map(|(&id, &needs)| each(configuration.parallelism(id), needs)).reduce(&combine);
            value.unwrap_or(0.0) * until.min(end).since(*start).as_secs_f64()
        });
        Some(sum.sum())
    }
}
