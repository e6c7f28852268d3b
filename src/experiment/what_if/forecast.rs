//! A policy with one plan: it learns from windows as `critical-path` does, predicts the latency
//! that the plan will bring, and carries it out.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::id::OperatorId;
use crate::migration::{Assignment, Assignments, rebalance_by_speed};
use crate::model::{CapacityModel, FlowModel, Hop, LatencyModel, Prediction, Speeds, Station, WhatIf, longest};
use crate::observation::Observation;
use crate::policy::{Decision, Needs, Policy, Reason};
use crate::time::Timestamp;

/// A lag of more than this part of a window is one.
const CALM: f64 = 0.02;
/// With less than this part of a window, and of what is due emitted, a job is on time.
const ON_TIME: f64 = 0.05;
const KEEPS_UP: f64 = 0.99;

/// What is predicted right before the change.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// Whether the job kept up with its load until then.
    pub kept_up: bool,
    /// 99th percentile of latency in the last window, in nanoseconds.
    pub before_ns_p99: Option<u64>,
    /// The model's prediction; none if it expects that the job will not keep up.
    pub prediction: Option<Prediction>,
    /// The formula's prediction in seconds; none if it never saw the job keep up.
    pub formula_s: Option<f64>,
    /// Predicted busy part of the fullest instance.
    pub utilisation: f64,
}

/// A policy that carries out one plan.
pub struct Forecaster {
    topology: Topology,
    plan: Plan,
    /// Windows until the change.
    windows: u32,
    owners: Assignments,
    /// By operator, what arrived in its bins so far, and in the last window.
    bins: BTreeMap<OperatorId, (Vec<f64>, Vec<f64>)>,
    flow: FlowModel,
    curves: Vec<CapacityModel>,
    demands: Vec<Option<f64>>,
    what_if: WhatIf,
    formula: LatencyModel,
    tell: Sender<Forecast>,
}

impl Forecaster {
    /// Carries out `plan` after `windows` windows of a job that starts in `configuration`.
    pub fn new(topology: &Topology, configuration: &Configuration, plan: Plan, windows: u32, tell: Sender<Forecast>) -> Forecaster {
        Forecaster {
            topology: topology.clone(),
            plan,
            windows,
            owners: Assignment::initial(topology, configuration),
            bins: BTreeMap::new(),
            flow: FlowModel::new(topology),
            curves: vec![CapacityModel::default(); topology.operators().len()],
            demands: vec![None; topology.operators().len()],
            what_if: WhatIf::new(topology),
            formula: LatencyModel::default(),
            tell,
        }
    }

    /// Learns from a window; says whether the job keeps up.
    fn learn(&mut self, seen: &Observation) -> bool {
        self.flow.observe(&self.topology, seen);
        let mut offered = vec![0.0; self.topology.operators().len()];
        let (mut lag, mut achieved) = (0.0, 0.0);
        for source in &seen.sources {
            offered[source.operator.0 as usize] = source.offered.as_per_second();
            lag += source.lag_records;
            achieved += source.achieved.as_per_second();
        }
        let sum: f64 = offered.iter().sum();
        let window_s = seen.window.length().as_secs_f64();
        self.demands = self.flow.demands(&self.topology, &offered);
        for operator in self.topology.scalable() {
            let metrics = seen.operator(operator.id);
            if let Some(speeds) = Speeds::of(metrics) {
                let instances = seen.configuration.parallelism(operator.id);
                self.curves[operator.id.0 as usize].observe(instances, speeds.rate, speeds.error);
            }
            if let Some(owners) = self.owners.get(&operator.id) {
                let none = || (vec![0.0; owners.owners().len()], Vec::new());
                let (all, last) = self.bins.entry(operator.id).or_insert_with(none);
                let bins = all.len();
                *last = vec![0.0; bins];
                for load in metrics.bins.iter().filter(|load| (load.bin.0 as usize) < bins) {
                    all[load.bin.0 as usize] += load.arrivals as f64;
                    last[load.bin.0 as usize] += load.arrivals as f64;
                }
            }
        }
        let pressed = seen.operators.iter().any(|metrics| metrics.backpressure_sum() > 0.0);
        let calm = lag <= sum * window_s * CALM && !pressed;
        if calm || !self.what_if.is_known() {
            seen.paths.iter().for_each(|paths| self.what_if.observe(paths));
        }
        let on_time = achieved >= sum * KEEPS_UP && lag <= sum * window_s * ON_TIME;
        let present = self.stations(&seen.configuration, &self.owners);
        if let Some(p99) = seen.latency.ns_p99.filter(|_| on_time) {
            let (service_s, queueing_s) = on_longest(&self.topology, &present);
            self.formula.observe(p99 as f64 / 1e9, service_s, queueing_s);
            if calm {
                self.what_if.calibrate(&self.topology, &present, &seen.latency);
            }
        }
        on_time && busiest(&present) < 1.0
    }

