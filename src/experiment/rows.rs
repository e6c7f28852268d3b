//! The rows of a run's timeline: one for each window and operator, one for each window's latency,
//! and one for each window and worker where instances share workers.
//!
//! The order of a struct's fields is the order of the columns in its file. Rates are records per
//! second, times are seconds of the run, latencies are nanoseconds from the due time. What does not
//! apply or was not measured is empty, never 0.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::{Configuration, Topology};
use crate::metrics::WorkerMetrics;
use crate::observation::Observation;
use crate::policy::registry;

/// Strategies of migration in the order in which every figure and table shows them; others come
/// last.
const STRATEGY_ORDER: [&str; 7] = ["none", "all-at-once", "fluid", "batched", "optimized", "hot-first", "adaptive"];

/// Place of a strategy of migration in that order. The number in `batched:16` does not count.
pub fn strategy_rank(strategy: &str) -> usize {
    let name = strategy.split(':').next().unwrap_or_default();
    STRATEGY_ORDER.iter().position(|&known| known == name).unwrap_or(STRATEGY_ORDER.len())
}

/// Place of a policy or a strategy in figures and tables: sort by it with a stable sort, so that
/// others keep their order.
pub fn variant_rank(variant: &str) -> (usize, usize) {
    (strategy_rank(variant), registry::rank(variant))
}

/// One operator over one window; `timeline.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Start of the window.
    pub window_start_s: f64,
    /// End of the window.
    pub window_end_s: f64,
    /// Name of the operator.
    pub operator: String,
    /// Instances of the operator throughout the window.
    pub parallelism: u32,
    /// Rate at which records were due; sources only.
    pub offered_per_s: Option<f64>,
    /// Rate at which records were emitted; sources only.
    pub achieved_per_s: Option<f64>,
    /// Records due but not emitted at the end of the window; sources only.
    pub lag_records: Option<f64>,
    /// Observed processing rate of all instances.
    pub processed_per_s: f64,
    /// Observed output rate of all instances.
    pub produced_per_s: f64,
    /// True processing rate, the sum over instances; empty if none had useful time.
    pub true_processing_per_s: Option<f64>,
    /// Mean utilisation of the instances, 0 to 1.
    pub utilisation: f64,
    /// Records waiting at the end of the window.
    pub queue_records: u64,
    /// Sum over instances of the share of the window in which sources were paused for them; 0 to
    /// the parallelism.
    pub backpressure_sum: f64,
    /// Whether the true rate was taken from so little work that it is an extrapolation.
    pub extrapolated: bool,
    /// Mean share of the window that the instances spent waiting for something outside, 0 to 1; 0
    /// in rows written before it was measured.
    #[serde(default)]
    pub wait_share: f64,
}

/// Latency of the records that reached a sink in one window; `latency.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// Start of the window.
    pub window_start_s: f64,
    /// End of the window.
    pub window_end_s: f64,
    /// Number of records.
    pub records: u64,
    /// Half of the records were not slower.
    pub latency_ns_p50: Option<u64>,
    /// 99 % of the records were not slower.
    pub latency_ns_p99: Option<u64>,
    /// The slowest.
    pub latency_ns_max: Option<u64>,
}

/// One worker over one window, where instances share workers; `workers.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Start of the window.
    pub window_start_s: f64,
    /// End of the window.
    pub window_end_s: f64,
    /// The worker, from 0.
    pub worker: u32,
    /// The instances it hosted, such as `flatmap[0] count[1]`.
    pub instances: String,
    /// Part of the window that its instances took, 0 to 1.
    pub busy: f64,
    /// Part of the window in which it was on a core.
    pub ran: Option<f64>,
    /// Part of the window in which it could have used a core and had none.
    pub denied: Option<f64>,
}

impl WorkerRow {
    /// The rows of a window: one per worker; none where the configuration has no placement.
    ///
    /// # Panics
    /// If the observation is of another topology.
    pub fn of(topology: &Topology, observation: &Observation) -> Vec<WorkerRow> {
        let Some(placement) = observation.configuration.placement() else { return Vec::new() };
        let name = |instance: crate::id::InstanceId| format!("{}[{}]", topology.operator(instance.operator).name, instance.index);
        let row = |worker: &WorkerMetrics| {
            let part = |time: Duration| time.as_secs_f64() / worker.window.as_secs_f64().max(f64::MIN_POSITIVE);
            WorkerRow {
                window_start_s: observation.window.start.as_secs_f64(),
                window_end_s: observation.window.end.as_secs_f64(),
                worker: worker.worker.0,
                instances: placement.hosted(worker.worker).map(name).collect::<Vec<_>>().join(" "),
                busy: part(worker.busy()),
                ran: worker.core.map(|core| part(core.ran)),
                denied: worker.core.map(|core| part(core.denied)),
            }
        };
        observation.workers.iter().map(row).collect()
    }
}

