//! The analysis as a whole: in order, the same for any number of workers, over several logs, and beside a running job.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use thalweg::activity::{LogReader, LogWriter, Message, Record};
use thalweg::critical_path::{By, Entity, EpochOddities, EpochPath, EpochPiece, WindowSummary};
use thalweg::dataflow::{Capacity, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::Deployment;
use thalweg::engine::word_count::WordCount;
use thalweg::engine::{Analysis, AnalysisConfig, AnalysisResult, QueryChange, QuerySubject, merged};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::pag::{GraphBuilder, GraphConfig, Oddities};
use thalweg::rate::Rate;
use thalweg::time::{Epoch, Timestamp};
use thalweg::workload::{RateSchedule, SentenceLength, Text};

use crate::activity::{message, processing};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn up_to(worker: u32, at: u64) -> Record {
    Record::UpTo { worker: WorkerId(worker), at: Timestamp(at) }
}

/// Workers that pass messages round a ring, in rounds of 10 ms; one of them, another each second, takes longest. A block is what one
/// worker tells of 50 ms.
fn ring(workers: u32, seconds: u64) -> Vec<(u32, Vec<Record>)> {
    let mut blocks = Vec::new();
    for block in 0..seconds * 20 {
        for worker in 0..workers {
            let mut records = Vec::new();
            for round in block * 5..(block + 1) * 5 {
                let start = round * 10 * MS;
                let slowest = (start / SECOND) as u32 % workers;
                let busy = |worker: u32| if worker == slowest { 9 * MS } else { MS + u64::from(worker) * 1000 };
                records.push(processing(worker, 1 + worker % 3, start, start + busy(worker)));
                let (before, next) = ((worker + workers - 1) % workers, (worker + 1) % workers);
                records.push(Record::Sent(message(worker, next, round, start + busy(worker))));
                let received = start + busy(before).max(busy(worker)) + 1000;
                records.push(Record::Received(Message { at: Timestamp(received), ..message(before, worker, round, 0) }));
            }
            records.push(up_to(worker, (block + 1) * 50 * MS));
            blocks.push((worker, records));
        }
    }
    blocks
}

/// All results on `blocks`.
fn results(config: AnalysisConfig, blocks: impl IntoIterator<Item = Vec<Record>>) -> Vec<AnalysisResult> {
    let (analysis, results) = Analysis::start(config).unwrap();
    for block in blocks {
        analysis.push(block).unwrap();
    }
    analysis.finish().unwrap();
    results.iter().collect()
}

fn parts(results: &[AnalysisResult]) -> (Vec<&WindowSummary>, Vec<&QueryChange>, Oddities) {
    let summaries = results.iter().filter_map(|result| if let AnalysisResult::Window(summary) = result { Some(summary) } else { None });
    let changes = results.iter().filter_map(|result| if let AnalysisResult::Query(change) = result { Some(change) } else { None });
    let Some(AnalysisResult::End { oddities, dropped_records: 0, .. }) = results.last() else { panic!("{:?}", results.last()) };
    (summaries.collect(), changes.collect(), *oddities)
}

fn queries(texts: &[&str]) -> Vec<thalweg::engine::StandingQuery> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn results_are_the_same_bytes_with_any_number_of_workers() {
    let blocks = || ring(8, 5).into_iter().map(|(_, block)| block);
    let window = Duration::from_millis(100);
    let config = |workers| AnalysisConfig {
        workers,
        seed: 7,
        queries: queries(&[
            "participation operator > 20% over 3 windows",
            "participation instance > 20% in each of 2 windows",
            "message > 5ms over 2 windows",
            "activity > 8ms",
            "wait > 40ms over 4 windows",
            "wait in 3 of 4 windows",
        ]),
        ..AnalysisConfig::new(window)
    };
    let one = results(config(1), blocks());
    let bytes = serde_json::to_string(&one).unwrap();
    for workers in [2, 4] {
        assert_eq!(bytes, serde_json::to_string(&results(config(workers), blocks())).unwrap(), "{workers} workers");
    }
    let (summaries, changes, oddities) = parts(&one);
    assert_eq!(oddities, Oddities::default());
    // Each window's changes follow its summary.
    let starts = one.iter().filter_map(|result| match result {
        AnalysisResult::Window(summary) => Some((summary.window.start, 0)),
        AnalysisResult::Query(change) => Some((change.window.start, 1)),
        AnalysisResult::Names(_) | AnalysisResult::Epoch(_) | AnalysisResult::End { .. } => None,
    });
    assert!(starts.is_sorted());
    // Every query has something to tell, and something of each ceases.
    for query in config(1).queries {
        for appeared in [true, false] {
            assert!(changes.iter().any(|change| change.query == query && change.appeared == appeared), "{query} {appeared}");
        }
    }
    // And they are what the graph gives without any of this, but for the random path.
    let mut builder = GraphBuilder::new(GraphConfig::new(window));
    blocks().flatten().for_each(|record| builder.push(&record));
    let expected: Vec<WindowSummary> =
        std::iter::from_fn(|| builder.close(Timestamp(u64::MAX))).map(|graph| WindowSummary::of(&graph, || 0.5)).collect();
    assert_eq!(expected.len(), 50);
    let without_path = |summary: &WindowSummary| {
        let mut summary = summary.clone();
        summary.rows.iter_mut().for_each(|row| row.path_ns = 0);
        summary
    };
    let found: Vec<WindowSummary> = summaries.iter().map(|summary| without_path(summary)).collect();
    assert_eq!(found, expected.iter().map(without_path).collect::<Vec<_>>());
    assert!(
        summaries.iter().all(|summary| summary.rows.iter().map(|row| row.path_ns).sum::<u64>() == 100 * MS),
        "a path is as long as its window"
    );
}

#[test]
fn logs_of_several_processes_are_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [0, 1].map(|process| folder.path().join(process.to_string()));
    for (process, path) in (0..).zip(&paths) {
        let mut writer = LogWriter::new(std::fs::File::create(path).unwrap()).unwrap();
        for (_, block) in ring(4, 3).iter().filter(|(worker, _)| worker / 2 == process) {
            writer.append(block).unwrap();
        }
        writer.finish().unwrap();
    }
    let logs = paths.map(|path| LogReader::new(std::fs::File::open(path).unwrap()).unwrap());
    let config = AnalysisConfig { awaited: 4, workers: 2, ..AnalysisConfig::new(Duration::from_millis(500)) };
    let split = results(config.clone(), merged(logs).map(Result::unwrap));
    let whole = results(config, ring(4, 3).into_iter().map(|(_, block)| block));
    let ((split, _, split_oddities), (whole, _, _)) = (parts(&split), parts(&whole));
    assert_eq!(split_oddities, Oddities::default());
    assert_eq!((split.len(), whole.len()), (6, 6));
    for (split, whole) in split.iter().zip(whole) {
        let ranking = |summary: &WindowSummary| -> BTreeMap<Entity, i64> {
            summary.ranking(By::Instance).into_iter().map(|entry| (entry.entity, (entry.participation * 1e9).round() as i64)).collect()
        };
        // Lanes are numbered as they come, so sums are the same but for rounding.
        assert_eq!((split.window, ranking(split)), (whole.window, ranking(whole)));
    }
}

