//! The smallest configuration that does what is asked, as far as bounds and a budget allow.
//!
//! One operator that cannot do more bounds all: what the others would need beyond that would stand idle. So the part of the offered load
//! that the job can do at most comes first, then the instances for that part. Where a latency goal is not met by them, the
//! instance is added that shortens the predicted critical path most, again and again.

use std::cmp::Reverse;
use std::rc::Rc;

use super::CriticalPathConfig;
use super::goal::{Goal, unpressed};
use super::sight::Sight;
use super::slow::granularity_by_speed;
use crate::dataflow::{Operator, Topology};
use crate::model::{CapacityModel, Hop, LatencyModel, Predictor, Station, WorkedOut, longest};

/// A latency is aimed at below its goal by so much: what is predicted is not exact.
const GOAL_MARGIN: f64 = 0.85;
/// An instance that shortens the longest way by less than this part does not matter.
const LEAST_GAIN: f64 = 1e-3;
/// With a lower exponent than this, more instances bring little...
pub(super) const FLAT: f64 = 0.5;
/// ... and so many times as many are the most that is tried at once.
const FAR: f64 = 1.5;
/// Halvings by which the part of the load is found that a budget allows.
const HALVINGS: u32 = 30;
/// Operators that are trimmed one after the other, at most.
const MOST_TRIMMED: usize = 16;

/// What a search with measured paths is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Instances that keep up. Whether the goal is met is not looked at, which takes most of the time.
    KeepUp,
    /// Instances that meet the goal as well.
    Goal,
}