impl TimelineRow {
    /// The rows of a window: one an operator, in the order of the topology.
    ///
    /// # Panics
    /// If the observation is of another topology.
    pub fn of(topology: &Topology, observation: &Observation) -> Vec<TimelineRow> {
        let window_s = observation.window.length().as_secs_f64();
        let per_s = |records: u64| if window_s > 0.0 { records as f64 / window_s } else { 0.0 };
        let row = |operator: &crate::dataflow::Operator| {
            let metrics = observation.operator(operator.id);
            let source = observation.sources.iter().find(|source| source.operator == operator.id);
            TimelineRow {
                window_start_s: observation.window.start.as_secs_f64(),
                window_end_s: observation.window.end.as_secs_f64(),
                operator: operator.name.clone(),
                parallelism: observation.configuration.parallelism(operator.id),
                offered_per_s: source.map(|source| source.offered.as_per_second()),
                achieved_per_s: source.map(|source| source.achieved.as_per_second()),
                lag_records: source.map(|source| source.lag_records),
                processed_per_s: per_s(metrics.processed()),
                produced_per_s: per_s(metrics.produced()),
                true_processing_per_s: metrics.true_processing_rate().map(|rate| rate.as_per_second()),
                utilisation: metrics.utilisation(),
                queue_records: metrics.queue_records(),
                backpressure_sum: metrics.backpressure_sum(),
                extrapolated: metrics.is_extrapolated(),
                wait_share: metrics.wait_share(),
            }
        };
        topology.operators().iter().map(row).collect()
    }
}

impl LatencyRow {
    /// The row of a window.
    pub fn of(observation: &Observation) -> LatencyRow {
        LatencyRow {
            window_start_s: observation.window.start.as_secs_f64(),
            window_end_s: observation.window.end.as_secs_f64(),
            records: observation.latency.records,
            latency_ns_p50: observation.latency.ns_p50,
            latency_ns_p99: observation.latency.ns_p99,
            latency_ns_max: observation.latency.ns_max,
        }
    }
}

/// A configuration as rows name it: the scalable operators in the order of the topology, such as
/// `flatmap=10 count=20`.
///
/// # Panics
/// If the configuration is of another topology.
pub fn configuration_text(topology: &Topology, configuration: &Configuration) -> String {
    let part = |operator: &crate::dataflow::Operator| format!("{}={}", operator.name, configuration.parallelism(operator.id));
    topology.scalable().map(part).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Role;
    use crate::id::{InstanceId, OperatorId, WorkerId};
    use crate::metrics::{CoreTime, InstanceMetrics, OperatorMetrics, SourceMetrics};
    use crate::observation::LatencySummary;
    use crate::rate::Rate;
    use crate::time::{Timestamp, Window};

    #[test]
    fn a_window_gives_a_row_an_operator_and_only_sources_have_a_schedule() {
        let topology = Topology::new(
            &[("source", Role::Source, 1), ("count", Role::Keyed { bins: 8 }, 4), ("sink", Role::Sink, 1)],
            &[(0, 1), (1, 2)],
        )
        .unwrap();
        let window = Window::starting(Timestamp::from_secs_f64(10.0), Duration::from_secs(5));
        let instance = |operator: u32, index: u32| InstanceMetrics {
            useful: Duration::from_secs(2),
            processed: 1000,
            produced: 500,
            queue_records: 7,
            backpressure: Duration::from_secs(1),
            ..InstanceMetrics::idle(InstanceId::new(OperatorId(operator), index), window.length())
        };
        let operator = |operator: u32, instances| OperatorMetrics { operator: OperatorId(operator), instances, bins: Vec::new() };
        let observation = Observation {
            window,
            configuration: Configuration::ones(&topology).with(OperatorId(1), 2),
            sources: vec![SourceMetrics {
                operator: OperatorId(0),
                offered: Rate::per_second(400.0),
                achieved: Rate::per_second(300.0),
                lag_records: 500.0,
            }],
            operators: vec![
                operator(0, vec![InstanceMetrics::idle(InstanceId::new(OperatorId(0), 0), window.length())]),
                operator(1, vec![instance(1, 0), instance(1, 1)]),
                operator(2, vec![instance(2, 0)]),
            ],
            latency: LatencySummary { records: 9, ns_p50: Some(1), ns_p99: Some(2), ns_max: Some(3) },
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        };
        assert_eq!(WorkerRow::of(&topology, &observation), [], "without a placement");
        let core = Some(CoreTime { ran: Duration::from_secs(4), denied: Duration::from_millis(500) });
        let used = vec![(InstanceId::new(OperatorId(1), 0), Duration::from_secs(3))];
        let workers = vec![WorkerMetrics { worker: WorkerId(1), window: window.length(), used, core }];
        let configuration = observation.configuration.clone().spread_over(&topology, 2);
        let [row] = &WorkerRow::of(&topology, &Observation { configuration, workers, ..observation.clone() })[..] else {
            panic!("one row")
        };
        assert_eq!((row.worker, row.instances.as_str()), (1, "count[0]"));
        assert_eq!((row.busy, row.ran, row.denied), (0.6, Some(0.8), Some(0.1)));
        let rows = TimelineRow::of(&topology, &observation);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].offered_per_s, rows[0].achieved_per_s, rows[0].lag_records), (Some(400.0), Some(300.0), Some(500.0)));
        assert_eq!(rows[0].true_processing_per_s, None);
        let count = TimelineRow {
            window_start_s: 10.0,
            window_end_s: 15.0,
            operator: "count".into(),
            parallelism: 2,
            processed_per_s: 400.0,
            produced_per_s: 200.0,
            true_processing_per_s: Some(1000.0),
            utilisation: 0.4,
            queue_records: 14,
            backpressure_sum: 0.4,
            ..TimelineRow::default()
        };
        assert_eq!(rows[1], count);
        assert_eq!(LatencyRow::of(&observation).latency_ns_p99, Some(2));
        assert_eq!(configuration_text(&topology, &observation.configuration), "count=2");
    }
}
