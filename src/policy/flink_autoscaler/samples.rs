//! Metrics over the metrics window: sums over its observations, and what follows from them.
//!
//! Invariant: the sums equal those over the kept observations, to the nanosecond and the record;
//! all of them have the same configuration. True rates are estimated as the autoscaler does since
//! FLINK-39306 (`papers/flink-autoscaler.md#estimator`).

use std::collections::VecDeque;

use super::config::{BusyAggregator, FlinkAutoscalerConfig};
use super::scaler::Load;
use crate::dataflow::{Configuration, Role, Topology};
use crate::id::OperatorId;
use crate::metrics::OperatorMetrics;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Metrics of an operator in one observation.
#[derive(Clone, Debug, Default)]
struct Counts {
    processed: u64,
    produced: u64,
    arrivals: u64,
}

/// Metrics of one observation.
#[derive(Clone, Debug)]
struct Sample {
    start: Timestamp,
    end: Timestamp,
    operators: Vec<Counts>,
    /// Aggregated busy time of each operator's instances, in nanoseconds; at most the observed
    /// time.
    busy_ns: Vec<u64>,
    /// Records due and emitted, by source in the order of operators; 0 elsewhere.
    sources: Vec<(f64, f64)>,
}

/// The observations of the metrics window.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    configuration: Configuration,
    /// The time from which observations count.
    from: Option<Timestamp>,
    kept: VecDeque<Sample>,
    /// Sums over the kept observations.
    sums: Vec<Counts>,
    /// Lag of each source, in records, at the end of the last observation.
    lags: Vec<f64>,
}

impl Samples {
    /// Adds an observation; true if its configuration differs from that of the previous ones.
    pub(super) fn push(&mut self, observation: &Observation, config: &FlinkAutoscalerConfig) -> bool {
        let changed = self.from.is_none() || self.configuration != observation.configuration;
        if changed {
            *self = Samples { configuration: observation.configuration.clone(), ..Samples::default() };
            self.from = Some(observation.window.start + std::time::Duration::from_secs_f64(config.stabilisation_s));
            self.sums = vec![Counts::default(); observation.operators.len()];
        }
        self.lags = vec![0.0; observation.operators.len()];
        for source in &observation.sources {
            self.lags[source.operator.0 as usize] = source.lag_records;
        }
        if self.from.is_some_and(|from| observation.window.start >= from) {
            self.keep(observation, config);
        }
        changed
    }

    fn keep(&mut self, observation: &Observation, config: &FlinkAutoscalerConfig) {
        let seconds = observation.window.length().as_secs_f64();
        let counts = |metrics: &OperatorMetrics| {
            let arrivals: u64 = metrics.instances.iter().map(|instance| instance.arrivals).sum();
            Counts {
                processed: metrics.processed(),
                produced: metrics.produced(),
                // Records whose arrival was not counted arrived, at the latest, when they were
                // processed.
                arrivals: if arrivals == 0 { metrics.processed() } else { arrivals },
            }
        };
        let mut sources = vec![(0.0, 0.0); observation.operators.len()];
        for source in &observation.sources {
            let records = (source.offered.as_per_second() * seconds, source.achieved.as_per_second() * seconds);
            sources[source.operator.0 as usize] = records;
        }
        let operators: Vec<Counts> = observation.operators.iter().map(counts).collect();
        for (sum, counts) in self.sums.iter_mut().zip(&operators) {
            sum.add(counts);
        }
        let all_ns = observation.window.length().as_nanos() as u64;
        let busy_ns = observation.operators.iter().map(|metrics| busy_ns(metrics, config.busy_aggregator).min(all_ns)).collect();
        self.kept.push_back(Sample { start: observation.window.start, end: observation.window.end, operators, busy_ns, sources });
        // As long as the rest still fills the window.
        while self.kept.len() > 1 && self.covers(1, config.metrics_window_s) {
            let left = self.kept.pop_front().expect("there is more than one");
            for (sum, counts) in self.sums.iter_mut().zip(&left.operators) {
                sum.take_off(counts);
            }
        }
    }

    /// Whether the observations from the given one on cover this many seconds.
    fn covers(&self, first: usize, seconds: f64) -> bool {
        match (self.kept.get(first), self.kept.back()) {
            // Intervals and windows are multiples of each other only up to rounding.
            (Some(first), Some(last)) => last.end.since(first.start).as_secs_f64() >= seconds * (1.0 - 1e-6),
            _ => false,
        }
    }

    /// Whether the window is full.
    pub(super) fn is_full(&self, config: &FlinkAutoscalerConfig) -> bool {
        self.covers(0, config.metrics_window_s)
    }

    /// Seconds covered by the kept observations, without gaps between them.
    fn seconds(&self) -> f64 {
        self.kept.iter().map(Sample::seconds).sum()
    }

    /// Records that an operator received and emitted.
    fn records(&self, operator: OperatorId, role: Role) -> (f64, f64) {
        let place = operator.0 as usize;
        if role == Role::Source {
            let emitted = self.kept.iter().map(|sample| sample.sources[place].1).sum();
            (emitted, emitted)
        } else {
            (self.sums[place].processed as f64, self.sums[place].produced as f64)
        }
    }

