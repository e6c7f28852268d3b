//! How long a migration takes while a job has more to do than it can: from the plan to the first
//! bin that has moved, and to the last one.
//!
//! A word count on real processors, one instance of each operator, all on one worker. First its
//! capacity is measured: what it takes in when more is due than it can do. Then so many times that
//! much is due, and after a while the plan that would relieve it begins: a second instance of each
//! operator, on another worker. In a system whose commands wait behind the records before them that
//! takes longer the more it is needed.
//!
//! A trial without a plan runs for longer and shows what the backlog costs: memory, and the time
//! that the run takes beyond its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::carrying_out::{CarryingOut, Host as Carrier};
use super::frame::{Row, row};
use super::migration::Memory;
use super::scale::{Scale, Scaled};
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::activity::Record;
use crate::dataflow::{Capacity, QueueMarks};
use crate::engine::cluster::Deployment;
use crate::engine::word_count::{COUNT, FLAT_MAP, Tally, WordCount};
use crate::engine::{OperatorConfig, Recorder, Running};
use crate::metrics::MetricIssue;
use crate::migration::{Assignment, Measures, Overlap, Report, Step, Strategy, rebalance};
use crate::observation::Observer;
use crate::rate::Rate;
use crate::time::{Timestamp, Window};
use crate::workload::{RateSchedule, SentenceLength, Text};

/// The variant without a plan.
const HOLD: &str = "hold";
/// Windows whose metrics a policy would look at.
const WINDOW: Duration = Duration::from_millis(500);
/// The most sentences that a source is asked for, per second: more than any worker counts.
const MOST_PER_S: f64 = 4e6;
/// While bins move, reports are looked for this often.
const LOOK: Duration = Duration::from_millis(1);

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverloadDefinition {
    /// Worker threads: at least 2.
    pub workers: u32,
    /// Bins of Count; a power of two.
    pub bins: u32,
    /// Milliseconds between epochs.
    pub tick_ms: u64,
    /// Seconds in which the capacity is measured; the first half is not looked at.
    pub capacity_s: f64,
    /// Seconds before the plan.
    pub before_s: f64,
    /// Seconds from the plan to the end.
    pub after_s: f64,
    /// Seconds of a run without a plan.
    pub hold_s: Scaled<f64>,
    /// Runs of each load under each strategy.
    pub runs: Scaled<u64>,
    /// Loads by name, in capacities of the job.
    pub loads: BTreeMap<String, f64>,
    /// How bins move; `hold` is a run without a plan.
    pub strategies: Vec<String>,
    /// The loads without a plan.
    pub hold: Vec<String>,
    /// What also runs on two processes, with half of the workers each.
    #[serde(default)]
    pub two_processes: TwoProcesses,
}

/// What runs on two processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoProcesses {
    /// The loads.
    pub loads: Vec<String>,
    /// How bins move.
    pub strategies: Vec<String>,
}

/// What is added to the name of a load on two processes.
const TWO_PROCESSES: &str = ", two processes";

/// Nothing lost or counted twice, and nothing that a policy could not look at.
const CHECKS: &str = r#"
[[check]]
column = "records_lost"
at_most = 0

[[check]]
column = "records_duplicated"
at_most = 0

[[check]]
column = "words_miscounted"
at_most = 0

[[check]]
column = "unreliable_windows"
at_most = 0
"#;

/// What was seen of a run.
#[derive(Debug, Default)]
struct Seen {
    first: Option<Timestamp>,
    planned: Option<Timestamp>,
    done: Option<Timestamp>,
    moved: usize,
    steps: usize,
    /// Records behind at the plan.
    behind: f64,
    behind_at_end: f64,
    emitted: u64,
    unreliable: u64,
    /// When the last record of the log was taken.
    ended: Timestamp,
}

/// A running job, and when it reported the first bin.
struct Watched<'r> {
    running: &'r mut Running<Tally>,
    first: Option<Timestamp>,
}

impl Carrier for Watched<'_> {
    fn now(&self) -> Timestamp {
        Carrier::now(self.running)
    }

    fn overlap(&self) -> Overlap {
        self.running.overlap()
    }

    fn routers(&self) -> u32 {
        self.running.routers()
    }

    fn reports(&mut self) -> Vec<Report> {
        let reports = self.running.reports();
        if self.first.is_none() && reports.iter().any(|report| matches!(report, Report::Installed(..))) {
            self.first = Some(self.now());
        }
        reports
    }

    fn apply(&mut self, step: Step) {
        Carrier::apply(self.running, step);
    }
}

