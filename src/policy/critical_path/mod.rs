//! Thalweg's own policy: decides for all operators at once, from the measured critical path.
//!
//! For every window it computes the demand of each operator from the offered load and the whole
//! graph, the capacity of its instances from a learned curve, a diagnosis where the two do not fit,
//! and the smallest configuration that would do. It rescales only where the estimate differs from
//! the present configuration by more than its error, or where the job falls behind; it removes
//! instances only if none of the recent windows would have needed them; it answers skew and
//! stragglers by rebalancing; and it leaves alone what rescaling cannot help. Across windows it
//! keeps capacity curves, relative speeds of instances, limits, and the cost of changes.
//!
//! Invariants: one plan holds everything that is to change; parallelism stays between 1 and each
//! operator's maximum, and within the budget; an operator that was not measured is not changed.

mod ahead;
mod bins;
mod change;
mod climb;
mod config;
mod crowd;
mod goal;
mod judge;
mod learn;
mod limits;
mod load;
mod measured;
mod presets;
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

use ahead::Offered;
use change::Change;
pub use config::{CriticalPathConfig, Paths};
use crowd::{Crowd, with_whole_cores};
use judge::Memory;
use learn::{Acted, Learned};
use load::Load;
pub use presets::{PRESETS, Preset};
use search::Found;
use sight::Sight;
use slow::Division;
use started::Started;
use trim::Needed;
use worth::Worth;

use super::kind::PolicyKind;
use super::settings::set;
use super::{Cause, Decision, Finding, Needs, Policy, Reason};
use crate::dataflow::{Plan, Topology};
use crate::id::OperatorId;
use crate::model::{CapacityModel, ChangeModel, FlowModel, LatencyModel, RelativeSpeeds, Speeds, WhatIf};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Consecutive windows that must agree before anything that is not obvious is acted upon.
const AGREEING: u32 = 2;
/// ... and from this share on, one window is evidence enough.
const MOSTLY_HELD_UP: f64 = 0.5;
/// The longest queue of an instance that backpressured the sources exceeds its high-water mark somewhat: this share of it estimates the
/// mark.
const OVER_MARK: f64 = 0.7;
/// A goal counts as missed once this many windows missed it...
const OFTEN_MISSED: f64 = 1.8;
/// ... where each further window discounts the earlier ones by this factor.
const MISSED_KEPT: f64 = 0.85;
/// An operator holds the job up if backpressure from it makes up this share of the latency.
const HELD_UP: f64 = 0.2;
/// At most this many findings are reported.
const MOST_FINDINGS: usize = 16;

/// The critical-path policy.
#[derive(Clone, Debug)]
pub struct CriticalPath {
    topology: Topology,
    config: CriticalPathConfig,
    flow: FlowModel,
    latency: LatencyModel,
    what_if: WhatIf,
    /// By operator, consecutive windows in which it backpressured the sources more than any other.
    held_up: Vec<u32>,
    /// By operator, the shortest queue that was seen to backpressure the sources.
    marks: Vec<Option<f64>>,
    memory: Vec<Memory>,
    curves: Vec<CapacityModel>,
    /// By operator, which of its instances are slow.
    relative: Vec<RelativeSpeeds>,
    /// By operator, the speeds by which its load is divided.
    divisions: Vec<Division>,
    /// Offered load of recent windows.
    offered: VecDeque<Offered>,
    /// Instances that recent windows needed.
    needed: Needed,
    /// Duration of the last plan's execution.
    delay: Duration,
    /// Lag that a plan leaves, in seconds of load; learned from executed plans.
    disruption_s: f64,
    /// When the first window began.
    since: Option<Timestamp>,
    /// Lag of all sources at the end of the last window, in records.
    lag: f64,
    /// Windows that missed the goal, discounted by age.
    missed: f64,
    /// What a change costs, whether the last one has settled, and whether the next is worth its cost.
    change: ChangeModel,
    started: Started,
    worth: Worth,
    /// Length of the last window.
    window_s: f64,
    /// Consecutive unsettled windows in which the load outran the last change.
    outrun: u32,
    acted: Option<Acted>,
    /// Workers that instances share.
    crowd: Crowd,
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
            crowd: Crowd::default(),
            topology,
            config,
        }
    }

    /// Views of all operators in the window; updates the learned speeds of instances.
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

    /// A plan of `rescales` and `rebalances`, with the known speeds of stragglers.
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
        Plan { speeds, rescales, rebalances, ..Plan::default() }
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

