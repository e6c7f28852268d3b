//! Sources with a partition on each of several workers: together they emit the one schedule, each record once, whatever the job does
//! meanwhile; what is measured of the source is what all of them do; and epochs wait for the last of them.
//!
//! Nothing here depends on how fast the machine is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thalweg::activity::{ActivityKind, Lane, LogReader, Record};
use thalweg::controller::ControllerConfig;
use thalweg::critical_path::{EpochOddities, EpochPath, EpochPaths};
use thalweg::dataflow::{Capacity, Plan, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::{Deployment, Launch};
use thalweg::engine::nexmark::Query;
use thalweg::engine::word_count::{COUNT, FLAT_MAP, SINK, SOURCE, WordCount};
use thalweg::experiment::run::{RunResult, RunSpec, run};
use thalweg::id::{InstanceId, OperatorId, WorkerId};
use thalweg::migration::Strategy;
use thalweg::pag::{GraphBuilder, GraphConfig};
use thalweg::policy::Scripted;
use thalweg::rate::Rate;
use thalweg::time::{Epoch, Timestamp};
use thalweg::workload::{Phase, RateSchedule, SentenceLength, Text};

const THALWEG: &str = env!("CARGO_BIN_EXE_thalweg");
const SENTENCES_PER_S: f64 = 2000.0;

/// A word count that keeps up with its load only after it has been rescaled. All of the load is due within a second.
fn job(deployment: Deployment, duration: Duration) -> WordCount {
    let operator = |limit: f64, high_records: u64| OperatorConfig {
        capacity: Capacity::Limited { rate: Rate::per_second(limit) },
        marks: QueueMarks { high_records, low_records: high_records / 2 },
        instances: 1,
        max_parallelism: 8,
        slow: None,
    };
    let phase = |ms, rate| Phase { start: Duration::from_millis(ms), rate: Rate::per_second(rate) };
    WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Words(5))),
        first_sentence: 7,
        schedule: RateSchedule::new(vec![phase(0, SENTENCES_PER_S), phase(1000, 0.0)]).unwrap(),
        duration,
        catch_up: 1.5,
        tick: Duration::from_millis(10),
        bins: 16,
        flat_map: operator(1200.0, 300),
        count: operator(4000.0, 1500),
        deployment,
    }
}

