//! Ours: the whole job at once, by what its critical path would be.
//!
//! In every window: what the load asks of each operator over the whole graph, how much its instances can do by a curve that is learned,
//! what is the matter where the two do not fit, and the smallest configuration that would do. It acts only where the estimate
//! differs from the present by more than it may be wrong, or where the job falls behind; takes instances away only if none of the recent
//! windows would have needed them; answers skew and slow instances by spreading keys anew; and leaves alone what scaling cannot help. It
//! keeps what it learned: curves, which instances are slow, which rebalances were in vain.
//!
//! Invariants: one plan with everything that is to change; within 1 and each operator's maximum, and within the budget; an operator of
//! which nothing was measured is left as it is.

mod config;
mod judge;
mod search;
mod sight;
mod slow;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use config::CriticalPathConfig;
use judge::{IN_VAIN, Judgement, Memory, SLOWLY};
use search::{Found, Search, Searched};
use sight::Sight;
use slow::Division;

use super::{Cause, Decision, Finding, Needs, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::id::OperatorId;
use crate::model::{CapacityModel, FlowModel, LatencyModel, RelativeSpeeds, Speeds};
use crate::observation::Observation;
use crate::time::Timestamp;

/// What is not obvious is believed when so many windows, one after the other, have shown it.
const AGREEING: u32 = 2;
/// A lag is latency, so that with a goal for it the lag is to be worked off so many times faster.
const HURRY: f64 = 6.0;
/// A job that emits less than this part of what is due falls behind.
const KEEPS_UP: f64 = 0.98;
/// With less lag than this part of a window's records the job is on time.
const ON_TIME: f64 = 0.25;
/// More instances that do more by less than this part of what was to be expected in proportion are useless.
const USELESS: f64 = 0.1;
/// Most findings that a reason tells.
const MOST_FINDINGS: usize = 16;

/// The policy.
#[derive(Clone, Debug)]
pub struct CriticalPath {
    topology: Topology,
    config: CriticalPathConfig,
    flow: FlowModel,
    latency: LatencyModel,
    memory: Vec<Memory>,
    curves: Vec<CapacityModel>,
    /// By operator, which of its instances are slow.
    relative: Vec<RelativeSpeeds>,
    /// By operator, by which speeds its load is divided.
    divisions: Vec<Division>,
    /// Offered rates of sources in recent windows, by operator, with the end of the window.
    offered: VecDeque<(Timestamp, Vec<f64>)>,
    /// When the first window began.
    since: Option<Timestamp>,
    /// Records that were due and not emitted at the end of the last window, of all sources.
    lag: f64,
    /// Windows in which the goal was missed, one after the other.
    missed: u32,
    acted: Option<Acted>,
}

/// The last action.
#[derive(Clone, Debug)]
struct Acted {
    before: Configuration,
    rebalanced: BTreeMap<OperatorId, f64>,
}

/// What the load asks for in a window.
struct Load {
    /// By operator, records per second that reach it of what is offered.
    demands: Vec<Option<f64>>,
    /// The same while lag and queues are worked off in the time that is given for it.
    catching_up: Vec<Option<f64>>,
    /// As `demands`, of the most that was offered in recent windows.
    most_recent: Vec<Option<f64>>,
    /// Records per second, of all sources.
    offered: f64,
    /// Whether the job emits what is due and has no lag.
    on_time: bool,
    /// Whether its lag grows.
    falls_behind: bool,
    /// Whether recent windows are as many as must be looked back upon.
    looked_back: bool,
}

impl CriticalPath {
    /// The policy for the job `topology`.
    pub fn new(topology: Topology, config: CriticalPathConfig) -> CriticalPath {
        let operators = topology.operators().len();
        CriticalPath {
            flow: FlowModel::new(&topology),
            latency: LatencyModel::default(),
            memory: vec![Memory::default(); operators],
            curves: vec![CapacityModel::default(); operators],
            relative: vec![RelativeSpeeds::default(); operators],
            divisions: vec![Division::default(); operators],
            offered: VecDeque::new(),
            since: None,
            lag: 0.0,
            missed: 0,
            acted: None,
            topology,
            config,
        }
    }

    /// What the sources ask for, and whether the job keeps up.
    fn load(&mut self, observation: &Observation) -> Load {
        self.flow.observe(&self.topology, observation);
        let window = observation.window.length().as_secs_f64();
        let mut offered = vec![0.0; self.topology.operators().len()];
        let mut catching_up = offered.clone();
        let catch_up_s = self.config.catch_up_s / if self.config.goal_ms > 0.0 { HURRY } else { 1.0 };
        let (mut lag, mut achieved) = (0.0, 0.0);
        for source in &observation.sources {
            let rate = source.offered.as_per_second();
            offered[source.operator.0 as usize] = rate;
            catching_up[source.operator.0 as usize] = rate + source.lag_records / catch_up_s;
            lag += source.lag_records;
            achieved += source.achieved.as_per_second();
        }
        let sum: f64 = offered.iter().sum();
        let before = std::mem::replace(&mut self.lag, lag);
        let (end, look_back) = (observation.window.end, std::time::Duration::from_secs_f64(self.config.look_back_s));
        let since = *self.since.get_or_insert(observation.window.start);
        self.offered.push_back((end, offered.clone()));
        while self.offered.len() > 1 && self.offered[0].0 + look_back < end {
            self.offered.pop_front();
        }
        let mut most = offered.clone();
        for (_, recent) in &self.offered {
            most.iter_mut().zip(recent).for_each(|(most, recent)| *most = most.max(*recent));
        }
        let demands = |offered: &[f64]| self.flow.demands(&self.topology, offered);
        let mut catching_up = demands(&catching_up);
        for (demand, metrics) in catching_up.iter_mut().zip(&observation.operators) {
            // What waits in front of an operator is a lag as well.
            *demand = demand.map(|demand| demand + metrics.queue_records() as f64 / catch_up_s);
        }
        Load {
            demands: demands(&offered),
            catching_up,
            most_recent: demands(&most),
            offered: sum,
            on_time: achieved >= sum * KEEPS_UP && lag <= sum * window * ON_TIME,
            falls_behind: lag > before + sum * window * (1.0 - KEEPS_UP),
            looked_back: end >= since + look_back,
        }
    }

    /// What the window shows of every operator; learns from it how fast instances are.
    fn look(&mut self, observation: &Observation, load: &Load) -> Vec<Sight> {
        let mut sights = Vec::with_capacity(self.topology.operators().len());
        for operator in self.topology.operators() {
            let (index, metrics) = (operator.id.0 as usize, observation.operator(operator.id));
            let instances = observation.configuration.parallelism(operator.id);
            let speeds = Speeds::of(metrics).map(|speeds| self.relative[index].observe(metrics, instances, speeds));
            if let Some(speeds) = speeds.as_ref().filter(|_| operator.is_scalable()) {
                self.curves[index].observe(instances, speeds.rate, speeds.error);
            }
            sights.push(Sight::of(operator, metrics, instances, load.demands[index], speeds));
        }
        sights
    }

    /// Learns from what came of the last action; gives operators that more instances did not help, with how many they had.
    fn learn(&mut self, observation: &Observation, sights: &[Sight]) -> BTreeMap<OperatorId, u32> {
        let Some(acted) = self.acted.take() else { return BTreeMap::new() };
        let mut useless = BTreeMap::new();
        for (id, now) in observation.configuration.iter() {
            let index = id.0 as usize;
            let (before, curve) = (acted.before.parallelism(id), &self.curves[index]);
            if now > before
                && let (Some(fewer), Some(more)) = (curve.measured(before), curve.measured(now))
                && more * (self.config.confidence * curve.error()).exp()
                    < fewer * (1.0 + USELESS * (f64::from(now) / f64::from(before) - 1.0))
            {
                self.memory[index].most = Some(before);
                useless.insert(id, before);
            }
        }
        for (&id, &imbalance) in &acted.rebalanced {
            let (index, sight) = (id.0 as usize, &sights[id.0 as usize]);
            if sight.imbalance - 1.0 > (imbalance - 1.0) * IN_VAIN {
                self.memory[index].in_vain = Some((sight.imbalance, sight.instances));
            }
        }
        useless
    }

    /// A plan of `rescales`, with `rebalances`, and what is known of slow instances.
    fn plan(&mut self, rescales: BTreeMap<OperatorId, u32>, rebalances: BTreeSet<OperatorId>, sights: &[Sight]) -> Plan {
        self.divisions.iter_mut().for_each(Division::keep);
        let touched: BTreeSet<OperatorId> = rescales.keys().chain(&rebalances).copied().collect();
        let mut speeds = BTreeMap::new();
        for id in touched {
            let change = if rebalances.contains(&id) { slow::Change::Rebalanced } else { slow::Change::Rescaled };
            let index = id.0 as usize;
            if let Some(planned) = self.divisions[index].planned(self.topology.operator(id), &sights[index], change) {
                speeds.insert(id, planned);
            }
        }
        Plan { speeds, rescales, rebalances }
    }
}

/// What is to change.
struct Change {
    /// Why.
    rule: &'static str,
    rescales: BTreeMap<OperatorId, u32>,
    /// Those of them that take away what no recent window needed.
    trims: BTreeMap<OperatorId, u32>,
}

impl CriticalPath {
    fn search(&self, load: &Load, sights: &[Sight]) -> Searched {
        let most = |(operator, memory): (&Operator, &Memory)| {
            memory.most.map_or(operator.max_parallelism, |most| most.min(operator.max_parallelism))
        };
        let most: Vec<u32> = self.topology.operators().iter().zip(&self.memory).map(most).collect();
        let in_vain: Vec<bool> = self.memory.iter().zip(sights).map(|(memory, sight)| memory.is_in_vain(sight)).collect();
        let search = Search {
            in_vain: &in_vain,
            topology: &self.topology,
            config: &self.config,
            curves: &self.curves,
            sights,
            most: &most,
            demands: &load.demands,
            catching_up: &load.catching_up,
            latency: &self.latency,
        };
        search.run(&load.most_recent)
    }

    /// Of the scalable operators those to which `found` gives fewer instances than they have.
    fn fewer(&self, found: &Found, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        let ids = self.topology.scalable().map(|operator| operator.id);
        ids.map(|id| (id, found.instances[id.0 as usize])).filter(|(id, wanted)| *wanted < present.parallelism(*id)).collect()
    }

    /// Instances of all scalable operators, if those of `rescales` change.
    fn together(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> u64 {
        let after = |id| u64::from(rescales.get(&id).copied().unwrap_or(present.parallelism(id)));
        self.topology.scalable().map(|operator| after(operator.id)).sum()
    }

    /// Operators that are to have more instances.
    fn more(&self, load: &Load, judgement: &Judgement, searched: &Searched, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        if !judgement.under && !judgement.slow && judgement.rebalance.is_empty() {
            return BTreeMap::new();
        }
        let more = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let wanted = searched.found.instances[index];
            // One that just keeps up is left alone, unless the goal asks for more.
            let asked = judgement.slow
                || self.memory[index].under > 0
                || judgement.rebalance.contains_key(&operator.id)
                || searched.ratio(&load.catching_up, index) > SLOWLY;
            (asked && wanted > present.parallelism(operator.id)).then_some((operator.id, wanted))
        };
        self.topology.scalable().filter_map(more).collect()
    }

    /// What none of the recent windows needed, if it is worth the while and may go now.
    fn trims(&self, load: &Load, judgement: &Judgement, searched: &Searched, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        // A job that is late needs what it has until it is not, unless others need more: then one plan does it all. A job that is bounded
        // from elsewhere says nothing of what it would need.
        let calm = load.on_time && judgement.rebalance.is_empty() && !judgement.uneven || judgement.under;
        if !calm || !load.looked_back || searched.found.part < 1.0 {
            return BTreeMap::new();
        }
        let fewer = self.fewer(&searched.enough, present);
        let all = self.together(present, &BTreeMap::new());
        let saved = all - self.together(present, &fewer);
        if saved as f64 >= all as f64 * self.config.least_saving { fewer } else { BTreeMap::new() }
    }

    /// What is to change, and by which rule.
    fn change(&self, load: &Load, judgement: &Judgement, searched: &Searched, present: &Configuration) -> Change {
        let mut rescales = self.more(load, judgement, searched, present);
        let trims = self.trims(load, judgement, searched, present);
        let rule = match (rescales.is_empty(), judgement.rebalance.is_empty(), trims.is_empty()) {
            (false, ..) if judgement.under => "under-provisioned",
            (false, ..) if judgement.slow => "goal-missed",
            (_, false, _) => "uneven",
            (.., false) => "over-provisioned",
            _ => searched.bound.unwrap_or("hold"),
        };
        for (&id, &instances) in &trims {
            rescales.entry(id).or_insert(instances);
        }
        let beyond_budget = self.config.budget > 0 && self.together(present, &rescales) > u64::from(self.config.budget);
        if beyond_budget && !rescales.is_empty() {
            // What one is to have more, others have to give.
            rescales.extend(self.fewer(&searched.found, present));
        }
        Change { rule, rescales, trims }
    }

    /// Why, with what was found out and what is expected of it.
    fn reason(&self, rule: &str, observation: &Observation, load: &Load, findings: Vec<(f64, Finding)>, found: Option<&Found>) -> Reason {
        let mut findings = findings;
        findings.sort_by(|a, b| b.0.total_cmp(&a.0));
        let achieved: f64 = observation.sources.iter().map(|source| source.achieved.as_per_second()).sum();
        let mut reason = Reason::new(rule).with("offered per s", load.offered).with("achieved per s", achieved);
        if self.lag > 0.0 {
            reason = reason.with("lag records", self.lag);
        }
        if let Some(found) = found {
            reason = reason.with("predicted achieved per s", load.offered * found.part);
            if let Some(p99) = found.p99_s {
                reason = reason.with("predicted p99 ms", p99 * 1e3);
            }
        }
        reason.finding(findings.into_iter().take(MOST_FINDINGS).map(|(_, finding)| finding))
    }
}

impl Policy for CriticalPath {
    fn name(&self) -> &'static str {
        "critical-path"
    }

    fn needs(&self) -> Needs {
        Needs::Paths
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let load = self.load(observation);
        let sights = self.look(observation, &load);
        let useless = self.learn(observation, &sights);
        let searched = self.search(&load, &sights);
        if load.on_time
            && let Some(p99) = observation.latency.ns_p99
        {
            self.latency.observe(p99 as f64 / 1e9, searched.longest.service_s, searched.longest.queueing_s);
        }
        let mut judgement = self.judge(&load, &sights, &searched);
        let before = observation.configuration.clone();
        if !useless.is_empty() {
            let reason = self.reason("roll-back", observation, &load, judgement.findings, None);
            self.acted = Some(Acted { before, rebalanced: BTreeMap::new() });
            return Decision::Rescale(self.plan(useless, BTreeSet::new(), &sights), reason);
        }
        let Change { rule, rescales, trims } = self.change(&load, &judgement, &searched, &before);
        for (&id, &enough) in &trims {
            let finding = Finding::new(&self.topology.operator(id).name, Cause::OverProvisioned);
            let finding = finding.with("instances", f64::from(before.parallelism(id))).with("enough", f64::from(enough));
            judgement.findings.push((0.0, finding));
        }
        let rebalances: BTreeSet<OperatorId> = judgement.rebalance.keys().copied().collect();
        if rescales.is_empty() && rebalances.is_empty() {
            return Decision::Hold(self.reason(rule, observation, &load, judgement.findings, None));
        }
        let reason = self.reason(rule, observation, &load, judgement.findings, Some(&searched.found));
        self.acted = Some(Acted { before, rebalanced: judgement.rebalance });
        self.memory.iter_mut().for_each(|memory| (memory.under, memory.hot) = (0, 0));
        self.missed = 0;
        Decision::Rescale(self.plan(rescales, rebalances, &sights), reason)
    }

    fn refused(&mut self, _why: &str) {
        self.acted = None;
        self.divisions.iter_mut().for_each(Division::refused);
    }
}

#[cfg(test)]
mod tests;