    /// Records per record of `from` that go to `to`.
    ///
    /// The only input of an operator delivers everything that arrives there. With several inputs,
    /// what the others deliver is subtracted if they have no other downstream operators; otherwise
    /// the whole output of `from` is assumed to go to `to`.
    // papers/flink-autoscaler.md#edges
    fn edge_ratio(&self, topology: &Topology, from: OperatorId, to: OperatorId) -> f64 {
        let (came, left) = self.records(from, topology.operator(from).role);
        if came <= 0.0 {
            return 0.0;
        }
        let arrived = self.sums[to.0 as usize].arrivals as f64;
        let others: Vec<OperatorId> = topology.inputs(to).filter(|input| *input != from).collect();
        let over_edge = if others.is_empty() {
            arrived
        } else if others.iter().all(|other| topology.outputs(*other).count() == 1) {
            let brought: f64 = others.iter().map(|other| self.records(*other, topology.operator(*other).role).1).sum();
            (arrived - brought).max(0.0)
        } else {
            left
        };
        over_edge / came
    }

    /// The target rate of every operator: for a source its offered rate, plus its lag over the
    /// catch-up time; then along the edges.
    // papers/flink-autoscaler.md#load
    pub(super) fn loads(&self, topology: &Topology, config: &FlinkAutoscalerConfig) -> Vec<Load> {
        let seconds = self.seconds();
        let mut loads: Vec<Load> = Vec::with_capacity(topology.operators().len());
        for operator in topology.operators() {
            let mut load = Load { target: 0.0, catch_up: 0.0 };
            if operator.role == Role::Source {
                let place = operator.id.0 as usize;
                let due: f64 = self.kept.iter().map(|sample| sample.sources[place].0).sum();
                load.target = if seconds > 0.0 { due / seconds } else { 0.0 };
                load.catch_up = if config.catch_up_s > 0.0 { self.lags[place] / config.catch_up_s } else { 0.0 };
            } else {
                for input in topology.inputs(operator.id) {
                    let (ratio, of) = (self.edge_ratio(topology, input, operator.id), loads[input.0 as usize]);
                    load.target += of.target * ratio;
                    load.catch_up += of.catch_up * ratio;
                }
            }
            // A product of many ratios must not become infinite.
            loads.push(Load { target: load.target.min(f64::MAX), catch_up: load.catch_up.min(f64::MAX) });
        }
        loads
    }

    /// Records per second that an operator could process if it were always busy; infinite if it was
    /// idle.
    ///
    /// Records per second over the busy share. For the maximum and the minimum over instances both
    /// are means over the observations, with equal weights; for the mean over instances both are
    /// sums.
    // papers/flink-autoscaler.md#estimator
    pub(super) fn true_rate(&self, operator: OperatorId, config: &FlinkAutoscalerConfig) -> f64 {
        let place = operator.0 as usize;
        let weight = |sample: &Sample| match config.busy_aggregator {
            BusyAggregator::Avg => 1.0,
            // Nothing is observed over no time.
            BusyAggregator::Max | BusyAggregator::Min => 1.0 / sample.seconds().max(f64::MIN_POSITIVE),
        };
        let (mut records, mut busy_s) = (0.0, 0.0);
        for sample in &self.kept {
            records += sample.operators[place].processed as f64 * weight(sample);
            busy_s += sample.busy_ns[place] as f64 / 1e9 * weight(sample);
        }
        if records <= 0.0 || busy_s <= 0.0 { f64::INFINITY } else { records / busy_s }
    }

    /// Whether the lag of a source exceeds what it emits in the given time; the maximum such time
    /// in seconds.
    pub(super) fn lag_s(&self, topology: &Topology) -> f64 {
        let seconds = self.seconds();
        let sources = topology.operators().iter().filter(|operator| operator.role == Role::Source);
        let lag = |(lag, came): (f64, f64)| if lag <= 0.0 { 0.0 } else { lag * seconds / came };
        sources.map(|source| lag((self.lags[source.id.0 as usize], self.records(source.id, Role::Source).0))).fold(0.0, f64::max)
    }
}

impl Sample {
    fn seconds(&self) -> f64 {
        self.end.since(self.start).as_secs_f64()
    }
}

/// The aggregated busy time of an operator's instances, in nanoseconds. Busy is what is neither
/// idle nor backpressured, including blocking calls.
// papers/flink-autoscaler.md#true-rate
fn busy_ns(metrics: &OperatorMetrics, aggregator: BusyAggregator) -> u64 {
    let busy = || metrics.instances.iter().map(|instance| instance.busy().as_nanos() as u64);
    match aggregator {
        BusyAggregator::Max => busy().max().unwrap_or(0),
        BusyAggregator::Avg => busy().sum::<u64>() / metrics.instances.len().max(1) as u64,
        BusyAggregator::Min => busy().min().unwrap_or(0),
    }
}

impl Counts {
    fn add(&mut self, more: &Counts) {
        self.processed += more.processed;
        self.produced += more.produced;
        self.arrivals += more.arrivals;
    }

    fn take_off(&mut self, less: &Counts) {
        self.processed -= less.processed;
        self.produced -= less.produced;
        self.arrivals -= less.arrivals;
    }
}