/// What a search goes by; everything is by operator.
pub(super) struct Search<'a> {
    pub(super) topology: &'a Topology,
    pub(super) config: &'a CriticalPathConfig,
    pub(super) curves: &'a [CapacityModel],
    pub(super) sights: &'a [Sight],
    /// Most instances.
    pub(super) most: &'a [u32],
    /// Whether no division of its load helps: a single key bounds it, or the host does not divide by speed.
    pub(super) in_vain: &'a [bool],
    /// Records per second that each must process.
    pub(super) demands: &'a [Option<f64>],
    /// The same while a lag is worked off.
    pub(super) catching_up: &'a [Option<f64>],
    /// Without paths.
    pub(super) latency: &'a LatencyModel,
    /// With them: what latency is asked for, if any.
    pub(super) goal: Option<&'a Goal<'a>>,
    /// Whether it is looked for.
    pub(super) asked: Asked,
    /// By operator, the queue length at which an instance was ever seen to backpressure the sources, where that must not recur.
    pub(super) marks: &'a [Option<f64>],
    /// With them, and where sources are paused: what predicts it, and by operator how many records at an instance pause them.
    pub(super) pressed: Option<(&'a Predictor<'a>, &'a [Option<f64>])>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
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
pub(super) struct Searched {
    /// The smallest configuration for what is offered now.
    pub(super) found: Found,
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
    /// The longest way through it.
    pub(super) longest: Longest,
    /// How the present instances work.
    pub(super) stations: Vec<Option<Station>>,
    /// Whether there were paths to go by.
    pub(super) has_paths: bool,
    /// Whether `found` meets the goal by them.
    pub(super) asked: Asked,
    /// What was worked out for its predictions.
    pub(super) worked_out: Rc<WorkedOut>,
}

impl Searched {
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

/// The longest way through a configuration.
pub(super) struct Longest {
    /// Seconds of work on it.
    pub(super) service_s: f64,
    /// Seconds in queues on it, by the formula.
    pub(super) queueing_s: f64,
    /// Which operators are on it.
    pub(super) on_it: Vec<bool>,
}

impl Search<'_> {
    /// Records per second that `instances` of the operator process together, slow ones among them.
    pub(super) fn capacity(&self, operator: usize, instances: u32) -> Option<f64> {
        let (sight, total) = (&self.sights[operator], self.curves[operator].total(instances)?);
        let p = f64::from(instances);
        let even = total * (1.0 - sight.missing() / p).max(0.01) / granularity_by_speed(sight.bins, sight.speeds.as_ref(), instances);
        // Where load cannot be divided by speed, all go as fast as the slowest; with more instances its part is less.
        Some(if self.in_vain[operator] && sight.has_slow() { even / sight.imbalance } else { even })
    }

    /// Whether its number of instances is not ours to change: what bounds it lies elsewhere.
    pub(super) fn is_fixed(&self, operator: usize) -> bool {
        let sight = &self.sights[operator];
        sight.waits && sight.probe.is_none()
    }

    /// The part of its demand that the operator can do at most; nothing where it is not known.
    pub(super) fn part_of(&self, operator: usize) -> Option<f64> {
        let demand = self.demands[operator].filter(|demand| *demand > 0.0)?;
        let sight = &self.sights[operator];
        if self.in_vain[operator] && !sight.has_slow() {
            return Some(self.capacity(operator, sight.instances)? / sight.imbalance / demand);
        }
        let most = if self.is_fixed(operator) { sight.instances } else { self.most[operator] };
        Some(self.capacity(operator, most)? / demand)
    }

    fn scalable(&self) -> impl Iterator<Item = &Operator> {
        self.topology.scalable()
    }

    /// The operator that can do the smallest part of its demand, with that part; the first of several.
    fn tightest(&self) -> Option<(f64, usize)> {
        let parts = self.scalable().filter_map(|operator| Some((self.part_of(operator.id.0 as usize)?, operator.id.0 as usize)));
        parts.reduce(|a, b| if b.0 < a.0 { b } else { a })
    }

    /// The part of the offered load that the job can do at most.
    fn bound(&self) -> f64 {
        self.tightest().map_or(1.0, |(part, _)| part.min(1.0))
    }

    /// What bounds the job to a part of the offered load, if an operator does.
    fn bounded_by(&self) -> Option<&'static str> {
        let (_, index) = self.tightest().filter(|(part, _)| *part < 1.0)?;
        let sight = &self.sights[index];
        Some(match () {
            () if self.in_vain[index] && !sight.has_slow() => "hot-key",
            () if sight.waits => "external-wait",
            () if sight.has_slow() => "straggling",
            () => "bounded",
        })
    }

    /// Instances for the part `part` of the load, with `margin` standard errors to spare.
    fn wanted(&self, part: f64, margin: f64) -> Vec<u32> {
        let mut wanted: Vec<u32> = self.sights.iter().map(|sight| sight.instances).collect();
        for operator in self.scalable() {
            let index = operator.id.0 as usize;
            let (curve, now) = (&self.curves[index], self.sights[index].instances);
            let Some(demand) = self.demands[index].filter(|_| !self.is_fixed(index)) else { continue };
            // Where more instances bring little, a far jump is a bet on a curve that was not seen.
            let flat = curve.exponent() < FLAT;
            let most = if flat { self.most[index].min((f64::from(now) * FAR).ceil() as u32) } else { self.most[index] };
            let spare = part * (curve.error() * margin).exp();
            // A part of the load leaves nothing to catch up with.
            let catching_up = if part < 1.0 || flat { 0.0 } else { self.catching_up[index].unwrap_or(demand) };
            let (Some(steady), Some(fast)) =
                (curve.instances_for(demand * spare, self.config.utilisation, most), curve.instances_for(catching_up * spare, 1.0, most))
            else {
                continue;
            };
            let mut instances = steady.max(fast);
            let suffices = |total: f64| {
                let total = total * (1.0 + 1e-6);
                total * self.config.utilisation >= demand * spare && total >= catching_up * spare
            };
            while instances < most && !self.capacity(index, instances).is_some_and(suffices) {
                instances += 1;
            }
            if let Some((predictor, marks)) = self.pressed.filter(|_| part >= 1.0 && !self.sights[index].waits)
                && let Some(mark) = marks[index]
            {
                instances = unpressed(self, predictor, operator, instances, part, mark);
            }
            wanted[index] = instances;
        }
        wanted
    }

    /// The smallest configuration with `margin` standard errors to spare.
    pub(super) fn find(&self, margin: f64) -> Found {
        let bound = self.bound();
        let (mut part, mut instances) = (bound, self.wanted(bound, margin));
        let sum = |instances: &[u32]| self.scalable().map(|operator| u64::from(instances[operator.id.0 as usize])).sum::<u64>();
        let budget = if self.config.budget == 0 { u64::MAX } else { u64::from(self.config.budget) };
        if sum(&instances) > budget {
            let (mut within, mut beyond) = (0.0, part);
            for _ in 0..HALVINGS {
                let middle = (within + beyond) / 2.0;
                if sum(&self.wanted(middle, margin)) <= budget { within = middle } else { beyond = middle }
            }
            (part, instances) = (within, self.wanted(within, margin));
        }
        if self.goal.is_some() && self.asked == Asked::KeepUp {
            return Found { instances, part, p99_s: None, waits_s: None, out_of_reach: false };
        }
        if let Some(goal) = self.goal {
            let reached = goal.reach(self, instances, part, budget);
            let p99_s = reached.prediction.as_ref().map(|prediction| prediction.quantile_s(0.99));
            let waits_s = reached.prediction.map(|prediction| prediction.waits_s);
            return Found { instances: reached.instances, part, p99_s, waits_s, out_of_reach: reached.out_of_reach };
        }
        let mut p99_s = self.p99_s(&instances, part);
        let goal_s = self.config.goal_ms / 1e3;
        while goal_s > 0.0 && sum(&instances) < budget && p99_s.is_some_and(|p99| p99 > goal_s * GOAL_MARGIN) {
            let Some(slowest) = self.shortens_most(&instances, part) else { break };
            instances[slowest] += 1;
            p99_s = self.p99_s(&instances, part);
        }
        Found { instances, part, p99_s, waits_s: None, out_of_reach: false }
    }

    /// The instances that are certainly enough for the demands. Where removing all others would make latency longer than the goal allows,
    /// operators are trimmed one after the other as far as it allows, or not at all where the goal is missed already.
    pub(super) fn enough(&self) -> Vec<u32> {
        let certain = self.goal.map(Goal::certain);
        let marks: Option<(&Predictor<'_>, &[Option<f64>])> = self.pressed.map(|(predictor, _)| (predictor, self.marks));
        let search = Search { goal: certain.as_ref(), asked: Asked::Goal, pressed: marks, ..*self };
        let Found { instances, part, .. } = search.find(self.config.confidence);
        let Some(goal) = self.goal else { return instances };
        let present: Vec<u32> = self.sights.iter().map(|sight| sight.instances).collect();
        let trimmed: Vec<u32> = instances.iter().zip(&present).map(|(enough, present)| *enough.min(present)).collect();
        if goal.allows(&search, &present, &trimmed, part) {
            return instances;
        }
        if !goal.without_margin().is_met(goal.predict(&search, &present, part).as_ref()) {
            return present;
        }
        let mut largest: Vec<usize> = (0..present.len()).filter(|&operator| trimmed[operator] < present[operator]).collect();
        largest.sort_by_key(|&operator| Reverse(present[operator] - trimmed[operator]));
        let mut kept = present.clone();
        for operator in largest.into_iter().take(MOST_TRIMMED) {
            for enough in [trimmed[operator], trimmed[operator].midpoint(present[operator])] {
                kept[operator] = enough;
                if goal.allows(&search, &present, &kept, part) {
                    break;
                }
                kept[operator] = present[operator];
            }
        }
        kept
    }

    /// Searches, with predictions from `worked_out`.
    pub(super) fn run(&self, worked_out: Rc<WorkedOut>) -> Searched {
        let operators = 0..self.sights.len();
        let found = self.find(0.0);
        let present: Vec<u32> = self.sights.iter().map(|sight| sight.instances).collect();
        let longest = self.longest(&present, found.part);
        let goal = self.goal.filter(|_| self.asked == Asked::Goal);
        Searched {
            enough: self.wanted(self.bound(), self.config.confidence),
            bound: self.bounded_by().or((found.part < 1.0).then_some("budget")),
            capacities: operators.clone().map(|index| self.capacity(index, present[index])).collect(),
            own: operators.clone().map(|index| self.capacity(index, present[index])).collect(),
            parts: operators.map(|index| self.part_of(index)).collect(),
            misses: goal.is_none_or(|goal| goal.predict(self, &present, found.part).is_none_or(|now| goal.is_missed(&now))),
            p99_s: self.latency.p99_s(longest.service_s, longest.queueing_s),
            most: self.most.to_vec(),
            stations: self.goal.map(|goal| goal.stations(self, &present, found.part)).unwrap_or_default(),
            has_paths: self.goal.is_some(),
            asked: self.asked,
            worked_out,
            longest,
            found,
            present,
        }
    }

    /// Busy part of an operator's fullest instance; 0 where it is not known.
    pub(super) fn utilisation(&self, operator: usize, instances: u32) -> f64 {
        self.hop(operator, instances, 1.0).utilisation
    }

    /// What each operator adds to the way of a record.
    fn hop(&self, operator: usize, instances: u32, part: f64) -> Hop {
        let (Some(total), Some(demand)) = (self.capacity(operator, instances), self.demands[operator]) else { return Hop::default() };
        let skew = if instances == self.sights[operator].instances { self.sights[operator].imbalance } else { 1.0 };
        Hop { service_s: f64::from(instances) / total, utilisation: demand * part * skew / total }
    }

    /// The longest way through `instances`.
    pub(super) fn longest(&self, instances: &[u32], part: f64) -> Longest {
        let hops: Vec<Hop> = (0..instances.len()).map(|operator| self.hop(operator, instances[operator], part)).collect();
        let seconds: Vec<f64> = hops.iter().map(|hop| hop.service_s + hop.queueing_s()).collect();
        let (_, on_it) = longest(self.topology, &seconds);
        let sum = |part: fn(&Hop) -> f64| hops.iter().zip(&on_it).filter(|(_, on_it)| **on_it).map(|(hop, _)| part(hop)).sum();
        Longest { service_s: sum(|hop| hop.service_s), queueing_s: sum(Hop::queueing_s), on_it }
    }

    /// Predicted latency.
    pub(super) fn p99_s(&self, instances: &[u32], part: f64) -> Option<f64> {
        let longest = self.longest(instances, part);
        self.latency.p99_s(longest.service_s, longest.queueing_s)
    }

    /// The operator of the longest way which one more instance shortens most; nothing where none matters.
    fn shortens_most(&self, instances: &[u32], part: f64) -> Option<usize> {
        let Longest { service_s, queueing_s, on_it } = self.longest(instances, part);
        let length = service_s + queueing_s;
        let gain = |operator: &Operator| {
            let index = operator.id.0 as usize;
            let may = on_it[index] && !self.is_fixed(index) && instances[index] < self.most[index];
            let queueing = |p| self.hop(index, p, part).queueing_s();
            may.then(|| (queueing(instances[index]) - queueing(instances[index] + 1), index))
        };
        let best = self.scalable().filter_map(gain).reduce(|a, b| if b.0 > a.0 { b } else { a });
        best.filter(|(gain, _)| *gain > length * LEAST_GAIN).map(|(_, index)| index)
    }
}
