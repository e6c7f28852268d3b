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

mod ahead;
mod bins;
mod change;
mod climb;
mod config;
mod goal;
mod judge;
mod learn;
mod limits;
mod measured;
mod probe;
mod search;
mod sight;
mod slow;
mod started;
mod told;
mod trim;
mod weigh;
mod worth;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ahead::{Offered, ahead, is_steady};
use change::Change;
pub use config::{CriticalPathConfig, Paths};
use goal::charged;
use judge::Memory;
use learn::{Acted, Learned};
use search::Found;
use sight::Sight;
use slow::Division;
use started::Started;
use trim::Needed;
use worth::Worth;

use super::{Cause, Decision, Finding, Needs, Policy, Reason};
use crate::dataflow::{Plan, Topology};
use crate::id::OperatorId;
use crate::model::{CapacityModel, ChangeModel, FlowModel, LatencyModel, RelativeSpeeds, Speeds, WhatIf};
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
/// With less than this part it has no lag.
const CALM: f64 = 0.02;
/// ... and need not be seen twice from this part on.
const MOSTLY_HELD_UP: f64 = 0.5;
/// The longest queue of an instance for which sources paused is somewhat above its mark: this part of it is about the mark.
const OVER_MARK: f64 = 0.7;
/// A goal that was missed in so many windows is missed...
const OFTEN_MISSED: f64 = 1.8;
/// ... where a window counts this much less with each that follows it.
const MISSED_KEPT: f64 = 0.85;
/// A job that emits more than this part of what is due catches up.
const CATCHES_UP: f64 = 1.01;
/// An operator holds the job up if sources are paused for it in this part of the latency.
const HELD_UP: f64 = 0.2;
/// While a load rises, a lag is worked off in so many look-backs: the instances for that will be needed anyway.
const RISING_CATCH_UP: f64 = 0.5;
/// What a plan adds to what was known of the disruption by plans.
const NEW_DISRUPTION: f64 = 0.5;
/// Most findings that a reason tells.
const MOST_FINDINGS: usize = 16;

/// The policy.
#[derive(Clone, Debug)]
pub struct CriticalPath {
    topology: Topology,
    config: CriticalPathConfig,
    flow: FlowModel,
    latency: LatencyModel,
    what_if: WhatIf,
    /// By operator, windows one after the other in which sources were paused for it more than for anything else.
    held_up: Vec<u32>,
    /// By operator, the shortest queue for which sources were seen paused.
    marks: Vec<Option<f64>>,
    memory: Vec<Memory>,
    curves: Vec<CapacityModel>,
    /// By operator, which of its instances are slow.
    relative: Vec<RelativeSpeeds>,
    /// By operator, by which speeds its load is divided.
    divisions: Vec<Division>,
    /// What sources were to emit in recent windows.
    offered: VecDeque<Offered>,
    /// What recent windows needed.
    needed: Needed,
    /// How long the last plan took to be carried out.
    delay: Duration,
    /// Seconds of load that a plan leaves as lag, by those that were carried out.
    disruption_s: f64,
    /// When the first window began.
    since: Option<Timestamp>,
    /// Records that were due and not emitted at the end of the last window, of all sources.
    lag: f64,
    /// Windows in which the goal was missed, those of before fading.
    missed: f64,
    /// What a change costs, whether the last one is over, and whether the next is worth it.
    change: ChangeModel,
    started: Started,
    worth: Worth,
    /// Length of the last window.
    window_s: f64,
    /// Windows not to be judged in which the load outran the last change, one after the other.
    outrun: u32,
    acted: Option<Acted>,
}

