//! The demand that the offered load creates at each operator, for the whole graph at once.
//!
//! There are two numbers per operator: its selectivity, and the share of its upstream operators'
//! records that it receives. Both are ratios of sums over recent windows, because the ratio of a
//! single window has an error due to records in flight at its ends. DS2 assumes 1 for the second
//! (`papers/ds2-osdi18.md#eq8`), which counts records repeatedly if an operator's output is divided
//! among its downstream operators. The second exceeds 1 if an operator's metrics miss a
//! part of its output: arrivals are the better measurement then.
//!
//! At the operator where a cycle closes, arrivals beyond what was sent forward are feedback;
//! demands then include records that circulate until they leave.

use crate::dataflow::{Role, Topology};
use crate::observation::Observation;

/// Share of the earlier sums that is kept with each window.
const KEPT: f64 = 0.8;
/// From this share on, all records are assumed to arrive: the rest was in flight.
const NEARLY_ALL: f64 = 0.9;
/// Arrivals beyond the upstream operators' output were in flight at the start of the window as long
/// as all arrivals are at most this many times that output. Beyond that, part of the output was not
/// counted.
const HARDLY_MORE: f64 = 1.2;
/// Maximum number of iterations around a cycle; if demands still grow then, all records that enter
/// the cycle stay in it.
const MOST_ROUNDS: usize = 500;
/// Demands that differ by less than this share count as equal.
const SETTLED: f64 = 1e-6;

/// Sums of one operator over recent windows.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    taken: f64,
    given: f64,
    /// Records emitted by its upstream operators, and those of them that arrived.
    sent: f64,
    arrived: f64,
    /// Records emitted by the operators that close a cycle with it.
    around: f64,
}

/// Learned selectivities and shares of all operators.
#[derive(Clone, Debug)]
pub struct FlowModel {
    sums: Vec<Sums>,
}

impl FlowModel {
    /// For a job of which nothing is known.
    pub fn new(topology: &Topology) -> FlowModel {
        FlowModel { sums: vec![Sums::default(); topology.operators().len()] }
    }

    /// Learns from a window.
    ///
    /// # Panics
    /// If the observation is of another job.
    pub fn observe(&mut self, topology: &Topology, observation: &Observation) {
        let given = |id| {
            let emitted = observation.sources.iter().find(|source| source.operator == id);
            let emitted = emitted.map(|source| source.achieved.as_per_second() * observation.window.length().as_secs_f64());
            emitted.unwrap_or_else(|| observation.operator(id).produced() as f64)
        };
        for operator in topology.operators() {
            let metrics = observation.operator(operator.id);
            let arrived: u64 = metrics.instances.iter().map(|instance| instance.arrivals).sum();
            let sent: f64 = topology.inputs(operator.id).map(given).sum();
            let around: f64 = topology.feedback().iter().filter(|edge| edge.to == operator.id).map(|edge| given(edge.from)).sum();
            let sums = &mut self.sums[operator.id.0 as usize];
            for (sum, more) in [
                (&mut sums.taken, metrics.processed() as f64),
                (&mut sums.given, metrics.produced() as f64),
                (&mut sums.sent, sent),
                (&mut sums.arrived, arrived as f64),
                (&mut sums.around, around),
            ] {
                *sum = *sum * KEPT + more;
            }
        }
    }

    /// Records per second that each operator must process if the sources `offer` these rates (by
    /// operator); `None` if the selectivity of an operator on the way is unknown, or if circulating
    /// records would increase without bound.
    ///
    /// # Panics
    /// If `offer` does not have one entry per operator.
    // papers/ds2-osdi18.md#eq8
    pub fn demands(&self, topology: &Topology, offered: &[f64]) -> Vec<Option<f64>> {
        assert_eq!(offered.len(), topology.operators().len(), "one offered rate an operator");
        let mut back = vec![0.0; offered.len()];
        let (mut demands, mut outputs) = self.round(topology, offered, &back);
        for _ in 0..MOST_ROUNDS {
            let before = std::mem::replace(&mut back, vec![0.0; offered.len()]);
            for edge in topology.feedback() {
                let part = self.sums[edge.to.0 as usize].part_back();
                back[edge.to.0 as usize] += outputs[edge.from.0 as usize].unwrap_or(0.0) * part;
            }
            if back.iter().zip(&before).all(|(back, before)| back - before <= SETTLED * back) {
                return demands;
            }
            (demands, outputs) = self.round(topology, offered, &back);
        }
        vec![None; offered.len()]
    }

    /// Demands and outputs by operator if `back` records per second return to each.
    fn round(&self, topology: &Topology, offered: &[f64], back: &[f64]) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
        let mut demands: Vec<Option<f64>> = Vec::with_capacity(offered.len());
        let mut outputs: Vec<Option<f64>> = Vec::with_capacity(offered.len());
        for operator in topology.operators() {
            let sums = &self.sums[operator.id.0 as usize];
            let (demand, output) = if operator.role == Role::Source {
                (None, Some(offered[operator.id.0 as usize]))
            } else {
                let sent: Option<f64> = topology.inputs(operator.id).map(|input| outputs[input.0 as usize]).sum();
                let demand = sent.map(|sent| (sent * sums.part() + back[operator.id.0 as usize]).min(f64::MAX));
                let output = match (demand, sums.selectivity()) {
                    (Some(0.0), _) => Some(0.0),
                    (Some(demand), Some(selectivity)) => Some((demand * selectivity).min(f64::MAX)),
                    _ => None,
                };
                (demand, output)
            };
            demands.push(demand);
            outputs.push(output);
        }
        (demands, outputs)
    }
}