    /// How operators work in `configuration` with bins dealt out to `owners`.
    fn stations(&self, configuration: &Configuration, owners: &Assignments) -> Vec<Option<Station>> {
        let station = |operator: &Operator| {
            let (index, instances) = (operator.id.0 as usize, configuration.parallelism(operator.id));
            let total = self.curves[index].total(instances).filter(|_| operator.is_scalable())?;
            let loads = self.bins.get(&operator.id).zip(owners.get(&operator.id));
            let fullest = loads.map_or(1.0, |((all, _), owners)| fullest(all, owners.owners(), instances));
            Some(Station { instances, service_s: f64::from(instances) / total, demand_per_s: self.demands[index]?, fullest })
        };
        self.topology.operators().iter().map(station).collect()
    }

    /// Owners of bins after the plan, as the controller will deal them out by the last window.
    fn owners_after(&self, configuration: &Configuration) -> Assignments {
        let mut after = self.owners.clone();
        for (id, owners) in &mut after {
            if !self.plan.rescales.contains_key(id) && !self.plan.rebalances.contains(id) {
                continue;
            }
            let loads = self.bins.get(id).map(|(_, last)| last.as_slice()).unwrap_or_default();
            *owners = rebalance_by_speed(owners, loads, &self.plan.speeds_of(*id, configuration.parallelism(*id)));
        }
        after
    }

    fn forecast(&self, seen: &Observation, kept_up: bool) -> Forecast {
        let after = self.plan.apply(&self.topology, &seen.configuration).expect("changes have plans that fit");
        let stations = self.stations(&after, &self.owners_after(&after));
        let (service_s, queueing_s) = on_longest(&self.topology, &stations);
        Forecast {
            kept_up,
            before_ns_p99: seen.latency.ns_p99,
            prediction: self.what_if.predict(&self.topology, &stations),
            formula_s: self.formula.p99_s(service_s, queueing_s),
            utilisation: busiest(&stations),
        }
    }
}

impl Policy for Forecaster {
    fn name(&self) -> &'static str {
        "one-plan"
    }

    fn needs(&self) -> Needs {
        Needs::Paths
    }

    fn decide(&mut self, _now: Timestamp, seen: &Observation) -> Decision {
        if self.windows == 0 {
            return Decision::Hold(Reason::new("one-plan"));
        }
        let kept_up = self.learn(seen);
        self.windows -= 1;
        if self.windows > 0 {
            return Decision::Hold(Reason::new("not-yet"));
        }
        // The receiver outlives the run.
        let _ = self.tell.send(self.forecast(seen, kept_up));
        Decision::Rescale(self.plan.clone(), Reason::new("one-plan"))
    }
}

/// Load of the fullest of `instances` over an even share, where bins have `loads`.
fn fullest(loads: &[f64], owners: &[u32], instances: u32) -> f64 {
    let mut sums = vec![0.0; instances as usize];
    loads.iter().zip(owners).for_each(|(load, &owner)| sums[owner as usize] += load);
    let (most, all) = (sums.iter().copied().fold(0.0, f64::max), sums.iter().sum::<f64>());
    if all > 0.0 { most * f64::from(instances) / all } else { 1.0 }
}

fn busiest(stations: &[Option<Station>]) -> f64 {
    stations.iter().flatten().map(Station::utilisation).fold(0.0, f64::max)
}

/// Seconds of work and of queues on the longest way, by the formula.
fn on_longest(topology: &Topology, stations: &[Option<Station>]) -> (f64, f64) {
    let hop = |station: &Option<Station>| {
        station.map_or(Hop::default(), |station| Hop { service_s: station.service_s, utilisation: station.utilisation() })
    };
    let hops: Vec<Hop> = stations.iter().map(hop).collect();
    let seconds: Vec<f64> = hops.iter().map(|hop| hop.service_s + hop.queueing_s()).collect();
    let (_, on_it) = longest(topology, &seconds);
    let on_it = || hops.iter().zip(&on_it).filter(|(_, on_it)| **on_it).map(|(hop, _)| hop);
    (on_it().map(|hop| hop.service_s).sum(), on_it().map(Hop::queueing_s).sum())
}
