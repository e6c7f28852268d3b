//! How many records a second one core analyses: graph and critical participation, the whole summary of a window.
//!
//! Logs are of 8 workers that all meet and of 32 that meet 7 others or all, with phases of 10 ns to 1 ms, at least a million records long, in windows of
//! 1 s. They lie in memory, unless the name says that they are generated on the way.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thalweg::activity::Record;
use thalweg::critical_path::{Participation, WindowSummary};
use thalweg::pag::{GraphBuilder, GraphConfig, WindowGraph};
use thalweg::sim::{Meetings, Random};
use thalweg::time::Timestamp;

/// Windows are closed after so many records, as an observer does after each batch.
const BATCH: usize = 4096;

/// Builds the graphs of a log and gives each to `analyse`.
fn windows<R: std::borrow::Borrow<Record>>(records: impl IntoIterator<Item = R>, mut analyse: impl FnMut(&WindowGraph)) {
    let mut builder = GraphBuilder::new(GraphConfig::new(Duration::from_secs(1)));
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

fn participation(graph: &WindowGraph) {
    black_box(Participation::of(graph));
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("critical_paths");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    let some = Meetings { partners: 7, ..Meetings::of_all(32, 100, 16) };
    for log in [Meetings::of_all(8, 100, 70), some, Meetings::of_all(32, 100, 10)] {
        let records: Vec<Record> = log.records().collect();
        group.throughput(Throughput::Elements(records.len() as u64));
        let id = |what: &str| BenchmarkId::new(what, format!("{} workers, {} partners", log.workers, log.partners));
        group.bench_function(id("graph"), |b| {
            b.iter(|| {
                windows(&records, |graph| {
                    black_box(graph.points.len());
                })
            })
        });
        group.bench_function(id("graph, participation"), |b| b.iter(|| windows(&records, participation)));
        group.bench_function(id("generator, graph, participation"), |b| b.iter(|| windows(log.records(), participation)));
        group.bench_function(id("graph, summary"), |b| {
            b.iter(|| {
                let mut random = Random::new(0);
                windows(&records, |graph| {
                    black_box(WindowSummary::of(graph, || random.uniform()));
                });
            })
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
