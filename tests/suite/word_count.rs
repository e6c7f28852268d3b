//! The whole loop on a real job: source, operators, records, windows, controller, migration and back, for a few seconds.
//!
//! Nothing here depends on how fast the machine is. What must hold of any run is that no word is lost, counted twice or
//! miscounted, that the job ends in the configurations that were asked for, that each operator takes in exactly what the one
//! before it gave out, and that the rows of the timeline leave out nothing that happened before they end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use thalweg::activity::{ActivityKind, Lane, LogReader, Record};
use thalweg::controller::{ControllerConfig, EventKind};
use thalweg::dataflow::{Capacity, Plan, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::Deployment;
use thalweg::engine::word_count::{COUNT, FLAT_MAP, SINK, SOURCE, WordCount};
use thalweg::experiment::run::{RunResult, RunSpec, run};
use thalweg::experiment::scenario::Scenario;
use thalweg::id::{InstanceId, OperatorId, WorkerId};
use thalweg::migration::Strategy;
use thalweg::policy::Scripted;
use thalweg::rate::Rate;
use thalweg::time::Timestamp;
use thalweg::workload::{RateSchedule, SentenceLength, Text};

const WORDS_PER_SENTENCE: u64 = 5;
const SENTENCES_PER_S: f64 = 2000.0;

/// One instance of each operator cannot keep up; two of FlatMap and three of Count can.
fn job(bins: u32, duration: Duration) -> WordCount {
    let operator = |limit: f64, high_records: u64| OperatorConfig {
        capacity: Capacity::Limited { rate: Rate::per_second(limit) },
        marks: QueueMarks { high_records, low_records: high_records / 2 },
        instances: 1,
        max_parallelism: 8,
        slow: None,
    };
    WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Words(WORDS_PER_SENTENCE as usize))),
        first_sentence: 7,
        schedule: RateSchedule::constant(Rate::per_second(SENTENCES_PER_S)),
        duration,
        catch_up: 1.1,
        tick: Duration::from_millis(10),
        bins,
        flat_map: operator(1200.0, 300),
        count: operator(4000.0, 1500),
        deployment: Deployment::threads(2),
    }
}

/// Up with both operators, then down, each plan well before the source ends.
fn scripted(bins: u32, duration: Duration, strategy: Strategy) -> (RunResult, Vec<Record>) {
    let up = Plan::rescale(FLAT_MAP, 3).and(COUNT, 5);
    let down = Plan::rescale(FLAT_MAP, 2).and(COUNT, 3);
    let plans = [(Timestamp::from_secs_f64(0.4), up), (Timestamp::from_secs_f64(0.8), down)];
    let spec = RunSpec {
        job: job(bins, duration),
        controller: ControllerConfig { policy_interval: Duration::from_millis(200), warm_up_windows: 0, activation_windows: 1, strategy },
        policy: Box::new(Scripted::new(plans)),
        // Short, so that windows are about to close while the configuration changes.
        row_window: Duration::from_millis(20),
        needed: BTreeMap::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activity.log");
    let result = run(spec, Some(&path), |_| {}).unwrap();
    let log = LogReader::new(BufReader::new(File::open(&path).unwrap())).unwrap();
    (result, log.flat_map(Result::unwrap).collect())
}

fn check(result: &RunResult, log: &[Record]) {
    let verdict = result.verdict;
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted, result.dropped_records), (0, 0, 0, 0));
    assert!(verdict.emitted > 0);
    assert_eq!(verdict.results, verdict.emitted * WORDS_PER_SENTENCE);

    let configurations: Vec<String> = result.configurations.iter().map(|(_, configuration)| configuration.to_string()).collect();
    assert_eq!(configurations, ["1/1/1/2", "1/3/5/2", "1/2/3/2"]);
    assert_eq!(result.actions(), 2);

    // Each operator takes in what the one before it gave out, over the whole run.
    let works = log.iter().filter_map(|record| match record {
        Record::Activity(activity) if activity.kind != ActivityKind::Migration => Some(activity),
        _ => None,
    });
    let works: Vec<_> = works.collect();
    let taken = |id: OperatorId| works.iter().filter(|work| work.instance.operator == id).map(|work| work.records_in).sum::<u64>();
    let given = |id: OperatorId| works.iter().filter(|work| work.instance.operator == id).map(|work| work.records_out).sum::<u64>();
    assert_eq!((given(SOURCE), taken(FLAT_MAP)), (verdict.emitted, verdict.emitted));
    assert_eq!(
        (given(FLAT_MAP), taken(COUNT), given(COUNT), taken(SINK)),
        (verdict.results, verdict.results, verdict.results, verdict.results)
    );

    // Every message arrives once, with what was sent.
    let (mut sent, mut received): (BTreeMap<_, u64>, BTreeMap<_, u64>) = Default::default();
    for record in log {
        match record {
            Record::Sent(message) => {
                let before = sent.insert((message.channel, message.from, message.sequence, message.epoch), message.records);
                assert_eq!(before, None, "{message:?}");
            }
            // Each instance takes its part.
            Record::Received(message) => {
                *received.entry((message.channel, message.from, message.sequence, message.epoch)).or_default() += message.records;
            }
            _ => {}
        }
    }
    assert_eq!(sent, received);

    // The timeline leaves nothing out and says what held: its windows tile the run up to the last one's end.
    let last = result.timeline.last().unwrap().window_end_s;
    for operator in result.topology.operators() {
        let rows = || result.timeline.iter().filter(|row| row.operator == operator.name);
        let in_rows: f64 = rows().map(|row| (row.processed_per_s * (row.window_end_s - row.window_start_s)).round()).sum();
        let until = works.iter().filter(|work| work.instance.operator == operator.id && work.end < Timestamp::from_secs_f64(last));
        assert_eq!(in_rows as u64, until.map(|work| work.records_in).sum::<u64>(), "{}", operator.name);
        for row in rows() {
            let end = Timestamp::from_secs_f64(row.window_end_s);
            let held = result.configurations.iter().rev().find(|(from, _)| *from < end).unwrap();
            assert_eq!(row.parallelism, held.1.parallelism(operator.id), "{} until {end:?}", operator.name);
        }
    }
    let latency: u64 = result.latency.iter().map(|row| row.records).sum();
    let sunk = works.iter().filter(|work| work.instance.operator == SINK && work.end < Timestamp::from_secs_f64(last));
    assert_eq!(latency, sunk.map(|work| work.records_in).sum::<u64>());
}

