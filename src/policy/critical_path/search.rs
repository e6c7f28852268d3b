//! The smallest configuration that does what is asked, as far as bounds and a budget allow.
//!
//! One operator that cannot do more bounds all: what the others would need beyond that would stand idle. So the part of the offered load
//! that the job can do at most comes first, then the instances for that part. Where a latency goal is not met by them, the
//! instance is added that shortens the predicted critical path most, again and again.

use std::cmp::Reverse;
use std::rc::Rc;

use super::goal::Goal;
use super::job_model::{FLAT, JobModel, LongestPath};
use crate::dataflow::Operator;
use crate::model::{LatencyModel, Predictor, Station, WorkedOut};

/// A latency is aimed at below its goal by so much: what is predicted is not exact.
const GOAL_MARGIN: f64 = 0.85;
/// An instance that shortens the longest way by less than this part does not matter.
const LEAST_GAIN: f64 = 1e-3;
/// Where more instances bring little, so many times as many are the most that is tried at once.
const FAR: f64 = 1.5;
/// A source that catches up emits so many times what is offered, about.
const CATCH_UP: f64 = 1.1;
/// Sources may be paused for any instance of an operator in this part of the time...
const MOST_PAUSED: f64 = 0.01;
/// ... and in this part where no latency is asked for: they catch up with that easily.
const MOST_PAUSED_AT_LEISURE: f64 = 0.04;
/// Halvings by which the part of the load is found that a budget allows.
const HALVINGS: u32 = 30;
/// Operators that are trimmed one after the other, at most.
const MOST_TRIMMED: usize = 16;

/// What a search with measured paths is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objective {
    /// Instances that keep up. Whether the goal is met is not looked at, which takes most of the time.
    KeepUp,
    /// Instances that meet the goal as well.
    Goal,
}

/// What a search goes by; slices are by operator.
pub(super) struct Search<'a> {
    pub(super) job: JobModel<'a>,
    /// Without paths.
    pub(super) latency: &'a LatencyModel,
    /// With them: what latency is asked for, if any.
    pub(super) goal: Option<&'a Goal<'a>>,
    /// Whether it is looked for.
    pub(super) objective: Objective,
    /// By operator, the queue length at which an instance was ever seen to backpressure the sources, where that must not recur.
    pub(super) marks: &'a [Option<f64>],
    /// With them, and where sources are paused: what predicts it, and by operator how many records at an instance pause them.
    pub(super) pressed: Option<(&'a Predictor<'a>, &'a [Option<f64>])>,
}

/// The configuration that a search proposes; vectors are by operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    /// Instances.
    pub(super) instances: Vec<u32>,
    /// The part of the offered load that they do, at most 1.
    pub(super) part: f64,
    /// Predicted latency, where it can be predicted.
    pub(super) p99_s: Option<f64>,
    /// Mean seconds that the slowest records would wait, by operator, where it can be predicted.
    pub(super) waits_s: Option<Vec<f64>>,
    /// Whether no number of instances would meet the goal.
    pub(super) out_of_reach: bool,
}

/// What a search says of the present and of what would be best; vectors are by operator.
pub(super) struct SearchResult {
    /// The smallest configuration for what is offered now.
    pub(super) proposal: Proposal,
    /// The same with a margin: what is certainly enough.
    pub(super) enough: Vec<u32>,
    /// What bounds the job, if anything does.
    pub(super) bound: Option<&'static str>,
    /// The present instances.
    pub(super) present: Vec<u32>,
    /// Records per second that the present instances process, as far as their workers let them.
    pub(super) capacities: Vec<Option<f64>>,
    /// The same with a processor for each.
    pub(super) own: Vec<Option<f64>>,
    /// Parts of their demand that they can do at most.
    pub(super) parts: Vec<Option<f64>>,
    /// Most instances.
    pub(super) most: Vec<u32>,
    /// Predicted latency of the present configuration, in seconds.
    pub(super) p99_s: Option<f64>,
    /// Whether the present configuration is predicted to miss the goal, if that was asked for.
    pub(super) misses: bool,
    /// The longest path through it.
    pub(super) longest: LongestPath,
    /// How the present instances work.
    pub(super) stations: Vec<Option<Station>>,
    /// Whether there were paths to go by.
    pub(super) has_paths: bool,
    /// Whether `proposal` meets the goal by them.
    pub(super) objective: Objective,
    /// What was worked out for its predictions.
    pub(super) worked_out: Rc<WorkedOut>,
}