/// What is awaited comes late: without waiting for it, its records would be too late for their windows.
#[test]
fn no_window_closes_before_every_awaited_worker_was_heard() {
    let mut blocks = ring(2, 3);
    blocks.sort_by_key(|(worker, _)| *worker);
    let late = |awaited| {
        let config = AnalysisConfig { awaited, ..AnalysisConfig::new(Duration::from_millis(500)) };
        parts(&results(config, blocks.iter().map(|(_, block)| block.clone()))).2.late_records
    };
    assert_eq!(late(2), 0);
    assert!(late(0) > 0);
}

#[test]
fn a_straggler_that_is_silent_for_several_windows_is_found_in_each_of_them() {
    let sent = message(1, 0, 0, 54 * SECOND / 10);
    let mut blocks = vec![vec![processing(0, 1, 0, SECOND / 10), up_to(0, SECOND / 10)]];
    // The other worker goes on telling that it has nothing to tell.
    blocks.extend((1..60).map(|tenth| vec![up_to(0, tenth * SECOND / 10)]));
    blocks.push(vec![processing(1, 2, SECOND / 10, 54 * SECOND / 10), Record::Sent(sent), up_to(1, 6 * SECOND)]);
    blocks.push(vec![
        Record::Received(Message { at: Timestamp(54 * SECOND / 10 + 1000), ..sent }),
        processing(0, 1, 54 * SECOND / 10 + 1000, 6 * SECOND),
        up_to(0, 6 * SECOND),
    ]);
    let found = results(AnalysisConfig { awaited: 2, workers: 2, ..AnalysisConfig::new(Duration::from_secs(1)) }, blocks);
    let (summaries, _, oddities) = parts(&found);
    assert_eq!((summaries.len(), oddities.unmatched_receipts), (6, 0));
    for summary in &summaries[1..5] {
        let first = summary.ranking(By::Operator)[0];
        assert_eq!(first.entity, Entity::Operator(OperatorId(2)));
        assert!(first.participation > 1.0 - 1e-9, "{first:?}");
    }
}