/// What a job that is scaled up and down gives, and its log.
fn rescaled(job: WordCount) -> (RunResult, Vec<Record>) {
    let plans = [
        (Timestamp::from_secs_f64(0.4), Plan::rescale(FLAT_MAP, 3).and(COUNT, 5)),
        (Timestamp::from_secs_f64(0.8), Plan::rescale(FLAT_MAP, 2).and(COUNT, 3)),
    ];
    let controller = ControllerConfig {
        policy_interval: Duration::from_millis(200),
        warm_up_windows: 0,
        activation_windows: 1,
        strategy: Strategy::Batched(4),
    };
    let policy = Box::new(Scripted::new(plans));
    let spec = RunSpec { job, controller, policy, row_window: Duration::from_millis(200), needed: BTreeMap::new() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activity.log");
    let result = run(spec, Some(&path), |_| {}).unwrap();
    let log = LogReader::new(BufReader::new(File::open(&path).unwrap())).unwrap();
    (result, log.flat_map(Result::unwrap).collect())
}

/// The same, for as long as it takes until everything has been emitted and both plans have been carried out.
fn all_of(deployment: &Deployment) -> (WordCount, RunResult, Vec<Record>) {
    let long_enough = |seconds| {
        let job = job(deployment.clone(), Duration::from_secs(seconds));
        let (result, log) = rescaled(job.clone());
        (result.verdict.emitted == SENTENCES_PER_S as u64 && result.actions() == 2).then_some((job, result, log))
    };
    [3, 12, 48].into_iter().find_map(long_enough).expect("a source emits what is due")
}

fn check(deployment: &Deployment) {
    let (job, result, log) = all_of(deployment);
    let (partitions, workers) = (deployment.source_partitions(), deployment.peers());
    // Every sentence of the schedule was counted once: the same counts with any number of partitions.
    let verdict = result.verdict;
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted, result.dropped_records), (0, 0, 0, 0));
    assert_eq!((verdict.emitted, verdict.results), (2000, 10_000));
    let configurations: BTreeSet<String> = result.configurations.iter().map(|(_, configuration)| configuration.to_string()).collect();
    assert!(configurations.contains(&format!("{partitions}/3/5/{workers}")), "{configurations:?}");

    // Each partition emitted its share, on its worker.
    let mut emitted: BTreeMap<InstanceId, u64> = BTreeMap::new();
    let mut taken: BTreeMap<OperatorId, u64> = BTreeMap::new();
    for record in &log {
        if let Record::Activity(activity) = record
            && activity.kind != ActivityKind::Migration
        {
            *taken.entry(activity.instance.operator).or_default() += activity.records_in;
            if activity.kind == ActivityKind::Source {
                assert_eq!(activity.lane, Lane::Worker(WorkerId(activity.instance.index)));
                *emitted.entry(activity.instance).or_default() += activity.records_out;
            }
        }
    }
    let shares = (0..partitions).map(|index| (InstanceId::new(SOURCE, index), u64::from((2000 + partitions - 1 - index) / partitions)));
    assert_eq!(emitted, shares.collect());
    assert_eq!((taken[&FLAT_MAP], taken[&COUNT], taken[&SINK]), (2000, 10_000, 10_000));

    // What is due at all of them is what is due by the schedule, and what was emitted by the end is what each has emitted.
    let mut samples: BTreeMap<Timestamp, Vec<(f64, u64)>> = BTreeMap::new();
    let mut opened: BTreeMap<Epoch, u64> = BTreeMap::new();
    for record in &log {
        match *record {
            Record::Source { at, due, emitted, .. } => samples.entry(at).or_default().push((due, emitted)),
            Record::EpochOpened { at, epoch, due, records, .. } => {
                assert!(due <= at);
                *opened.entry(epoch).or_default() += records;
            }
            _ => {}
        }
    }
    let whole: Vec<_> = samples.iter().filter(|(_, samples)| samples.len() == partitions as usize).collect();
    assert!(whole.len() > 10, "{} instants", whole.len());
    for (at, samples) in &whole {
        let due: f64 = samples.iter().map(|(due, _)| due).sum();
        assert!((due - job.schedule.due(**at)).abs() < 1e-6, "{due} due at {at:?}");
    }
    assert_eq!(whole.last().unwrap().1.iter().map(|(_, emitted)| emitted).sum::<u64>(), 2000);
    assert_eq!(opened.values().sum::<u64>(), 2000);

    // The source is one in the timeline: with the whole offered rate, and with a lag that is made up for in the end.
    let rows: Vec<_> = result.timeline.iter().filter(|row| row.operator == "source").collect();
    assert!(rows.iter().all(|row| row.parallelism == partitions));
    let full = rows.iter().filter(|row| row.window_start_s >= 0.15 && row.window_end_s <= 0.85);
    for (row, offered) in full.filter_map(|row| Some((row, row.offered_per_s?))) {
        assert!((offered - SENTENCES_PER_S).abs() < 1.0, "{offered} offered from {} s", row.window_start_s);
    }
    assert_eq!(rows.iter().rev().find_map(|row| row.lag_records), Some(0.0));
}

#[test]
fn two_partitions_on_two_workers_count_every_word_once_while_the_job_is_rescaled() {
    check(&Deployment::threads(2).with_source_partitions(2));
}

#[test]
fn one_partition_of_one_or_two_workers_counts_the_same() {
    check(&Deployment::threads(1));
    check(&Deployment::threads(2));
}

#[test]
fn three_partitions_and_fewer_than_there_are_workers_count_the_same() {
    check(&Deployment::threads(3).with_source_partitions(3));
    check(&Deployment::threads(3).with_source_partitions(2));
}

#[test]
fn partitions_in_two_processes_count_the_same() {
    let processes = |workers| Deployment::processes(2, workers).launched(Launch::program(THALWEG, &["process"]));
    check(&processes(1).with_source_partitions(2));
    check(&processes(2).with_source_partitions(3));
}

/// More is due than the job takes as fast as processors allow.
#[test]
fn overloaded_partitions_lag_behind_and_lose_nothing() {
    let cpu = OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), instances: 2, max_parallelism: 2, slow: None };
    let job = WordCount {
        schedule: RateSchedule::constant(Rate::per_second(2e7)),
        flat_map: cpu,
        count: OperatorConfig { instances: 1, ..cpu },
        ..job(Deployment::threads(2).with_source_partitions(2), Duration::from_secs(2))
    };
    let plans = vec![(Timestamp::from_secs_f64(0.4), Plan::rescale(COUNT, 2)), (Timestamp::from_secs_f64(1.0), Plan::rescale(COUNT, 1))];
    let controller = ControllerConfig {
        policy_interval: Duration::from_millis(200),
        warm_up_windows: 0,
        activation_windows: 1,
        strategy: Strategy::AllAtOnce,
    };
    let policy = Box::new(Scripted::new(plans));
    let spec = RunSpec { job, controller, policy, row_window: Duration::from_millis(200), needed: BTreeMap::new() };
    let result = run(spec, None, |_| {}).unwrap();
    let verdict = result.verdict;
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted), (0, 0, 0), "{verdict:?}");
    let lag = result.timeline.iter().rev().find_map(|row| row.lag_records).unwrap();
    assert!(verdict.emitted > 0 && lag > 0.0, "{} emitted, {lag} behind", verdict.emitted);
}

