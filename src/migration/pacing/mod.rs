//! Paces a migration: decides when each step of a schedule is sent.
//!
//! A [`Pacer`] receives the host's reports and the latency of the job, and returns the steps to
//! send now. It reads no clock. Invariants: every step is sent exactly once and in order; a step is
//! complete when everything that it changes has been reported.
//!
//! Steps of a fixed schedule are sent when the previous one is complete, or overlap (see
//! [`Overlap`]). The steps of [`Strategy::Adaptive`] are composed of single bins as the migration
//! proceeds, by the algorithm in `adaptive.rs`.

mod adaptive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use adaptive::{Choice, Latest};

use super::{Schedule, Step, Strategy};
use crate::id::OperatorId;
use crate::time::Timestamp;
use adaptive::Adaptive;

/// A report of the host that part of a step is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// This many bins of the operator are active at their new owners, or have been split.
    Installed(OperatorId, usize),
    /// One router of the stateless operator uses the new instances.
    Rerouted(OperatorId),
}

/// Whether a step of a fixed schedule waits for the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It waits.
    // papers/megaphone-vldb19.md#strategies
    None,
    /// It does not wait while at most this many bins are in flight.
    ///
    /// For hosts in which a migration passes a pointer: it costs next to nothing, and most of the
    /// time is spent until the job reaches the step's logical time. In a job with a lag that is
    /// after the backlog, and one step at a time would wait for the backlog with every bin. The
    /// overlap does not delay records further: they wait for the job in any case.
    Bins(usize),
}

/// What has been sent of a step and not yet reported.
#[derive(Clone, Debug)]
struct UnderWay {
    step: Step,
    bins: BTreeMap<OperatorId, usize>,
    routers: BTreeMap<OperatorId, usize>,
}

/// A schedule in progress.
#[derive(Clone, Debug)]
pub struct Pacer {
    waiting: VecDeque<(Step, f64)>,
    under_way: VecDeque<UnderWay>,
    complete: Vec<Step>,
    pace: Pace,
    routers: usize,
}

#[derive(Clone, Debug)]
enum Pace {
    Fixed(Overlap),
    Adaptive(Adaptive),
}

impl Pacer {
    /// Executes `schedule` under `strategy`, which produced it.
    ///
    /// `routers` is the number of reports for a change of a stateless operator, one per worker.
    /// `baseline` is the recent maximum latency without a migration, if known.
    pub fn new(schedule: Schedule, strategy: Strategy, overlap: Overlap, routers: u32, baseline: Option<Duration>) -> Pacer {
        let pace = match strategy {
            Strategy::Adaptive(goal) => Pace::Adaptive(Adaptive::new(goal, baseline)),
            _ => Pace::Fixed(overlap),
        };
        let waiting = schedule.steps.into_iter().zip(schedule.sizes).collect();
        Pacer { waiting, under_way: VecDeque::new(), complete: Vec::new(), pace, routers: routers as usize }
    }

    /// Takes into account what happened until `now`; returns the steps to send now, in order.
    ///
    /// # Panics
    /// If more is reported than was sent.
    pub fn advance(&mut self, now: Timestamp, reports: impl IntoIterator<Item = Report>, latest: Option<Latest>) -> Vec<Step> {
        reports.into_iter().for_each(|report| self.report(report));
        if let (Pace::Adaptive(law), Some(latest)) = (&mut self.pace, latest) {
            law.saw(latest);
        }
        while self.under_way.front().is_some_and(|first| first.bins.is_empty() && first.routers.is_empty()) {
            let UnderWay { step, .. } = self.under_way.pop_front().expect("just seen");
            if let Pace::Adaptive(law) = &mut self.pace
                && step.splits.is_empty()
            {
                law.completed(now);
            }
            self.complete.push(step);
        }
        let mut steps = Vec::new();
        while let Some(step) = self.next(now) {
            let mut bins: BTreeMap<OperatorId, usize> = BTreeMap::new();
            let changed = step.moves.iter().map(|one| one.operator).chain(step.splits.iter().map(|(operator, _)| *operator));
            changed.for_each(|operator| *bins.entry(operator).or_default() += 1);
            let routers = step.parallelism.keys().map(|&operator| (operator, self.routers)).collect();
            self.under_way.push_back(UnderWay { step: step.clone(), bins, routers });
            steps.push(step);
        }
        steps
    }

    /// Removes the next step if it may be sent.
    fn next(&mut self, now: Timestamp) -> Option<Step> {
        let (first, _) = self.waiting.front()?;
        // No bin is in flight while bins are split.
        let splits = |step: &Step| !step.splits.is_empty();
        if splits(first) || self.under_way.iter().any(|under_way| splits(&under_way.step)) {
            return if self.under_way.is_empty() { self.waiting.pop_front().map(|(step, _)| step) } else { None };
        }
        match &mut self.pace {
            Pace::Fixed(overlap) => {
                let bins: usize = self.under_way.iter().flat_map(|step| step.bins.values()).sum();
                let may_go = match *overlap {
                    Overlap::None => self.under_way.is_empty(),
                    Overlap::Bins(most) => bins == 0 || bins + first.moves.len() <= most,
                };
                if may_go { self.waiting.pop_front().map(|(step, _)| step) } else { None }
            }
            Pace::Adaptive(law) => {
                let allowed = law.allowed(now)?;
                let (mut step, mut size) = self.waiting.pop_front().expect("just seen");
                let joins = |next: &Step| next.splits.is_empty() && next.parallelism.is_empty();
                while self.waiting.front().is_some_and(|(next, added)| joins(next) && size + added <= allowed) {
                    let (more, added) = self.waiting.pop_front().expect("just seen");
                    step.moves.extend(more.moves);
                    size += added;
                }
                law.sent(now, step.moves.len(), size);
                Some(step)
            }
        }
    }

    /// Assigns a report to the oldest step that still lacks one: the host executes steps in order.
    fn report(&mut self, report: Report) {
        let (operator, mut done) = match report {
            Report::Installed(operator, bins) => (operator, bins),
            Report::Rerouted(operator) => (operator, 1),
        };
        for step in &mut self.under_way {
            let missing = if matches!(report, Report::Installed(..)) { &mut step.bins } else { &mut step.routers };
            if let Some(left) = missing.get_mut(&operator) {
                let taken = done.min(*left);
                *left -= taken;
                done -= taken;
                missing.retain(|_, left| *left > 0);
            }
        }
        assert_eq!(done, 0, "no more is carried out than was asked for: {report:?}");
    }

    /// Whether all steps are complete.
    pub fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// The complete steps, in order, as they were sent.
    pub fn complete(&self) -> &[Step] {
        &self.complete
    }

    /// How each step of `adaptive` was chosen, in order; empty for other strategies.
    pub fn choices(&self) -> &[Choice] {
        match &self.pace {
            Pace::Fixed(_) => &[],
            Pace::Adaptive(law) => law.choices(),
        }
    }
}