impl SearchResult {
    /// The demand of an operator over what its present instances could do with a processor for each;
    /// 0 where either is not known.
    pub(super) fn own_ratio(&self, demands: &[Option<f64>], operator: usize) -> f64 {
        demands[operator].zip(self.own[operator]).map_or(0.0, |(demand, capacity)| demand / capacity)
    }

    /// The demand of an operator over what its present instances can do; 0 where either is not known.
    pub(super) fn ratio(&self, demands: &[Option<f64>], operator: usize) -> f64 {
        demands[operator].zip(self.capacities[operator]).map_or(0.0, |(demand, capacity)| demand / capacity)
    }
}

impl Search<'_> {
    /// Instances for the part `part` of the load, with `margin` standard errors to spare.
    fn wanted(&self, part: f64, margin: f64) -> Vec<u32> {
        let mut wanted = self.job.present();
        for operator in self.job.topology.scalable() {
            let index = operator.id.0 as usize;
            let (curve, now) = (&self.job.curves[index], self.job.views[index].instances);
            let Some(demand) = self.job.demands[index].filter(|_| !self.job.is_fixed(index)) else { continue };
            // Where more instances bring little, a far jump is a bet on a curve that was not seen.
            let flat = curve.exponent() < FLAT;
            let most = if flat { self.job.most[index].min((f64::from(now) * FAR).ceil() as u32) } else { self.job.most[index] };
            let spare = part * (curve.error() * margin).exp();
            // A part of the load leaves nothing to catch up with.
            let catching_up = if part < 1.0 || flat { 0.0 } else { self.job.catching_up[index].unwrap_or(demand) };
            let (Some(steady), Some(fast)) = (
                curve.instances_for(demand * spare, self.job.config.utilisation, most),
                curve.instances_for(catching_up * spare, 1.0, most),
            ) else {
                continue;
            };
            let mut instances = steady.max(fast);
            let suffices = |total: f64| {
                let total = total * (1.0 + 1e-6);
                total * self.job.config.utilisation >= demand * spare && total >= catching_up * spare
            };
            while instances < most && !self.job.capacity(index, instances).is_some_and(suffices) {
                instances += 1;
            }
            if let Some((predictor, marks)) = self.pressed.filter(|_| part >= 1.0 && !self.job.views[index].waits)
                && let Some(mark) = marks[index]
            {
                instances = self.without_pauses(predictor, operator, instances, part, mark);
            }
            wanted[index] = instances;
        }
        wanted
    }

    /// The fewest instances, from `instances` on, with which sources are hardly ever paused for the operator although more than `mark`
    /// records at one of them pause them.
    fn without_pauses(&self, predictor: &Predictor<'_>, operator: &Operator, instances: u32, part: f64, mark: f64) -> u32 {
        let most = self.job.most[operator.id.0 as usize];
        let longest = if self.job.config.goal_ms > 0.0 { MOST_PAUSED } else { MOST_PAUSED_AT_LEISURE };
        let is_enough = |&instances: &u32| {
            let Some(station) = self.job.station(operator, instances, part) else { return true };
            let station = Station { demand_per_s: station.demand_per_s * CATCH_UP, ..station };
            predictor.part_longer(operator.id, &station, mark) * f64::from(instances) <= longest
        };
        (instances..most).find(is_enough).unwrap_or(most)
    }

    /// The smallest configuration with `margin` standard errors to spare.
    fn find(&self, margin: f64) -> Proposal {
        let bound = self.job.bound();
        let (mut part, mut instances) = (bound, self.wanted(bound, margin));
        let budget = if self.job.config.budget == 0 { u64::MAX } else { u64::from(self.job.config.budget) };
        if self.job.sum(&instances) > budget {
            let (mut within, mut beyond) = (0.0, part);
            for _ in 0..HALVINGS {
                let middle = (within + beyond) / 2.0;
                if self.job.sum(&self.wanted(middle, margin)) <= budget { within = middle } else { beyond = middle }
            }
            (part, instances) = (within, self.wanted(within, margin));
        }
        if self.goal.is_some() && self.objective == Objective::KeepUp {
            return Proposal { instances, part, p99_s: None, waits_s: None, out_of_reach: false };
        }
        if let Some(goal) = self.goal {
            let reached = goal.reach(&self.job, instances, part, budget);
            let p99_s = reached.prediction.as_ref().map(|prediction| prediction.quantile_s(0.99));
            let waits_s = reached.prediction.map(|prediction| prediction.waits_s);
            return Proposal { instances: reached.instances, part, p99_s, waits_s, out_of_reach: reached.out_of_reach };
        }
        let mut p99_s = self.p99_s(&instances, part);
        let goal_s = self.job.config.goal_ms / 1e3;
        while goal_s > 0.0 && self.job.sum(&instances) < budget && p99_s.is_some_and(|p99| p99 > goal_s * GOAL_MARGIN) {
            let Some(slowest) = self.shortens_most(&instances, part) else { break };
            instances[slowest] += 1;
            p99_s = self.p99_s(&instances, part);
        }
        Proposal { instances, part, p99_s, waits_s: None, out_of_reach: false }
    }

    /// The instances that are certainly enough for the demands. Where removing all others would make latency longer than the goal allows,
    /// operators are trimmed one after the other as far as it allows, or not at all where the goal is missed already.
    pub(super) fn enough(&self) -> Vec<u32> {
        let certain = self.goal.map(Goal::certain);
        let marks: Option<(&Predictor<'_>, &[Option<f64>])> = self.pressed.map(|(predictor, _)| (predictor, self.marks));
        let search = Search { goal: certain.as_ref(), objective: Objective::Goal, pressed: marks, ..*self };
        let Proposal { instances, part, .. } = search.find(self.job.config.confidence);
        let Some(goal) = self.goal else { return instances };
        let present = self.job.present();
        let trimmed: Vec<u32> = instances.iter().zip(&present).map(|(enough, present)| *enough.min(present)).collect();
        if goal.allows(&self.job, &present, &trimmed, part) {
            return instances;
        }
        if !goal.without_margin().is_met(goal.predict(&self.job, &present, part).as_ref()) {
            return present;
        }
        let mut largest: Vec<usize> = (0..present.len()).filter(|&operator| trimmed[operator] < present[operator]).collect();
        largest.sort_by_key(|&operator| Reverse(present[operator] - trimmed[operator]));
        let mut kept = present.clone();
        for operator in largest.into_iter().take(MOST_TRIMMED) {
            for enough in [trimmed[operator], trimmed[operator].midpoint(present[operator])] {
                kept[operator] = enough;
                if goal.allows(&self.job, &present, &kept, part) {
                    break;
                }
                kept[operator] = present[operator];
            }
        }
        kept
    }

    /// Searches, with predictions from `worked_out`.
    pub(super) fn run(&self, worked_out: Rc<WorkedOut>) -> SearchResult {
        let operators = 0..self.job.views.len();
        let proposal = self.find(0.0);
        let present = self.job.present();
        let longest = self.job.longest(&present, proposal.part);
        let goal = self.goal.filter(|_| self.objective == Objective::Goal);
        SearchResult {
            enough: self.wanted(self.job.bound(), self.job.config.confidence),
            bound: self.job.bounded_by().or((proposal.part < 1.0).then_some("budget")),
            capacities: operators.clone().map(|index| self.job.capacity(index, present[index])).collect(),
            own: operators.clone().map(|index| self.job.capacity(index, present[index])).collect(),
            parts: operators.map(|index| self.job.part_of(index)).collect(),
            misses: goal.is_none_or(|goal| goal.predict(&self.job, &present, proposal.part).is_none_or(|now| goal.is_missed(&now))),
            p99_s: self.latency.p99_s(longest.service_s, longest.queueing_s),
            most: self.job.most.to_vec(),
            stations: self.goal.map(|_| self.job.stations(&present, proposal.part)).unwrap_or_default(),
            has_paths: self.goal.is_some(),
            objective: self.objective,
            worked_out,
            longest,
            proposal,
            present,
        }
    }

    /// Predicted latency, by the queueing formula.
    fn p99_s(&self, instances: &[u32], part: f64) -> Option<f64> {
        let longest = self.job.longest(instances, part);
        self.latency.p99_s(longest.service_s, longest.queueing_s)
    }

    /// The operator of the longest path which one more instance shortens most; nothing where none matters.
    fn shortens_most(&self, instances: &[u32], part: f64) -> Option<usize> {
        let LongestPath { service_s, queueing_s, on_it } = self.job.longest(instances, part);
        let length = service_s + queueing_s;
        let gain = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let may = on_it[index] && !self.job.is_fixed(index) && instances[index] < self.job.most[index];
            let queueing = |p| self.job.hop(index, p, part).queueing_s();
            may.then(|| (queueing(instances[index]) - queueing(instances[index] + 1), index))
        };
        let best = self.job.topology.scalable().filter_map(gain).reduce(|a, b| if b.0 > a.0 { b } else { a });
        best.filter(|(gain, _)| *gain > length * LEAST_GAIN).map(|(_, index)| index)
    }
}
