//! An upper bound on what an epoch could have gained from a faster operator.
//!
//! The question: all activities of operator O that started after the epoch was due take less time,
//! by whatever amount; everything before, the emissions of sources, the time of messages in flight
//! and of results waiting for their release, and the order of activities on each lane stay the
//! same. How much earlier is the epoch complete?
//!
//! In this model the time of an event is the maximum, over all chains of dependencies that lead to
//! it, of the start of the chain plus the duration of its links. Take any chain Q that leads to the
//! completion from something that stays the same. Let its *slack* be how much later all of it could
//! have happened without delaying the completion, and `O(Q)` the time of O's activities on it.
//! Shortened by at most all of `O(Q)`, the chain still ends at `completed - slack(Q) - O(Q)`, and
//! the completion cannot be earlier than that:
//!
//! ```text
//! gain(O) <= min over chains Q of slack(Q) + O(Q)
//! ```
//!
//! One chain has no slack: at each activity it follows the later of the lane becoming free
//! (whatever epoch it worked on) and the input arriving. A chain that takes the other alternative
//! has the difference between the two as slack. Bounds are taken over the first chain and the few
//! others with the least slack. A chain that is broken in the log at b could have started as early
//! as the epoch was due: its slack grows by `b - due`.
// papers/snailtrail-nsdi18.md#epoch-slack

use super::index::{EpochPlaces, Place};
use super::path::Gains;
use crate::activity::{ActivityKind, Lane};
use crate::id::OperatorId;
use crate::pag::{GraphBuilder, SentMessage, Step, StepKind};
use crate::time::Epoch;

/// The most steps of the binding chain of an epoch that are followed.
const MOST_STEPS: u32 = 1 << 14;
/// The most steps of its other chains together.
const MOST_OTHER_STEPS: u32 = 1 << 10;
/// The most chains with slack that are followed.
const MOST_ALTERNATIVES: usize = 2;

/// A chain that branches off another one.
#[derive(Clone, Debug)]
struct Branch {
    slack: u64,
    at: Place,
    works: Works,
}

/// Time of activities by operator.
#[derive(Clone, Debug, Default)]
struct Works(Vec<(OperatorId, u64)>);

impl Works {
    fn add(&mut self, operator: OperatorId, ns: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == operator) {
            Some((_, sum)) => *sum += ns,
            None => self.0.push((operator, ns)),
        }
    }

    fn of(&self, operator: OperatorId) -> u64 {
        self.0.iter().find(|(known, _)| *known == operator).map_or(0, |(_, sum)| *sum)
    }
}

/// Where a chain continues.
enum Link {
    /// At an earlier step.
    On(Place),
    /// At something that stays the same.
    Stays,
}

/// Follows the chains of one epoch.
pub(super) struct Chains<'a> {
    graph: &'a GraphBuilder,
    places: &'a EpochPlaces,
    epoch: Epoch,
    due: u64,
    fuel: u32,
    /// Branches off the first chain, those with the least slack.
    branches: Vec<Branch>,
}

impl<'a> Chains<'a> {
    /// Bounds for an epoch that was due at `due` and whose last event is at `last`.
    pub(super) fn gains(graph: &'a GraphBuilder, places: &'a EpochPlaces, epoch: Epoch, due: u64, last: Place) -> Gains {
        let mut chains = Chains { graph, places, epoch, due, fuel: MOST_STEPS, branches: Vec::new() };
        let (slack, works) = chains.follow(last, Works::default(), true);
        let mut operators = works.0;
        chains.fuel = MOST_OTHER_STEPS;
        for branch in std::mem::take(&mut chains.branches) {
            let (more, works) = chains.follow(branch.at, branch.works, false);
            for (operator, bound) in &mut operators {
                *bound = (*bound).min((branch.slack + more).saturating_add(works.of(*operator)).saturating_sub(slack));
            }
        }
        operators.iter_mut().for_each(|(_, bound)| *bound = bound.saturating_add(slack));
        operators.retain(|(_, bound)| *bound > slack);
        operators.sort_unstable();
        Gains { others: slack, operators }
    }

    /// Follows the chain from `at` to something that stays the same: returns the slack added by a
    /// break, and the activities on it. Records branches if `branches`.
    fn follow(&mut self, at: Place, works: Works, branches: bool) -> (u64, Works) {
        let (mut at, mut works, mut reached) = (at, works, u64::MAX);
        loop {
            let step = at.of(self.graph);
            // Its activities are counted by then, so a break behind it is where the chain starts.
            let breaks_at = |step: &Step| if matches!(step.kind, StepKind::Work(_)) { step.start } else { step.end };
            reached = reached.min(step.map_or(u64::MAX, breaks_at));
            let Some(link) = step.and_then(|step| self.link(at, step, &mut works, branches)) else {
                return (reached.saturating_sub(self.due), works);
            };
            match link {
                Link::On(before) => at = before,
                Link::Stays => return (0, works),
            }
        }
    }

