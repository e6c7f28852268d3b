//! Diagnosis of each operator, and what follows from it.
//!
//! A cause needs measurements that show it: demand against capacity, load against speed between
//! instances, external waits. What is obvious is believed at once, everything else after two
//! consecutive windows.

use std::collections::BTreeMap;

use super::limits::{Did, Limit, Vain};
use super::probe::Waits;
use super::search::{FLAT, Searched};
use super::sight::Sight;
use super::{AGREEING, CriticalPath, Load, MISSED_KEPT, OFTEN_MISSED, Paths};
use crate::dataflow::Operator;
use crate::id::OperatorId;
use crate::policy::{Cause, Finding};

/// Rounding error.
const TOLERANCE: f64 = 0.005;
/// Ratio of demand to capacity from which one window is evidence enough.
const OBVIOUS: f64 = 1.2;
/// Utilisation from which an operator is under-provisioned if the job falls behind.
const BUSY: f64 = 0.97;
/// Ratio of the demand while catching up to the capacity, up to which lag is drained in about the time allowed.
pub(super) const SLOWLY: f64 = 1.05;
/// Imbalance from which a straggler is reported even if it holds nothing up.
const UNEVEN: f64 = 1.1;
/// Overload of an instance from which one window is evidence enough.
const GROSS: f64 = 1.5;
/// A rebalance that leaves more than this share of the imbalance did not help.
pub(super) const IN_VAIN: f64 = 0.9;

/// Memory of one operator across windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Consecutive windows in which it was under-provisioned.
    pub(super) under: u32,
    /// Consecutive windows in which an imbalance mattered.
    pub(super) hot: u32,
    /// The imbalance that a rebalance did not reduce, with the number of instances.
    pub(super) in_vain: Option<(f64, u32, Vain)>,
    /// Whether that is in back-off.
    pub(super) rests: bool,
    /// The parallelism beyond which more instances did not help.
    pub(super) limit: Option<Limit>,
    /// Its rate before a scale-up that did not help, perhaps for other reasons.
    pub(super) doubt: Option<Did>,
    /// Demand at its last scale-up, in records per second.
    pub(super) raised_for: Option<f64>,
    /// Whether it was ever scaled up because of backpressure although its instances had the capacity for the demand.
    pub(super) raised_for_pauses: bool,
    /// What is known about its external waits.
    pub(super) waits: Waits,
}

impl Memory {
    /// Whether a rebalance did not help, and the imbalance is as it was then.
    pub(super) fn is_in_vain(&self, sight: &Sight) -> bool {
        let as_then = |(before, instances, _): (f64, u32, Vain)| {
            instances == sight.instances && (sight.imbalance / before - 1.0).abs() < 1.0 - IN_VAIN
        };
        self.rests && self.in_vain.is_some_and(as_then)
    }
}

/// Result of [`CriticalPath::judge`].
#[derive(Default)]
pub(super) struct Judgement {
    /// Findings with their weight.
    pub(super) findings: Vec<(f64, Finding)>,
    /// Whether an operator certainly needs more instances.
    pub(super) under: bool,
    /// Whether the goal is certainly missed.
    pub(super) slow: bool,
    /// Whether an imbalance makes other operators wait.
    pub(super) uneven: bool,
    /// Operators to rebalance, with their imbalance.
    pub(super) rebalance: BTreeMap<OperatorId, f64>,
}