#[test]
fn rescaled_all_at_once_the_job_counts_every_word_once() {
    let (result, log) = scripted(64, Duration::from_secs(3), Strategy::AllAtOnce);
    check(&result, &log);
}

#[test]
fn rescaled_bin_by_bin_the_job_counts_every_word_once() {
    let (result, log) = scripted(16, Duration::from_secs(4), Strategy::Fluid);
    check(&result, &log);
}

#[test]
fn a_job_of_one_bin_is_split_to_be_rescaled() {
    let (result, log) = scripted(1, Duration::from_secs(4), Strategy::AllAtOnce);
    check(&result, &log);
    let split = result.events.iter().find_map(|event| match &event.kind {
        EventKind::Splitting { operator, bins } => Some((*operator, bins.len())),
        _ => None,
    });
    // Five instances are to carry a fifth of one bin each, in four parts at least so that they can be dealt out evenly: 32 parts.
    assert_eq!(split, Some((COUNT, 31)));
    let instances = |record: &Record| match record {
        Record::Activity(activity) if activity.instance.operator == COUNT && activity.records_in > 0 => Some(activity.instance.index),
        _ => None,
    };
    assert_eq!(log.iter().filter_map(instances).collect::<BTreeSet<u32>>(), (0..5).collect());
}

#[test]
fn hot_bins_and_a_slow_instance_are_what_was_asked_for_and_a_plan_by_load_and_speed_answers_both() {
    const LIMIT: f64 = 4000.0;
    const FULL: f64 = 10.0 / 3.25;
    let scenario = Scenario::read(
        "title = 'Hot bins'\nseconds = 4\nengine = { text = 'liber-primus' }\n\
         [[operators]]\nname = 'source'\nrole = 'source'\nrate = '2k/s'\n\
         [[operators]]\nname = 'flatmap'\nrole = 'stateless'\ninputs = ['source']\nselectivity = 5\n\
         limit = '4k/s'\nmax_parallelism = 1\nqueue_low_s = 0.4\n\
         [[operators]]\nname = 'count'\nrole = 'keyed'\ninputs = ['flatmap']\nbins = 64\n\
         skew = { kind = 'hot-bins', bins = 16, share = 0.6, step = 4 }\n\
         limit = '4k/s'\ninstances = 4\nmax_parallelism = 8\nqueue_low_s = 0.4\n\
         stragglers = [{ instance = 1, speed = 0.25, from_s = 1 }]\n\
         [[operators]]\nname = 'sink'\nrole = 'sink'\ninputs = ['count']\n",
    )
    .unwrap();
    let plan = Plan { rebalances: [COUNT].into(), speeds: [(COUNT, vec![1.0, 0.25])].into(), ..Plan::default() };
    let strategy = Strategy::AllAtOnce;
    let spec = RunSpec {
        job: scenario.word_count(0).unwrap(),
        controller: ControllerConfig { policy_interval: Duration::from_millis(500), warm_up_windows: 0, activation_windows: 1, strategy },
        policy: Box::new(Scripted::new([(Timestamp::from_secs_f64(1.6), plan)])),
        row_window: Duration::from_millis(500),
        needed: BTreeMap::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activity.log");
    let result = run(spec, Some(&path), |_| {}).unwrap();
    let verdict = result.verdict;
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted, result.actions()), (0, 0, 0, 1));
    let log: Vec<Record> = LogReader::new(BufReader::new(File::open(&path).unwrap())).unwrap().flat_map(Result::unwrap).collect();

    let migrated = result.settled_at().unwrap();
    let begun = result.events.iter().find(|event| matches!(event.kind, EventKind::Rescaling { .. })).unwrap().at;
    // Parts of the words that arrive at each instance.
    let parts = |from: Timestamp, until: Timestamp| {
        let mut arrived = [0.0; 4];
        for record in &log {
            if let Record::Queue { instance, at, arrivals, .. } = record
                && instance.operator == COUNT
                && (from..until).contains(at)
            {
                arrived[instance.index as usize] += *arrivals as f64;
            }
        }
        let all: f64 = arrived.iter().sum();
        arrived.map(|arrived| arrived / all)
    };
    let before = parts(Timestamp::ZERO, begun);
    // Sixty of a hundred, but for what was drawn.
    assert!((0.55..0.8).contains(&before[0]), "{before:?}");
    // What came with bins that moved is over by then.
    let after = parts(migrated + Duration::from_millis(500), Timestamp(u64::MAX));
    for (index, speed) in [1.0, 0.25, 1.0, 1.0].into_iter().enumerate() {
        assert!((after[index] - speed * FULL / 10.0).abs() < 0.05, "{after:?}");
    }
    // Words per second of useful time of the slow instance.
    let rate = |from_s: f64, until_s: f64| {
        let (mut words, mut useful) = (0.0, 0.0);
        for record in &log {
            if let Record::Activity(work) = record
                && work.instance == InstanceId::new(COUNT, 1)
                && work.kind == ActivityKind::Processing
                && work.start.as_secs_f64() >= from_s
                && work.end.as_secs_f64() <= until_s
            {
                words += work.records_in as f64;
                useful += work.end.since(work.start).as_secs_f64();
            }
        }
        words / useful
    };
    assert!((rate(0.0, 1.0) / LIMIT - 1.0).abs() < 1e-3, "{}", rate(0.0, 1.0));
    assert!((rate(1.0, 99.0) / LIMIT - 0.25).abs() < 1e-3, "{}", rate(1.0, 99.0));
}

