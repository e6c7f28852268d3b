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
mod search;
mod sight;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use config::CriticalPathConfig;
use search::{FLAT, Found, Search};
use sight::Sight;

use super::{Cause, Decision, Finding, Policy, Reason};
use crate::dataflow::{Configuration, Operator, Plan, Role, Topology};
use crate::id::{InstanceId, OperatorId};
use crate::model::{CapacityModel, FlowModel, LatencyModel, Speeds};
use crate::observation::Observation;
use crate::time::Timestamp;

/// An excess that is rounding.
const TOLERANCE: f64 = 0.005;
/// With a demand so many times the capacity nothing needs to be seen twice.
const OBVIOUS: f64 = 1.2;
/// Otherwise in so many windows one after the other.
const AGREEING: u32 = 2;
/// An operator this busy is under-provisioned if the job falls behind.
const BUSY: f64 = 0.97;
/// A job that emits less than this part of what is due falls behind.
const KEEPS_UP: f64 = 0.98;
/// With less lag than this part of a window's records the job is on time.
const ON_TIME: f64 = 0.25;
/// A lag is worked off in about the time that was asked for as long as that asks for no more than this part of the capacity.
const SLOWLY: f64 = 1.05;
/// Uneven by less than this is even.
const UNEVEN: f64 = 1.1;
/// An instance with so many times what it can do needs nothing to be seen twice.
const GROSS: f64 = 1.5;
/// A rebalance that leaves more than this part of the unevenness was in vain.
const IN_VAIN: f64 = 0.9;
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
    /// By instance, windows in which it has been slow, one after the other.
    slow: BTreeMap<InstanceId, u32>,
    /// Offered rates of sources in recent windows, by operator, with the end of the window.
    offered: VecDeque<(Timestamp, Vec<f64>)>,
    /// When the first window began.
    since: Option<Timestamp>,
    lag: f64,
    /// Windows in which the goal was missed, one after the other.
    missed: u32,
    acted: Option<Acted>,
}

/// What is remembered of one operator.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// Windows in which it was under-provisioned, one after the other.
    under: u32,
    /// Windows in which it was uneven and that mattered, one after the other.
    hot: u32,
    /// The unevenness that no rebalance helped, at so many instances.
    in_vain: Option<(f64, u32)>,
    /// More instances than this did not help.
    most: Option<u32>,
}

impl Memory {
    /// Whether spreading its keys anew was in vain, and it is as uneven as then.
    fn is_in_vain(&self, sight: &Sight) -> bool {
        self.in_vain
            .is_some_and(|(before, instances)| instances == sight.instances && (sight.imbalance / before - 1.0).abs() < 1.0 - IN_VAIN)
    }
}

/// The last action.
#[derive(Clone, Debug)]
struct Acted {
    before: Configuration,
    rebalanced: BTreeMap<OperatorId, f64>,
}