impl OverloadDefinition {
    fn job(&self, processes: u32, per_s: f64, seed: u64, seconds: f64) -> WordCount {
        let operator = OperatorConfig {
            capacity: Capacity::Cpu,
            marks: QueueMarks::default(),
            instances: 1,
            max_parallelism: self.workers,
            slow: None,
        };
        WordCount {
            text: Arc::new(Text::liber_primus(SentenceLength::Natural)),
            first_sentence: seed,
            schedule: RateSchedule::constant(Rate::per_second(per_s)),
            duration: Duration::from_secs_f64(seconds),
            catch_up: 1.1,
            tick: Duration::from_millis(self.tick_ms),
            bins: self.bins,
            flat_map: operator,
            count: operator,
            deployment: Deployment::processes(processes, self.workers / processes),
        }
    }

    /// Sentences per second that the job takes in when more are due than it can do. On a machine
    /// with much else to do it may take in none for a while: then it is measured for longer.
    fn capacity(&self, processes: u32, seed: u64) -> anyhow::Result<f64> {
        for times in [1.0, 2.0, 4.0] {
            let capacity = self.capacity_over(processes, seed, self.capacity_s * times)?;
            if capacity > 0.0 {
                return Ok(capacity);
            }
        }
        anyhow::bail!("expected the job to take in sentences, found none taken in")
    }

    fn capacity_over(&self, processes: u32, seed: u64, seconds: f64) -> anyhow::Result<f64> {
        let job = self.job(processes, MOST_PER_S, seed, seconds);
        let running = job.start()?;
        let mut samples: Vec<(Timestamp, u64)> = Vec::new();
        for batch in &running.log {
            samples.extend(batch.records.iter().filter_map(|record| match record {
                Record::Source { at, emitted, .. } => Some((*at, *emitted)),
                _ => None,
            }));
        }
        running.join()?;
        let half = Timestamp::from_secs_f64(seconds / 2.0);
        let (first, last) = (samples.iter().find(|(at, _)| *at >= half), samples.last());
        let (&(from, before), &(until, emitted)) = first.zip(last).context("expected samples of the source, found none")?;
        let time = until.since(from).as_secs_f64();
        anyhow::ensure!(time > 0.0, "expected two samples of the source, found one");
        Ok((emitted - before) as f64 / time)
    }

