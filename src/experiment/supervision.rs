//! What a run does on any host: records go to the observers, observations to the controller, schedules to the pacer, steps back to the
//! host.

use std::time::Duration;

use super::carrying_out::{CarryingOut, Host};
use super::commands::Commands;
use super::instance_rows::{InstanceRow, KeptInstances};
use super::result::{Ending, Needs, RunResult};
use super::rows::{LatencyRow, TimelineRow, WorkerRow};
use crate::activity::Record;
use crate::controller::{Controller, ControllerConfig, Event};
use crate::dataflow::{Configuration, Topology};
use crate::engine::Verdict;
use crate::migration::{Latest, Strategy};
use crate::observation::{LatencySummary, Observation, Observer};
use crate::policy::{self, Policy};
use crate::stats::LatencyHistogram;
use crate::time::Timestamp;

/// How a run stands, for a live line.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// Time of the run.
    pub now: Timestamp,
    /// The window that just closed.
    pub observation: &'a Observation,
    /// What the controller has done so far.
    pub events: &'a [Event],
    /// Latency of all records so far.
    pub overall: &'a LatencyHistogram,
    /// The migration under way.
    pub migration: Option<Moving>,
}

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moving {
    /// Bins that have arrived.
    pub bins: usize,
    /// Steps that are complete.
    pub steps: usize,
}

/// The controller of a run with all that it sees and keeps.
pub(super) struct Supervision {
    topology: Topology,
    interval: Duration,
    strategy: Strategy,
    controller: Controller,
    rows: Rows,
    observer: Observer,
    configurations: Vec<(Timestamp, Configuration)>,
    migration: Option<CarryingOut>,
    commands: Commands,
    /// The largest latency in the last window.
    baseline: Option<Duration>,
    duration: Duration,
    ending: Ending,
}

impl Supervision {
    /// Of a job that starts in `configuration` and runs for `duration`.
    pub(super) fn new(
        topology: &Topology,
        configuration: Configuration,
        config: ControllerConfig,
        policy: Box<dyn Policy>,
        row_window: Duration,
        duration: Duration,
    ) -> Supervision {
        let (interval, strategy) = (config.policy_interval, config.strategy);
        let configurations = vec![(Timestamp::ZERO, configuration.clone())];
        let observer = Observer::new(topology.clone(), Timestamp::ZERO, interval);
        let observer = if policy.needs() == policy::Needs::Paths { observer.with_paths() } else { observer };
        Supervision {
            topology: topology.clone(),
            interval,
            strategy,
            controller: Controller::new(topology.clone(), configuration, config, policy),
            rows: Rows::new(topology, row_window),
            observer,
            configurations,
            migration: None,
            commands: Commands::default(),
            baseline: None,
            duration,
            ending: Ending::Complete,
        }
    }

    /// The same, which logs that nothing changes once a row, not for each window of it.
    pub(super) fn logging_by_row(mut self) -> Supervision {
        self.controller = self.controller.logging_holds_every(self.rows.row_window);
        self
    }

    /// The same, with requests from `commands`.
    pub(super) fn steered_by(self, commands: Commands) -> Supervision {
        Supervision { commands, ..self }
    }

    /// Takes records; gives the largest latency among them.
    pub(super) fn take(&mut self, records: &[Record]) -> Option<Latest> {
        let mut latest: Option<Latest> = None;
        for record in records {
            self.rows.observer.push(record);
            self.observer.push(record);
            if let Some(latency) = self.rows.observer.latency(record)
                && latest.is_none_or(|latest| latency > latest.latency)
            {
                latest = Some(Latest { at: record.at(), latency });
            }
        }
        latest
    }

