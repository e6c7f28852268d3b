//! Step: diagnosis of each operator, and what follows from it.
//!
//! A cause needs measurements that show it: demand against capacity, load against speed between
//! instances, external waits. What is obvious is believed at once, everything else after two
//! consecutive windows.

use std::collections::BTreeMap;

use super::super::config::Paths;
use super::super::job_model::FLAT;
use super::super::operator_view::OperatorView;
use super::super::search::SearchResult;
use super::super::state::{AGREEING, CriticalPath};
use super::load::Load;
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

/// Result of [`CriticalPath::diagnose`].
#[derive(Default)]
pub(super) struct Diagnosis {
    /// Findings, with what they are ranked by.
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
    pub(super) fn diagnose(&mut self, load: &Load, views: &[OperatorView], result: &SearchResult) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let z = self.config.confidence;
        diagnosis.uneven = self.topology.scalable().any(|operator| {
            let index = operator.id.0 as usize;
            self.weights[index].is_uneven(operator, &views[index], result.own_ratio(&load.demands, index))
        });
        for operator in self.topology.scalable() {
            let index = operator.id.0 as usize;
            let (view, memory, weights) = (&views[index], &mut self.memory[index], &mut self.weights[index]);
            let (Some(demand), Some(capacity)) = (load.demands[index], result.capacities[index]) else {
                if view.busy == 0.0 && !load.on_time {
                    diagnosis.findings.push((0.0, Finding::new(&operator.name, Cause::Starved).with("busy", view.busy)));
                }
                continue;
            };
            let error = (-z * self.curves[index].error()).exp();
            let asked = demand * result.proposal.part;
            let ratio = asked / capacity;
            // A crowded worker is no matter of how load is divided among instances.
            let own_ratio = result.own_ratio(&load.demands, index) * result.proposal.part;
            let uneven = weights.is_uneven(operator, view, own_ratio);
            // An overloaded instance makes all others look idle, and no number of instances drains its lag.
            let bounded = result.proposal.part < 1.0 || diagnosis.uneven || self.curves[index].exponent() < FLAT;
            let catching_up = if bounded { 0.0 } else { load.catching_up[index].unwrap_or(demand) / capacity };
            let behind = load.falls_behind && result.proposal.part >= 1.0 && ratio > BUSY && (view.pressed || view.busy > BUSY);
            let held_up = self.held_up[index] >= AGREEING && !load.on_time && !view.waits;
            let by_slow = weights.is_held_up(operator, view, own_ratio * error);
            let rises = !bounded && load.rises && load.soon[index].unwrap_or(demand) / capacity * error > 1.0 + TOLERANCE;
            let late = !load.on_time && catching_up * error > SLOWLY;
            let under = ratio * error > 1.0 + TOLERANCE || behind || held_up || by_slow || rises || late;
            memory.under = if under { memory.under + 1 } else { 0 };
            let obvious = ratio * error > OBVIOUS;
            let about = |cause| Finding::new(&operator.name, cause).with("demand per s", demand).with("capacity per s", capacity);
            let rank = demand / capacity;
            if view.waits {
                if view.busy > BUSY || rank > 1.0 {
                    let finding = about(Cause::ExternalWait).with("waiting share", view.waiting_share);
                    diagnosis.findings.push((rank + 1.0, finding));
                }
                if view.probe.is_none() {
                    continue;
                }
            }
            if view.has_slow() && (view.imbalance * own_ratio > 1.0 || view.imbalance > UNEVEN) {
                let relative = view.speeds.as_ref().map_or(1.0, |speeds| speeds.relative.iter().copied().fold(1.0, f64::min));
                let finding = about(Cause::Straggling).with("instance", f64::from(view.worst)).with("speed", relative);
                diagnosis.findings.push((rank * view.imbalance, finding));
            }
            if view.waits {
                // The probing step has its finding already.
            } else if result.parts[index].is_some_and(|part| part < 1.0) && !memory.is_rebalance_useless(view) {
                let most = f64::from(result.most[index]);
                diagnosis.findings.push((rank + 1.0, about(Cause::AtLimit).with("most instances", most)));
            } else if ratio > 1.0 && own_ratio <= 1.0 {
                // Its worker is what has too much to do, and has a finding of its own.
            } else if under && (ratio > 1.0 || held_up) {
                diagnosis.findings.push((rank, about(Cause::UnderProvisioned).with("busy", view.busy)));
            } else if ratio < 1.0 && !load.on_time && view.busy < ratio * 0.8 && !uneven && !view.has_slow() {
                diagnosis.findings.push((0.0, about(Cause::Starved).with("busy", view.busy)));
            }
            if obvious || rises || memory.under >= AGREEING {
                diagnosis.under = true;
            }
            memory.hot = if uneven { memory.hot + 1 } else { 0 };
            if uneven || memory.is_rebalance_useless(view) {
                let share = view.hottest_bin * demand * f64::from(view.instances) / capacity;
                if !view.has_slow() {
                    let finding = about(Cause::Skewed)
                        .with("instance", f64::from(view.worst))
                        .with("load over even", view.imbalance)
                        .with("hottest bin over an instance", share);
                    diagnosis.findings.push((rank * view.imbalance, finding));
                }
                // A straggler was seen in several windows already.
                let certain = memory.hot >= AGREEING || own_ratio * view.imbalance > GROSS || weights.is_news(view);
                if certain && !memory.is_rebalance_useless(view) {
                    diagnosis.rebalance.insert(operator.id, view.imbalance);
                }
            }
            if let Some(imbalance) = weights.is_over(operator, view, own_ratio) {
                diagnosis.findings.push((rank, about(Cause::Recovered)));
                diagnosis.rebalance.insert(operator.id, imbalance);
            }
        }
        self.diagnose_latency(load, result, &mut diagnosis);
        diagnosis
    }

    /// Counts windows that miss the goal, and finds the operator that is most to blame.
    fn diagnose_latency(&mut self, load: &Load, result: &SearchResult, diagnosis: &mut Diagnosis) {
        // With paths, the measured latency counts: predictions decide how many instances help, not whether the job is slow.
        let has_paths = self.config.paths == Paths::On && result.has_paths;
        let now = load.beyond_goal(self.config.goal_ms, if has_paths { load.p99_s } else { result.p99_s });
        let now = now.filter(|_| load.on_time || result.has_paths);
        self.goal_misses = if result.has_paths { self.goal_misses.after(now) } else { self.goal_misses.in_succession(now) };
        if now.is_some() {
            self.cost_benefit.missed();
        }
        if let Some(now) = now {
            let charged = load.slowest.map(|slowest| self.topology.operator(slowest)).filter(|operator| operator.is_scalable());
            let slowest = self.topology.scalable().filter(|operator| result.longest.on_it[operator.id.0 as usize]);
            let ratio = |operator: &&Operator| result.ratio(&load.demands, operator.id.0 as usize);
            if let Some(slowest) = charged.or(slowest.reduce(|a, b| if ratio(&b) > ratio(&a) { b } else { a })) {
                let finding = Finding::new(&slowest.name, Cause::Slow).with("p99 ms", now * 1e3).with("goal ms", self.config.goal_ms);
                diagnosis.findings.push((1.0, finding));
            }
            diagnosis.slow = self.goal_misses.are_often() && result.misses && !result.proposal.out_of_reach;
        }
    }
}