/// What the load asks for in a window.
struct Load {
    /// By operator, records per second that reach it of what is offered.
    demands: Vec<Option<f64>>,
    /// The same while lag and queues are worked off in the time that is given for it.
    catching_up: Vec<Option<f64>>,
    /// As `demands`, of the most that was offered in recent windows.
    most_recent: Vec<Option<f64>>,
    /// As `demands`, of what will be offered when the next decision has been carried out.
    soon: Vec<Option<f64>>,
    /// Whether that is more, because the load rises from window to window.
    rises: bool,
    /// Whether all windows that are known were offered the same.
    steady: bool,
    /// Records per second, of all sources.
    offered: f64,
    /// Measured 99th percentile of latency, in seconds.
    p99_s: Option<f64>,
    /// The operator that the largest part of the slowest epochs' latency is charged to, where paths were measured.
    slowest: Option<OperatorId>,
    /// Whether the job emits what is due and has no lag.
    on_time: bool,
    /// Whether all epochs that completed were due under the present configuration.
    settled: bool,
    /// Whether it has hardly any lag and no source was paused: what is measured now is what the present configuration does.
    calm: bool,
    /// Whether sources emit more than what becomes due.
    catches_up: bool,
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
            what_if: WhatIf::new(&topology),
            held_up: vec![0; operators],
            marks: vec![None; operators],
            memory: vec![Memory::default(); operators],
            curves: vec![CapacityModel::default(); operators],
            relative: vec![RelativeSpeeds::default(); operators],
            divisions: vec![Division::default(); operators],
            offered: VecDeque::new(),
            needed: Needed::default(),
            delay: Duration::ZERO,
            disruption_s: 0.0,
            since: None,
            lag: 0.0,
            missed: 0.0,
            change: ChangeModel::new(operators),
            started: Started::default(),
            worth: Worth::new(),
            window_s: 0.0,
            outrun: 0,
            acted: None,
            topology,
            config,
        }
    }

    /// What the sources ask for, and whether the job keeps up.
    fn load(&mut self, observation: &Observation) -> Load {
        let window = observation.window.length().as_secs_f64();
        let mut offered = vec![0.0; self.topology.operators().len()];
        let (mut lag, mut achieved) = (0.0, 0.0);
        for source in &observation.sources {
            offered[source.operator.0 as usize] = source.offered.as_per_second();
            lag += source.lag_records;
            achieved += source.achieved.as_per_second();
        }
        let sum: f64 = offered.iter().sum();
        self.window_s = window;
        self.worth.observe(observation.window.start, observation.window.end, sum);
        let before = std::mem::replace(&mut self.lag, lag);
        let (end, look_back) = (observation.window.end, Duration::from_secs_f64(self.config.look_back_s));
        let since = *self.since.get_or_insert(observation.window.start);
        if let Some(last) = self
            .offered
            .back()
            .filter(|_| self.acted.as_ref().is_some_and(Acted::is_new))
            .filter(|last| last.window.end < observation.window.start)
        {
            self.delay = observation.window.start.since(last.window.end);
            let more_s = if sum > 0.0 { (lag - before) / sum } else { 0.0 };
            self.disruption_s += (more_s.max(0.0) - self.disruption_s) * NEW_DISRUPTION;
        }
        self.offered.push_back(Offered { window: observation.window, rates: offered.clone() });
        while self.offered.len() > 1 && self.offered[0].window.end + look_back < end {
            self.offered.pop_front();
        }
        let mut most = offered.clone();
        for recent in &self.offered {
            most.iter_mut().zip(&recent.rates).for_each(|(most, recent)| *most = most.max(*recent));
        }
        let ahead = ahead(&self.offered, self.delay);
        let catch_up_s = self.catch_up_s(ahead.rises);
        let mut catching_up = ahead.later;
        // A plan while the load rises comes upon the lag that it makes itself.
        let disruption_s = if ahead.rises { self.disruption_s } else { 0.0 };
        for source in &observation.sources {
            catching_up[source.operator.0 as usize] += (source.lag_records + source.offered.as_per_second() * disruption_s) / catch_up_s;
        }
        let settled = observation.paths.as_ref().is_none_or(|paths| paths.migrating.epochs == 0);
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
            soon: demands(&ahead.soon),
            rises: ahead.rises,
            steady: is_steady(&self.offered),
            offered: sum,
            p99_s: observation.latency.ns_p99.map(|p99| p99 as f64 / 1e9),
            slowest: observation.paths.as_ref().and_then(|paths| charged(&paths.slowest)),
            on_time: achieved >= sum * KEEPS_UP && lag <= sum * window * ON_TIME,
            settled,
            calm: settled && lag <= sum * window * CALM && observation.operators.iter().all(|metrics| metrics.backpressure_sum() == 0.0),
            catches_up: achieved > sum * CATCHES_UP,
            falls_behind: lag > before + sum * window * (1.0 - KEEPS_UP),
            looked_back: end >= since + look_back,
        }
    }

    /// The time in which a lag is to be worked off.
    fn catch_up_s(&self, rises: bool) -> f64 {
        let asked = self.config.catch_up_s / if self.config.goal_ms > 0.0 { HURRY } else { 1.0 };
        if rises { asked.min((self.config.look_back_s * RISING_CATCH_UP).max(f64::MIN_POSITIVE)) } else { asked }
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
            let sight = Sight::of(operator, metrics, instances, load.demands[index], speeds);
            self.memory[index].waits.observe(observation.window.end, &sight);
            sights.push(sight);
        }
        sights
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