impl CriticalPath {
    /// Diagnoses each operator: which to rebalance, and whether any needs more instances.
    pub(super) fn judge(&mut self, load: &Load, sights: &[Sight], search: &Searched) -> Judgement {
        let mut judgement = Judgement::default();
        let z = self.config.confidence;
        judgement.uneven = self.topology.scalable().any(|operator| {
            let index = operator.id.0 as usize;
            self.divisions[index].is_uneven(operator, &sights[index], search.own_ratio(&load.demands, index))
        });
        for operator in self.topology.scalable() {
            let index = operator.id.0 as usize;
            let (sight, memory, division) = (&sights[index], &mut self.memory[index], &mut self.divisions[index]);
            let (Some(demand), Some(capacity)) = (load.demands[index], search.capacities[index]) else {
                if sight.busy == 0.0 && !load.on_time {
                    judgement.findings.push((0.0, Finding::new(&operator.name, Cause::Starved).with("busy", sight.busy)));
                }
                continue;
            };
            let error = (-z * self.curves[index].error()).exp();
            let asked = demand * search.found.part;
            let ratio = asked / capacity;
            // A crowded worker is no matter of how load is divided among instances.
            let own_ratio = search.own_ratio(&load.demands, index) * search.found.part;
            let uneven = division.is_uneven(operator, sight, own_ratio);
            // An overloaded instance makes all others look idle, and no number of instances drains its lag.
            let bounded = search.found.part < 1.0 || judgement.uneven || self.curves[index].exponent() < FLAT;
            let catching_up = if bounded { 0.0 } else { load.catching_up[index].unwrap_or(demand) / capacity };
            let behind = load.falls_behind && search.found.part >= 1.0 && ratio > BUSY && (sight.pressed || sight.busy > BUSY);
            let held_up = self.held_up[index] >= AGREEING && !load.on_time && !sight.waits;
            let by_slow = division.is_held_up(operator, sight, own_ratio * error);
            let rises = !bounded && load.rises && load.soon[index].unwrap_or(demand) / capacity * error > 1.0 + TOLERANCE;
            let late = !load.on_time && catching_up * error > SLOWLY;
            let under = ratio * error > 1.0 + TOLERANCE || behind || held_up || by_slow || rises || late;
            memory.under = if under { memory.under + 1 } else { 0 };
            let obvious = ratio * error > OBVIOUS;
            let about = |cause| Finding::new(&operator.name, cause).with("demand per s", demand).with("capacity per s", capacity);
            let weight = demand / capacity;
            if sight.waits {
                if sight.busy > BUSY || weight > 1.0 {
                    let finding = about(Cause::ExternalWait).with("waiting share", sight.waiting_share);
                    judgement.findings.push((weight + 1.0, finding));
                }
                if sight.probe.is_none() {
                    continue;
                }
            }
            if sight.has_slow() && (sight.imbalance * own_ratio > 1.0 || sight.imbalance > UNEVEN) {
                let relative = sight.speeds.as_ref().map_or(1.0, |speeds| speeds.relative.iter().copied().fold(1.0, f64::min));
                let finding = about(Cause::Straggling).with("instance", f64::from(sight.worst)).with("speed", relative);
                judgement.findings.push((weight * sight.imbalance, finding));
            }
            if sight.waits {
                // The probing step has its finding already.
            } else if search.parts[index].is_some_and(|part| part < 1.0) && !memory.is_in_vain(sight) {
                let most = f64::from(search.most[index]);
                judgement.findings.push((weight + 1.0, about(Cause::AtLimit).with("most instances", most)));
            } else if ratio > 1.0 && own_ratio <= 1.0 {
                // Its worker is what has too much to do, and has a finding of its own.
            } else if under && (ratio > 1.0 || held_up) {
                judgement.findings.push((weight, about(Cause::UnderProvisioned).with("busy", sight.busy)));
            } else if ratio < 1.0 && !load.on_time && sight.busy < ratio * 0.8 && !uneven && !sight.has_slow() {
                judgement.findings.push((0.0, about(Cause::Starved).with("busy", sight.busy)));
            }
            if obvious || rises || memory.under >= AGREEING {
                judgement.under = true;
            }
            memory.hot = if uneven { memory.hot + 1 } else { 0 };
            if uneven || memory.is_in_vain(sight) {
                let share = sight.hottest_bin * demand * f64::from(sight.instances) / capacity;
                if !sight.has_slow() {
                    let finding = about(Cause::Skewed)
                        .with("instance", f64::from(sight.worst))
                        .with("load over even", sight.imbalance)
                        .with("hottest bin over an instance", share);
                    judgement.findings.push((weight * sight.imbalance, finding));
                }
                // A straggler was seen in several windows already.
                let certain = memory.hot >= AGREEING || own_ratio * sight.imbalance > GROSS || division.is_news(sight);
                if certain && !memory.is_in_vain(sight) {
                    judgement.rebalance.insert(operator.id, sight.imbalance);
                }
            }
            if let Some(imbalance) = division.is_over(operator, sight, own_ratio) {
                judgement.findings.push((weight, about(Cause::Recovered)));
                judgement.rebalance.insert(operator.id, imbalance);
            }
        }
        // With paths, the measured latency counts: predictions decide how many instances help, not whether the job is slow.
        let has_paths = self.config.paths == Paths::On && search.has_paths;
        let now = self.beyond_goal(load, if has_paths { load.p99_s } else { search.p99_s });
        let now = now.filter(|_| load.on_time || search.has_paths);
        // A miss by the formula persists; measured in short windows, misses come and go.
        self.missed = match (now, search.has_paths) {
            (_, true) => self.missed_by_paths(now),
            (Some(_), false) => self.missed + 1.0,
            (None, false) => 0.0,
        };
        if now.is_some() {
            self.worth.missed();
        }
        if let Some(now) = now {
            let charged = load.slowest.map(|slowest| self.topology.operator(slowest)).filter(|operator| operator.is_scalable());
            let slowest = self.topology.scalable().filter(|operator| search.longest.on_it[operator.id.0 as usize]);
            let ratio = |operator: &&Operator| search.ratio(&load.demands, operator.id.0 as usize);
            if let Some(slowest) = charged.or(slowest.reduce(|a, b| if ratio(&b) > ratio(&a) { b } else { a })) {
                let finding = Finding::new(&slowest.name, Cause::Slow).with("p99 ms", now * 1e3).with("goal ms", self.config.goal_ms);
                judgement.findings.push((1.0, finding));
            }
            judgement.slow = self.missed >= OFTEN_MISSED && search.misses && !search.found.out_of_reach;
        }
        judgement
    }
    /// The latency `p99_s` if it is beyond the goal, and no matter of a change that is not over.
    pub(super) fn beyond_goal(&self, load: &Load, p99_s: Option<f64>) -> Option<f64> {
        let goal_s = self.config.goal_ms / 1e3;
        p99_s.filter(|p99_s| goal_s > 0.0 && load.settled && *p99_s > goal_s)
    }

    /// Windows in which the goal was missed, those of before fading, with one more that missed it if `now`.
    pub(super) fn missed_by_paths(&self, now: Option<f64>) -> f64 {
        self.missed * MISSED_KEPT + if now.is_some() { 1.0 } else { 0.0 }
    }
}