#[test]
fn the_end_of_a_log_that_says_nothing_of_completeness_closes_all_its_windows() {
    let told = ring(3, 2).into_iter().map(|(_, block)| block);
    let silent = told.clone().map(|block| block.into_iter().filter(|record| !matches!(record, Record::UpTo { .. })).collect());
    let config = AnalysisConfig::new(Duration::from_millis(100));
    assert_eq!(results(config.clone(), silent), results(config.clone(), told));
    // A log without anything has an end too.
    assert_eq!(
        results(config, []),
        [AnalysisResult::End { oddities: Oddities::default(), epoch_oddities: EpochOddities::default(), dropped_records: 0 }]
    );
}

#[test]
fn queries_appear_and_vanish_as_the_bottleneck_moves() {
    let worker = |at: u64| up_to(0, at);
    let mut records = Vec::new();
    for second in 0..10 {
        let (start, end) = (second * SECOND, (second + 1) * SECOND);
        // Operator 1 to 5 s, then operator 2; in second 3 one batch takes long, and from then on a message and epochs do.
        let operator = if second < 5 { 1 } else { 2 };
        let batch = if second == 3 { 500 * MS } else { 100 * MS };
        records.extend((start..end).step_by(batch as usize).map(|at| processing(0, operator, at, at + batch)));
        let delay = if second >= 3 { 30 * MS } else { MS };
        records.push(Record::Sent(message(0, 0, second, start + 10 * MS)));
        records.push(Record::Received(Message { at: Timestamp(start + 10 * MS + delay), ..message(0, 0, second, 0) }));
        let (epoch, at) = (Epoch(second), Timestamp(start + 200 * MS));
        records.push(Record::EpochOpened { at, source: InstanceId::new(OperatorId(0), 0), epoch, due: at, records: 1 });
        let completed = Timestamp(at.0 + if second >= 8 { 301 * MS } else { 300 * MS });
        records.push(Record::EpochCompleted { at: completed, worker: WorkerId(0), epoch });
        records.push(worker(end));
    }
    let texts = [
        "participation operator > 50% over 2 windows",
        "participation operator > 90% in each of 3 windows",
        "activity > 200ms over 2 windows",
        "message > 5ms",
        "epoch > 300ms",
    ];
    let found = results(AnalysisConfig { queries: queries(&texts), ..AnalysisConfig::new(Duration::from_secs(1)) }, [records]);
    let (_, changes, _) = parts(&found);
    let operator = |number| QuerySubject::Entity(Entity::Operator(OperatorId(number)));
    let changes: Vec<(u64, usize, QuerySubject, bool)> = changes
        .iter()
        .map(|change| {
            let query = texts.iter().position(|text| text.parse() == Ok(change.query)).unwrap();
            (change.window.start.0 / SECOND, query, change.subject, change.appeared)
        })
        .collect();
    let expected = [
        (1, 0, operator(1), true),
        (2, 1, operator(1), true),
        (3, 2, operator(1), true),
        (3, 3, QuerySubject::Entity(Entity::Channel(ChannelId(0))), true),
        // Half of two windows is not more than half.
        (5, 0, operator(1), false),
        (5, 1, operator(1), false),
        (6, 0, operator(2), true),
        // The second long batch ended at 4 s, which is in the window from 4 s on.
        (6, 2, operator(1), false),
        (7, 1, operator(2), true),
        (8, 4, QuerySubject::Epochs, true),
    ];
    assert_eq!(changes, expected);
}