/// Instances of measured capacity go to other workers and back while records arrive, with their bins after them, in one step or
/// one by one.
#[test]
fn instances_that_move_to_another_worker_take_their_bins_along_and_lose_nothing() {
    for strategy in [Strategy::AllAtOnce, Strategy::Fluid] {
        let cpu = |config: OperatorConfig| OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), ..config };
        let limited = job(32, Duration::from_secs(3));
        let job = WordCount { flat_map: cpu(limited.flat_map), count: cpu(limited.count), ..limited };
        let policy = Scripted::read("0.4s: flatmap@0, count@1; 0.8s: count=2@1+0; 1.2s: count@0+1", &job.topology()).unwrap();
        let spec = RunSpec {
            job,
            controller: ControllerConfig {
                policy_interval: Duration::from_millis(200),
                warm_up_windows: 0,
                activation_windows: 1,
                strategy,
            },
            policy: Box::new(policy),
            row_window: Duration::from_millis(200),
            needed: BTreeMap::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("activity.log");
        let result = run(spec, Some(&path), |_| {}).unwrap();
        let verdict = result.verdict;
        assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted, result.actions()), (0, 0, 0, 3), "{:?}", result.events);
        // By time, which worker has each instance.
        let placements: Vec<(Timestamp, Vec<u32>)> = result
            .configurations
            .iter()
            .map(|(at, configuration)| {
                let placement = configuration.placement().unwrap();
                (*at, [FLAT_MAP, COUNT].iter().flat_map(|&id| placement.of(id)).map(|worker| worker.0).collect())
            })
            .collect();
        let places: Vec<&[u32]> = placements.iter().map(|(_, places)| places.as_slice()).collect();
        assert_eq!(places, [&[1, 0][..], &[0, 1], &[0, 1, 0], &[0, 0, 1]]);
        let log: Vec<Record> = LogReader::new(BufReader::new(File::open(&path).unwrap())).unwrap().flat_map(Result::unwrap).collect();
        let moved = placements.last().unwrap().0 + Duration::from_millis(300);
        let mut seen: BTreeSet<(InstanceId, Lane)> = BTreeSet::new();
        let mut samples: BTreeSet<(InstanceId, Timestamp)> = BTreeSet::new();
        for record in &log {
            match record {
                Record::Activity(work) if work.kind == ActivityKind::Processing && work.start >= moved => {
                    seen.insert((work.instance, work.lane));
                }
                Record::Queue { instance, at, .. } if *at >= moved => {
                    assert!(samples.insert((*instance, *at)), "{instance} is sampled by two workers");
                }
                _ => {}
            }
        }
        let on = |operator, index, worker| (InstanceId::new(operator, index), Lane::Worker(WorkerId(worker)));
        assert_eq!(seen, BTreeSet::from([on(FLAT_MAP, 0, 0), on(COUNT, 0, 0), on(COUNT, 1, 1)]));
    }
}
