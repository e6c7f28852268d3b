//! Elastic keyed count against plain timely `exchange` with a hash map: what the choice of bins costs while nothing migrates. The map is
//! the one people use (FxHashMap); the elastic count has tables of its own and asks for places in memory ahead.
//!
//! Both count the same records into tables that already hold every key, so that no table grows while the clock runs. Three
//! quantities, each a ratio of the elastic count to the native one:
//!
//! 1. *Throughput*, in a closed loop (a fixed number of epochs in flight).
//! 2. *Latency of an epoch*, 99th percentile, in an open loop at half of native's throughput, from when the epoch is due.
//! 3. *Resident memory* that the tables take, each in a process of its own: this program calls itself.
//!
//! Runs of the two alternate in one process, so that what else happens on the machine hits both; a pair gives one ratio, and the
//! median of the ratios counts, printed with the smallest and the largest. Nothing is recorded; what recording costs is in
//! `recording.rs`. The environment variables `WORKERS`, `BINS` (exponents, separated by commas), `PAIRS` and `ONLY` (`throughput`,
//! `latency` or `memory`) choose some of the runs.

// A bench is there to read the clock, and its native count is to use the map that people use.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::env;
use std::hint::black_box;
use std::process;
use std::str::FromStr;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use thalweg::dataflow::{Capacity, QueueMarks};
use thalweg::engine::{Clock, Command, Context, DrainToSink, ElasticKeyed, IntoBatches, OperatorSpec, QueueMeters, Recorder, Time, bin_of};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::migration::Assignment;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

const KEYS: u64 = 1_000_000;
const RECORDS_PER_EPOCH: u64 = 10_000;
const EPOCHS_IN_FLIGHT: u64 = 4;
/// Epochs of a run in a closed loop: it takes several times as long as loading the keys.
const EPOCHS: u64 = 2_000;
/// An epoch of the open loop lasts so long, and a run of it so many epochs.
const OPEN_EPOCH: Duration = Duration::from_millis(1);
const OPEN_EPOCHS: u64 = 1_500;

/// What is built and how it is driven.
#[derive(Clone, Copy)]
struct Run {
    workers: usize,
    /// Number of bins; none for the native count.
    bins: Option<u32>,
    /// Records of an epoch of the open loop; none for the closed loop.
    open: Option<u64>,
}

/// What a worker saw of a run.
#[derive(Default)]
struct Seen {
    /// From the first record behind the loaded keys to the last result.
    elapsed: Duration,
    /// Of epochs of the open loop.
    latencies: Vec<Duration>,
    /// By how much loading the keys made the process grow, in KiB.
    resident_kib: u64,
}

type Input = InputHandleVec<Time, (u64, ())>;

