//! Metrics over the metrics window: sums over the observations in it, and what follows from them.
//!
//! Invariant: the sums are those of the observations kept, to the nanosecond and the record; all of them saw one configuration.

use std::collections::VecDeque;

use super::config::{BusyAggregator, FlinkAutoscalerConfig};
use super::scaler::Load;
use crate::dataflow::{Configuration, Role, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// What one observation tells of an operator.
#[derive(Clone, Debug, Default)]
struct Counts {
    processed: u64,
    produced: u64,
    arrivals: u64,
    /// Of each instance, in nanoseconds.
    busy_ns: Vec<u64>,
}

/// What one observation tells.
#[derive(Clone, Debug)]
struct Sample {
    start: Timestamp,
    end: Timestamp,
    operators: Vec<Counts>,
    /// Records due and emitted, by source in the order of operators; 0 elsewhere.
    sources: Vec<(f64, f64)>,
}

/// The observations of the metrics window.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    configuration: Configuration,
    /// From when on observations count.
    from: Option<Timestamp>,
    kept: VecDeque<Sample>,
    /// Sums over what is kept.
    sums: Vec<Counts>,
    /// Records of each source that are due and not emitted, at the end of the last observation.
    lags: Vec<f64>,
}

impl Samples {
    /// Takes an observation; true if it is the first one of another configuration than the ones before.
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
        let counts = |metrics: &crate::metrics::OperatorMetrics| {
            let arrivals: u64 = metrics.instances.iter().map(|instance| instance.arrivals).sum();
            Counts {
                processed: metrics.processed(),
                produced: metrics.produced(),
                // What nobody counted on arrival arrived at the latest when it was processed.
                arrivals: if arrivals == 0 { metrics.processed() } else { arrivals },
                busy_ns: metrics.instances.iter().map(|instance| instance.useful.as_nanos() as u64).collect(),
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
        self.kept.push_back(Sample { start: observation.window.start, end: observation.window.end, operators, sources });
        // As long as what remains still fills the window.
        while self.kept.len() > 1 && self.covers(1, config.metrics_window_s) {
            let left = self.kept.pop_front().expect("there is more than one");
            for (sum, counts) in self.sums.iter_mut().zip(&left.operators) {
                sum.take_off(counts);
            }
        }
    }

    /// Whether the observations from the given one on last for so many seconds.
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

    /// Seconds that the kept observations lasted; gaps between them left out.
    fn seconds(&self) -> f64 {
        self.kept.iter().map(|sample| sample.end.since(sample.start).as_secs_f64()).sum()
    }

    /// Records that came into an operator and that left it.
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
    /// The only input of an operator brings what arrives there. With several, what the others bring is taken off if they bring it nowhere
    /// else; otherwise all that leaves `from` is taken for what goes to `to`.
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

    /// What every operator must process: at a source what is offered, and its lag over the time for catching up; from there along the edges.
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

    /// Records per second that an operator could process if it were busy all the time; infinite for one that had nothing to do.
    // papers/flink-autoscaler.md#true-rate
    pub(super) fn true_rate(&self, operator: OperatorId, config: &FlinkAutoscalerConfig) -> f64 {
        let sum = &self.sums[operator.0 as usize];
        let busy = sum.busy_ns.iter().map(|ns| *ns as f64 / 1e9);
        let busy = match config.busy_aggregator {
            BusyAggregator::Max => busy.fold(0.0, f64::max),
            BusyAggregator::Avg => busy.sum::<f64>() / sum.busy_ns.len().max(1) as f64,
            BusyAggregator::Min => busy.fold(f64::INFINITY, f64::min),
        };
        if sum.processed == 0 || busy <= 0.0 { f64::INFINITY } else { sum.processed as f64 / busy }
    }

    /// Whether a source has more lag than it emits in the given time; the largest such time in seconds.
    pub(super) fn lag_s(&self, topology: &Topology) -> f64 {
        let seconds = self.seconds();
        let sources = topology.operators().iter().filter(|operator| operator.role == Role::Source);
        let lag = |(lag, came): (f64, f64)| if lag <= 0.0 { 0.0 } else { lag * seconds / came };
        sources.map(|source| lag((self.lags[source.id.0 as usize], self.records(source.id, Role::Source).0))).fold(0.0, f64::max)
    }
}

impl Counts {
    fn add(&mut self, more: &Counts) {
        self.processed += more.processed;
        self.produced += more.produced;
        self.arrivals += more.arrivals;
        if self.busy_ns.len() < more.busy_ns.len() {
            self.busy_ns.resize(more.busy_ns.len(), 0);
        }
        self.busy_ns.iter_mut().zip(&more.busy_ns).for_each(|(sum, ns)| *sum += ns);
    }

    fn take_off(&mut self, less: &Counts) {
        self.processed -= less.processed;
        self.produced -= less.produced;
        self.arrivals -= less.arrivals;
        self.busy_ns.iter_mut().zip(&less.busy_ns).for_each(|(sum, ns)| *sum -= ns);
    }
}