/// Paths of all epochs in a log.
fn paths(log: &[Record]) -> (Vec<EpochPath>, EpochOddities) {
    let config = GraphConfig { history: Duration::from_secs(60), ..GraphConfig::new(Duration::from_millis(100)) };
    let (mut graph, mut epochs, mut paths) = (GraphBuilder::new(config), EpochPaths::default().with_slack(), Vec::new());
    for record in log {
        graph.push(record);
        epochs.push(record);
        if let Record::UpTo { worker: WorkerId(0), .. } = record {
            while let Some(window) = graph.close(graph.known()) {
                paths.extend(epochs.walk(&graph, window.window.end));
            }
        }
    }
    while graph.close(Timestamp(u64::MAX)).is_some() {}
    paths.extend(epochs.walk(&graph, Timestamp(u64::MAX)));
    (paths, epochs.oddities())
}

#[test]
fn an_epoch_has_one_path_from_its_earliest_record_to_the_first_completion_that_was_seen() {
    let (_, log) = rescaled(job(Deployment::threads(2).with_source_partitions(2), Duration::from_secs(3)));
    let (mut due, mut completed): (BTreeMap<Epoch, Timestamp>, BTreeMap<Epoch, Timestamp>) = Default::default();
    for record in &log {
        match *record {
            Record::EpochOpened { epoch, due: of, .. } => {
                let earliest = due.entry(epoch).or_insert(of);
                *earliest = of.min(*earliest);
            }
            Record::EpochCompleted { at, epoch, .. } => {
                let first = completed.entry(epoch).or_insert(at);
                *first = at.min(*first);
            }
            _ => {}
        }
    }
    let (paths, oddities) = paths(&log);
    assert_eq!(oddities, EpochOddities::default());
    let known: BTreeSet<Epoch> = paths.iter().map(|path| path.epoch).collect();
    assert_eq!((known.len(), paths.len()), (due.len(), due.len()));
    for path in &paths {
        let mut at = path.due;
        for piece in &path.pieces {
            assert_eq!(piece.start, at, "{path:?}");
            at = piece.end;
        }
        assert_eq!(at, path.completed, "{path:?}");
        assert_eq!((path.due, path.completed), (due[&path.epoch], completed[&path.epoch]), "{path:?}");
    }
}

fn thalweg(args: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(THALWEG).args(args).current_dir(folder.path()).env_remove("RUST_BACKTRACE").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_query_gives_what_plain_timely_gives_for_the_events_of_two_partitions() {
    for query in Query::ALL {
        let name = query.to_string();
        let operators: Vec<&str> = query.operators(64).into_iter().map(|(name, _)| name).collect();
        let to = |instances: u32| operators.iter().map(|name| format!("{name}={instances}")).collect::<Vec<_>>().join(", ");
        let plan = format!("0.4s: {}; 1s: {}", to(2), to(1));
        let args = ["run", "--query", &name, "--rate", "5k", "--duration", "2", "--dilation", "100", "--bins", "64", "--json"];
        let policy = ["--policy", "scripted", "--plan", &plan, "--time-factor", "600", "--strategy", "batched:8"];
        let (code, printed, errors) = thalweg(&[&args[..], &policy[..], &["--source-partitions", "2"]].concat());
        assert_eq!(code, Some(0), "{query}: {errors}");
        let printed: Value = serde_json::from_str(&printed).unwrap();
        for wrong in ["records_lost", "records_duplicated", "words_miscounted"] {
            assert_eq!(printed["summary"][wrong], 0, "{query}: {printed}");
        }
        assert_eq!(printed["summary"]["actions"], 2, "{query}: {printed}");
        assert!(printed["emitted_per_s"].as_f64().unwrap() > 0.0, "{query}: {printed}");
    }
}

#[test]
fn no_more_partitions_than_workers() {
    for (args, expected) in [
        (&["--source-partitions", "3"][..], "--source-partitions: expected 1 to 2, at most one for each worker, found 3"),
        (&["--source-partitions", "0"], "--source-partitions: expected 1 to 2, at most one for each worker, found 0"),
        (&["--workers", "1", "--processes", "2", "--source-partitions", "4"], "expected 1 to 2, at most one for each worker, found 4"),
    ] {
        let (code, _, errors) = thalweg(&[&["run"], args].concat());
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
    }
}
