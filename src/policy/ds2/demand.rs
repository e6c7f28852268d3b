//! Equations 7 and 8 of DS2: how many instances each operator needs for the offered load.
//!
//! From a topology and one observation to a [`Demand`] for every operator in topological order,
//! without rounding. Invariants: one pass in that order suffices, because each operator's demand
//! follows from those of its upstream operators; every number is finite: what cannot be measured is
//! absent, never infinite. A blocking call is part of processing, as it is when the start and end
//! of processing are instrumented. The paper's notes are in `papers/ds2-osdi18.md`.

use serde::{Deserialize, Serialize};

use crate::dataflow::{Operator, Role, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::rate::Rate;

/// The demand on one operator, with its measured rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// The operator.
    pub operator: OperatorId,
    /// Records per second that it must process to keep up with the sources; `None` for a source, or
    /// if a rate between the sources and it is unknown.
    pub target: Option<Rate>,
    /// Records per second that it emits when it keeps up (equation 8); for a source its offered
    /// rate.
    pub output: Option<Rate>,
    /// Aggregated true processing rate (equation 5); `None` if no instance worked or finished a
    /// record.
    pub true_processing_rate: Option<Rate>,
    /// Aggregated true output rate (equation 6).
    pub true_output_rate: Option<Rate>,
    /// Number of instances over which the aggregated rates are sums.
    pub measured_instances: u32,
}

impl Demand {
    /// Instances needed, as a fraction (equation 7 before rounding); `None` without a target or a
    /// true rate.
    ///
    /// The paper divides the aggregated rate by the parallelism. The rates of instances that did no
    /// work in the window are undefined and missing from the sum, so the sum is divided by the
    /// number of instances with a rate: their mean represents all instances.
    // papers/ds2-osdi18.md#eq7
    pub fn instances(&self) -> Option<f64> {
        let instance_rate = self.instance_rate()?.as_per_second();
        Some((self.target?.as_per_second() / instance_rate).min(f64::MAX))
    }

    /// Mean true processing rate of an instance with a rate; never 0.
    pub fn instance_rate(&self) -> Option<Rate> {
        let mean = self.true_processing_rate?.as_per_second() / f64::from(self.measured_instances);
        (mean > 0.0).then(|| Rate::per_second(mean))
    }

    /// Selectivity: records emitted per record processed; `None` without a true processing rate.
    pub fn selectivity(&self) -> Option<f64> {
        Some(self.true_output_rate?.as_per_second() / self.true_processing_rate?.as_per_second())
    }
}

/// Input of the equations for one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measurement {
    /// The offered rate of a source; `None` if unknown.
    pub offered: Option<Rate>,
    /// Aggregated true processing rate (equation 5).
    pub true_processing_rate: Option<Rate>,
    /// Aggregated true output rate (equation 6).
    pub true_output_rate: Option<Rate>,
    /// Number of instances over which the aggregated rates are sums.
    pub instances: u32,
}

/// The demand of every operator of `topology`, sources and sinks included, in topological order.
///
/// If the selectivity of an operator is unknown, its downstream operators have no target, unless
/// its own target is 0: then it emits nothing. The rate of a source without a sample in the window
/// is unknown.
///
/// # Panics
/// If the observation is not of this topology.
pub fn demands(topology: &Topology, observation: &Observation) -> Vec<Demand> {
    let mut offered = vec![None; topology.operators().len()];
    for source in &observation.sources {
        offered[source.operator.0 as usize] = Some(source.offered);
    }
    let measurement = |operator: &Operator| {
        // All sums in one pass: with many instances, memory access dominates.
        let mut sums = Measurement { offered: offered[operator.id.0 as usize], ..Measurement::default() };
        let add =
            |sum: Option<Rate>, rate: Rate| Some(sum.map_or(rate, |sum| Rate::per_second(sum.as_per_second() + rate.as_per_second())));
        for instance in &observation.operator(operator.id).instances {
            // papers/ds2-osdi18.md#true-rate: a blocking call is useful time.
            let rate = |records: u64| Rate::of(records as f64, instance.busy());
            if let (Some(processing), Some(output)) = (rate(instance.processed), rate(instance.produced)) {
                sums.true_processing_rate = add(sums.true_processing_rate, processing);
                sums.true_output_rate = add(sums.true_output_rate, output);
                sums.instances += 1;
            }
        }
        sums
    };
    let measured: Vec<Measurement> = topology.operators().iter().map(measurement).collect();
    demands_of(topology, &measured)
}

