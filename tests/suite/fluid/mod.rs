//! The Heron word count as fluid: what flows in a millisecond is an amount, not records.
//!
//! It generates observations for the golden tests of policies and nothing else; the simulator proper is another thing.
//! Instances of FlatMap share its load evenly, those of Count as evenly as asked. The source emits what is due, no faster than a given multiple of its
//! rate while it catches up, and pauses while the queue of any instance is between its first crossing of the high mark and its fall below the low one;
//! that time is charged to the instance as backpressure.

use std::time::Duration;

use thalweg::dataflow::{Configuration, Role, Topology};
use thalweg::id::{InstanceId, OperatorId};
use thalweg::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics};
use thalweg::observation::{LatencySummary, Observation};
use thalweg::rate::Rate;
use thalweg::time::{Timestamp, Window};

/// Sentences a second that are due.
pub const OFFERED: f64 = 16_667.0;
/// Sentences a second that one FlatMap instance splits, words a second that one Count instance counts.
const CAPACITY: [f64; 2] = [1_667.0, 16_667.0];
/// Words of a sentence.
const WORDS: f64 = 20.0;
const STEP_SECONDS: f64 = 0.001;

/// The state of the job.
pub struct Fluid {
    /// Seconds of an instance's work that its queue holds at the high mark; the low mark is half of it.
    high_mark_seconds: f64,
    /// Most that a source which catches up emits, as a multiple of its rate.
    burst: f64,
    /// By how much of the mean the first instance of Count gets more and the last one less; the others lie between.
    spread: f64,
    now: Timestamp,
    due: f64,
    emitted: f64,
    /// Queue and whether it holds the source, by instance, of FlatMap and of Count.
    queues: [Vec<(f64, bool)>; 2],
}

/// Source, FlatMap, Count and a sink.
pub fn word_count() -> Topology {
    Topology::new(
        &[("source", Role::Source, 1), ("flatmap", Role::Stateless, 64), ("count", Role::Keyed { bins: 256 }, 64), ("sink", Role::Sink, 1)],
        &[(0, 1), (1, 2), (2, 3)],
    )
    .expect("the word count is a dataflow")
}

impl Fluid {
    /// A job that has not started.
    pub fn new(high_mark_seconds: f64, burst: f64, spread: f64) -> Fluid {
        Fluid {
            high_mark_seconds,
            burst,
            spread,
            now: Timestamp::ZERO,
            due: 0.0,
            emitted: 0.0,
            queues: [vec![(0.0, false)], vec![(0.0, false)]],
        }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets a window of this length pass under `configuration` and tells what was seen.
    pub fn window(&mut self, configuration: &Configuration, length: Duration) -> Observation {
        let topology = word_count();
        let window = Window::starting(self.now, length);
        let shares = [self.shares(configuration, 1, 0.0), self.shares(configuration, 2, self.spread)];
        for (queues, shares) in self.queues.iter_mut().zip(&shares) {
            if queues.len() != shares.len() {
                let waiting: f64 = queues.iter().map(|queue| queue.0).sum();
                *queues = shares.iter().map(|share| (waiting * share, false)).collect();
            }
        }
        let (due, emitted) = (self.due, self.emitted);
        let zeros = || shares.each_ref().map(|shares| vec![0.0; shares.len()]);
        let (mut arrived, mut processed, mut held) = (zeros(), zeros(), zeros());
        for _ in 0..(length.as_secs_f64() / STEP_SECONDS).round() as usize {
            self.due += OFFERED * STEP_SECONDS;
            let mut flow = 0.0;
            if self.queues.iter().flatten().all(|(_, holds)| !holds) {
                flow = (self.due - self.emitted).min(self.burst * OFFERED * STEP_SECONDS);
                self.emitted += flow;
            }
            for stage in 0..2 {
                let high = CAPACITY[stage] * self.high_mark_seconds;
                let mut out = 0.0;
                for (instance, (queue, holds)) in self.queues[stage].iter_mut().enumerate() {
                    *queue += flow * shares[stage][instance];
                    arrived[stage][instance] += flow * shares[stage][instance];
                    let done = queue.min(CAPACITY[stage] * STEP_SECONDS);
                    *queue -= done;
                    out += done * WORDS;
                    processed[stage][instance] += done;
                    *holds = *queue > if *holds { high / 2.0 } else { high };
                    held[stage][instance] += if *holds { STEP_SECONDS } else { 0.0 };
                }
                flow = out;
            }
        }
        self.now = window.end;
        let operators = topology.operators().iter().map(|operator| {
            let parallelism = configuration.parallelism(operator.id);
            let instance = |index: u32| {
                let mut metrics = InstanceMetrics::idle(InstanceId::new(operator.id, index), length);
                if operator.is_scalable() {
                    let (stage, place) = (operator.id.0 as usize - 1, index as usize);
                    metrics.processed = processed[stage][place].round() as u64;
                    metrics.arrivals = arrived[stage][place].round() as u64;
                    metrics.produced = if stage == 0 { metrics.processed * WORDS as u64 } else { metrics.processed };
                    // What a limited instance does: so many records take exactly so long.
                    metrics.useful = Duration::from_secs_f64(metrics.processed as f64 / CAPACITY[stage]).min(length);
                    metrics.queue_records = self.queues[stage][place].0 as u64;
                    metrics.queue_max_records = metrics.queue_records;
                    metrics.backpressure = Duration::from_secs_f64(held[stage][place]);
                }
                metrics
            };
            OperatorMetrics { operator: operator.id, instances: (0..parallelism).map(instance).collect(), bins: Vec::new() }
        });
        let rate = |records: f64| Rate::per_second(records / length.as_secs_f64());
        let source = SourceMetrics {
            operator: OperatorId(0),
            offered: rate(self.due - due),
            achieved: rate(self.emitted - emitted),
            lag_records: self.due - self.emitted,
        };
        let (operators, configuration) = (operators.collect(), configuration.clone());
        Observation {
            window,
            configuration,
            sources: vec![source],
            operators,
            latency: LatencySummary::default(),
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        }
    }

    /// Shares of the load that the instances of `operator` get, from (1 + spread) to (1 - spread) times the mean.
    fn shares(&self, configuration: &Configuration, operator: u32, spread: f64) -> Vec<f64> {
        let instances = configuration.parallelism(OperatorId(operator));
        let lean = |index: u32| 1.0 - 2.0 * f64::from(index) / f64::from(instances.max(2) - 1);
        let share = |index: u32| (1.0 + spread * if instances > 1 { lean(index) } else { 0.0 }) / f64::from(instances);
        (0..instances).map(share).collect()
    }

    /// Lets a migration of this length pass: the source goes on, nothing is observed.
    pub fn migrate(&mut self, configuration: &Configuration, length: Duration) {
        self.window(configuration, length);
    }
}