    fn burn(&mut self) -> Option<()> {
        self.fuel = self.fuel.checked_sub(1)?;
        Some(())
    }

    /// What the step at `at` had to wait for; `None` if unknown.
    fn link(&mut self, at: Place, step: &Step, works: &mut Works, branches: bool) -> Option<Link> {
        self.burn()?;
        if step.end <= self.due {
            return Some(Link::Stays);
        }
        match step.kind {
            StepKind::Work(kind) => {
                if step.start < self.due {
                    // In flight already.
                    return Some(Link::Stays);
                }
                works.add(step.instance.operator, step.end - step.start);
                if kind == ActivityKind::Source && !step.goes_on {
                    return Some(Link::Stays);
                }
                self.before_work(at, step, works, branches)
            }
            StepKind::Wait if self.graph.message(step).is_none() => Some(Link::On(Place { step: at.step.checked_sub(1)?, ..at })),
            StepKind::Received { .. } | StepKind::Wait => {
                let sent = self.graph.message(step)?;
                self.producer(&sent, step.epoch)
            }
            StepKind::Gap | StepKind::Sent => Some(Link::On(Place { step: at.step.checked_sub(1)?, ..at })),
        }
    }

    fn before_work(&mut self, at: Place, step: &Step, works: &Works, branches: bool) -> Option<Link> {
        let mut input: Option<Place> = None;
        let mut place = at;
        let before = loop {
            let Some(earlier) = place.step.checked_sub(1) else { break None };
            place.step = earlier;
            self.burn()?;
            // What the lane did before the epoch was due cannot have happened earlier.
            let Some(before) = place.of(self.graph).filter(|before| before.end > self.due) else { break None };
            match before.kind {
                StepKind::Work(_) if before.end > before.start => break Some(before),
                StepKind::Received { waited } => {
                    let is_own = if step.epoch == Epoch::UNKNOWN { waited } else { before.epoch == step.epoch };
                    // What came earlier was not enough if the lane went on waiting until this very message.
                    let is_enough =
                        input.and_then(|input| input.of(self.graph)).is_some_and(|input| before.end < input.end && input.end == step.start);
                    if is_own && !is_enough {
                        input = Some(place);
                        // A queue is processed in order, so an idle lane starts with what arrived
                        // first; a sink takes everything.
                        if step.end == step.start {
                            break None;
                        }
                    }
                }
                _ => {}
            }
        };
        let free = before.map(|before| before.end);
        if free == Some(step.start) {
            if branches && step.epoch == self.epoch && !step.goes_on {
                self.branch_to_input(at, step.start, works);
            }
            return Some(Link::On(place));
        }
        let input = input?;
        if let (true, Some(free)) = (branches, free) {
            self.branch(input.of(self.graph)?.end - free, place, works);
        }
        Some(Link::On(input))
    }

    /// The branch over the input of an activity that started at `start` because its lane became
    /// free; only if the input is unambiguous.
    fn branch_to_input(&mut self, at: Place, start: u64, works: &Works) {
        let receipts = &self.places.receipts;
        if let Some(input) = receipts.before(at.lane, at.step)
            && receipts.before(at.lane, input.step).is_none()
            && let Some(step) = input.of(self.graph)
        {
            self.branch(start - step.end, input, works);
        }
    }

    fn branch(&mut self, slack: u64, at: Place, works: &Works) {
        if self.branches.len() == MOST_ALTERNATIVES {
            let Some(index) = (0..MOST_ALTERNATIVES).max_by_key(|&index| self.branches[index].slack) else { return };
            if self.branches[index].slack <= slack {
                return;
            }
            self.branches.swap_remove(index);
        }
        self.branches.push(Branch { slack, at, works: works.clone() });
    }

    /// The activity that sent a message on `epoch`.
    fn producer(&mut self, sent: &SentMessage, epoch: Epoch) -> Option<Link> {
        if sent.at.0 <= self.due {
            return Some(Link::Stays);
        }
        let lane = sent.from_lane;
        let mut place = Place::first_after(self.graph, lane, sent.at.0);
        // An activity that continues after that time has not emitted anything yet.
        let is_instance = matches!(self.graph.lanes()[lane as usize], Lane::Instance(_));
        let under_way = |step: &Step| is_instance && step.goes_on && step.start == sent.at.0;
        let mut skip = place.of(self.graph).is_some_and(under_way);
        let skipped = skip;
        loop {
            place.step = place.step.checked_sub(1)?;
            self.burn()?;
            let step = place.of(self.graph)?;
            if step.end <= self.due {
                return (!skipped).then_some(Link::Stays);
            }
            let StepKind::Work(kind) = step.kind else { continue };
            if skip {
                skip = step.goes_on;
            } else if kind != ActivityKind::Migration && (epoch == Epoch::UNKNOWN || step.epoch == epoch) {
                return Some(Link::On(place));
            }
        }
    }
}