/// The same from any kind of measurement, by operator.
///
/// # Panics
/// If `measured` does not have one entry per operator.
// papers/ds2-osdi18.md#eq8
pub fn demands_of(topology: &Topology, measured: &[Measurement]) -> Vec<Demand> {
    assert_eq!(measured.len(), topology.operators().len(), "one measurement an operator");
    let mut demands: Vec<Demand> = Vec::with_capacity(measured.len());
    for (operator, measurement) in topology.operators().iter().zip(measured) {
        let mut demand = Demand {
            operator: operator.id,
            target: None,
            output: None,
            // A rate of 0 over some useful time is due to a batch in progress, not a rate to divide
            // by.
            true_processing_rate: measurement.true_processing_rate.filter(|rate| *rate > Rate::ZERO),
            true_output_rate: measurement.true_output_rate,
            measured_instances: measurement.instances,
        };
        if operator.role == Role::Source {
            // Equation 8, first case: the offered rate, whatever the source achieved.
            demand.output = measurement.offered;
        } else {
            let from = |input: OperatorId| demands[input.0 as usize].output.map(Rate::as_per_second);
            demand.target = topology.inputs(operator.id).map(from).sum::<Option<f64>>().map(finite);
            // Equation 8, second case: the unrounded demand times the selectivity.
            demand.output = match (demand.target, demand.selectivity()) {
                (Some(Rate::ZERO), _) => Some(Rate::ZERO),
                (Some(target), Some(selectivity)) => Some(finite(target.as_per_second() * selectivity)),
                _ => None,
            };
        }
        demands.push(demand);
    }
    demands
}

/// Rounds a demand up to a number of instances, at least 1.
///
/// `tolerance` is the relative excess that is attributed to measurement error: with 1e-6,
/// 10.0000001 gives 10 and 10.1 gives 11. Values that do not fit saturate; NaN gives 1.
pub fn round_up(instances: f64, tolerance: f64) -> u32 {
    ((instances - instances * tolerance).ceil() as u32).max(1)
}

/// Workers needed if operators share workers, as in timely: the sum of the fractional demands,
/// rounded up once.
///
/// There is no decision per operator then: every worker runs every operator. Operators without a
/// demand (sources, and those that were not measured) add nothing.
// papers/ds2-osdi18.md#shared-workers
pub fn workers_needed(demands: &[Demand], tolerance: f64) -> u32 {
    round_up(demands.iter().filter_map(Demand::instances).sum(), tolerance)
}