/// What the load asks for in a window.
struct Load {
    demands: Vec<Option<f64>>,
    catching_up: Vec<Option<f64>>,
    /// As `demands`, of the most that was offered in recent windows.
    most_recent: Vec<Option<f64>>,
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
            slow: BTreeMap::new(),
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
        let (mut lag, mut achieved) = (0.0, 0.0);
        for source in &observation.sources {
            let rate = source.offered.as_per_second();
            offered[source.operator.0 as usize] = rate;
            catching_up[source.operator.0 as usize] = rate + source.lag_records / self.config.catch_up_s;
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
        Load {
            demands: demands(&offered),
            catching_up: demands(&catching_up),
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
            let metrics = observation.operator(operator.id);
            let instances = observation.configuration.parallelism(operator.id);
            if let Some(speeds) = Speeds::of(metrics, metrics.instances.iter().any(|instance| !instance.external_wait.is_zero())) {
                for (index, relative) in (0..instances).zip(&speeds.relative) {
                    let instance = InstanceId::new(operator.id, index);
                    // An idle instance tells nothing, so what was known of it stays.
                    if *relative < 1.0 {
                        *self.slow.entry(instance).or_default() += 1;
                    } else if metrics.instances[index as usize].processed > 0 {
                        self.slow.remove(&instance);
                    }
                }
            }
            let slow = |index| self.slow.get(&InstanceId::new(operator.id, index)).is_some_and(|windows| *windows >= AGREEING);
            let sight = Sight::of(operator, metrics, instances, load.demands[operator.id.0 as usize], slow);
            if let Some(speeds) = sight.speeds.as_ref().filter(|_| operator.is_scalable()) {
                self.curves[operator.id.0 as usize].observe(instances, speeds.rate, speeds.error);
            }
            sights.push(sight);
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

    /// Notes what is the matter with each operator; says which are to be rebalanced and whether any needs more instances.
    fn judge(&mut self, load: &Load, sights: &[Sight], search: &SearchOutcome) -> Judgement {
        let mut judgement = Judgement::default();
        let z = self.config.confidence;
        judgement.uneven = self.topology.scalable().any(|operator| {
            let (index, keyed) = (operator.id.0 as usize, matches!(operator.role, Role::Keyed { .. }));
            keyed && is_uneven(&sights[index], search.ratio(&load.demands, index))
        });
        for operator in self.topology.scalable() {
            let index = operator.id.0 as usize;
            let (sight, memory) = (&sights[index], &mut self.memory[index]);
            let (Some(demand), Some(capacity)) = (load.demands[index], search.capacities[index]) else {
                if sight.busy == 0.0 && !load.on_time {
                    judgement.findings.push((0.0, Finding::new(&operator.name, Cause::Starved).with("busy", sight.busy)));
                }
                continue;
            };
            let error = (-z * self.curves[index].error()).exp();
            let asked = demand * search.found.part;
            let ratio = asked / capacity;
            let keyed = matches!(operator.role, Role::Keyed { .. });
            let uneven = keyed && is_uneven(sight, ratio);
            // An instance that has too much to do makes all others look idle, and a lag that no number of instances works off.
            let bounded = search.found.part < 1.0 || judgement.uneven || self.curves[index].exponent() < FLAT;
            let catching_up = if bounded { 0.0 } else { load.catching_up[index].unwrap_or(demand) / capacity };
            let behind = load.falls_behind && search.found.part >= 1.0 && ratio > BUSY && (sight.pressed || sight.busy > BUSY);
            let under = ratio * error > 1.0 + TOLERANCE || behind || !load.on_time && catching_up * error > SLOWLY;
            memory.under = if under { memory.under + 1 } else { 0 };
            let obvious = ratio * error > OBVIOUS;
            let about = |cause| Finding::new(&operator.name, cause).with("demand per s", demand).with("capacity per s", capacity);
            let weight = demand / capacity;
            if sight.waits {
                if sight.busy > BUSY || weight > 1.0 {
                    let finding = about(Cause::ExternalWait).with("waiting share", sight.waiting_share);
                    judgement.findings.push((weight + 1.0, finding));
                }
                continue;
            }
            if sight.has_slow() && (sight.imbalance * ratio > 1.0 || sight.imbalance > UNEVEN) {
                let relative = sight.speeds.as_ref().map_or(1.0, |speeds| speeds.relative.iter().copied().fold(1.0, f64::min));
                let finding = about(Cause::Straggling).with("instance", f64::from(sight.worst)).with("speed", relative);
                judgement.findings.push((weight * sight.imbalance, finding));
            }
            if search.parts[index].is_some_and(|part| part < 1.0) {
                let most = f64::from(search.most[index]);
                judgement.findings.push((weight + 1.0, about(Cause::AtLimit).with("most instances", most)));
            } else if under && ratio > 1.0 {
                judgement.findings.push((weight, about(Cause::UnderProvisioned).with("busy", sight.busy)));
            } else if ratio < 1.0 && !load.on_time && sight.busy < ratio * 0.8 && !uneven && !sight.has_slow() {
                judgement.findings.push((0.0, about(Cause::Starved).with("busy", sight.busy)));
            }
            if obvious || memory.under >= AGREEING {
                judgement.under = true;
            }
            memory.hot = if uneven { memory.hot + 1 } else { 0 };
            if uneven {
                let share = sight.hottest_bin * demand * f64::from(sight.instances) / capacity;
                if !sight.has_slow() {
                    let finding = about(Cause::Skewed)
                        .with("instance", f64::from(sight.worst))
                        .with("load over even", sight.imbalance)
                        .with("hottest bin over an instance", share);
                    judgement.findings.push((weight * sight.imbalance, finding));
                }
                if (memory.hot >= AGREEING || ratio * sight.imbalance > GROSS) && !memory.is_in_vain(sight) {
                    judgement.rebalance.insert(operator.id, sight.imbalance);
                }
            }
        }
        let goal_s = self.config.goal_ms / 1e3;
        let now = search.p99_s.filter(|p99| goal_s > 0.0 && load.on_time && *p99 > goal_s);
        self.missed = if now.is_some() { self.missed + 1 } else { 0 };
        if let Some(now) = now {
            let slowest = self.topology.scalable().filter(|operator| search.on_longest[operator.id.0 as usize]);
            let ratio = |operator: &&Operator| search.ratio(&load.demands, operator.id.0 as usize);
            if let Some(slowest) = slowest.reduce(|a, b| if ratio(&b) > ratio(&a) { b } else { a }) {
                let finding = Finding::new(&slowest.name, Cause::Slow).with("p99 ms", now * 1e3).with("goal ms", self.config.goal_ms);
                judgement.findings.push((1.0, finding));
            }
            judgement.slow = self.missed >= AGREEING;
        }
        judgement
    }

    /// Instances that none of the recent windows needed.
    fn trimmed(&self, found: &Found, observation: &Observation) -> BTreeMap<OperatorId, u32> {
        let less = |operator: &Operator| {
            let (now, wanted) = (observation.configuration.parallelism(operator.id), found.instances[operator.id.0 as usize]);
            (wanted < now).then_some((operator.id, wanted))
        };
        self.topology.scalable().filter_map(less).collect()
    }

    /// A plan of `rescales`, with `rebalances`, and what is known of slow instances.
    fn plan(&self, rescales: BTreeMap<OperatorId, u32>, rebalances: BTreeSet<OperatorId>, sights: &[Sight]) -> Plan {
        let keyed = |id: &OperatorId| matches!(self.topology.operator(*id).role, Role::Keyed { .. });
        let touched = rescales.keys().chain(&rebalances).copied().filter(keyed);
        let speeds = touched.filter_map(|id| {
            let sight = &sights[id.0 as usize];
            let speeds = sight.speeds.as_ref().filter(|_| sight.has_slow())?;
            Some((id, speeds.relative.clone()))
        });
        Plan { speeds: speeds.collect(), rescales, rebalances }
    }
}

/// Whether an instance of a keyed operator has more to do than it can, and more than its part. `ratio` is demand over capacity.
fn is_uneven(sight: &Sight, ratio: f64) -> bool {
    sight.imbalance > UNEVEN && ratio * sight.imbalance > 1.0 + TOLERANCE
}

/// What [`CriticalPath::judge`] found.
#[derive(Default)]
struct Judgement {
    /// Findings with their weight.
    findings: Vec<(f64, Finding)>,
    /// Whether an operator needs more instances, for certain.
    under: bool,
    /// Whether the goal is missed, for certain.
    slow: bool,
    /// Whether some operator is uneven, so that others wait for one of its instances.
    uneven: bool,
    /// Operators to be rebalanced, with how uneven they are.
    rebalance: BTreeMap<OperatorId, f64>,
}

/// What the search says of the present and of what would be best.
struct SearchOutcome {
    found: Found,
    /// As `found`, by the most that was offered recently and with a margin: what is certainly enough.
    enough: Found,
    capacities: Vec<Option<f64>>,
    parts: Vec<Option<f64>>,
    most: Vec<u32>,
    /// Of the present configuration.
    p99_s: Option<f64>,
    on_longest: Vec<bool>,
    queueing_s: f64,
}

impl SearchOutcome {
    /// A demand over what the present instances can do.
    fn ratio(&self, demands: &[Option<f64>], operator: usize) -> f64 {
        demands[operator].zip(self.capacities[operator]).map_or(0.0, |(demand, capacity)| demand / capacity)
    }
}

impl CriticalPath {
    fn search(&self, load: &Load, sights: &[Sight]) -> SearchOutcome {
        let operators = self.topology.operators();
        let most = |operator: &Operator| {
            self.memory[operator.id.0 as usize].most.map_or(operator.max_parallelism, |most| most.min(operator.max_parallelism))
        };
        let most: Vec<u32> = operators.iter().map(most).collect();
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
        let found = search.find(0.0);
        let enough = Search { demands: &load.most_recent, ..search }.find(self.config.confidence);
        let present: Vec<u32> = sights.iter().map(|sight| sight.instances).collect();
        let search = Search { demands: &load.demands, ..search };
        let (queueing_s, on_longest) = search.longest(&present, found.part);
        SearchOutcome {
            capacities: (0..operators.len()).map(|index| search.capacity(index, sights[index].instances)).collect(),
            parts: (0..operators.len()).map(|index| search.part_of(index)).collect(),
            p99_s: self.latency.p99_s(queueing_s),
            on_longest,
            queueing_s,
            most: most.clone(),
            found,
            enough,
        }
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

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let load = self.load(observation);
        let sights = self.look(observation, &load);
        let useless = self.learn(observation, &sights);
        let searched = self.search(&load, &sights);
        if load.on_time
            && let Some(p99) = observation.latency.ns_p99
        {
            self.latency.observe(p99 as f64 / 1e9, searched.queueing_s);
        }
        let judgement = self.judge(&load, &sights, &searched);
        let present = |operator: OperatorId| observation.configuration.parallelism(operator);
        let before = observation.configuration.clone();
        if !useless.is_empty() {
            let reason = self.reason("roll-back", observation, &load, judgement.findings, None);
            self.acted = Some(Acted { before, rebalanced: BTreeMap::new() });
            return Decision::Rescale(self.plan(useless, BTreeSet::new(), &sights), reason);
        }
        let fewer = self.trimmed(&searched.enough, observation);
        let all: u64 = self.topology.scalable().map(|operator| u64::from(present(operator.id))).sum();
        let saved: u64 = fewer.iter().map(|(id, instances)| u64::from(present(*id) - instances)).sum();
        // What works off a lag is part of what is enough. A job that is bounded from elsewhere says nothing of what it would need.
        let calm = !load.falls_behind && judgement.rebalance.is_empty() && !judgement.uneven || judgement.under;
        let trims =
            calm && load.looked_back && searched.found.part >= 1.0 && saved > 0 && saved as f64 >= all as f64 * self.config.least_saving;
        let mut rescales = BTreeMap::new();
        if judgement.under || judgement.slow {
            let more = |operator: &Operator| {
                let index = operator.id.0 as usize;
                let wanted = searched.found.instances[index];
                // One that just keeps up is left alone, unless the goal asks for more.
                let asked = judgement.slow || self.memory[index].under > 0 || searched.ratio(&load.catching_up, index) > 1.0;
                (asked && wanted > present(operator.id)).then_some((operator.id, wanted))
            };
            rescales.extend(self.topology.scalable().filter_map(more));
        }
        let rule = match (rescales.is_empty(), judgement.rebalance.is_empty(), trims) {
            (false, ..) if judgement.under => "under-provisioned",
            (false, ..) => "goal-missed",
            (true, false, _) => "uneven",
            (true, true, true) => "over-provisioned",
            (true, true, false) => "hold",
        };
        if trims {
            for (&id, &instances) in &fewer {
                rescales.entry(id).or_insert(instances);
            }
        }
        let mut findings = judgement.findings;
        if trims {
            findings.extend(fewer.iter().map(|(id, instances)| {
                let name = &self.topology.operator(*id).name;
                let finding = Finding::new(name, Cause::OverProvisioned).with("instances", f64::from(present(*id)));
                (0.0, finding.with("enough", f64::from(*instances)))
            }));
        }
        let rebalances: BTreeSet<OperatorId> = judgement.rebalance.keys().copied().collect();
        if rescales.is_empty() && rebalances.is_empty() {
            return Decision::Hold(self.reason(rule, observation, &load, findings, None));
        }
        let reason = self.reason(rule, observation, &load, findings, Some(&searched.found));
        self.acted = Some(Acted { before, rebalanced: judgement.rebalance });
        self.memory.iter_mut().for_each(|memory| (memory.under, memory.hot) = (0, 0));
        self.missed = 0;
        Decision::Rescale(self.plan(rescales, rebalances, &sights), reason)
    }

    fn refused(&mut self, _why: &str) {
        self.acted = None;
    }
}