    /// Does what is to be done: carries on with a migration, closes windows that end by `known`, no record of before being still to
    /// come, and begins with what the policy wants.
    pub(super) fn look(&mut self, host: &mut impl Host, latest: Option<Latest>, known: Timestamp, mut show: impl FnMut(Status<'_>)) {
        if let Some(done) = self.migration.take_if(|migration| migration.advance(host, latest)) {
            self.conclude(host.now(), &done);
        }
        let known = known.min(self.end());
        self.close_rows(known, &mut show);
        if self.observer.window().end <= known {
            let (observation, _) = self.observer.close(self.controller.configuration(), self.interval);
            self.baseline = observation.latency.ns_max.map(Duration::from_nanos);
            // The controller does not look at windows that close during a migration: they mix two configurations.
            if let Some(schedule) = self.controller.window_closed(&observation) {
                self.migration = Some(CarryingOut::begin(schedule, self.strategy, self.baseline, host));
            }
        }
        // The decision log is in order of time: all windows that end before a request are closed before it is taken.
        if self.observer.window().end > known {
            self.obey(host, known);
        }
    }

    /// Takes the requests that have come in.
    fn obey(&mut self, host: &mut impl Host, known: Timestamp) {
        let last = self.controller.events().last().map_or(Timestamp::ZERO, |event| event.at);
        let at = known.max(last);
        while let Some(request) = self.commands.next(at) {
            if let Some(schedule) = self.controller.steer(at, &request) {
                self.migration = Some(CarryingOut::begin(schedule, self.strategy, self.baseline, host));
            }
        }
    }

    /// Closes the rows that end by `known`, and shows each.
    fn close_rows(&mut self, known: Timestamp, mut show: impl FnMut(Status<'_>)) {
        while self.rows.observer.window().end <= known {
            let observation = self.rows.close(&self.topology, &self.configurations);
            show(Status {
                now: known,
                observation: &observation,
                events: self.controller.events(),
                overall: &self.rows.overall,
                migration: self.migration.as_ref().map(|migration| Moving {
                    bins: migration.complete().iter().map(|step| step.moves.len()).sum(),
                    steps: migration.complete().len(),
                }),
            });
        }
    }

    fn end(&self) -> Timestamp {
        Timestamp::ZERO + self.duration
    }

    /// Tells the controller that a plan is carried out, or as far as it was, and begins a window that saw nothing else.
    fn conclude(&mut self, at: Timestamp, done: &CarryingOut) {
        if done.failed() {
            self.controller.failed(at, done.complete());
        } else {
            self.controller.migrated(at);
            if let Strategy::Adaptive(goal) = self.strategy {
                self.controller.paced(at, goal, done.choices());
            }
        }
        self.configurations.push((at, self.controller.configuration().clone()));
        self.observer.restart(at, self.interval);
    }

    /// The host has come to its end. If bins were moving: what it took up is complete, and all of that has been reported.
    pub(super) fn end_of_input(&mut self, host: &mut impl Host) {
        if let Some(mut last) = self.migration.take() {
            let at = host.now();
            if last.advance(host, None) {
                self.conclude(at, &last);
            } else {
                self.controller.interrupted(at, last.complete());
                self.configurations.push((at, self.controller.configuration().clone()));
            }
        }
    }

    /// Somebody interrupts the run: it is as if it had been to last until `known`, the last instant before which no record is still to
    /// come. Then [`finish`](Self::finish) it.
    pub(super) fn interrupt(&mut self, host: &mut impl Host, known: Timestamp) {
        self.end_of_input(host);
        self.duration = self.duration.min(known.since(Timestamp::ZERO));
        self.ending = Ending::Interrupted;
    }

    /// Closes and shows what is still open; `verdict` and the number of records that were dropped are the host's.
    pub(super) fn finish(mut self, verdict: Verdict, dropped_records: u64, needed: Needs, show: impl FnMut(Status<'_>)) -> RunResult {
        self.close_rows(self.end(), show);
        RunResult {
            topology: self.topology,
            timeline: self.rows.timeline,
            latency: self.rows.latency,
            workers: self.rows.workers,
            instances: self.rows.instances.rows(),
            events: self.controller.into_events(),
            configurations: self.configurations,
            duration: self.duration,
            ending: self.ending,
            overall: LatencySummary::of(&self.rows.overall),
            verdict,
            dropped_records,
            needed,
            moved_bytes: None,
        }
    }
}

/// The rows of a run, as its windows close.
struct Rows {
    observer: Observer,
    row_window: Duration,
    timeline: Vec<TimelineRow>,
    latency: Vec<LatencyRow>,
    workers: Vec<WorkerRow>,
    instances: KeptInstances,
    overall: LatencyHistogram,
}

impl Rows {
    fn new(topology: &Topology, row_window: Duration) -> Rows {
        let observer = Observer::new(topology.clone(), Timestamp::ZERO, row_window).without_bins();
        let (timeline, latency, workers) = (Vec::new(), Vec::new(), Vec::new());
        let instances = KeptInstances::default();
        Rows { observer, row_window, timeline, latency, workers, instances, overall: LatencyHistogram::default() }
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
        self.workers.extend(WorkerRow::of(topology, &observation));
        self.instances.window(|| InstanceRow::of(topology, &observation));
        self.overall.merge(&latency);
        observation
    }
}