impl CriticalPath {
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
        if let Some(p99) = observation.latency.ns_p99.filter(|_| self.config.goal_ms > 0.0) {
            reason = reason.with("p99 ms", p99 as f64 / 1e6).with("goal ms", self.config.goal_ms);
        }
        if let Some(paths) = observation.paths.as_ref().filter(|paths| paths.slowest.epochs > 0 && self.config.paths == Paths::On) {
            reason = reason.along(told::path(&self.topology, paths, found.and_then(|found| found.waits_s.as_deref())));
        }
        reason.finding(findings.into_iter().take(MOST_FINDINGS).map(|(_, finding)| finding))
    }
}

impl Policy for CriticalPath {
    fn name(&self) -> &'static str {
        "critical-path"
    }

    fn needs(&self) -> Needs {
        if self.config.paths == Paths::On { Needs::Paths } else { Needs::Metrics }
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        self.change.observe(observation);
        let unsettled = self.started.observe(&self.topology, observation, &mut self.change);
        if unsettled.is_none() {
            self.flow.observe(&self.topology, observation);
        }
        let load = self.load(observation);
        if let Some(rule) = unsettled {
            return self.meanwhile(rule, observation, &load);
        }
        self.outrun = 0;
        let mut sights = self.look(observation, &load);
        let learned = self.learn(observation, &load, &sights);
        self.recall(observation.window.end, &load, &mut sights);
        self.follow(observation, &load);
        let mut searched = self.search(observation, &load, &sights, (self.asked(&load), Rc::default()));
        if load.on_time
            && let Some(p99) = observation.latency.ns_p99
        {
            self.latency.observe(p99 as f64 / 1e9, searched.longest.service_s, searched.longest.queueing_s);
            if searched.has_paths && load.calm {
                self.what_if.calibrate_with(&self.topology, searched.worked_out.clone(), &searched.stations, &observation.latency);
            }
        }
        let mut judgement = self.judge(&load, &sights, &searched);
        let before = observation.configuration.clone();
        match learned {
            Learned::Useless(useless) => {
                let reason = self.reason("roll-back", observation, &load, judgement.findings, None);
                return Decision::Rescale(self.plan(useless, BTreeSet::new(), &sights), reason);
            }
            // What was done last is to be seen twice before anything follows from it.
            Learned::Unsure => {
                return Decision::Hold(self.reason(searched.bound.unwrap_or("hold"), observation, &load, judgement.findings, None));
            }
            Learned::Nothing => {}
        }
        if judgement.under || !judgement.rebalance.is_empty() {
            self.ask_for_goal(observation, &load, &sights, &mut searched);
        }
        let Change { rule, rescales, trims, saving } = self.change(observation, &load, &judgement, &searched, &sights);
        for (&id, &enough) in &trims {
            let finding = Finding::new(&self.topology.operator(id).name, Cause::OverProvisioned);
            let finding = finding.with("instances", f64::from(before.parallelism(id))).with("enough", f64::from(enough));
            judgement.findings.push((0.0, finding));
        }
        let rebalances: BTreeSet<OperatorId> = judgement.rebalance.keys().copied().collect();
        if rescales.is_empty() && rebalances.is_empty() {
            return Decision::Hold(self.reason(rule, observation, &load, judgement.findings, None));
        }
        self.ask_for_goal(observation, &load, &sights, &mut searched);
        let reason = self.reason(rule, observation, &load, judgement.findings, Some(&searched.found));
        for (&id, _) in rescales.iter().filter(|(id, instances)| **instances > before.parallelism(**id)) {
            self.memory[id.0 as usize].raised_for = load.demands[id.0 as usize];
        }
        self.acted = Some(Acted::new(before, judgement.rebalance));
        self.memory.iter_mut().for_each(|memory| (memory.under, memory.hot) = (0, 0));
        self.missed = 0.0;
        match &saving {
            Some(saving) => self.worth.saved(saving),
            None if rule == "goal-missed" => self.worth.added_for_goal(),
            None => self.worth.added(),
        }
        Decision::Rescale(self.plan(rescales, rebalances, &sights), reason)
    }

    fn refused(&mut self, _why: &str) {
        self.acted = None;
        self.divisions.iter_mut().for_each(Division::refused);
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.started.migrated(began, ended);
        self.change.migrated(bytes as f64, ended.since(began).as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