/// A word count of two workers with an analysis beside it: windows come while it runs, and nobody drops anything.
#[test]
fn windows_come_while_the_job_runs() {
    let operator = OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), instances: 2, max_parallelism: 2, slow: None };
    let job = WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Natural)),
        first_sentence: 0,
        schedule: RateSchedule::constant(Rate::per_second(2000.0)),
        duration: Duration::from_secs(2),
        catch_up: 1.1,
        tick: Duration::from_millis(10),
        bins: 16,
        flat_map: operator,
        count: operator,
        deployment: Deployment::threads(2),
    };
    let mut config = AnalysisConfig { workers: 2, awaited: 2, epochs: true, ..AnalysisConfig::new(Duration::from_millis(100)) };
    config.graph.history = Duration::from_secs(60);
    let (analysis, results) = Analysis::start(config).unwrap();
    let running = job.start().unwrap();
    let mut reached: BTreeMap<WorkerId, Timestamp> = BTreeMap::new();
    let mut early = Vec::new();
    let mut completed = 0;
    for batch in &running.log {
        completed += batch.records.iter().filter(|record| matches!(record, Record::EpochCompleted { .. })).count();
        assert_eq!(batch.dropped, 0, "the job's log is whole");
        reached.insert(batch.worker, batch.up_to);
        assert!(analysis.try_push(batch.records), "the analysis keeps up");
        // Both have told of the first window and its lookahead: it must come without anything more from the job.
        if early.is_empty() && reached.len() == 2 && reached.values().all(|&at| at > Timestamp(300 * MS)) {
            // Only an analysis that hangs takes this long.
            match results.recv_timeout(Duration::from_secs(60)) {
                Ok(result) => early.push(result),
                Err(why) => panic!("no window while the job runs: {}", why == RecvTimeoutError::Disconnected),
            }
            assert!(reached.values().all(|&at| at < Timestamp(2 * SECOND)), "the job still runs: {reached:?}");
        }
        early.extend(results.try_iter());
    }
    let tallies = running.join().unwrap();
    assert_eq!(job.verify(&tallies).lost, 0);
    assert!(early.iter().any(|result| matches!(result, AnalysisResult::Window(_))));
    analysis.finish().unwrap();
    let all: Vec<AnalysisResult> = early.into_iter().chain(results.iter()).collect();
    let (summaries, _, oddities) = parts(&all);
    assert_eq!((oddities.late_records, oddities.unmatched_receipts, oddities.reused_keys, oddities.lanes_left_out), (0, 0, 0, 0));
    assert!(summaries.windows(2).all(|pair| pair[0].window.end <= pair[1].window.start));
    assert!(summaries.iter().all(|summary| (summary.participation_sum - 1.0).abs() < 1e-9));
    let paths = all.iter().filter_map(|result| if let AnalysisResult::Epoch(path) = result { Some(path) } else { None });
    let lengths = |path: &EpochPath| path.pieces.iter().map(EpochPiece::length).sum::<Duration>();
    assert!(paths.clone().all(|path| path.latency() == lengths(path)));
    assert_eq!(paths.count(), completed, "every completed epoch has its path");
    assert!(summaries.len() >= 15, "{} windows of a job of two seconds", summaries.len());
}

/// Errors of a reader pass through [`merged`], whatever their type.
#[test]
fn no_logs_are_no_records() {
    let none: [std::iter::Empty<Result<Vec<Record>, Infallible>>; 0] = [];
    assert_eq!(merged(none).count(), 0);
}
