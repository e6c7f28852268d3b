//! The way to the fewest instances that meet a goal, one operator after the other.

use super::goal::Goal;
use super::job_model::JobModel;
use crate::dataflow::Operator;
use crate::model::{Prediction, Station};

/// Part of what is tried at once of an operator's instances, one at least.
const STEP: u32 = 12;
/// Instances are added so many times, at most.
const MOST_STEPS: usize = 200;

/// What a search for the goal came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) instances: Vec<u32>,
    pub(super) prediction: Option<Prediction>,
    /// Whether no number of instances would do.
    pub(super) out_of_reach: bool,
}

/// A configuration on the way.
struct Climb<'a> {
    goal: &'a Goal<'a>,
    job: &'a JobModel<'a>,
    part: f64,
    instances: Vec<u32>,
    stations: Vec<Option<Station>>,
}

impl Climb<'_> {
    fn set(&mut self, operator: usize, instances: u32) {
        self.instances[operator] = instances;
        self.stations[operator] = self.job.station(&self.job.topology.operators()[operator], instances, self.part);
    }

    fn predict(&self) -> Option<Prediction> {
        self.goal.predictor.predict(&self.stations)
    }

    fn is_met(&self) -> bool {
        self.goal.is_met(self.predict().as_ref())
    }

    /// The operator where an instance more helps most: where the slowest records wait longest.
    fn slowest(&self, limits: &[u32], prediction: Option<&Prediction>) -> Option<usize> {
        let may = |index: &usize| self.instances[*index] < limits[*index] && self.goal.waited_at.is_none_or(|waited_at| waited_at[*index]);
        let candidates = self.job.topology.scalable().map(|operator| operator.id.0 as usize).filter(may);
        let waits = |index: usize| match prediction {
            Some(prediction) => prediction.waits_s[index],
            // One that would not keep up waits for ever.
            None => self.job.utilisation(index, self.instances[index]),
        };
        let longest = candidates.map(|index| (waits(index), index)).reduce(|a, b| if b.0 > a.0 { b } else { a });
        longest.filter(|(waits, _)| *waits > 0.0).map(|(_, index)| index)
    }

    /// Takes away again what does not matter, one operator after the other, down to `start`.
    fn give_back(&mut self, start: &[u32]) {
        for (operator, &start) in start.iter().enumerate() {
            // With so many it is met; whether with fewer, is halved out.
            let (mut met, mut missed) = (self.instances[operator], start.saturating_sub(1));
            let mut tried = met.saturating_sub(1).max(start);
            while missed + 1 < met {
                self.set(operator, tried);
                if self.is_met() {
                    met = tried
                } else {
                    missed = tried
                }
                tried = missed + (met - missed) / 2;
            }
            self.set(operator, met);
        }
    }
}

impl Goal<'_> {
    /// The fewest instances, from `instances` on and at most `budget`, with which the goal is met.
    pub(super) fn reach(&self, job: &JobModel<'_>, instances: Vec<u32>, part: f64, budget: u64) -> Reached {
        let limit = |operator: &Operator| {
            let index = operator.id.0 as usize;
            if operator.is_scalable() && !job.is_fixed(index) { job.most[index].max(instances[index]) } else { instances[index] }
        };
        let limits: Vec<u32> = job.topology.operators().iter().map(limit).collect();
        let stations = job.stations(&instances, part);
        let mut climb = Climb { goal: self, job, part, instances: instances.clone(), stations };
        let mut prediction = climb.predict();
        if self.is_met(prediction.as_ref()) {
            return Reached { instances, prediction, out_of_reach: false };
        }
        if !self.is_met(self.predict(job, &limits, part).as_ref()) {
            return Reached { instances, prediction, out_of_reach: true };
        }
        for _ in 0..MOST_STEPS {
            if self.is_met(prediction.as_ref()) || job.sum(&climb.instances) >= budget {
                break;
            }
            let Some(slowest) = climb.slowest(&limits, prediction.as_ref()) else {
                // Nobody was measured to wait where instances would help.
                return Reached { instances, prediction, out_of_reach: false };
            };
            let present = climb.instances[slowest];
            climb.set(slowest, (present + (present / STEP).max(1)).min(limits[slowest]));
            prediction = climb.predict();
        }
        if self.is_met(prediction.as_ref()) {
            climb.give_back(&instances);
            prediction = climb.predict();
        }
        Reached { instances: climb.instances, prediction, out_of_reach: false }
    }
}