/// The policy as it is registered.
pub(super) const KIND: PolicyKind = PolicyKind {
    name: "critical-path",
    summary: "ours: all operators at once, by the measured critical path, learned capacity and the cost of a change",
    rules: &[
        ("hold", "no change needed"),
        ("under-provisioned", "too few instances to keep up"),
        ("over-provisioned", "more instances than needed"),
        ("goal-missed", "the job keeps up, but latency exceeds the goal"),
        ("goal-unreachable", "latency exceeds the goal, and no number of instances would meet it"),
        ("hot-key", "a single key exceeds the capacity of an instance; rebalancing the others does not help"),
        ("external-wait", "it waits for something outside the job; more instances do not help"),
        ("straggling", "some instances are slower than the others, and their missing capacity bounds the job"),
        ("bounded", "an operator already has all the instances that help it and bounds the job"),
        ("budget", "the instance budget is exhausted"),
        ("uneven", "its load is not distributed according to the capacity of its instances"),
        ("roll-back", "the last action made it worse"),
        ("crowded", "instances share a worker that cannot do the work of all of them, and others have room"),
        ("no-room", "the workers cannot do the work of all instances, wherever these are"),
        ("host", "workers do not get their cores, and the others have no room for their instances"),
        ("starting", "new instances have not started yet"),
        ("settling", "waiting for the last action to take effect"),
        ("not-worth-it", "a change would cost more than it gains"),
    ],
    make: |topology, factor, given| {
        let config = set(CriticalPathConfig::standard(), &given.settings, CriticalPathConfig::check)?;
        Ok(Box::new(CriticalPath::new(topology.clone(), config.compressed(factor))))
    },
};

impl Policy for CriticalPath {
    fn name(&self) -> &'static str {
        "critical-path"
    }

    fn needs(&self) -> Needs {
        if self.config.paths == Paths::On { Needs::Paths } else { Needs::Metrics }
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let corrected = with_whole_cores(observation);
        let observation = corrected.as_ref().unwrap_or(observation);
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
        self.look_at_workers(observation, &load);
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
        judgement.findings.extend(self.findings_of_workers(observation));
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
        let placement = self.placed(observation, &load, &rescales, judgement.under && rebalances.is_empty());
        let rule = if rescales.is_empty() && !placement.is_empty() { "crowded" } else { rule };
        if rescales.is_empty() && rebalances.is_empty() && placement.is_empty() {
            return Decision::Hold(self.reason(rule, observation, &load, judgement.findings, None));
        }
        self.ask_for_goal(observation, &load, &sights, &mut searched);
        let reason = self.reason(rule, observation, &load, judgement.findings, Some(&searched.found));
        for (&id, _) in rescales.iter().filter(|(id, instances)| **instances > before.parallelism(**id)) {
            let (index, memory) = (id.0 as usize, &mut self.memory[id.0 as usize]);
            memory.raised_for = load.demands[index];
            memory.raised_for_pauses |= self.held_up[index] >= AGREEING && searched.ratio(&load.demands, index) < 1.0;
        }
        self.acted = Some(Acted::new(before, judgement.rebalance));
        self.memory.iter_mut().for_each(|memory| (memory.under, memory.hot) = (0, 0));
        self.missed = 0.0;
        match &saving {
            Some(saving) => self.worth.saved(saving),
            None if rule == "goal-missed" => self.worth.added_for_goal(),
            None => self.worth.added(),
        }
        Decision::Rescale(Plan { placement, ..self.plan(rescales, rebalances, &sights) }, reason)
    }

    fn refused(&mut self, _why: &str) {
        self.acted = None;
        self.divisions.iter_mut().for_each(Division::refused);
    }

    fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
        let changed = CriticalPathConfig { goal_ms, ..self.config.clone() };
        changed.check()?;
        (self.config, self.missed) = (changed, 0.0);
        Ok(())
    }

    fn overridden(&mut self) {
        self.acted = None;
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.started.migrated(began, ended);
        self.crowd.migrated();
        self.change.migrated(bytes as f64, ended.since(began).as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
