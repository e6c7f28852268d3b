//! How many records a second one core analyses: graph and critical participation, the whole summary of a window, epochs.
//!
//! Logs are at least a million records long, with phases of 10 ns to 1 ms, in windows of 1 s, and lie in memory unless the name
//! says that they are generated on the way:
//! - 8 workers, 7 partners: all meet all, 17 thousand records a window;
//! - 32 workers, 7 partners: 67 thousand records a window;
//! - 32 workers, 31 partners, 10 rounds a second: all meet all, 22 thousand records a window;
//! - 32 workers, 31 partners, 100 rounds a second: 220 thousand records a window, nine of ten of them sides of messages: the hard case.
//!
//! The prior system was measured on 8 and 32 workers, too, with 10 to 20 thousand records a window; who meets whom in its log of 32 is
//! not known, so all are here.
//! *Epochs* are the rounds of these logs, and the batches of a random dataflow, which are many and short.

// A bench is what reads clocks.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thalweg::activity::Record;
use thalweg::critical_path::{EpochPaths, EpochSummary, Participation, Summarizer};
use thalweg::pag::{GraphBuilder, GraphConfig, WindowGraph};
use thalweg::sim::{CauseKind, ExchangeLog, Flow, Random};
use thalweg::time::Timestamp;

/// Windows are closed after so many records, as an observer does after each batch.
const BATCH: usize = 4096;
const WINDOW: Duration = Duration::from_secs(1);

/// Builds the graphs of a log and gives each to `analyse`.
fn windows<R: std::borrow::Borrow<Record>>(records: impl IntoIterator<Item = R>, mut analyse: impl FnMut(&WindowGraph)) {
    let mut builder = GraphBuilder::new(GraphConfig::new(WINDOW));
    for (index, record) in records.into_iter().enumerate() {
        builder.push(record.borrow());
        if index % BATCH == 0 {
            while let Some(graph) = builder.close(builder.known()) {
                analyse(&graph);
                builder.recycle(graph);
            }
        }
    }
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        analyse(&graph);
        builder.recycle(graph);
    }
}

/// Both passes over each graph of a log.
fn participations<R: std::borrow::Borrow<Record>>(records: impl IntoIterator<Item = R>) {
    let mut participation = Participation::default();
    windows(records, |graph| {
        participation.update(graph);
        black_box(&participation);
    });
}

/// Follows the epochs of a log; gives how long that took apart from the graph.
fn epochs(records: &[Record]) -> Duration {
    let config = GraphConfig { history: WINDOW, ..GraphConfig::new(WINDOW) };
    let (mut builder, mut paths, mut summary) = (GraphBuilder::new(config), EpochPaths::default(), EpochSummary::default());
    let mut spent = Duration::ZERO;
    for (index, batch) in records.chunks(BATCH).enumerate() {
        batch.iter().for_each(|record| builder.push(record));
        let start = Instant::now();
        batch.iter().for_each(|record| paths.push(record));
        spent += start.elapsed();
        let known = if (index + 1) * BATCH >= records.len() { Timestamp(u64::MAX) } else { builder.known() };
        while let Some(graph) = builder.close(known) {
            let start = Instant::now();
            paths.walk(&builder, graph.window.end).iter().for_each(|path| summary.add(path));
            spent += start.elapsed();
            builder.recycle(graph);
        }
    }
    assert!(summary.epochs() > 0);
    black_box(summary);
    spent
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("critical_paths");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    let some = ExchangeLog { partners: 7, ..ExchangeLog::of_all(32, 100, 16) };
    for log in [ExchangeLog::of_all(8, 100, 70), some, ExchangeLog::of_all(32, 10, 60), ExchangeLog::of_all(32, 100, 10)] {
        let records: Vec<Record> = log.records().collect();
        assert!(records.len() >= 1_000_000, "{}", records.len());
        group.throughput(Throughput::Elements(records.len() as u64));
        let id = |what: &str| {
            BenchmarkId::new(what, format!("{} workers, {} partners, {} rounds", log.workers, log.partners, 1.0 / log.period.as_secs_f64()))
        };
        group.bench_function(id("graph"), |b| {
            b.iter(|| {
                windows(&records, |graph| {
                    black_box(graph.points.len());
                })
            })
        });
        group.bench_function(id("graph, participation"), |b| b.iter(|| participations(&records)));
        group.bench_function(id("generator, graph, participation"), |b| b.iter(|| participations(log.records())));
        group.bench_function(id("graph, summary"), |b| {
            b.iter(|| {
                let (mut summarizer, mut random) = (Summarizer::default(), Random::new(0));
                windows(&records, |graph| {
                    black_box(summarizer.summarize(graph, || random.uniform()));
                });
            })
        });
        group.bench_function(id("epochs alone"), |b| b.iter_custom(|times| (0..times).map(|_| epochs(&records)).sum()));
        group.bench_function(id("graph, epochs"), |b| b.iter(|| epochs(&records)));
    }
    let records: Vec<Record> = Flow::random(3, CauseKind::Operator).records(Timestamp(1_000_000_000_000_000)).take(1_000_000).collect();
    group.throughput(Throughput::Elements(records.len() as u64));
    let id = |what: &str| BenchmarkId::new(what, "random dataflow");
    group.bench_function(id("epochs alone"), |b| b.iter_custom(|times| (0..times).map(|_| epochs(&records)).sum()));
    group.bench_function(id("graph, epochs"), |b| b.iter(|| epochs(&records)));
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