/// A key for a record, any of them equally likely. A number times a constant would be cheaper to make, but multiplication is also
/// how keys are hashed: the table would be read along a regular pattern.
fn key(record: u64) -> u64 {
    let mixed = (record ^ (record >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % KEYS
}

fn native(worker: &mut Worker, input: &mut Input) -> ProbeHandle<Time> {
    let (probe, peers) = (ProbeHandle::new(), worker.peers() as u32);
    worker.dataflow(|scope| {
        input
            .to_stream(scope)
            .unary::<CapacityContainerBuilder<Vec<(u64, u64)>>, _, _, _>(
                // By the highest bits of the hash: the map uses the others, and would find part of its places empty otherwise.
                Exchange::new(move |x: &(u64, ())| u64::from(bin_of(&x.0, peers).0)),
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
}

fn elastic(worker: &mut Worker, input: &mut Input, bins: u32, context: &Context, spec: &OperatorSpec) -> ProbeHandle<Time> {
    let mut control = InputHandleVec::<Time, Command>::new();
    let probe = ProbeHandle::new();
    let first = Assignment::even(bins, worker.peers() as u32);
    worker.dataflow(|scope| {
        input
            .to_stream(scope)
            .into_batches()
            .elastic_keyed(control.to_stream(scope).broadcast(), context, spec, &first, |&key, (), count: &mut u64, out| {
                *count += 1;
                out.push((key, *count));
            })
            .drain_to_sink(context, OperatorId(2), |_, counts| drop(black_box(counts)))
            .probe_with(&probe);
    });
    probe
}

/// Carries out `run`.
fn execute(run: Run) -> Seen {
    let Run { workers, bins, open } = run;
    let queues = QueueMeters::new(QueueMarks::default(), workers as u32, Arc::new(AtomicUsize::new(0)));
    let spec = OperatorSpec::with_queues(OperatorId(1), "Count", Capacity::Cpu, Arc::new(queues));
    let clock = Clock::start();
    let (acks, _done) = channel();
    let acks = Mutex::new(acks);
    let communication = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
    let config = Config { communication, worker: WorkerConfig::default() };
    let guards = timely::execute(config, move |worker| {
        let id = WorkerId(worker.index() as u32);
        let acks = acks.lock().expect("no worker panics here").clone();
        let context = Context::new(id, worker.peers() as u32, clock, Recorder::off(), acks);
        let before = resident_kib();
        let mut input = InputHandleVec::new();
        let probe = match bins {
            None => native(worker, &mut input),
            Some(bins) => elastic(worker, &mut input, bins, &context, &spec),
        };
        // In epochs like those of the closed loop: what they leave behind in buffers is the same.
        let mut epoch = 0;
        while epoch * RECORDS_PER_EPOCH < KEYS {
            send(worker, &mut input, epoch, RECORDS_PER_EPOCH, |record| record);
            step_while(worker, &probe, epoch.saturating_sub(EPOCHS_IN_FLIGHT));
            epoch += 1;
        }
        step_while(worker, &probe, epoch - 1);
        let resident_kib = resident_kib().saturating_sub(before);
        let start = Instant::now();
        let latencies = match open {
            None => closed_loop(worker, &mut input, &probe, epoch),
            Some(records) => open_loop(worker, &mut input, &probe, epoch, records),
        };
        input.close();
        while !probe.done() {
            worker.step();
        }
        Seen { elapsed: start.elapsed(), latencies, resident_kib }
    });
    let mut all = Seen::default();
    for seen in guards.expect("workers start").join().into_iter().map(Result::unwrap) {
        all.elapsed = all.elapsed.max(seen.elapsed);
        all.resident_kib = all.resident_kib.max(seen.resident_kib);
        all.latencies.extend(seen.latencies);
    }
    all
}

/// Sends this worker's part of the records of `epoch` and closes the epoch.
fn send(worker: &Worker, input: &mut Input, epoch: u64, records: u64, key: impl Fn(u64) -> u64) {
    let (index, peers) = (worker.index() as u64, worker.peers());
    (epoch * records + index..(epoch + 1) * records).step_by(peers).for_each(|record| input.send((key(record), ())));
    input.advance_to(epoch + 1);
}

/// Works until everything up to `epoch` is done.
fn step_while(worker: &mut Worker, probe: &ProbeHandle<Time>, epoch: u64) {
    while probe.less_equal(&epoch) {
        worker.step();
    }
}

fn closed_loop(worker: &mut Worker, input: &mut Input, probe: &ProbeHandle<Time>, first: u64) -> Vec<Duration> {
    for epoch in first..first + EPOCHS {
        send(worker, input, epoch, RECORDS_PER_EPOCH, key);
        step_while(worker, probe, epoch - EPOCHS_IN_FLIGHT);
    }
    Vec::new()
}

/// Epochs are sent when they are due, however late the ones before them are. Gives the latency of each from then on.
fn open_loop(worker: &mut Worker, input: &mut Input, probe: &ProbeHandle<Time>, first: u64, records: u64) -> Vec<Duration> {
    let start = Instant::now();
    // An epoch is due when its last record is.
    let due = |epoch: u64| OPEN_EPOCH * (epoch - first + 1) as u32;
    let (mut sent, mut done) = (first, first);
    let mut latencies = Vec::with_capacity(OPEN_EPOCHS as usize);
    while done < first + OPEN_EPOCHS {
        if sent < first + OPEN_EPOCHS && due(sent) <= start.elapsed() {
            send(worker, input, sent, records, key);
            sent += 1;
        }
        worker.step();
        while done < sent && !probe.less_equal(&done) {
            latencies.push(start.elapsed() - due(done));
            done += 1;
        }
    }
    latencies
}

/// Memory of this process that is resident, in KiB; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.split_whitespace().next());
    resident.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// The same as [`execute`]'s `resident_kib`, in a process of its own.
fn resident_kib_of_child(workers: usize, bins: Option<u32>) -> u64 {
    let exponent = bins.map_or("native".to_owned(), |bins| bins.ilog2().to_string());
    let program = env::current_exe().expect("this program has a path");
    let output = process::Command::new(program).env(CHILD, format!("{workers} {exponent}")).output().expect("this program runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a child prints a number")
}

/// Set for children: the workers, and the exponent of the bins or anything else for the native count.
const CHILD: &str = "ELASTIC_VS_NATIVE_MEMORY";

/// A list from the environment, or what is given.
fn from_environment<T: FromStr + Clone>(name: &str, otherwise: &[T]) -> Vec<T> {
    let parsed = |list: String| list.split(',').map(|one| one.parse().ok()).collect::<Option<Vec<T>>>();
    env::var(name).ok().map_or(otherwise.to_vec(), |list| parsed(list).unwrap_or_else(|| panic!("{name} is a list of values")))
}

fn sorted<T: Clone>(values: &[T], order: impl Fn(&T, &T) -> std::cmp::Ordering) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort_by(order);
    values
}

/// Median, smallest and largest of `values`.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let values = sorted(values, f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// Prints the ratios of one quantity and, as medians, what they are ratios of.
fn print(what: &str, workers: usize, exponent: u32, pairs: &[(f64, f64)], unit: &str) {
    let (ratio, low, high) = spread(&pairs.iter().map(|(elastic, native)| elastic / native).collect::<Vec<_>>());
    let of = |part: fn(&(f64, f64)) -> f64| spread(&pairs.iter().map(part).collect::<Vec<_>>()).0;
    let (elastic, native) = (of(|pair| pair.0), of(|pair| pair.1));
    println!(
        "{what:10} {workers} workers, 2^{exponent:<2} bins: elastic / native {ratio:.3} ({low:.3} to {high:.3}), {elastic:.2} and {native:.2} {unit}"
    );
}

/// Nanoseconds of wall time a record and worker.
fn ns_per_record(workers: usize, bins: Option<u32>) -> f64 {
    let elapsed = execute(Run { workers, bins, open: None }).elapsed;
    elapsed.as_nanos() as f64 / (EPOCHS * RECORDS_PER_EPOCH) as f64 * workers as f64
}

/// 99th percentile of an epoch's latency in milliseconds, with `records` an epoch.
fn p99_ms(workers: usize, bins: Option<u32>, records: u64) -> f64 {
    let latencies = sorted(&execute(Run { workers, bins, open: Some(records) }).latencies, Duration::cmp);
    latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3
}

fn main() {
    if let Ok(child) = env::var(CHILD) {
        let (workers, exponent) = child.split_once(' ').expect("workers and bins");
        let bins = exponent.parse().ok().map(|exponent: u32| 1 << exponent);
        let seen = execute(Run { workers: workers.parse().expect("a number"), bins, open: Some(0) });
        println!("{}", seen.resident_kib);
        return;
    }
    let (pairs, only) = (from_environment("PAIRS", &[9])[0], env::var("ONLY").unwrap_or_default());
    for workers in from_environment("WORKERS", &[1, 2]) {
        let mut saturation = 0.0f64;
        for exponent in from_environment("BINS", &[8, 10, 12, 16]) {
            let bins = Some(1 << exponent);
            if only.is_empty() || only == "throughput" {
                // Records by time: the elastic count stands above the line when it is faster, as the native one's time does.
                let times: Vec<_> = (0..pairs).map(|_| (ns_per_record(workers, None), ns_per_record(workers, bins))).collect();
                let rates: Vec<_> = times.iter().map(|&(native, elastic)| (1e3 / elastic, 1e3 / native)).collect();
                print("throughput", workers, exponent, &rates, "million records/s and worker");
            }
            if only.is_empty() || only == "latency" {
                if saturation == 0.0 {
                    saturation = spread(&(0..3).map(|_| workers as f64 * 1e9 / ns_per_record(workers, None)).collect::<Vec<_>>()).0;
                }
                let records = (saturation / 2.0 * OPEN_EPOCH.as_secs_f64()) as u64;
                let pairs: Vec<_> = (0..pairs).map(|_| (p99_ms(workers, bins, records), p99_ms(workers, None, records))).collect();
                print("p99", workers, exponent, &pairs, &format!("ms at {:.1} million records/s", saturation / 2e6));
            }
            if only.is_empty() || only == "memory" {
                let grown = |bins| resident_kib_of_child(workers, bins) as f64 / 1024.0;
                let pairs: Vec<_> = (0..3).map(|_| (grown(bins), grown(None))).collect();
                print("memory", workers, exponent, &pairs, "MiB");
            }
        }
    }
}
