//! Epoch critical paths of a real job: every completed epoch's latency is explained, and the bottleneck is named.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use thalweg::activity::{LogReader, Record};
use thalweg::controller::ControllerConfig;
use thalweg::critical_path::{EpochOddities, EpochPath, EpochPaths, EpochPieceKind, EpochSummary};
use thalweg::dataflow::{Capacity, Plan, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::Deployment;
use thalweg::engine::word_count::{COUNT, FLAT_MAP, WordCount};
use thalweg::experiment::run::{RunSpec, run};
use thalweg::id::WorkerId;
use thalweg::migration::Strategy;
use thalweg::pag::{GraphBuilder, GraphConfig, Oddities};
use thalweg::policy::Scripted;
use thalweg::rate::Rate;
use thalweg::time::Timestamp;
use thalweg::workload::{RateSchedule, SentenceLength, Text};

const SECOND: Duration = Duration::from_secs(1);

/// Log of a word count: 500 sentences/s of 5 words each, with instances of these capacities.
fn log(flat_map: (Capacity, u32), count: (Capacity, u32), plans: Vec<(Timestamp, Plan)>) -> Vec<Record> {
    let operator = |(capacity, instances): (Capacity, u32)| OperatorConfig {
        capacity,
        marks: QueueMarks { high_records: 200, low_records: 100 },
        instances,
        max_parallelism: 4,
        slow: None,
    };
    let job = WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Words(5))),
        first_sentence: 3,
        schedule: RateSchedule::constant(Rate::per_second(500.0)),
        duration: 2 * SECOND,
        catch_up: 1.5,
        tick: Duration::from_millis(10),
        bins: 16,
        flat_map: operator(flat_map),
        count: operator(count),
        deployment: Deployment::threads(2),
    };
    let controller = ControllerConfig {
        policy_interval: Duration::from_millis(200),
        warm_up_windows: 0,
        activation_windows: 1,
        strategy: Strategy::AllAtOnce,
    };
    let spec = RunSpec {
        job,
        controller,
        policy: Box::new(Scripted::new(plans)),
        row_window: Duration::from_millis(100),
        needed: BTreeMap::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activity.log");
    run(spec, Some(&path), |_| {}).unwrap();
    LogReader::new(BufReader::new(File::open(&path).unwrap())).unwrap().flat_map(Result::unwrap).collect()
}

/// Paths of all epochs in a log, and how many there were to explain.
fn paths(log: &[Record]) -> Vec<EpochPath> {
    let config = GraphConfig { history: 20 * SECOND, ..GraphConfig::new(Duration::from_millis(100)) };
    let (mut graph, mut epochs, mut paths) = (GraphBuilder::new(config), EpochPaths::default(), Vec::new());
    let mut completed = 0;
    for record in log {
        graph.push(record);
        epochs.push(record);
        completed += usize::from(matches!(record, Record::EpochCompleted { .. }));
        if let Record::UpTo { worker: WorkerId(0), .. } = record {
            while let Some(window) = graph.close(graph.known()) {
                paths.extend(epochs.walk(&graph, window.window.end));
            }
        }
    }
    while graph.close(Timestamp(u64::MAX)).is_some() {}
    paths.extend(epochs.walk(&graph, Timestamp(u64::MAX)));
    assert_eq!(epochs.oddities(), EpochOddities::default());
    assert_eq!(graph.oddities(), Oddities { unmatched_receipts: graph.oddities().unmatched_receipts, ..Oddities::default() });
    assert_eq!(paths.len(), completed);
    assert!(completed > 50, "{completed} epochs");
    paths
}

fn summary(paths: &[EpochPath]) -> EpochSummary {
    let mut summary = EpochSummary::default();
    for path in paths {
        let mut at = path.due;
        for piece in &path.pieces {
            assert_eq!(piece.start, at, "{path:?}");
            assert!(piece.end > piece.start, "{path:?}");
            at = piece.end;
        }
        assert_eq!(at, path.completed, "{path:?}");
        summary.add(path);
    }
    for part in summary.parts().iter().take(12) {
        println!("{:6.2} % {:10.0} ns  p50 {:9} p99 {:9} {:?}", 100.0 * part.share, part.mean_ns, part.p50_ns, part.p99_ns, part.part);
    }
    for operator in summary.operators() {
        println!("{operator:?}");
    }
    let total: f64 = summary.parts().iter().map(|part| part.share).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    let unknown: f64 = summary.parts().iter().filter(|part| part.part.kind == EpochPieceKind::Unknown).map(|part| part.share).sum();
    assert!(unknown <= 0.05, "{unknown} of the latency is unknown");
    summary
}

fn limited(rate: f64) -> Capacity {
    Capacity::Limited { rate: Rate::per_second(rate) }
}

#[test]
fn a_bottleneck_with_instances_of_limited_capacity_is_named() {
    // 2,500 words a second; Count can take 1,000: so few that it is named on a machine busy with other things, too.
    let summary = summary(&paths(&log((limited(2_000.0), 1), (limited(500.0), 2), Vec::new())));
    assert_eq!(summary.operators()[0].operator, COUNT, "{:?}", summary.operators());
    // 500 sentences a second; FlatMap can take 200.
    let summary = self::summary(&paths(&log((limited(100.0), 2), (limited(10_000.0), 1), Vec::new())));
    assert_eq!(summary.operators()[0].operator, FLAT_MAP, "{:?}", summary.operators());
}

#[test]
fn epochs_are_explained_while_instances_come_and_go() {
    let plans = [(0.4, Plan::rescale(FLAT_MAP, 3).and(COUNT, 4)), (0.9, Plan::rescale(FLAT_MAP, 1).and(COUNT, 3))];
    let plans = plans.map(|(at, plan)| (Timestamp::from_secs_f64(at), plan)).to_vec();
    summary(&paths(&log((limited(1_000.0), 2), (limited(2_000.0), 2), plans)));
}

#[test]
fn epochs_are_explained_where_instances_share_the_threads_of_workers() {
    summary(&paths(&log((Capacity::Cpu, 2), (Capacity::Cpu, 2), Vec::new())));
}