impl Sums {
    fn selectivity(&self) -> Option<f64> {
        (self.taken > 0.0).then(|| self.given / self.taken)
    }

    /// The share of the feedback operators' output that returns.
    fn part_back(&self) -> f64 {
        if self.around > 0.0 { ((self.arrived - self.sent) / self.around).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The share of the upstream operators' counted output that arrives; more than 1 if part of the
    /// output is not counted.
    fn part(&self) -> f64 {
        let forward = self.around == 0.0 && self.sent > 0.0;
        let part = if forward { self.arrived / self.sent } else { 1.0 };
        // Without a count of arrivals, everything is assumed to arrive.
        if part == 0.0 || (NEARLY_ALL..=HARDLY_MORE).contains(&part) { 1.0 } else { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Configuration;
    use crate::id::{InstanceId, OperatorId};
    use crate::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics};
    use crate::observation::LatencySummary;
    use crate::rate::Rate;
    use crate::time::Window;

    /// A window of one second: by operator, records that arrived, were processed and were emitted.
    fn seen(topology: &Topology, achieved: f64, counts: &[(u64, u64, u64)]) -> Observation {
        let window = Window::starting(crate::time::Timestamp::ZERO, std::time::Duration::from_secs(1));
        let operators = (0..).zip(counts).map(|(number, &(arrivals, processed, produced))| {
            let operator = OperatorId(number);
            let idle = InstanceMetrics::idle(InstanceId::new(operator, 0), window.length());
            OperatorMetrics { operator, instances: vec![InstanceMetrics { arrivals, processed, produced, ..idle }], bins: Vec::new() }
        });
        let (achieved, offered) = (Rate::per_second(achieved), Rate::per_second(1000.0));
        Observation {
            window,
            configuration: Configuration::ones(topology),
            sources: vec![SourceMetrics { operator: OperatorId(0), offered, achieved, lag_records: 0.0 }],
            operators: operators.collect(),
            latency: LatencySummary::default(),
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        }
    }

    #[test]
    fn records_that_are_divided_are_not_counted_twice() {
        let role = Role::Stateless;
        let operators = [("source", Role::Source, 1), ("parse", role, 8), ("left", role, 8), ("right", role, 8), ("sink", Role::Sink, 1)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]).unwrap();
        let mut model = FlowModel::new(&topology);
        let offered = [1000.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(model.demands(&topology, &offered), [None, Some(1000.0), None, None, None]);
        // Parse emits 2 for each; 0.7 of that goes left and 0.3 right, which emits half.
        model.observe(&topology, &seen(&topology, 100.0, &[(0, 100, 100), (95, 100, 200), (140, 140, 140), (60, 60, 30), (0, 170, 0)]));
        assert_eq!(model.demands(&topology, &offered), [None, Some(1000.0), Some(1400.0), Some(600.0), Some(1700.0)]);
    }

    #[test]
    fn what_arrives_without_having_been_counted_counts() {
        let operators = [("source", Role::Source, 1), ("split", Role::Stateless, 8), ("enrich", Role::Stateless, 8)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap();
        let offered = [1000.0, 0.0, 0.0];
        let enrich = |counts: [(u64, u64, u64); 3]| {
            let mut model = FlowModel::new(&topology);
            model.observe(&topology, &seen(&topology, 1000.0, &counts));
            model.demands(&topology, &offered)[2].unwrap()
        };
        // Split emits two records for each and counts one of them.
        assert_eq!(enrich([(0, 1000, 1000), (1000, 1000, 1000), (2000, 1500, 1500)]), 2000.0);
        // What was under way at the start of the window is no reason.
        assert_eq!(enrich([(0, 1000, 1000), (1000, 1000, 1000), (1100, 1000, 1000)]), 1000.0);
    }

    #[test]
    fn what_goes_round_counts_as_often_as_it_does() {
        let role = Role::Stateless;
        let operators = [("source", Role::Source, 1), ("step", role, 8), ("check", role, 8), ("sink", Role::Sink, 1)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2), (2, 3)]).unwrap().with_feedback(&[(2, 1)]).unwrap();
        let mut model = FlowModel::new(&topology);
        let offered = [600.0, 0.0, 0.0, 0.0];
        // 40 % of Check's output returns. No operator keeps up: Check has a large lag.
        model.observe(&topology, &seen(&topology, 500.0, &[(0, 500, 500), (540, 300, 300), (300, 100, 100), (0, 60, 0)]));
        let demands = model.demands(&topology, &offered);
        assert!(demands[1..3].iter().all(|demand| (demand.unwrap() / 1000.0 - 1.0).abs() < 1e-5), "{demands:?}");
        // More comes back than goes round: a window at whose ends much was under way.
        let mut model = FlowModel::new(&topology);
        model.observe(&topology, &seen(&topology, 500.0, &[(0, 500, 500), (700, 700, 700), (700, 100, 100), (0, 60, 0)]));
        assert_eq!(model.demands(&topology, &offered), [None; 4]);
    }

    #[test]
    fn what_gave_out_nothing_yet_is_not_guessed() {
        let topology =
            Topology::new(&[("source", Role::Source, 1), ("a", Role::Stateless, 8), ("b", Role::Stateless, 8)], &[(0, 1), (1, 2)]).unwrap();
        let mut model = FlowModel::new(&topology);
        model.observe(&topology, &seen(&topology, 100.0, &[(0, 100, 100), (100, 0, 0), (0, 0, 0)]));
        assert_eq!(model.demands(&topology, &[10.0, 0.0, 0.0]), [None, Some(10.0), None]);
        assert_eq!(model.demands(&topology, &[0.0; 3]), [None, Some(0.0), Some(0.0)]);
    }
}