    /// Runs a job, with a plan or without.
    fn follow(&self, job: &WordCount, strategy: Option<Strategy>, show: impl Fn(f64)) -> anyhow::Result<(Seen, Memory, Row)> {
        let mut running = job.start()?;
        let mut seen = Seen::default();
        let mut memory = Memory::of(&running.process_ids());
        let mut observer = Observer::new(job.topology(), Timestamp::ZERO, WINDOW);
        let mut migration: Option<CarryingOut> = None;
        let mut up_to = vec![Timestamp::ZERO; running.peers() as usize];
        let end = Timestamp::ZERO + job.duration;
        let before = Timestamp::from_secs_f64(self.before_s);
        let mut host = Watched { running: &mut running, first: None };
        loop {
            match host.running.log.recv_timeout(LOOK) {
                Ok(batch) => {
                    up_to[batch.worker.0 as usize] = batch.up_to;
                    for record in &batch.records {
                        observer.push(record);
                        if let Record::Source { due, emitted, .. } = record {
                            (seen.behind_at_end, seen.emitted) = (due - *emitted as f64, *emitted);
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = host.now();
            memory.sample(now);
            let known = up_to.iter().copied().min().unwrap_or_default() - Recorder::SLACK;
            while observer.window().end <= known.min(end) {
                let (observation, _) = observer.close(&job.configuration(), WINDOW);
                seen.unreliable += u64::from(observation.doubts.iter().any(MetricIssue::forbids));
            }
            show(now.since(Timestamp::ZERO).as_secs_f64() / job.duration.as_secs_f64());
            if let Some(moving) = &mut migration {
                if moving.advance(&mut host, None) {
                    (seen.done, seen.steps) = (Some(now), moving.complete().len());
                    migration = None;
                }
            } else if let (Some(strategy), None) = (strategy, seen.planned)
                && now >= before
            {
                (seen.planned, seen.behind) = (Some(now), seen.behind_at_end);
                migration = Some(self.begin(job, strategy, &mut seen, &mut host));
            }
        }
        (seen.ended, seen.first) = (host.now(), host.first);
        let dropped = running.dropped();
        let verdict = job.verify(&running.join()?);
        let cells = row([
            ("records", &verdict.emitted),
            ("records_lost", &verdict.lost),
            ("records_duplicated", &verdict.duplicated),
            ("words_miscounted", &verdict.miscounted),
            ("dropped_records", &dropped),
        ]);
        Ok((seen, memory, cells))
    }

    /// Begins with the plan: an instance of each operator on each worker.
    fn begin(&self, job: &WordCount, strategy: Strategy, seen: &mut Seen, host: &mut Watched<'_>) -> CarryingOut {
        let (topology, first) = (job.topology(), job.configuration());
        let owned = Assignment::initial(&topology, &first);
        let after = first.clone().with(FLAT_MAP, self.workers).with(COUNT, self.workers);
        let mut owned_after = owned.clone();
        owned_after.insert(COUNT, rebalance(&owned[&COUNT], &vec![1.0; self.bins as usize], self.workers));
        seen.moved = owned[&COUNT].moves_to(&owned_after[&COUNT]).count();
        let schedule = strategy.schedule(&topology, (&first, &owned), (&after, &owned_after), &Measures::default());
        CarryingOut::begin(schedule, strategy, None, host)
    }

    fn seconds(&self, variant: &str, scale: Scale) -> f64 {
        if variant == HOLD { self.hold_s.at(scale) } else { self.before_s + self.after_s }
    }
}

impl Study for OverloadDefinition {
    /// The case is a load, in one process or two, the variant a strategy or `hold`.
    ///
    /// - `load`: what is due, in capacities of the job; `capacity_per_s`: sentences per second that
    ///   one instance of each operator takes in when more are due, measured right before;
    ///   `offered_per_s`: what was due
    /// - `first_bin_ns`, `done_ns`: from the plan until the first bin had moved, and until all had
    /// - `moved_bins`, `steps`: of the plan
    /// - `behind_records`, `behind_s`: what was due and not emitted at the plan, and how long it
    ///   would take the capacity; `behind_at_end_records`: the same at the end
    /// - `ends_after_s`: how long after its duration the run ended
    /// - `unreliable_windows`: windows of half a second that a policy would not have been shown
    /// - `memory_bytes`, `memory_grown_bytes`: the most that was resident, and by how much that of
    ///   the last quarter of the run exceeds that of the second one
    /// - `records`, `records_lost`, `records_duplicated`, `words_miscounted`: of the sink, against
    ///   a sequential count
    /// - `dropped_records`: activity records that did not fit
    fn columns(&self) -> Vec<&'static str> {
        let plan =
            ["load", "capacity_per_s", "offered_per_s", "first_bin_ns", "done_ns", "moved_bins", "steps", "behind_records", "behind_s"];
        let run = ["behind_at_end_records", "ends_after_s", "unreliable_windows", "memory_bytes", "memory_grown_bytes"];
        let sink = ["records", "records_lost", "records_duplicated", "words_miscounted", "dropped_records"];
        plan.into_iter().chain(run).chain(sink).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let mut loads: Vec<(&String, f64)> = self.loads.iter().map(|(name, load)| (name, *load)).collect();
        loads.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let trial = |seed, case: &str, variant: &str| Trial {
            case: case.to_owned(),
            start: String::new(),
            variant: variant.to_owned(),
            host: Host::Engine,
            seed,
        };
        let mut trials = Vec::new();
        for seed in ask.seeds_from(0, self.runs.at(ask.scale)) {
            for (load, _) in &loads {
                trials.extend(self.strategies.iter().map(|variant| trial(seed, load, variant)));
            }
            for load in &self.two_processes.loads {
                let case = format!("{load}{TWO_PROCESSES}");
                trials.extend(self.two_processes.strategies.iter().map(|variant| trial(seed, &case, variant)));
            }
        }
        for seed in ask.seeds_from(0, 1) {
            trials.extend(self.hold.iter().map(|case| trial(seed, case, HOLD)));
        }
        trials
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let (load, processes) = trial.case.strip_suffix(TWO_PROCESSES).map_or((trial.case.as_str(), 1), |load| (load, 2));
        let load = self.loads[load];
        let strategy = if trial.variant == HOLD { None } else { Some(trial.variant.parse().map_err(anyhow::Error::msg)?) };
        let capacity = self.capacity(processes, trial.seed)?;
        let offered = (capacity * load).min(MOST_PER_S);
        let job = self.job(processes, offered, trial.seed, self.seconds(&trial.variant, at.scale));
        let show = |done| progress.part(trial, done, &format!("{offered:.0} sentences/s"));
        let (seen, memory, mut cells) = self.follow(&job, strategy, show)?;
        let Seen { planned, first, done, .. } = seen;
        // At the end of the input everything completes, which says nothing of a job that goes on.
        let end = Timestamp::ZERO + job.duration;
        anyhow::ensure!(
            strategy.is_none() || done.is_some_and(|done| done < end),
            "expected {} bins to move within {:?} of the plan, found the run at its end",
            seen.moved,
            end.since(planned.unwrap_or(end))
        );
        let after_plan = |at: Option<Timestamp>| planned.zip(at).map(|(planned, at)| at.since(planned).as_nanos() as u64);
        let quarter = |n: u64| Window::starting(Timestamp::ZERO + job.duration / 4 * n as u32, job.duration / 4);
        let (early, late) = (memory.most_together(quarter(1)), memory.most_together(quarter(3)));
        cells.extend(row([
            ("load", &load),
            ("capacity_per_s", &capacity),
            ("offered_per_s", &offered),
            ("first_bin_ns", &after_plan(first)),
            ("done_ns", &after_plan(done)),
            ("moved_bins", &seen.moved),
            ("steps", &seen.steps),
            ("behind_records", &planned.map(|_| seen.behind)),
            ("behind_s", &planned.map(|_| seen.behind / capacity)),
            ("behind_at_end_records", &seen.behind_at_end),
            ("ends_after_s", &seen.ended.since(Timestamp::ZERO + job.duration).as_secs_f64()),
            ("unreliable_windows", &seen.unreliable),
            ("memory_bytes", &late.max(early)),
            ("memory_grown_bytes", &late.zip(early).map(|(late, early)| late as i64 - early as i64)),
        ]));
        Ok(Measured { rows: vec![cells], series: Vec::new() })
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["overload"]
    }

    fn check(&self) -> Result<(), String> {
        if self.workers < 2 {
            return Err(format!("workers: expected at least 2, found {}", self.workers));
        }
        if !self.bins.is_power_of_two() {
            return Err(format!("bins: expected a power of two, found {}", self.bins));
        }
        for (name, load) in &self.loads {
            if !(0.01..=100.0).contains(load) {
                return Err(format!("loads: {name}: expected 0.01 to 100 capacities, found {load}"));
            }
        }
        for (key, names) in [("hold", &self.hold), ("two_processes", &self.two_processes.loads)] {
            if let Some(unknown) = names.iter().find(|name| !self.loads.contains_key(*name)) {
                return Err(format!("{key}: expected a load, found '{unknown}'"));
            }
        }
        if !self.two_processes.loads.is_empty() && !self.workers.is_multiple_of(2) {
            return Err(format!("workers: expected an even number for two processes, found {}", self.workers));
        }
        for strategy in self.strategies.iter().chain(&self.two_processes.strategies) {
            strategy.parse::<Strategy>().map_err(|why| format!("strategies: {why}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::definition::Definition;
    use crate::experiment::environment::Environment;
    use crate::experiment::frame::text;

    /// What the experiment is about takes a quiet machine; that nothing is lost does not.
    #[test]
    fn a_small_overload_is_measured_and_nothing_is_lost() {
        let mut written = Definition::named("overload").unwrap().written;
        ["figure", "title", "kind", "check"].iter().for_each(|key| drop(written.remove(*key)));
        let definition: OverloadDefinition = written.try_into().unwrap();
        let definition = OverloadDefinition {
            bins: 64,
            capacity_s: 0.5,
            before_s: 0.3,
            // A run whose bins have not moved by its end has failed.
            after_s: 4.0,
            hold_s: Scaled::always(0.5),
            ..definition
        };
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::default();
        let at = At { figure: "overload", scale: Scale::Quick, folder: folder.path(), environment: &environment };
        let trials = definition.trials(&Ask::default());
        for (case, variant) in [("10x", "all-at-once"), ("10x", HOLD)] {
            let trial = trials.iter().find(|trial| trial.case == case && trial.variant == variant).unwrap();
            let rows = definition.run(trial, at, &()).unwrap().rows;
            let [row] = &rows[..] else { panic!("{rows:?}") };
            assert!(text(row, "records").parse::<u64>().unwrap() > 0, "{row:?}");
            for column in ["records_lost", "records_duplicated", "words_miscounted", "dropped_records"] {
                assert_eq!(text(row, column), "0", "{column}: {row:?}");
            }
            let moved = if variant == HOLD { "0" } else { "32" };
            assert_eq!((text(row, "moved_bins"), text(row, "first_bin_ns").is_empty()), (moved, variant == HOLD), "{row:?}");
        }
    }

    #[test]
    fn a_definition_that_cannot_be_run_is_refused() {
        let text = include_str!("../../experiments/definitions/overload.toml");
        for (from, to, expected) in [
            ("workers = 2", "workers = 1", "workers: expected at least 2, found 1"),
            ("bins = 4096", "bins = 4095", "bins: expected a power of two, found 4095"),
            ("hold = [\"10x\"]", "hold = [\"3x\"]", "hold: expected a load, found '3x'"),
            ("loads = [\"quiet\"", "loads = [\"calm\"", "two_processes: expected a load, found 'calm'"),
            ("workers = 2", "workers = 3", "workers: expected an even number for two processes, found 3"),
            ("\"all-at-once\"", "\"at-once\"", "strategies: "),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Definition::read(&text.replace(from, to), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
