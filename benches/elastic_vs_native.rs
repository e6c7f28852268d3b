//! Elastic keyed count against plain timely `exchange` with the same hash map, in one process.
//!
//! Both count the same records in a closed loop (a fixed number of epochs in flight), without migration. Runs of the two
//! alternate, so that what else happens on the machine hits both; the ratio of medians is what counts. Nothing is recorded; what
//! recording costs is in `recording.rs`.

// A bench is there to read the clock, and its native count is to use the map that people use.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustc_hash::FxHashMap;
use thalweg::dataflow::{Capacity, QueueMarks};
use thalweg::engine::{Clock, Command, Context, DrainToSink, ElasticKeyed, Gauges, IntoBatches, OperatorSpec, Recorder, Time, bin_of};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::migration::Assignment;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

const RECORDS_PER_EPOCH: u64 = 10_000;
const EPOCHS_IN_FLIGHT: u64 = 4;
const KEYS: u64 = 100_000;
/// Paired runs behind each printed ratio.
const PAIRS: usize = 7;

/// A key that looks random and is cheap to make.
fn key(record: u64) -> u64 {
    (record.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % KEYS
}

/// Runs `epochs` epochs through what `build` makes on each worker; gives the time from the first record to the last result.
fn closed_loop(
    workers: usize,
    epochs: u64,
    build: impl Fn(&mut Worker, &mut InputHandleVec<Time, (u64, ())>) -> ProbeHandle<Time> + Send + Sync + 'static,
) -> Duration {
    let communication = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
    let config = Config { communication, worker: WorkerConfig::default() };
    let guards = timely::execute(config, move |worker| {
        let mut input = InputHandleVec::new();
        let probe = build(worker, &mut input);
        let (index, peers) = (worker.index() as u64, worker.peers() as u64);
        let start = Instant::now();
        for epoch in 1..=epochs {
            let first = epoch * RECORDS_PER_EPOCH + index;
            (first..(epoch + 1) * RECORDS_PER_EPOCH).step_by(peers as usize).for_each(|record| input.send((key(record), ())));
            input.advance_to(epoch);
            while probe.less_than(&epoch.saturating_sub(EPOCHS_IN_FLIGHT)) {
                worker.step();
            }
        }
        input.close();
        while !probe.done() {
            worker.step();
        }
        start.elapsed()
    });
    guards.expect("workers start").join().into_iter().map(Result::unwrap).max().expect("a worker")
}

fn native(workers: usize, epochs: u64) -> Duration {
    closed_loop(workers, epochs, |worker, input| {
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            input
                .to_stream(scope)
                .unary::<CapacityContainerBuilder<Vec<(u64, u64)>>, _, _, _>(
                    Exchange::new(|x: &(u64, ())| u64::from(bin_of(&x.0, 1 << 12).0)),
                    "Count",
                    |_, _| {
                        let mut counts: FxHashMap<u64, u64> = FxHashMap::default();
                        move |input, output| {
                            input.for_each(|cap, data| {
                                let mut session = output.session(&cap);
                                for (key, ()) in data.drain(..) {
                                    let count = counts.entry(key).or_default();
                                    *count += 1;
                                    session.give((key, *count));
                                }
                            });
                        }
                    },
                )
                .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sink", |_, _| {
                    move |input, _| input.for_each(|_, data| drop(black_box(std::mem::take(data))))
                })
                .probe_with(&probe);
        });
        probe
    })
}

fn elastic(workers: usize, epochs: u64, bins: u32) -> Duration {
    let gauges = Gauges::new(QueueMarks::default(), workers as u32, Arc::new(AtomicUsize::new(0)));
    let spec = OperatorSpec::with_gauges(OperatorId(1), "Count", Capacity::Cpu, Arc::new(gauges));
    let clock = Clock::start();
    let (acks, _done) = channel();
    let acks = Mutex::new(acks);
    closed_loop(workers, epochs, move |worker, input| {
        let id = WorkerId(worker.index() as u32);
        let acks = acks.lock().expect("no worker panics here").clone();
        let context = Context::new(id, worker.peers() as u32, clock, Recorder::off(), acks);
        let mut control = InputHandleVec::<Time, Command>::new();
        let probe = ProbeHandle::new();
        let (first, spec) = (Assignment::even(bins, worker.peers() as u32), spec.clone());
        worker.dataflow(|scope| {
            input
                .to_stream(scope)
                .into_batches()
                .elastic_keyed(control.to_stream(scope).broadcast(), &context, &spec, &first, |&key, (), count: &mut u64, out| {
                    *count += 1;
                    out.push((key, *count));
                })
                .drain_to_sink(&context, OperatorId(2), |_, counts| drop(black_box(counts)))
                .probe_with(&probe);
        });
        probe
    })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Alternates `a` and `b`; gives the ratio of their medians.
fn paired(a: impl Fn() -> Duration, b: impl Fn() -> Duration) -> f64 {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        first.push(a());
        second.push(b());
    }
    median(first) / median(second)
}

fn benchmark(criterion: &mut Criterion) {
    let epochs = 100;
    let mut group = criterion.benchmark_group("count");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).throughput(Throughput::Elements(epochs * RECORDS_PER_EPOCH));
    for workers in [1, 2] {
        group.bench_function(BenchmarkId::new("native", workers), |b| b.iter_custom(|n| (0..n).map(|_| native(workers, epochs)).sum()));
        for bins in [8, 12] {
            let id = BenchmarkId::new(format!("elastic/2^{bins}"), workers);
            group.bench_function(id, |b| b.iter_custom(|n| (0..n).map(|_| elastic(workers, epochs, 1 << bins)).sum()));
        }
    }
    group.finish();
    ratios(epochs);
}

/// Prints what the design's budgets are about.
fn ratios(epochs: u64) {
    println!(
        "\nthroughput, medians of {PAIRS} alternating runs in one process, {} records each (1 is equal, more is faster):",
        4 * epochs * RECORDS_PER_EPOCH
    );
    for workers in [1, 2] {
        for bins in [8, 12] {
            let ratio = paired(|| native(workers, 4 * epochs), || elastic(workers, 4 * epochs, 1 << bins));
            println!("  elastic / native, {workers} workers, 2^{bins} bins: {ratio:.3}");
        }
    }
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