/// The rate, clipped to the largest finite number: a product of many selectivities must not become
/// infinite.
fn finite(per_second: f64) -> Rate {
    Rate::per_second(per_second.min(f64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dataflow::Configuration;
    use crate::policy::fixture;

    /// Sources (each 100 or so), Op1 and Op2 in a row, as in the unit tests of the released
    /// program.
    fn row(sources: &[f64], op1: (f64, f64), op2: (f64, f64)) -> Vec<u32> {
        let count = sources.len() as u32;
        let names: Vec<String> = (0..count).map(|index| format!("source{index}")).collect();
        let mut operators: Vec<_> = names.iter().map(|name| (name.as_str(), Role::Source, 1)).collect();
        operators.extend([("op1", Role::Stateless, 1000), ("op2", Role::Stateless, 1000)]);
        let mut edges: Vec<_> = (0..count).map(|source| (source, count)).collect();
        edges.push((count, count + 1));
        let topology = Topology::new(&operators, &edges).unwrap();
        let mut observation = fixture::idle(&topology, &Configuration::ones(&topology), 10.0, 10.0);
        for (index, &rate) in sources.iter().enumerate() {
            fixture::source(&mut observation, OperatorId(index as u32), rate, rate);
        }
        fixture::true_rates(&mut observation, OperatorId(count), &[op1]);
        fixture::true_rates(&mut observation, OperatorId(count + 1), &[op2]);
        demands(&topology, &observation).iter().filter_map(Demand::instances).map(|fraction| round_up(fraction, 1e-6)).collect()
    }

    #[test]
    fn the_facts_of_the_released_programs_unit_tests_hold() {
        assert_eq!(row(&[100.0], (50.0, 400.0), (100.0, 200.0)), [2, 8]);
        assert_eq!(row(&[200.0], (40.0, 700.0), (99.0, 200.0)), [5, 36]);
        assert_eq!(row(&[200.0], (10.0, 700.0), (201.0, 200.0)), [20, 70]);
        assert_eq!(row(&[100.0, 100.0], (50.0, 400.0), (100.0, 200.0)), [4, 16]);
        assert_eq!(row(&[200.0, 200.0], (40.0, 700.0), (99.0, 200.0)), [10, 71]);
        assert_eq!(row(&[200.0, 200.0], (10.0, 700.0), (201.0, 200.0)), [40, 140]);
    }

    #[test]
    fn rounding_up_forgives_a_millionth_and_nothing_else() {
        for (fraction, instances) in
            [(10.0, 10), (10.000_000_1, 10), (10.000_1, 11), (9.2, 10), (0.0, 1), (1e-300, 1), (f64::NAN, 1), (1e300, u32::MAX)]
        {
            assert_eq!(round_up(fraction, 1e-6), instances, "{fraction}");
        }
    }

    #[test]
    fn what_was_not_measured_is_absent_and_so_is_what_follows_from_it() {
        let topology = fixture::word_count();
        let mut observation = fixture::idle(&topology, &fixture::instances(1, 1), 60.0, 60.0);
        fixture::source(&mut observation, OperatorId(0), 100.0, 0.0);
        fixture::true_rates(&mut observation, OperatorId(2), &[(50.0, 50.0)]);
        let found = demands(&topology, &observation);
        assert_eq!(found[1].target, Some(Rate::per_second(100.0)));
        assert_eq!((found[1].instances(), found[2].target, found[2].instances()), (None, None, None));
        assert_eq!(workers_needed(&found, 1e-6), 1);
        // Nothing offered: the target is 0 all the way down, measured or not.
        observation.sources[0].offered = Rate::ZERO;
        assert_eq!(demands(&topology, &observation)[2].instances(), Some(0.0));
    }

    #[test]
    fn a_blocking_call_is_useful_time() {
        let topology = fixture::word_count();
        let mut observation = fixture::idle(&topology, &fixture::instances(1, 1), 60.0, 60.0);
        fixture::source(&mut observation, OperatorId(0), 1000.0, 50.0);
        // 1 ms of work and 19 ms of waiting a record: 50 records a second, not 1000.
        let instance = &mut observation.operators[1].instances[0];
        (instance.processed, instance.produced) = (3000, 6000);
        (instance.useful, instance.external_wait) = (Duration::from_secs(3), Duration::from_secs(57));
        let flatmap = &demands(&topology, &observation)[1];
        assert_eq!((flatmap.instance_rate(), flatmap.selectivity()), (Some(Rate::per_second(50.0)), Some(2.0)));
        assert_eq!(flatmap.instances(), Some(20.0));
    }

    #[test]
    fn idle_instances_do_not_make_the_others_look_slow() {
        let topology = fixture::word_count();
        let mut observation = fixture::idle(&topology, &fixture::instances(4, 1), 60.0, 60.0);
        fixture::source(&mut observation, OperatorId(0), 100.0, 100.0);
        fixture::true_rates(&mut observation, OperatorId(1), &[(40.0, 80.0), (60.0, 120.0)]);
        let flatmap = &demands(&topology, &observation)[1];
        assert_eq!((flatmap.measured_instances, flatmap.instance_rate()), (2, Some(Rate::per_second(50.0))));
        assert_eq!(flatmap.instances(), Some(2.0));
    }
}
