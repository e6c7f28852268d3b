//! What a simulated run is recorded as.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataflow::Configuration;
use crate::experiment::result::RunResult;

/// A run; `simulated.csv`. What does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimulatedRow {
    /// The figure.
    pub figure: String,
    /// The case.
    pub case: String,
    /// Instances at the start, where the case has several.
    pub start: String,
    /// The policy.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Operators that may be rescaled.
    pub operators: usize,
    /// Plans carried out.
    pub actions: usize,
    /// Configurations one after the other, of the operators that may be rescaled; of more than eight the sum of instances.
    pub path: String,
    /// What the paper's run went through.
    pub paper: String,
    /// Instances needed at the end by the true parameters, written as in `path`.
    pub needed: String,
    /// Whether every operator has exactly what it needs at the end.
    pub at_minimum: bool,
    /// When the last plan was carried out, in seconds.
    pub settled_s: Option<f64>,
    /// Emitted over due records after the last plan.
    pub achieved_over_offered: Option<f64>,
    /// Half of the records were not slower.
    pub latency_ns_p50: Option<u64>,
    /// 99 % of the records were not slower.
    pub latency_ns_p99: Option<u64>,
    /// Seconds in which some operator had fewer instances than it needed.
    pub under_provisioned_s: Option<f64>,
    /// Instances more than needed, times seconds.
    pub over_provisioned_instance_s: Option<f64>,
    /// The longest that a decision took on this machine, in milliseconds; the one value that is not the same every time.
    pub slowest_decision_ms: f64,
}

/// Most operators that are written one by one.
const MOST_WRITTEN: usize = 8;

impl SimulatedRow {
    /// What came of a run, without what was asked.
    pub(super) fn of(result: &RunResult) -> SimulatedRow {
        let scalable: Vec<_> = result.topology.scalable().map(|operator| operator.id).collect();
        let written = |instances: Vec<u32>| match scalable.len() {
            0..=MOST_WRITTEN => instances.iter().map(u32::to_string).collect::<Vec<_>>().join("/"),
            _ => instances.iter().map(|&instances| u64::from(instances)).sum::<u64>().to_string(),
        };
        let of = |configuration: &Configuration| scalable.iter().map(|&id| configuration.parallelism(id)).collect::<Vec<u32>>();
        let path: Vec<String> = result.configurations.iter().map(|(_, configuration)| written(of(configuration))).collect();
        let last =
            result.needed.last().map(|(_, needed)| scalable.iter().map(|id| needed.get(id).copied().unwrap_or(1)).collect::<Vec<u32>>());
        SimulatedRow {
            operators: scalable.len(),
            actions: result.actions(),
            path: path.join(" > "),
            at_minimum: last.as_ref().is_some_and(|needed| *needed == of(result.last_configuration())),
            needed: last.map(written).unwrap_or_default(),
            settled_s: result.settled_at().map(|at| at.as_secs_f64()),
            achieved_over_offered: result.achieved_over_offered(),
            latency_ns_p50: result.overall.ns_p50,
            latency_ns_p99: result.overall.ns_p99,
            under_provisioned_s: result.under_provisioned().map(|time| time.as_secs_f64()),
            over_provisioned_instance_s: result.over_provisioned_instance_s(),
            ..SimulatedRow::default()
        }
    }
}

/// A row, and what expectations look at beside it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The row.
    pub row: SimulatedRow,
    /// Instances by operator, with the second from which they held.
    pub configurations: Vec<(f64, BTreeMap<String, u32>)>,
}

impl Outcome {
    pub(super) fn of(row: SimulatedRow, result: &RunResult) -> Outcome {
        let named = |configuration: &Configuration| {
            result.topology.scalable().map(|operator| (operator.name.clone(), configuration.parallelism(operator.id))).collect()
        };
        // Of a large job nobody expects operators one by one.
        let few = row.operators <= MOST_WRITTEN;
        let kept = result.configurations.iter().filter(|_| few);
        Outcome { row, configurations: kept.map(|(at, configuration)| (at.as_secs_f64(), named(configuration))).collect() }
    }

    /// Instances of an operator at a time.
    pub(super) fn instances(&self, operator: &str, at_s: f64) -> Option<u32> {
        let begun = self.configurations.partition_point(|(from, _)| *from <= at_s);
        self.configurations[..begun].last()?.1.get(operator).copied()
    }
}
