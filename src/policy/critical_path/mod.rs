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
use std::time::Duration;

use ahead::{Offered, ahead, is_steady};
pub use config::{CriticalPathConfig, Paths};
use goal::charged;
use judge::{Judgement, Memory, SLOWLY};
use learn::{Acted, Learned};
use search::{Found, Searched};
use sight::Sight;
use slow::Division;
use started::Started;
use trim::Needed;
use worth::{Saving, Worth};

use super::{Cause, Decision, Finding, Needs, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::id::OperatorId;
use crate::model::{CapacityModel, ChangeModel, FlowModel, LatencyModel, RelativeSpeeds, Speeds, WhatIf};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Consecutive windows that must agree before anything that is not obvious is acted upon.
const AGREEING: u32 = 2;
/// With a latency goal, lag is drained faster by this factor, since lag is latency.
const HURRY: f64 = 6.0;
/// A job whose throughput is below this share of the offered load falls behind.
const KEEPS_UP: f64 = 0.98;
/// Lag, as a share of a window's records, up to which the job is on time.
const ON_TIME: f64 = 0.25;
/// Lag, as a share of a window's records, that counts as none.
const CALM: f64 = 0.02;
/// ... and from this share on, one window is evidence enough.
const MOSTLY_HELD_UP: f64 = 0.5;
/// The longest queue of an instance that backpressured the sources exceeds its high-water mark somewhat: this share of it estimates the
/// mark.
const OVER_MARK: f64 = 0.7;
/// A goal counts as missed once this many windows missed it...
const OFTEN_MISSED: f64 = 1.8;
/// ... where each further window discounts the earlier ones by this factor.
const MISSED_KEPT: f64 = 0.85;
/// A job whose throughput exceeds this share of the offered load catches up.
const CATCHES_UP: f64 = 1.01;
/// An operator holds the job up if backpressure from it makes up this share of the latency.
const HELD_UP: f64 = 0.2;
/// While the load rises, lag is drained within this share of a look-back: the instances for it will be needed anyway.
const RISING_CATCH_UP: f64 = 0.5;
/// Weight of a new measurement of the disruption that a plan causes.
const NEW_DISRUPTION: f64 = 0.5;
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
}

/// Demand and lag of a window.
struct Load {
    /// By operator, records per second that reach it at the offered load.
    demands: Vec<Option<f64>>,
    /// The same while lag and queues are drained within the time allowed for that.
    catching_up: Vec<Option<f64>>,
    /// As `demands`, at the highest load of the recent windows.
    most_recent: Vec<Option<f64>>,
    /// As `demands`, at the load expected when the next decision has been executed.
    soon: Vec<Option<f64>>,
    /// Whether that is higher, because the load rises from window to window.
    rises: bool,
    /// Whether it can be expected to rise beyond the stall of a change.
    outlasts: bool,
    /// Whether the load was the same in all recent windows.
    steady: bool,
    /// Records per second, of all sources.
    offered: f64,
    /// Measured 99th percentile of latency, in seconds.
    p99_s: Option<f64>,
    /// The operator charged with the largest share of the slowest epochs' latency, where paths were measured.
    slowest: Option<OperatorId>,
    /// Whether throughput meets the offered load and there is no lag.
    on_time: bool,
    /// Whether all epochs that completed began under the present configuration.
    settled: bool,
    /// Whether there is hardly any lag and no backpressure, so that the measurements describe the present configuration.
    calm: bool,
    /// Whether throughput exceeds the offered load.
    catches_up: bool,
    /// Whether the lag grows.
    falls_behind: bool,
    /// Whether a whole look-back of windows has been seen.
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

