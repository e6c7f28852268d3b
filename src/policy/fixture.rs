//! Hand-made observations for tests of policies.
//!
//! A fixture starts from an idle job, to which a test adds only what it is about. Rates are
//! represented as records over a long useful time, so that a rate reads back to about ten digits.

use std::time::Duration;

use crate::dataflow::{Configuration, Role, Topology};
use crate::id::{InstanceId, OperatorId};
use crate::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics};
use crate::observation::{LatencySummary, Observation};
use crate::rate::Rate;
use crate::time::{Timestamp, Window};

/// The useful time over which given rates are represented: long, so that whole records express them
/// precisely.
const LONG: Duration = Duration::from_secs(1_000_000);

/// Source, FlatMap, Count and a sink in a row: the word count of all figures.
pub fn word_count() -> Topology {
    Topology::new(
        &[("source", Role::Source, 1), ("flatmap", Role::Stateless, 64), ("count", Role::Keyed { bins: 256 }, 64), ("sink", Role::Sink, 1)],
        &[(0, 1), (1, 2), (2, 3)],
    )
    .expect("the word count is a dataflow")
}

/// The word count with these numbers of instances of FlatMap and Count.
pub fn instances(flatmap: u32, count: u32) -> Configuration {
    Configuration::ones(&word_count()).with(OperatorId(1), flatmap).with(OperatorId(2), count)
}

/// A job without any activity for a window of `seconds` that ends at `end_seconds`.
pub fn idle(topology: &Topology, configuration: &Configuration, end_seconds: f64, seconds: f64) -> Observation {
    let window = Window { start: Timestamp::from_secs_f64(end_seconds - seconds), end: Timestamp::from_secs_f64(end_seconds) };
    let operators = topology
        .operators()
        .iter()
        .map(|operator| OperatorMetrics {
            operator: operator.id,
            instances: (0..configuration.parallelism(operator.id))
                .map(|index| InstanceMetrics::idle(InstanceId::new(operator.id, index), window.length()))
                .collect(),
            bins: Vec::new(),
        })
        .collect();
    Observation {
        window,
        configuration: configuration.clone(),
        sources: Vec::new(),
        operators,
        latency: LatencySummary::default(),
        doubts: Vec::new(),
        workers: Vec::new(),
        paths: None,
    }
}

/// Sets the offered and achieved rate of `source`.
pub fn source(observation: &mut Observation, source: OperatorId, offered: f64, achieved: f64) {
    observation.sources.push(SourceMetrics {
        operator: source,
        offered: Rate::per_second(offered),
        achieved: Rate::per_second(achieved),
        lag_records: 0.0,
    });
}

/// Sets the true processing and output rates of each instance of `operator`, by index.
pub fn true_rates(observation: &mut Observation, operator: OperatorId, rates: &[(f64, f64)]) {
    let metrics = &mut observation.operators[operator.0 as usize];
    for (instance, &(processing, output)) in metrics.instances.iter_mut().zip(rates) {
        instance.useful = LONG;
        instance.processed = (processing * LONG.as_secs_f64()).round() as u64;
        instance.produced = (output * LONG.as_secs_f64()).round() as u64;
    }
}

/// Sets backpressure share, queue and records processed of each instance of `operator`.
pub fn loads(observation: &mut Observation, operator: OperatorId, loads: &[(f64, u64, u64)]) {
    let length = observation.window.length();
    let metrics = &mut observation.operators[operator.0 as usize];
    for (instance, &(backpressure_share, queue, processed)) in metrics.instances.iter_mut().zip(loads) {
        instance.backpressure = length.mul_f64(backpressure_share);
        instance.queue_records = queue;
        instance.queue_max_records = queue;
        instance.processed = processed;
        instance.useful = length;
    }
}