    /// Demand of the window, and whether the job keeps up.
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
        let ahead = ahead(&self.offered, self.delay, self.change.start_s().unwrap_or(window));
        let catch_up_s = self.catch_up_s(ahead.rises);
        let mut catching_up = ahead.later;
        // While the load rises, a plan must also drain the lag that it causes itself.
        let disruption_s = if ahead.rises { self.disruption_s } else { 0.0 };
        for source in &observation.sources {
            catching_up[source.operator.0 as usize] += (source.lag_records + source.offered.as_per_second() * disruption_s) / catch_up_s;
        }
        let settled = observation.paths.as_ref().is_none_or(|paths| paths.migrating.epochs == 0);
        let demands = |offered: &[f64]| self.flow.demands(&self.topology, offered);
        let mut catching_up = demands(&catching_up);
        for (demand, metrics) in catching_up.iter_mut().zip(&observation.operators) {
            // Queued records are lag as well.
            *demand = demand.map(|demand| demand + metrics.queue_records() as f64 / catch_up_s);
        }
        Load {
            demands: demands(&offered),
            catching_up,
            most_recent: demands(&most),
            soon: demands(&ahead.soon),
            rises: ahead.rises,
            outlasts: ahead.outlasts,
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

    /// The time within which lag is to be drained.
    fn catch_up_s(&self, rises: bool) -> f64 {
        let asked = self.config.catch_up_s / if self.config.goal_ms > 0.0 { HURRY } else { 1.0 };
        if rises { asked.min((self.config.look_back_s * RISING_CATCH_UP).max(f64::MIN_POSITIVE)) } else { asked }
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
        Plan { speeds, rescales, rebalances }
    }
}

/// What a plan is to change.
struct Change {
    /// Why.
    rule: &'static str,
    rescales: BTreeMap<OperatorId, u32>,
    /// Those of them that remove instances no recent window needed.
    trims: BTreeMap<OperatorId, u32>,
    /// What removing them saves.
    saving: Option<Saving>,
}

impl CriticalPath {
    /// Scalable operators that have fewer instances in `found` than at present.
    fn fewer(&self, found: &Found, present: &Configuration) -> BTreeMap<OperatorId, u32> {
        let ids = self.topology.scalable().map(|operator| operator.id);
        ids.map(|id| (id, found.instances[id.0 as usize])).filter(|(id, wanted)| *wanted < present.parallelism(*id)).collect()
    }

    /// Sum of instances over scalable operators after `rescales`.
    fn together(&self, present: &Configuration, rescales: &BTreeMap<OperatorId, u32>) -> u64 {
        let after = |id| u64::from(rescales.get(&id).copied().unwrap_or(present.parallelism(id)));
        self.topology.scalable().map(|operator| after(operator.id)).sum()
    }

    /// Operators that are to have more instances than they have at `present`, by what was `found`.
    fn more(
        &self,
        load: &Load,
        judgement: &Judgement,
        searched: &Searched,
        found: &Found,
        present: &Configuration,
    ) -> BTreeMap<OperatorId, u32> {
        if !judgement.under && !judgement.slow && judgement.rebalance.is_empty() {
            return BTreeMap::new();
        }
        let more = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let wanted = found.instances[index];
            // One that just keeps up is left alone, unless the goal asks for more.
            let asked = judgement.slow
                || self.memory[index].under > 0
                || judgement.rebalance.contains_key(&operator.id)
                || searched.ratio(&load.catching_up, index) > SLOWLY;
            (asked && wanted > present.parallelism(operator.id)).then_some((operator.id, wanted))
        };
        self.topology.scalable().filter_map(more).collect()
    }

    /// What is to change, and by which rule.
    fn change(&mut self, observation: &Observation, load: &Load, judgement: &Judgement, searched: &Searched, sights: &[Sight]) -> Change {
        let present = &observation.configuration;
        let mut rescales = self.more(load, judgement, searched, &searched.found, present);
        let mut held_back = false;
        if !rescales.is_empty() {
            if self.is_better_without(load, judgement, searched, sights, present, &rescales) {
                (held_back, rescales) = (true, BTreeMap::new());
            } else if let Some(lasting) = self.lasting(observation, load, sights, &rescales) {
                rescales = self.more(load, judgement, searched, &lasting, present);
            }
        }
        let acts = !rescales.is_empty() || !judgement.rebalance.is_empty();
        let mut trims = self.trims(observation.window.end, load, (judgement, acts), searched, present);
        let saving = self.saving(load, present, &trims).filter(|_| !trims.is_empty() && !held_back);
        if saving.is_none() && !trims.is_empty() {
            (held_back, trims) = (true, BTreeMap::new());
        }
        let rule = match (rescales.is_empty(), judgement.rebalance.is_empty(), trims.is_empty()) {
            (false, ..) if judgement.under => "under-provisioned",
            (false, ..) if judgement.slow => "goal-missed",
            (_, false, _) => "uneven",
            (.., false) => "over-provisioned",
            _ if self.missed >= OFTEN_MISSED && searched.found.out_of_reach => "goal-unreachable",
            _ if held_back => "not-worth-it",
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
        Change { rule, rescales, trims, saving }
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
        let searched = self.search(observation, &load, &sights);
        if load.on_time
            && let Some(p99) = observation.latency.ns_p99
        {
            self.latency.observe(p99 as f64 / 1e9, searched.longest.service_s, searched.longest.queueing_s);
            if searched.has_paths && load.calm {
                self.what_if.calibrate(&self.topology, &searched.stations, &observation.latency);
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
